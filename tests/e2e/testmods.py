"""The modules of tests/modules, and what tests of the worker ask of it."""
import array
import contextlib
import fcntl
import os
import pathlib
import resource
import select
import socket
import struct
import sys
import termios
import threading

import pytest

from prefork import BUILD, OPTIONS, PATIENCE, PROBE, ROOT, until

outside_sandbox = pytest.mark.skipif(
    "server.sandbox=yes" in OPTIONS,
    reason="the sandbox refuses what this test sets up")


SO_PASSRIGHTS = 83


def can_refuse_fds():
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        except OSError:
            return False
    return True


refuses_fds = pytest.mark.skipif(
    not can_refuse_fds(),
    reason="before Linux 6.16 no socket refuses descriptors")


def module(name, mount="/", **more):
    """The section of an app with tests/modules/mod_NAME.c."""
    return {"type": "module", "target": BUILD / f"tests/mod_{name}.so",
            "mount": mount, **more}


# What most tests ask: answers at once, bodies in memory, bodies as a stream
CORE = {
    "app:probe": {"type": "module", "target": PROBE},
    "app:sum": module("bigbody", "/sum"),
    "app:echo": {"type": "module", "target": "echo.so", "mount": "/echo",
                 "stream": "yes"},
}

# Kinds of handlers
HANDLERS = ("module", "stream", "python", "python_stream", "static")


def handler_apps(site):
    """One section for each kind of handler: they answer 200 with the length of
    the body first, but for static, which serves the directory."""
    python = {"type": "wsgi", "target": ROOT / "tests/apps/sum.py"}
    return {
        "module": module("bigbody"),
        "stream": module("bigbody", stream="yes"),
        "python": python,
        "python_stream": {**python, "stream": "yes"},
        "static": {"type": "static", "target": site},
    }


class Hold:
    """Handlers of mod_gate wait until let() lets them through.

    The log says "inside N" for each that waits."""

    def __init__(self, path):
        os.mkfifo(path)
        path.chmod(0o666)
        self.path = path
        self.file = os.open(path, os.O_RDWR)

    def app(self, mount="/", **more):
        return module("gate", mount, **{"option.fifo": self.path, **more})

    def let(self, n=1):
        os.write(self.file, b"x" * n)

    def close(self):
        os.close(self.file)


def status_of(pid):
    """/proc/PID/status as a dict."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":", 1) for line in text.splitlines())


def memory_kib(pid, key="VmHWM"):
    return int(status_of(pid)[key].split()[0])


def limit(pid, what, soft):
    """Lowers a limit of a running process; returns what puts it back."""
    was = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, was[1]))

    def back():
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, what, was)
    return back


def no_more_memory(pid, but=0):
    """Than it has, and so many bytes; returns what puts the limit back.  Not
    RLIMIT_AS, which an arena of malloc has by the 64 MiB before it uses them.
    """
    has = memory_kib(pid, "VmData") * 1024
    return limit(pid, resource.RLIMIT_DATA, has + but)


def threads(pid):
    """The names of its threads that serve: handlers and the first."""
    names = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return names


def handlers(pid):
    """How many threads but the first serve."""
    return threads(pid).count("handler")


def cpu_ticks(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2:].split()
    return int(fields[11]) + int(fields[12])


def connected(server, n, stack):
    """n clients, closed with the stack."""
    return [stack.enter_context(server.connect()) for _ in range(n)]


def await_read(server):
    """Until what was sent before is read: in one turn of the loop another may
    be served first, not in two."""
    for _ in range(2):
        with server.connect() as other:
            assert other.send("nonsense\r\n\r\n").response().status == 400


def narrow(server):
    """A connection that holds as few bytes as the kernel allows."""
    c = server.connect()
    c.sock.close()
    c.sock = socket.socket()
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    c.sock.settimeout(30)
    c.sock.connect(server.address)
    return c


def late_body(server):
    """A clock: it gets 408 when body_timeout has passed."""
    return server.connect().request(
        "/sum", method="POST", Content_Length=9).send("he")


def await_late_head(server):
    """A clock, too: until header_timeout has passed."""
    with server.connect() as c:
        assert c.send("G").response().status == 408


def is_reset(client):
    """Until the server resets the connection; False: it did not in time."""
    poll = select.poll()
    poll.register(client.sock, 0)  # only POLLERR and POLLHUP
    return bool(poll.poll(PATIENCE * 1000))


def await_closed(client):
    """Until the server has closed; what it said may be unread."""
    poll = select.poll()
    poll.register(client.sock, select.POLLRDHUP)
    assert poll.poll(PATIENCE * 1000), "it is open"


SENT_FIN = 0x4, 0x9, 0xb  # FIN_WAIT1, LAST_ACK, CLOSING


def server_end(client):
    """(state, bytes not acknowledged, inode) of the server's socket; without an
    owner it has no inode."""
    ends = [f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}"
            f":{port:04X}" for host, port in (client.sock.getpeername(),
                                              client.sock.getsockname())]
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == ends:
            unsent = fields[4].split(":")[0]
            return int(fields[3], 16), int(unsent, 16), int(fields[9])
    raise AssertionError("it is gone")


def await_fin(client):
    """Until the server has said all that it will, and not all is taken."""
    until(lambda: server_end(client)[0] in SENT_FIN)


def await_acknowledged(client):
    """Until the server's kernel has all that was sent."""
    until(lambda: not any(
        fcntl.ioctl(client.sock, termios.TIOCOUTQ, b"\0" * 4)))


def has_owner(client):
    return server_end(client)[2] != 0


def kept_for(client):
    """Bytes that the server's kernel has for it."""
    return server_end(client)[1]


@contextlib.contextmanager
def sending(client, chunks):
    """A thread that sends; it ends when the server no longer takes it."""
    def run():
        with contextlib.suppress(OSError):
            for c in chunks:
                client.sock.sendall(c)
    t = threading.Thread(target=run)
    t.start()
    try:
        yield t
    finally:
        t.join(PATIENCE)
        assert not t.is_alive(), "the client still sends"


def linger(sock, seconds):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, seconds))


@contextlib.contextmanager
def burdened(sock, data):
    """Sends data, and a socket with it that takes an hour to close: what went
    to it is not read before the end of this."""
    with socket.create_server(("127.0.0.1", 0)) as never:
        heavy = socket.create_connection(never.getsockname())
        linger(heavy, 3600)
        heavy.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                heavy.send(bytes(65536))
        try:
            sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                   array.array("i", [heavy.fileno()]))])
        except PermissionError:
            linger(heavy, 0)  # it is still ours to close
        heavy.close()
        yield
