"""start_response and write()."""
import gc
import sys
import threading
import weakref

from helpers import TEXT, asked, literal, say, told


class Text(str):
    """A subclass of str."""


def given(environ, start_response):
    """Calls it with the arguments of the query; tells what it said."""
    said = told(lambda: callable(start_response(*literal(environ, "args"))))
    if said == "True":
        return [b"taken"]
    return say(start_response, said)


def kinds(environ, start_response):
    """Arguments that are no literals."""
    pair = ("X-A", "1")
    headers = {
        "generator": (p for p in [pair]),
        "list subclass": type("L", (list,), {})([*TEXT, pair]),
        "str subclass": [*TEXT, (Text("X-A"), Text("1"))],
    }[asked(environ, "kind")]
    said = told(lambda: callable(start_response(Text("200 OK"), headers)))
    return [b"taken"] if said == "True" else say(start_response, said)


def abandoned_writer(environ, start_response):
    """A thread still writes when the handler has returned."""
    write = start_response("200 OK", TEXT[:])
    entered = threading.Event()

    def run():
        entered.set()
        for _ in range(12):
            told(write, b"x" * (1 << 20))
    threading.Thread(target=run).start()
    entered.wait()
    return []


def never(environ, start_response):
    return [b"nothing of this is seen"]


def lazily(environ, start_response):
    start_response("201 Created", [*TEXT, ("X-Lazy", "1")])
    yield b"late"


def twice(environ, start_response):
    start_response("200 OK", TEXT[:])
    return [told(start_response, "200 OK", TEXT[:]).encode()]


def replaced(environ, start_response):
    """An error before anything is sent: as middleware of Paste does it."""
    start_response("200 OK", [*TEXT, ("X-First", "1")])
    try:
        raise ValueError("on purpose")
    except ValueError:
        start_response("503 Later", [*TEXT, ("X-Second", "2")],
                       sys.exc_info())
    return [b"replaced"]


def after_nothing(environ, start_response):
    """The same after a block that is empty."""
    start_response("200 OK", TEXT[:])
    yield b""
    try:
        raise ValueError("on purpose")
    except ValueError:
        start_response("503 Later", TEXT[:], sys.exc_info())
    yield b"replaced"


def too_late(environ, start_response):
    """The same, when the head has gone."""
    start_response("200 OK", TEXT[:])
    yield b"first"
    try:
        raise LookupError("too late for 500")
    except LookupError:
        try:
            start_response("500 Error", TEXT[:], sys.exc_info())
        except LookupError as e:
            print(f"raised again: {e}")
            raise
    yield b"never"


def bad_exc_info(environ, start_response):
    """What is no exception cannot be raised again."""
    write = start_response("200 OK", TEXT[:])
    write(b"first\n")
    return [told(start_response, "500 Error", TEXT[:], info).encode() + b"\n"
            for info in ((1, 2, 3), (None, None, None), True, (ValueError,),
                         (ValueError, ValueError("x"), "traceback"))]


class Witness:
    """Dies with the frame that holds it."""


witness = None


def cycle(environ, start_response):
    global witness
    gc.disable()
    w = Witness()
    witness = weakref.ref(w)
    try:
        raise ValueError("on purpose")
    except ValueError:
        start_response("500 Error", TEXT[:], sys.exc_info())
    return [b"held"]


def cycle_gone(environ, start_response):
    gone = witness() is None
    gc.enable()
    return say(start_response, gone)


def mutated(environ, start_response):
    headers = [*TEXT, ("X-A", "before")]
    start_response("200 OK", headers)
    headers[1] = ("X-A", "after")
    headers.append(("X-B", "after"))
    return [b"sent"]


def other_thread(environ, start_response):
    done = []

    def run():
        write = start_response("202 Accepted", [*TEXT, ("X-Thread", "1")])
        write(b"from a thread, ")
        done.append(True)
    t = threading.Thread(target=run)
    t.start()
    t.join()
    return [b"and from the handler" if done else b"but it failed"]


def sends(environ, start_response):
    """Headers of the query, as they are."""
    start_response("200 OK", literal(environ, "headers"))
    return [b"sent"]


def many(environ, start_response):
    start_response("200 OK", [
        *TEXT, *((f"X-{i}", str(i) * 20) for i in range(200))])
    return [b"sent"]


def writes(environ, start_response):
    """write() for some blocks, then an iterable of others."""
    write = start_response("200 OK", TEXT[:])
    for block in literal(environ, "write"):
        write(block)
    return literal(environ, "return")


def writes_text(environ, start_response):
    write = start_response("200 OK", TEXT[:])
    said = [told(write, what) for what in ("text", bytearray(b"x"), None, 1)]
    return ["\n".join(said).encode()]


def writes_beyond(environ, start_response):
    """More than was announced."""
    write = start_response("200 OK", [*TEXT, ("Content-Length", "3")])
    write(b"abc")
    print("beyond: " + told(write, b"d"))
    return []
