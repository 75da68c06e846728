"""Clients that take slowly what they asked for, or not at all."""
import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import time

import pytest

from load import BIG
from prefork import BRIEF, SANITIZED, until
from testmods import (CORE, await_fin, connected, handlers, has_owner, is_reset,
                      kept_for, late_body, narrow, sending)


@pytest.fixture
def big(one, tmp_path):
    """A server with a file of 5 MB, and its bytes."""
    site = tmp_path / "site"
    site.mkdir()
    data = b"".join(b"%07d\n" % i for i in range(5_000_000 // 8))
    (site / "big").write_bytes(data)
    (site / "small").write_text("here")
    s = one({**CORE, "app:files": {"type": "static", "target": site,
                                   "mount": "/files"}})
    s.data = data
    return s


def test_a_slow_reader_of_a_file_delays_nobody_and_gets_all(big):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(narrow(big)) for _ in range(10)]
        for c in slow:
            c.request("/files/big")
        with big.connect() as c:
            for _ in range(100):
                assert c.get("/files/small").body == b"here"
        pid, = big.workers()
        assert handlers(pid) <= 3, "a slow client holds no thread"
        for c in slow[:3]:
            assert c.response().body == big.data
            assert c.get("/files/small").body == b"here"


def test_a_slow_reader_of_a_stream_holds_one_thread_and_delays_nobody(big):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(narrow(big)) for _ in range(4)]
        for c in slow:
            c.request("/many?3000000")
        with big.connect() as c:
            for _ in range(100):
                assert c.get("/pid").status == 200
        for c in slow:
            assert len(c.response().body) == 3000000


ROOM = 16384  # much less than BIG
LAST = {
    "it asked to close": ({}, {"Connection": "close"}, False),
    "it is idle for too long": ({"keepalive_timeout": "50ms"}, {}, False),
    "it had as many as it may": ({"max_keepalive_requests": 1}, {}, False),
    "it is half closed": ({}, {}, True),
}


@pytest.mark.parametrize("why", LAST)
def test_an_answer_that_is_not_taken_yet_keeps_its_owner(one, why):
    """The kernel resets sockets without one when TCP's memory is short."""
    http, fields, half = LAST[why]
    s = one(http=http)
    with s.connect(room=ROOM) as c:
        c.request(f"/many?{BIG}", **fields)
        if half:
            c.sock.shutdown(socket.SHUT_WR)
        await_fin(c)
        assert has_owner(c)
        assert len(c.response().body) == BIG
        c.closed()


