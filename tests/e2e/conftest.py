"""Fixtures of the end-to-end tests."""
import contextlib
import faulthandler
import os
import signal

import pytest

import prefork
import testmods
import upgrades
import wsgi

LIMIT_S = 180 if prefork.SANITIZED else 60


@pytest.fixture(autouse=True)
def time_limit(request):
    """No test runs longer, whatever it waits for."""
    def late(*_):
        faulthandler.dump_traceback()
        raise TimeoutError(f"{request.node.name} ran over {LIMIT_S} s")
    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def start(tmp_path):
    """start(sections, ...) starts a server; each is stopped and checked."""
    servers = []

    def begin(sections=None, ready=2, tmp=tmp_path, **kw):
        server = prefork.Server(tmp, sections, **kw)
        servers.append(server)
        return server.ready(ready) if ready else server
    yield begin
    with contextlib.ExitStack() as stack:
        for s in servers:
            stack.callback(s.check)


@pytest.fixture
def server(start):
    """Two workers with the probe module."""
    return start({})


@pytest.fixture
def one(start):
    """one(apps, section={...}, ...) starts a server with one."""
    def begin(apps=None, **sections):
        return start({"server": {"workers": 1}, **sections,
                      **(apps or testmods.CORE)}, ready=1)
    return begin


@pytest.fixture
def preload():
    """server.preload of an application that is shared by tests; one that is to
    see both has the mark applications.loaded."""
    return "no"


@pytest.fixture
def program(tmp_path):
    """The file that a server is started from, when another one follows it."""
    return upgrades.Installed(tmp_path / "prefork")


class Gate:
    """The named pipe on which a handler of the probe waits."""

    def __init__(self, path, suffix=""):
        self.path = path.with_name(path.name + suffix)
        self.option = {"option.gate": path}
        self.target = "/gate" + (f"?{suffix}" if suffix else "")
        os.mkfifo(self.path)
        self.path.chmod(0o666)

    def entered(self):
        """Until a handler waits in the gate."""
        self.file = open(self.path, "wb", buffering=0)
        return self

    def open(self):
        """Lets it through."""
        self.file.write(b"x")
        self.file.close()


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path / "gate")


@pytest.fixture
def gates(tmp_path):
    return [Gate(tmp_path / "gate", str(n)) for n in range(8)]


@pytest.fixture
def hold(tmp_path):
    """Where handlers of mod_gate wait."""
    h = testmods.Hold(tmp_path / "hold")
    yield h
    h.close()


@pytest.fixture(scope="module")
def wsgi_servers(tmp_path_factory):
    """Shared by the tests of a file, and checked after the last one."""
    servers = wsgi.Servers(tmp_path_factory.mktemp("wsgi"))
    yield servers
    with contextlib.ExitStack() as stack:
        for s in servers.running.values():
            stack.callback(s.check)


def reached(way, servers):
    unix, threads, mount = way
    return wsgi.Web(servers.get(threads), servers.address(threads, unix),
                    threads, mount)


@pytest.fixture(params=wsgi.ways(["", "/validated"]))
def web(request, wsgi_servers):
    """Each way to reach an application, also behind wsgiref's validator."""
    return reached(request.param, wsgi_servers)


@pytest.fixture(params=wsgi.ways([""]))
def bare(request, wsgi_servers):
    """Without the validator, which would notice before we do."""
    return reached(request.param, wsgi_servers)
