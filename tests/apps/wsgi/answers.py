"""What an application returns, and what becomes of it."""
import os

from helpers import TEXT, Blocks, asked, closes, literal, say


SHARED = [b"a" * 100000]


def changed_while_sent(environ, start_response):
    """A list that every request sends, and changes for all that are sending."""
    SHARED[0] = bytes([SHARED[0][0] ^ 3]) * 100000
    start_response("200 OK", [("Content-Type", "text/plain")])
    return SHARED


def plain(environ, start_response):
    """The literal of the query."""
    start_response("200 OK", TEXT[:])
    return literal(environ, "return")


def iterated(environ, start_response):
    """The same one by one, with a close()."""
    start_response(asked(environ, "status", "200 OK"),
                   literal(environ, "headers") if asked(environ, "headers")
                   else TEXT[:])
    return Blocks(environ, literal(environ, "return"))


def listed(environ, start_response):
    """The same as a list."""
    start_response(asked(environ, "status", "200 OK"),
                   literal(environ, "headers") if asked(environ, "headers")
                   else TEXT[:])
    return literal(environ, "return")


def generated(environ, start_response):
    start_response("200 OK", TEXT[:])
    yield from literal(environ, "return")


class ClosingList(list):
    """A list that wants to be closed."""

    def close(self):
        closes.add(self.name)


def closing_list(environ, start_response):
    start_response("200 OK", TEXT[:])
    result = ClosingList([b"one ", b"two"])
    result.name = asked(environ, "id")
    return result


class One:
    """Says that it has one block."""

    def __len__(self):
        return 1

    def __iter__(self):
        return iter([b"only"])


def one(environ, start_response):
    start_response("200 OK", TEXT[:])
    return One()


def closed(environ, start_response):
    """How often close() was called."""
    return say(start_response, closes.wait(asked(environ, "id")))


def raises_at(blocks):
    yield from blocks
    raise LookupError("on purpose, after the blocks")


def raising(environ, start_response):
    """An exception, after the blocks of the query."""
    start_response("200 OK", TEXT[:])
    return Blocks(environ, raises_at(literal(environ, "return")))


class BadClose(Blocks):
    """close() that fails."""

    def close(self):
        super().close()
        raise LookupError("close() fails on purpose")


def bad_close(environ, start_response):
    start_response("200 OK", TEXT[:])
    return BadClose(environ, [b"one ", b"two"])


def endless(environ, start_response):
    """Until the client has enough."""
    def blocks():
        while True:
            yield b"x" * 65536
    headers = TEXT[:]
    if asked(environ, "length"):
        headers.append(("Content-Length", asked(environ, "length")))
    start_response("200 OK", headers)
    return Blocks(environ, blocks())


def stepwise(environ, start_response):
    """A block for each byte of a named pipe."""
    def blocks():
        with open(asked(environ, "fifo"), "rb", buffering=0) as steps:
            yield b"ready"
            while step := steps.read(1):
                yield b"" if step == b"-" else b"block " + step
    start_response("200 OK", TEXT[:])
    return Blocks(environ, blocks())


def waits(environ, start_response):
    """Sends a block, then waits for the pipe to close."""
    def blocks():
        yield b"waiting"
        fd = os.open(asked(environ, "fifo"), os.O_RDONLY)
        os.read(fd, 1)
        os.close(fd)
        yield b" done"
    start_response("200 OK", TEXT[:])
    return Blocks(environ, blocks())
