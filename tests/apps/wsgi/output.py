"""What an application prints."""
import logging
import sys
import threading
import warnings

from helpers import TEXT, asked, say

logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
logger = logging.getLogger("app")


def prints(environ, start_response):
    """A line by each way there is."""
    text = asked(environ, "text")
    environ["wsgi.errors"].write(f"errors {text}\n")
    environ["wsgi.errors"].writelines([f"lines {text}\n", f"more {text}\n"])
    environ["wsgi.errors"].flush()
    print("stdout", text)
    print("stderr", text, file=sys.stderr)
    logger.info(text)
    warnings.warn(text, stacklevel=1)
    return say(start_response, "printed")


def prints_bytes(environ, start_response):
    said = []
    for method, what in (("write", b"x"), ("writelines", [b"x"])):
        try:
            getattr(environ["wsgi.errors"], method)(what)
        except TypeError as e:
            said.append(type(e).__name__)
    return say(start_response, said)


def long_line(name, parts):
    """Put together in parts, as print() does it."""
    return [f"<{name}"] + [f" {i}" for i in range(parts)] + [">\n"]


def prints_at_once(environ, start_response):
    """Threads that print parts of lines, all at the same time."""
    names = asked(environ, "names").split(",")
    together = threading.Barrier(len(names))

    def run(name):
        together.wait()
        for _ in range(20):
            for part in long_line(name, 50):
                environ["wsgi.errors"].write(part)
            print(f"<{name}", *range(50), end=">\n")
    threads = [threading.Thread(target=run, args=(n,)) for n in names]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return say(start_response, "printed")


def fails(environ, start_response):
    """A traceback that names the request."""
    def deeper(n):
        if n:
            return deeper(n - 1)
        raise LookupError(f"on purpose: {asked(environ, 'id')}")
    deeper(3)
    start_response("200 OK", TEXT[:])
    return [b"never"]


def redirected(environ, start_response):
    """Whoever takes sys.stderr away does not take our reports with it."""
    sys.stderr = None
    raise LookupError("without sys.stderr")


def restored(environ, start_response):
    sys.stderr = sys.__stderr__
    return say(start_response, "restored")
