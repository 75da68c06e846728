"""Fixtures of the end-to-end tests."""
import contextlib
import faulthandler
import os
import signal

import pytest

import prefork

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

    def begin(sections=None, ready=2, **kw):
        server = prefork.Server(tmp_path, sections, **kw)
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
def gate(tmp_path):
    """The named pipe on which the probe's /gate waits."""
    path = tmp_path / "gate"
    os.mkfifo(path, 0o666)
    path.chmod(0o666)

    class Gate:
        option = {"option.gate": path}

        def entered(self):
            """Until a handler waits in the gate; leaves the way to let it
            through."""
            self.file = open(path, "wb", buffering=0)
            return self

        def open(self):
            self.file.write(b"x")
            self.file.close()
    return Gate()
