"""What the small applications share."""
import ast
import collections
import threading
from urllib.parse import parse_qsl

TEXT = [("Content-Type", "text/plain")]


def asked(environ, name, default=""):
    """A parameter of the query."""
    return dict(parse_qsl(environ["QUERY_STRING"])).get(name, default)


def literal(environ, name):
    """The same as a value of Python."""
    return ast.literal_eval(asked(environ, name))


def say(start_response, what):
    start_response("200 OK", TEXT[:])
    return [str(what).encode()]


def told(function, *args):
    """What a call returned, or which error it raised."""
    try:
        return repr(function(*args))
    except Exception as e:
        return f"{type(e).__name__}: {e}"


class Counter:
    """Counts by name; whoever asks can wait for the first."""

    def __init__(self):
        self.counts = collections.Counter()
        self.changed = threading.Condition()

    def add(self, name):
        with self.changed:
            self.counts[name] += 1
            self.changed.notify_all()

    def wait(self, name):
        with self.changed:
            self.changed.wait_for(lambda: self.counts[name], 20)
            return self.counts[name]


closes = Counter()  # of iterables, by the id of the query


class Blocks:
    """Iterates over blocks, and counts its close()."""

    def __init__(self, environ, blocks):
        self.name = asked(environ, "id")
        self.blocks = iter(blocks)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.blocks)

    def close(self):
        closes.add(self.name)
