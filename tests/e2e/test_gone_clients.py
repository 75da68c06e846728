"""Clients that are half gone or gone: who is answered, what is given up."""
import os
import signal
import socket
import struct

import pytest

from prefork import SANITIZED
from testmods import await_late_head, await_read, cpu_ticks, is_reset, narrow


def vanish(client):
    """The client's machine is gone: a reset."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                           struct.pack("ii", 1, 0))
    client.sock.close()


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
        await_read(s)
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
        await_read(s)
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
        assert steady.get("/pid").status == 200
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