def test_a_file_to_a_client_that_stops_reading_is_cut(one, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    with open(site / "big", "wb") as f:
        f.truncate(200_000_000)
    s = one({"app:files": {"type": "static", "target": site}},
            http={"send_timeout": "300ms"})
    with narrow(s) as c:
        c.request("/big")
        assert is_reset(c)
    assert s.get("/big", method="HEAD").status == 200


def test_a_file_that_shrinks_while_it_is_sent_cuts_the_connection(
        one, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    with open(site / "big", "wb") as f:
        f.truncate(50_000_000)
    s = one({"app:files": {"type": "static", "target": site}})
    with narrow(s) as c:
        c.request("/big")
        r = c.head()
        assert r["Content-Length"] == "50000000"
        with open(site / "big", "r+b") as f:
            f.truncate(10)
        with pytest.raises(ConnectionResetError):
            c.rest()
    assert s.get("/big").body == bytes(10)


def test_the_more_connections_the_less_the_kernel_keeps_for_each(
        one, tmp_path):
    """All slow readers share one limit of the machine, tcp_mem."""
    with open(tmp_path / "big", "wb") as f:
        f.truncate(50_000_000)
    files = {"app:files": {"type": "static", "target": tmp_path}}
    s = one(files)
    with s.connect(room=ROOM) as c:
        c.request("/big")
        until(lambda: kept_for(c) > 200_000)
        assert kept_for(c) < 400_000
    s.configure({"server": {"workers": 1, "connections": 8192}, **files})
    s.signal(signal.SIGHUP).wait("reload: generation 2 serves")
    with s.connect(room=ROOM) as c:
        c.request("/big")
        until(lambda: kept_for(c) > 20_000)
        assert s.get("/none").status == 404, "more was sent if there was room"
        assert kept_for(c) < 128_000


def test_pipelining_without_reading_stops_the_reading_too(one):
    """A client that only sends is not answered into memory without bound."""
    s = one(http={"send_timeout": "500ms"})
    pid, = s.workers()
    with narrow(s) as c, s.connect() as other:
        with sending(c, [b"GET /pid HTTP/1.1\r\nHost: t\r\n\r\n" * 1000] * 100):
            for _ in range(100):
                assert other.get("/pid").status == 200
            assert is_reset(c)
    assert s.workers() == [pid]


# ---- the minimum rate ------------------------------------------------------

def read_slowly(client, n, until):
    """n bytes 50 times a second, until `until` says that it is over."""
    while not until():
        time.sleep(0.02)
        client.sock.recv(n)


@pytest.mark.parametrize("sandbox", [
    "no", pytest.param("yes", marks=pytest.mark.skipif(
        SANITIZED, reason="sanitizers need more calls"))])
def test_a_reader_below_the_minimum_rate_is_cut(one, tmp_path, sandbox):
    with open(tmp_path / "big", "wb") as f:
        f.truncate(200_000_000)
    s = one({"app:files": {"type": "static", "target": tmp_path}},
            server={"workers": 1, "sandbox": sandbox},
            http={"send_timeout": "500ms", "min_rate": 1000000})
    poll = select.poll()
    with narrow(s) as c:
        c.request("/big")
        poll.register(c.sock, 0)
        with contextlib.suppress(ConnectionResetError):
            read_slowly(c, 1000, lambda: poll.poll(0))
    assert s.status()["too_slow"] == 1
    assert s.get("/big", method="HEAD").status == 200


def test_a_slow_reader_is_not_cut_while_the_kernel_s_buffer_empties(
        one, tmp_path):
    """The kernel says that there is room when much of its buffer is free."""
    data = os.urandom(8_000_000)
    (tmp_path / "big").write_bytes(data)
    s = one({**CORE, "app:files": {"type": "static", "target": tmp_path,
                                   "mount": "/files"}},
            http={"send_timeout": BRIEF, "body_timeout": BRIEF})
    with narrow(s) as c:
        c.request("/files/big")
        for _ in range(3):
            with late_body(s) as clock:
                while not select.select([clock.sock], [], [], 0.02)[0]:
                    c.buffer += c.sock.recv(100)
        assert c.response().body == data


# ---- 100 Continue ----------------------------------------------------------

def unread(client):
    """Bytes that wait for the client in the kernel."""
    count = fcntl.ioctl(client.sock, termios.FIONREAD, b"\0" * 4)
    return struct.unpack("i", count)[0]


def sends_until_full(n):
    """How many writes of n bytes a unix socket takes."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs, contextlib.suppress(BlockingIOError):
        for sent in range(1000000):
            ours.send(b"x" * n)
    return sent


def await_unread(client, n):
    until(lambda: unread(client) >= n)


def fill(client):
    """With answers, until the unix socket takes no 100 Continue: how many."""
    client.request("/pid")
    await_unread(client, 1)
    size = unread(client)
    assert client.response().status == 200
    full = sends_until_full(size)
    for n in range(full):
        client.request("/pid")
        await_unread(client, (n + 1) * size)
    client.request("/sum", method="POST", Content_Length=5,
                   Expect="100-continue")
    return full


def test_100_continue_comes_when_the_client_has_made_room_for_it(
        start, tmp_path):
    s = start({"server": {"workers": 1, "bind": f"unix:{tmp_path}/http"},
               **CORE}, ready=1)
    with s.connect() as c:
        full = fill(c)
        assert s.get("/pid").status == 200, "and the head has been read"
        assert unread(c) % full == 0, "the socket was not full"
        for _ in range(full):
            assert c.response().status == 200
        assert c.head().status == 100
        assert c.send("hello").response().body == b"5 103547413 memory"
        assert c.get("/pid").status == 200


def test_a_request_that_is_late_behind_100_continue_is_503(
        start, hold, tmp_path):
    """The client makes room just as queue_timeout passes: the end of 100
    Continue is not that of the 503, which a handler's mail may bring."""
    s = start({"server": {"workers": 1, "threads": 1, "queue_timeout": "1s",
                          "bind": f"unix:{tmp_path}/http"},
               **CORE, "app:gate": hold.app("/gate")}, ready=1)
    with contextlib.ExitStack() as stack:
        clients = connected(s, 30, stack)
        full = [fill(c) for c in clients]
        busy = stack.enter_context(s.connect()).request("/gate")
        s.wait("inside 1")
        sent = []
        for c in clients:
            c.send("hello")
            sent.append(time.monotonic())
        for c, n, at in zip(clients, full, sent):
            time.sleep(max(0, at + 1 - time.monotonic()))
            for _ in range(n):
                assert c.response().status == 200
        for c in clients:
            assert c.head().status == 100
            assert c.response().status == 503
        hold.let()
        assert busy.response().status == 200
