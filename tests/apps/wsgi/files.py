"""wsgi.file_wrapper."""
import gzip
import io
import os
import tempfile

from helpers import TEXT, asked, closes, say

CONTENT = b"".join(b"%07d\n" % i for i in range(12500))  # 100000 bytes
positions = {}  # of descriptors after the response, by id


def made(directory=None):
    """A file that is gone when it is closed."""
    f = tempfile.TemporaryFile(dir=directory)
    f.write(CONTENT)
    f.seek(0)
    return f


def reopened(f, mode="rb", buffering=-1):
    with f:
        return open(f"/proc/self/fd/{f.fileno()}", mode, buffering=buffering)


def piped():
    r, w = os.pipe()
    os.write(w, CONTENT[:4096])
    os.close(w)
    return open(r, "rb")


def spooled(limit):
    f = tempfile.SpooledTemporaryFile(limit)
    f.write(CONTENT)
    f.seek(0)
    return f


def zipped():
    return gzip.open(io.BytesIO(gzip.compress(CONTENT)))


def zipped_file():
    f = tempfile.TemporaryFile()
    f.write(gzip.compress(CONTENT))
    f.seek(0)
    return gzip.GzipFile(fileobj=f)


def named():
    f = tempfile.NamedTemporaryFile()
    f.write(CONTENT)
    f.seek(0)
    return f


KINDS = {
    "random": made,
    "buffered": lambda: reopened(made()),
    "raw": lambda: reopened(made(), buffering=0),
    "text": lambda: reopened(made(), "r"),
    "bytes": lambda: io.BytesIO(CONTENT),
    "pipe": piped,
    "spooled in memory": lambda: spooled(1 << 20),
    "spooled": lambda: spooled(100),
    "gzip": zipped,
    "gzip of a file": zipped_file,
    "named": named,
    "empty": tempfile.TemporaryFile,
}


def wrapped(environ, start_response):
    """A file of that kind, from where `read` and `seek` leave it."""
    f = KINDS[asked(environ, "kind")]()
    headers = TEXT[:]
    if asked(environ, "length"):
        headers.append(("Content-Length", asked(environ, "length")))
    if asked(environ, "read"):
        f.read(int(asked(environ, "read")))
    if asked(environ, "seek"):
        f.seek(int(asked(environ, "seek")))
    start_response("200 OK", headers)
    size = asked(environ, "blksize")
    return environ["wsgi.file_wrapper"](f, *([int(size)] if size else []))


def sent_by_the_kernel(environ, start_response):
    """sendfile leaves a descriptor where it stands, reading moves it."""
    f = KINDS[asked(environ, "kind")]()
    positions[asked(environ, "id")] = os.dup(f.fileno())
    start_response("200 OK", TEXT[:])
    return environ["wsgi.file_wrapper"](f)


def position(environ, start_response):
    fd = positions.pop(asked(environ, "id"))
    at = os.lseek(fd, 0, os.SEEK_CUR)
    os.close(fd)
    return say(start_response, at)


class Closing(io.BytesIO):
    """A file that counts its close()."""

    def close(self):
        if not self.closed:
            closes.add(self.name)
        super().close()


def closing_file(environ, start_response):
    f = Closing(CONTENT)
    f.name = asked(environ, "id")
    start_response("200 OK", TEXT[:])
    return environ["wsgi.file_wrapper"](f)


class NoClose:
    """Has read() and nothing else."""

    def __init__(self):
        self.blocks = [b"one ", b"two"]

    def read(self, _):
        return self.blocks.pop(0) if self.blocks else b""


def read_only(environ, start_response):
    start_response("200 OK", TEXT[:])
    return environ["wsgi.file_wrapper"](NoClose())


def through_middleware(environ, start_response):
    """Who wraps the wrapper gets its blocks."""
    start_response("200 OK", TEXT[:])
    blocks = environ["wsgi.file_wrapper"](made(), 1000)
    return (block.replace(b"0", b"o") for block in blocks)


def twice_the_same(environ, start_response):
    """Iterated to its end before it is returned."""
    start_response("200 OK", TEXT[:])
    result = environ["wsgi.file_wrapper"](io.BytesIO(CONTENT))
    for _ in result:
        pass
    return result


def after_write(environ, start_response):
    """A file after blocks of write()."""
    start_response("200 OK", TEXT[:])(b"head\n")
    return environ["wsgi.file_wrapper"](made())


def wrong(environ, start_response):
    """Arguments that are no file."""
    wrapper = environ["wsgi.file_wrapper"]
    said = []
    for args in ((), (io.BytesIO(), "8"), (io.BytesIO(), 8, 9)):
        try:
            wrapper(*args)
        except TypeError as e:
            said.append(type(e).__name__)
    return say(start_response, said)
