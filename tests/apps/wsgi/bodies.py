"""Reading wsgi.input."""
import hashlib
import json

from helpers import TEXT, asked, say, told

kept = {}


def calls(environ, start_response):
    """Calls methods of the input as the query has them: [["read", 3], ...];
    "list" iterates to the end."""
    body = environ["wsgi.input"]
    results = []
    for name, *args in json.loads(asked(environ, "calls")):
        results.append(list(body) if name == "list"
                       else getattr(body, name)(*args))
    return say(start_response, results)


def echo(environ, start_response):
    start_response("200 OK", [
        *TEXT, ("X-Length", environ.get("CONTENT_LENGTH", "absent"))])
    return [environ["wsgi.input"].read(-1)]


def digest(environ, start_response):
    """Of a body that is too long for one read."""
    total, hashed = 0, hashlib.sha1()
    while block := environ["wsgi.input"].read(1 << 20):
        total += len(block)
        if asked(environ, "hash"):
            hashed.update(block)
    return say(start_response, f"{total} {hashed.hexdigest()} "
               f"{environ.get('CONTENT_LENGTH')}")


def part(environ, start_response):
    """Reads some of it."""
    return say(start_response, environ["wsgi.input"].read(
        int(asked(environ, "n"))))


def unread(environ, start_response):
    return say(start_response, "not read")


def keep(environ, start_response):
    """Keeps what is dead when the request is over."""
    write = start_response("200 OK", TEXT[:])
    kept[asked(environ, "id")] = environ["wsgi.input"], start_response, write
    return [b"kept"]


def use_kept(environ, start_response):
    body, start, write = kept.pop(asked(environ, "id"))
    return say(start_response, "\n".join([
        told(body.read, 1), told(body.readline), told(body.readlines),
        told(list, body), told(start, "200 OK", TEXT[:]), told(write, b"x")]))


def failing(environ, start_response):
    """The client dies in the middle of the body; that is no bug of ours."""
    print("reading")
    try:
        environ["wsgi.input"].read(-1)
    except OSError as e:
        print(f"read failed: {type(e).__name__}: {e}")
        raise
    return say(start_response, "read")


def failing_of_its_own(environ, start_response):
    """What it makes of a client's failure is a bug of its own."""
    print("reading")
    try:
        environ["wsgi.input"].read(-1)
    except OSError:
        raise LookupError("nothing was read") from None
