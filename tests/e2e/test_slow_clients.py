"""Clients that are slow, idle, half gone or gone, and what others get."""
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

from prefork import PATIENCE, PROBE, SANITIZED
from load import BIG
from testmods import (await_fin, connected, cpu_ticks, handlers, has_owner,
                      is_reset, module, sending)

APPS = {
    "app:probe": {"type": "module", "target": PROBE},
    "app:sum": module("bigbody", "/sum"),
    "app:echo": {"type": "module", "target": "echo.so", "mount": "/echo",
                 "stream": "yes"},
}


@pytest.fixture
def one(start):
    def begin(apps=None, **sections):
        return start({"server": {"workers": 1}, **sections,
                      **(apps or APPS)}, ready=1)
    return begin


def vanish(client):
    """The client's machine is gone: a reset."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                           struct.pack("ii", 1, 0))
    client.sock.close()


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


def byte_by_byte(client, text):
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in text:
        client.sock.sendall(bytes([byte]))


def test_a_request_may_come_byte_by_byte(one):
    s = one()
    with s.connect() as c:
        for _ in range(3):
            byte_by_byte(c, b"\r\nPOST /sum HTTP/1.1\r\nHost: t\r\n"
                            b"Content-Length: 5\r\n\r\nhello")
            assert c.response().body == b"5 103547413 memory"
            byte_by_byte(c, b"POST /sum HTTP/1.1\r\nHost: t\r\n"
                            b"Transfer-Encoding: chunked\r\n\r\n"
                            b"2;x=\"y\"\r\nhe\r\n03\r\nllo\r\n0\r\nA: b\r\n\r\n")
            assert c.response().body == b"5 103547413 memory"
            byte_by_byte(c, b"POST /echo HTTP/1.1\r\nHost: t\r\n"
                            b"Content-Length: 5\r\n\r\nhello")
            assert c.response().body == b"hello"


def test_a_burst_of_more_pieces_than_a_turn_reads_is_read_in_the_next(one):
    """Each of 300 heads and bodies gets its last byte while nobody reads."""
    s = one()
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        clients = connected(s, 301, stack)
        whole = clients.pop()
        for n, c in enumerate(clients):
            c.send("GET /pid HTTP/1.1\r\nHost: t\r\n\r" if n % 2 else
                   "POST /sum HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
                   "\r\nhell")
        assert whole.get("/pid").status == 200, "all of that was read"
        os.kill(pid, signal.SIGSTOP)
        for n, c in enumerate(clients):
            c.send("\n" if n % 2 else "o")
        whole.request("/pid")
        os.kill(pid, signal.SIGCONT)
        assert whole.response().status == 200
        for c in clients:
            assert c.response().status == 200


def test_slow_heads_and_bodies_take_no_thread(one):
    s = one()
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        heads = connected(s, 30, stack)
        bodies = connected(s, 30, stack)
        for c in heads:
            c.send("GET /pid HTTP/1.1\r\nHo")
        for c in bodies:
            c.request("/sum", method="POST", Content_Length=5).send("he")
        for _ in range(50):
            assert s.get("/pid").status == 200
        assert handlers(pid) <= 3
        for c in heads:
            assert c.send("st: t\r\n\r\n").response().status == 200
        for c in bodies:
            assert c.send("llo").response().body == b"5 103547413 memory"


def test_many_idle_connections_cost_no_processor_time(one):
    s = one()
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        idle = connected(s, 200, stack)
        for c in idle:
            assert c.get("/pid").status == 200
        ticks = cpu_ticks(pid)
        with s.connect() as c:
            for _ in range(500):
                assert c.get("/pid").status == 200
        assert cpu_ticks(pid) - ticks < (300 if SANITIZED else 50)
        for c in idle:
            assert c.get("/pid").status == 200


# ---- half closed, and gone ---------------------------------------------------

@pytest.mark.parametrize("request_", [
    "GET /pid HTTP/1.1\r\nHost: t\r\n\r\n",
    "GET /pid HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
    "GET /pid HTTP/1.0\r\n\r\n",
    "POST /sum HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
    "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
    "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n0\r\n\r\n",
], ids=["keep", "close", "1.0", "body", "stream", "chunks"])
def test_a_client_that_says_it_is_done_gets_its_answer(one, request_):
    with one().connect() as c:
        c.send(request_)
        c.sock.shutdown(socket.SHUT_WR)
        assert c.response().status == 200
        c.closed()


def test_all_pipelined_requests_of_a_half_closed_client_are_answered(one):
    with one().connect() as c:
        for n in range(20):
            c.request(f"/path/{n}")
        c.sock.shutdown(socket.SHUT_WR)
        for n in range(20):
            assert c.response().status == 404
        c.closed()


def test_a_half_closed_client_gets_the_answer_of_a_slow_handler(start, hold):
    s = start({"server": {"workers": 1}, "app:gate": hold.app()}, ready=1)
    with s.connect() as c:
        c.request("/")
        s.wait("inside 1")
        c.sock.shutdown(socket.SHUT_WR)
        # Half a connection must not keep the loop busy either.
        pid, = s.workers()
        ticks = cpu_ticks(pid)
        for _ in range(50):
            assert s.get("/?now").status == 200
        assert cpu_ticks(pid) - ticks < (100 if SANITIZED else 20)
        hold.let()
        assert c.response().body == b"through"
        c.closed()


@pytest.mark.parametrize("query, code", [("", None), ("?stream", "-1")])
def test_a_client_that_vanishes_while_its_handler_runs(
        start, hold, query, code):
    s = start({"server": {"workers": 1}, "app:gate": hold.app()}, ready=1)
    c = s.connect().request("/" + query)
    s.wait("inside 1")
    if query:
        assert c.head().status == 200
    vanish(c)
    assert s.get("/?now").status == 200
    hold.let()
    s.wait("out 0")
    if code:
        assert s.wait(r"write (-?\d+)")[1] == code
    assert s.get("/?now").status == 200


def test_a_handler_that_asks_learns_that_its_client_vanished(start, hold):
    s = start({"server": {"workers": 1, "threads": 1}, "app:gate": hold.app()},
              ready=1)
    c = s.connect().request("/?alive")
    s.wait("inside 1")
    vanish(c)
    s.wait("gone")
    assert s.get("/?now").status == 200, "its thread is free again"


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:{}/http"])
def test_a_queued_request_whose_client_vanished_is_not_run(
        start, hold, tmp_path, bind):
    s = start({"server": {"workers": 1, "threads": 1,
                          "bind": bind.format(tmp_path)},
               "app:gate": hold.app()}, ready=1)
    with s.connect() as first, s.connect() as last:
        first.request("/")
        s.wait("inside 1")
        leaves = s.connect().request("/")
        last.request("/?now")
        # The loop may serve another before them in one turn, not in two.
        for _ in range(2):
            with s.connect() as other:
                other.send("nonsense\r\n\r\n")
                assert other.response().status == 400
        vanish(leaves)
        hold.let()
        assert first.response().body == b"through"
        assert last.response().status == 200
    s.stop()
    assert len(s.matches("inside")) == 1


def test_a_queued_request_of_a_half_closed_client_is_answered(start, hold):
    s = start({"server": {"workers": 1, "threads": 1}, "app:gate": hold.app()},
              ready=1)
    with s.connect() as first, s.connect() as half:
        first.request("/")
        s.wait("inside 1")
        half.request("/?now").sock.shutdown(socket.SHUT_WR)
        with s.connect() as other:
            assert other.send("nonsense\r\n\r\n").response().status == 400
        hold.let()
        assert first.response().body == b"through"
        assert half.response().status == 200
        half.closed()


def test_a_queued_request_of_a_half_closed_client_that_is_late_is_503(
        start, hold):
    s = start({"server": {"workers": 1, "threads": 1,
                          "queue_timeout": "200ms"},
               "app:gate": hold.app()}, ready=1)
    with s.connect() as first, s.connect() as half:
        first.request("/")
        s.wait("inside 1")
        half.request("/?now").sock.shutdown(socket.SHUT_WR)
        assert half.response().status == 503
        half.closed()
        hold.let()
        assert first.response().body == b"through"


def await_late_head(server):
    """Until header_timeout has passed."""
    with server.connect() as c:
        assert c.send("G").response().status == 408


def test_what_came_in_time_is_in_time_though_the_loop_stood_still(one):
    http = {"header_timeout": "1s", "body_timeout": "1s"}
    s, clock = one(http=http), one(http=http)
    pid, = s.workers()
    with s.connect() as head, s.connect() as body, s.connect() as new:
        head.send("GET /pid HTTP/1.1\r\nHo")
        body.request("/sum", method="POST", Content_Length=5).send("he")
        assert s.get("/pid").status == 200, "all of that was read"
        os.kill(pid, signal.SIGSTOP)
        head.send("st: t\r\n\r\n")
        body.send("llo")
        new.request("/pid")
        await_late_head(clock)
        os.kill(pid, signal.SIGCONT)
        for c in head, body, new:
            assert c.response().status == 200
    assert s.status()["too_slow"] == 0


def test_a_late_handler_without_a_client_does_not_hold_up_the_end(start, hold):
    s = start({"server": {"workers": 1, "request_timeout": "1s",
                          "graceful_timeout": "1h"},
               "http": {"send_timeout": "200ms"},
               "app:gate": hold.app()}, ready=1)
    s.allow("request_timeout", "1 handlers are stuck", "is stuck")
    with narrow(s) as c:
        c.request("/?much")
        s.wait("inside 1")
        assert is_reset(c)
    s.signal(signal.SIGTERM)
    s.wait("request_timeout")
    s.wait_exit()


def test_clients_that_vanish_anywhere_harm_nobody(one):
    s = one(http={"header_timeout": "500ms"})
    pieces = [b"", b"GET", b"GET /pid HTTP/1.1\r\nHost: t\r\n\r\n",
              b"POST /sum HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nab",
              b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nab",
              b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n"
              b"Expect: 100-continue\r\n\r\n",
              b"GET /many?10000000 HTTP/1.1\r\nHost: t\r\n\r\n",
              b"GET /pid HTTP/1.1\r\nHost: t\r\n\r\n" * 50,
              b"nonsense\r\n\r\n"]
    pid, = s.workers()
    with s.connect() as steady:
        for _ in range(10):
            for piece in pieces:
                c = s.connect().send(piece)
                vanish(c)
                c = s.connect().send(piece)
                c.sock.close()
            assert steady.get("/pid").status == 200
        while s.status()["connections"] > 1:
            pass
        ticks = cpu_ticks(pid)
        await_late_head(s)  # and nothing else is to do meanwhile
        assert cpu_ticks(pid) - ticks < os.sysconf("SC_CLK_TCK") / 8
    assert s.workers() == [pid]


# ---- slow readers ------------------------------------------------------------

@pytest.fixture
def big(one, tmp_path):
    """A server with a file of 5 MB, and its bytes."""
    site = tmp_path / "site"
    site.mkdir()
    data = b"".join(b"%07d\n" % i for i in range(5_000_000 // 8))
    (site / "big").write_bytes(data)
    (site / "small").write_text("here")
    s = one({**APPS, "app:files": {"type": "static", "target": site,
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


# ---- the minimum rate --------------------------------------------------------

def trickle(client, piece=b"x", until=None):
    """Sends it 50 times a second, until `until` (or the client itself) has
    something to read."""
    waits = [(until or client).sock]
    while not select.select(waits, [], [], 0.02)[0]:
        client.send(piece)


def test_a_head_that_trickles_has_header_timeout_in_all(one):
    s = one(http={"header_timeout": "500ms", "max_header": "1M",
                  "max_head": "1M"})
    with s.connect() as c:
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\nX: ")
        trickle(c)
        r = c.response()
        assert r.status == 408 and r.closes
    assert s.status()["too_slow"] == 1


def test_a_proxy_header_that_trickles_has_header_timeout_in_all(one):
    s = one(proxy={"protocol": "on"}, http={"header_timeout": "500ms"})
    s.allow("PROXY header: it is late")
    with s.connect() as c:
        trickle(c.send("PROXY UNKNOWN "))
        c.closed()
    s.wait("PROXY header: it is late")
    assert s.status()["proxy_refused"] == 1


def trickle_until_cut(client, piece=b"x"):
    """Whatever it is told; what it has to read is left."""
    poll = select.poll()
    poll.register(client.sock, 0)
    while not poll.poll(20):
        with contextlib.suppress(OSError):
            client.send(piece)


@pytest.mark.parametrize("http, path, status", [
    ({"max_body": "1k", "send_timeout": "300ms"}, "/sum", 413),
    ({"body_timeout": "300ms", "send_timeout": "300ms", "min_rate": 0},
     "/unread", 200),
], ids=["refused", "unread"])
def test_a_client_whose_body_nobody_wants_is_cut_in_time(
        one, http, path, status):
    """Though it never stops sending."""
    s = one({**APPS, "app:unread": module("fast", "/unread", stream="yes")},
            http=http)
    with s.connect() as c:
        c.request(path, method="POST", Content_Length=60_000)
        assert c.response().status == status
        trickle_until_cut(c)
    assert s.get("/pid").status == 200


def late_body(server):
    """A clock: it gets 408 when body_timeout has passed."""
    return server.connect().request(
        "/sum", method="POST", Content_Length=9).send("he")


@pytest.mark.parametrize("fields, piece", [
    ({"Content_Length": 1000000}, b"x"),
    ({"Transfer_Encoding": "chunked"}, b"1\r\nx\r\n"),
], ids=["length", "chunks"])
def test_a_body_below_the_minimum_rate_is_408(one, fields, piece):
    s = one(http={"body_timeout": "300ms", "min_rate": 1000})
    with s.connect() as c:
        c.request("/sum", method="POST", **fields)
        trickle(c, piece)
        r = c.response()
        assert r.status == 408 and r.closes
    assert s.status()["too_slow"] == 1


def test_a_slow_body_above_the_minimum_rate_may_take_its_time(one):
    s = one(http={"body_timeout": "1s", "min_rate": 50})
    with s.connect() as c:
        c.request("/sum", method="POST", Transfer_Encoding="chunked")
        for _ in range(3):
            with late_body(s) as clock:
                trickle(c, b"a\r\n0123456789\r\n", until=clock)
                assert clock.response().status == 408
        assert c.send("0\r\n\r\n").response().status == 200


def test_an_application_may_let_its_clients_trickle(one):
    s = one({**APPS, "app:trickle": module("bigbody", "/trickle", min_rate=0)},
            http={"body_timeout": "1s", "min_rate": 1000000})
    with s.connect() as c:
        c.request("/trickle", method="POST", Transfer_Encoding="chunked")
        for _ in range(2):
            with late_body(s) as clock:
                trickle(c, b"1\r\nx\r\n", until=clock)
        assert c.send("0\r\n\r\n").response().status == 200


def test_an_uploader_below_the_minimum_rate_gives_its_handler_back(start, hold):
    s = start({"server": {"workers": 1, "threads": 1},
               "http": {"body_timeout": "300ms", "min_rate": 1000},
               "app:gate": hold.app(stream="yes")}, ready=1)
    with s.connect() as c:
        c.request("/?read", method="POST", Content_Length=1000000)
        s.wait("inside 1")
        trickle(c)
        assert c.response().body == b"read -2"
    assert s.get("/?now").status == 200


def test_a_streamed_body_that_was_cut_short_is_not_late_too(start, hold):
    s = start({"server": {"workers": 1}, "http": {"body_timeout": "300ms"},
               "app:gate": hold.app(stream="yes"),
               "app:sum": module("bigbody", "/sum")}, ready=1)
    with s.connect() as c:
        c.request("/?read=2", method="POST", Content_Length=10).send("half")
        s.wait("inside 1")
        c.sock.shutdown(socket.SHUT_WR)
        with late_body(s) as clock:
            assert clock.response().status == 408
        hold.let()
        assert c.response().body == b"read -4"
    assert s.status()["bodies_bad"] == s.status()["too_slow"] == 1


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
    """The kernel says that there is room when a third of its buffer is free."""
    data = os.urandom(8_000_000)
    (tmp_path / "big").write_bytes(data)
    s = one({**APPS, "app:files": {"type": "static", "target": tmp_path,
                                   "mount": "/files"}},
            http={"send_timeout": "1s", "body_timeout": "1s"})
    with narrow(s) as c:
        c.request("/files/big")
        for _ in range(3):
            with late_body(s) as clock:
                while not select.select([clock.sock], [], [], 0.02)[0]:
                    c.buffer += c.sock.recv(100)
        assert c.response().body == data


# ---- 100 Continue ------------------------------------------------------------

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
    deadline = time.monotonic() + PATIENCE
    while unread(client) < n:
        assert time.monotonic() < deadline, f"{unread(client)}, not {n}"
        os.sched_yield()


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
               **APPS}, ready=1)
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
               **APPS, "app:gate": hold.app("/gate")}, ready=1)
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
