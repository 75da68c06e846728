"""Clients that send slowly, or nothing, and what others get."""
import contextlib
import os
import select
import signal
import socket

import pytest

from prefork import BRIEF, SANITIZED
from testmods import (CORE, await_late_head, connected, cpu_ticks, handlers,
                      late_body, module)


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


def test_what_came_in_time_is_in_time_though_the_loop_stood_still(one):
    http = {"header_timeout": BRIEF, "body_timeout": BRIEF}
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


# ---- in all, and the minimum rate ------------------------------------------

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
        with contextlib.suppress(ConnectionResetError):  # for a last byte
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
    s = one({**CORE, "app:unread": module("fast", "/unread", stream="yes")},
            http=http)
    with s.connect() as c:
        c.request(path, method="POST", Content_Length=60_000)
        assert c.response().status == status
        trickle_until_cut(c)
    assert s.get("/pid").status == 200


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
    s = one(http={"body_timeout": BRIEF, "min_rate": 50})
    with s.connect() as c:
        c.request("/sum", method="POST", Transfer_Encoding="chunked")
        for _ in range(3):
            with late_body(s) as clock:
                trickle(c, b"a\r\n0123456789\r\n", until=clock)
                assert clock.response().status == 408
        assert c.send("0\r\n\r\n").response().status == 200


def test_an_application_may_let_its_clients_trickle(one):
    s = one({**CORE, "app:trickle": module("bigbody", "/trickle", min_rate=0)},
            http={"body_timeout": BRIEF, "min_rate": 1000000})
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
        c.sock.shutdown(socket.SHUT_WR)
        s.wait("inside 1")
        with late_body(s) as clock:
            assert clock.response().status == 408
        hold.let()
        assert c.response().body == b"read -4"
    assert s.status()["bodies_bad"] == s.status()["too_slow"] == 1
