"""The WSGI applications of tests/apps/wsgi, and the ways to reach them."""
import ast
import itertools
import json
from urllib.parse import urlencode

import pytest

from prefork import ROOT, Client, Server

APPS = ROOT / "tests/apps/wsgi"
UNIX = r"listening on unix:(\S+)"


def app(target="application", mount="/", **more):
    """The section of an application of tests/apps/wsgi."""
    return {"type": "wsgi", "target": target, "mount": mount,
            "pythonpath": APPS, **more}


class Web:
    """One way: over TCP or a unix socket, bare or behind wsgiref's validator,
    in a worker with 1 or 8 threads."""

    ids = itertools.count()

    def __init__(self, server, address, threads, mount=""):
        self.server, self.address = server, address
        self.threads, self.mount = threads, mount
        self.unix = isinstance(address, str)

    def connect(self, **kw):
        return Client(self.address, **kw)

    def target(self, name="", /, **query):
        text = urlencode({k: v if isinstance(v, str) else repr(v)
                          for k, v in query.items()})
        return f"{self.mount}/{name}" + (f"?{text}" if text else "")

    def get(self, name="", /, *, method="GET", body=None, fields=(), **query):
        """The Response of one request on a connection of its own."""
        with self.connect() as c:
            return c.get(self.target(name, **query), method, body,
                         **dict(fields))

    def environ(self, target="/", *, method="GET", body=None, **fields):
        """What show() is told: {key: value}, {key: name of its type}."""
        with self.connect() as c:
            return self.shown(c.get(self.mount + target, method, body,
                                    **fields))

    @staticmethod
    def shown(response):
        assert response.status == 200, response.body
        told = json.loads(response.body)
        return ({k: v for k, (_, v) in told.items()},
                {k: t for k, (t, _) in told.items()})

    def id(self):
        """A new one, to ask for closes."""
        return f"id{next(self.ids)}"

    def closed(self, name):
        """How often close() of that id was called."""
        return ast.literal_eval(
            self.get("closed", id=name).body.decode())

    def fails(self, *patterns):
        """What this test makes the application do wrong is logged so; the
        place in the log from which on."""
        self.server.allow(*patterns)
        return self.server.mark()


class Servers:
    """A server for each number of threads, when one is needed."""

    def __init__(self, tmp):
        self.tmp = tmp
        self.running = {}

    def get(self, threads):
        if threads not in self.running:
            self.running[threads] = self.begin(threads)
        return self.running[threads]

    def begin(self, threads):
        tmp = self.tmp / str(threads)
        tmp.mkdir()
        s = Server(tmp, {
            "server": {"bind": f"127.0.0.1:0, unix:{tmp}/s", "workers": 1,
                       "threads": threads},
            "app:bare": app(),
            "app:validated": app("application:validated", "/validated"),
        })
        s.ready(1)
        return s

    def address(self, threads, unix):
        s = self.get(threads)
        return s.wait(UNIX)[1] if unix else s.address


def ways(mounts):
    """Parameters of a fixture: every way to reach an application."""
    return [pytest.param((unix, threads, mount),
                         id=f"{'unix' if unix else 'tcp'}-{threads}"
                            f"{mount.replace('/', '-')}")
            for threads in (1, 8) for unix in (False, True)
            for mount in mounts]
