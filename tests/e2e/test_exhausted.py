"""Nothing left: no file descriptors, no disk, no memory.  What fails is the one
request that needed it; the rest goes on, and so does the server after."""
import contextlib
import os
import re
import resource
import signal
import time

import pytest

from prefork import PROBE, READY, SANITIZED, until
from testmods import (await_acknowledged, connected, cpu_ticks, limit, module,
                      no_more_memory, sending)

APPS = {
    "app:probe": {"type": "module", "target": PROBE},
    "app:sum": module("bigbody", "/sum"),
}


@pytest.fixture
def one(start):
    def begin(apps=None, **sections):
        return start({"server": {"workers": 1}, **sections,
                      **(apps or APPS)}, ready=1)
    return begin


# ---- file descriptors --------------------------------------------------------

@pytest.fixture
def no_fds(one):
    """A worker with 4 connections and no room for a fifth."""
    s = one()
    s.allow("cannot accept")
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        clients = connected(s, 4, stack)
        for c in clients:
            assert c.get("/pid").status == 200
        highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
        back = limit(pid, resource.RLIMIT_NOFILE, highest + 1)
        # Numbers below that which are free are taken before it says so.
        s.more = stack.enter_context(contextlib.ExitStack())
        for c in connected(s, highest, s.more):
            c.request("/pid")
        s.wait("cannot accept")
        s.clients, s.back, s.worker = clients, back, pid
        yield s


def test_without_fds_open_connections_are_served(no_fds):
    s = no_fds
    for c in s.clients:
        for _ in range(20):
            assert c.get("/pid").status == 200


def test_without_fds_a_worker_neither_spins_nor_floods_the_log(no_fds):
    s = no_fds
    ticks, lines = cpu_ticks(s.worker), len(s.log)
    # The third pause from here: that is more than a second.
    s.wait("cannot accept", 3, after=lines)
    assert cpu_ticks(s.worker) - ticks < os.sysconf("SC_CLK_TCK") / 4
    assert len(s.log) - lines <= 4


def test_with_fds_again_those_who_waited_are_served(no_fds):
    s = no_fds
    with s.connect() as waits:
        waits.request("/pid")
        s.wait("cannot accept", 1, after=s.mark())
        s.back()
        assert waits.response().status == 200
    assert s.get("/pid").status == 200


def test_an_fd_that_becomes_free_serves_the_next(no_fds):
    s = no_fds
    with s.connect() as waits:
        waits.request("/pid")
        s.clients[0].sock.close()
        s.more.close()
        assert waits.response().status == 200


def test_without_fds_a_body_that_needs_a_file_is_500(no_fds):
    s = no_fds
    s.allow("body_dir")
    body = b"x" * 100_000
    r = s.clients[0].get("/sum", method="POST", body=body)
    assert r.status == 500
    assert s.clients[1].get("/sum", method="POST", body=body[:4000]).body
    s.back()
    assert s.get("/sum", method="POST", body=body).status == 200


def test_without_fds_a_static_file_is_an_error_and_the_next_is_served(
        one, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "page").write_text("here")
    s = one({"app:files": {"type": "static", "target": site}})
    s.allow(r"\[(warn|error)\]")
    pid, = s.workers()
    with s.connect() as c:
        assert c.get("/page").body == b"here"
        back = limit(pid, resource.RLIMIT_NOFILE, 3)
        assert c.get("/page").status in (500, 503)
        back()
        with s.connect() as d:
            assert d.get("/page").body == b"here"
    assert s.workers() == [pid]


def test_connections_up_to_the_limit_leave_the_rest_to_a_sibling(start):
    s = start({"server": {"workers": 2, "connections": 8}, **APPS})
    with contextlib.ExitStack() as stack:
        clients = connected(s, 16, stack)
        seen = [c.get("/pid").body for c in clients]
        assert sorted(seen.count(x) for x in set(seen)) == [8, 8]
        for c in clients:
            c.send("GET /pid HTTP/1.1\r\nHo")  # not idle any more
        with s.connect() as late:
            late.request("/pid")
            clients[0].sock.close()
            assert late.response().body == seen[0]


# ---- the limit of connections ------------------------------------------------

def test_the_connection_idle_longest_makes_room_for_a_new_one(one):
    s = one({**APPS}, server={"workers": 1, "connections": 4})
    with contextlib.ExitStack() as stack:
        busy, *idle = connected(s, 4, stack)
        for c in idle:
            assert c.get("/pid").status == 200
        busy.send("GET /pid HTTP/1.1\r\nHo")
        for n, c in enumerate(idle, 1):
            late = stack.enter_context(s.connect())
            assert late.get("/pid").status == 200
            c.closed()
            assert s.status()["evicted"] == n
        assert busy.send("st: t\r\n\r\n").response().status == 200


def test_a_connection_that_has_just_been_used_is_not_idle(one):
    """Whoever comes does not push out those who keep asking."""
    s = one({**APPS}, server={"workers": 1, "connections": 3})
    with contextlib.ExitStack() as stack:
        a, b, idle = connected(s, 3, stack)
        assert idle.get("/pid").status == 200
        late = stack.enter_context(s.connect())
        late.request("/pid")
        while s.status()["evicted"] == 0:
            assert a.get("/pid").status == b.get("/pid").status == 200
        idle.closed()
        assert late.response().status == 200
        assert a.get("/pid").status == b.get("/pid").status == 200


def test_a_full_worker_that_waits_takes_no_processor_time(one):
    s = one({**APPS}, server={"workers": 1, "connections": 2})
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        a, b = connected(s, 2, stack)
        for c in (a, b):
            assert c.get("/pid").status == 200
            c.send("GET /pid HTTP/1.1\r\nHo")
        late = stack.enter_context(s.connect())
        late.request("/pid")
        ticks = cpu_ticks(pid)
        for _ in range(200):
            assert s.status()["connections"] == 2
        assert cpu_ticks(pid) - ticks < os.sysconf("SC_CLK_TCK") / 4
        b.sock.close()
        assert late.response().status == 200


@pytest.mark.skipif(SANITIZED, reason="sanitizers have a malloc of their own")
def test_no_memory_for_what_is_pipelined_ends_the_connection(start, hold):
    """The rest of it is not taken for requests."""
    head = ("POST /?now HTTP/1.1\r\nHost: t\r\n"
            "Content-Length: 100000\r\n\r\n")
    pipelined = head + "x" * (31337 - len(head))
    s = start({"server": {"workers": 1},
               "app:gate": hold.app(stream="yes")},
              env={"LD_PRELOAD": module("no_memory")["target"]}, ready=1)
    s.allow("streamed body: Cannot allocate memory")
    pid, = s.workers()
    with s.connect() as c:
        c.request("/?stream", method="POST", Transfer_Encoding="chunked")
        s.wait("inside 1")
        assert c.head().status == 200
        os.kill(pid, signal.SIGSTOP)
        c.send("0\r\n\r\n" + pipelined)
        await_acknowledged(c)  # so that it comes in one piece
        os.kill(pid, signal.SIGCONT)
        s.wait("streamed body: Cannot allocate memory")
        c.send("GET /?now HTTP/1.1\r\nHost: t\r\n\r\n")
        hold.let()
        assert b"".join(c.chunks()) == b"begunended"
        c.closed()


# ---- connections per client --------------------------------------------------

def capped(start, limit, **sections):
    return start({"server": {"workers": 2, "max_connections_per_ip": limit},
                  **APPS, **sections}).allow("max_connections_per_ip")


def serves(client):
    return client.get("/pid").status == 200


def in_both(server, n, stack):
    """n connections of 127.0.0.2, of which each of two workers has some."""
    while True:
        with contextlib.ExitStack() as these:
            clients = [these.enter_context(server.connect(source="127.0.0.2"))
                       for _ in range(n)]
            if len({c.get("/pid").body for c in clients}) == 2:
                stack.enter_context(these.pop_all())
                return clients
        until(lambda: server.status()["connections"] == 0)


def refused(client):
    r = client.response()
    assert r.status == 503 and r.closes
    client.closed()


def test_a_client_has_so_many_connections_in_all_workers_together(start):
    s = capped(start, 6)
    with contextlib.ExitStack() as stack:
        clients = in_both(s, 6, stack)
        for _ in range(5):
            with s.connect(source="127.0.0.2") as c:
                refused(c)
        for source in ("127.0.0.3", "127.0.0.1"):
            with s.connect(source=source) as c:
                assert serves(c), "others have their own"
        s.wait(r"refused a connection of 127\.0\.0\.2: max_connections_per_ip")
        assert s.status()["per_ip_refused"] == 5
        clients.pop().sock.close()
        while s.status()["connections"] > 5:
            pass
        with s.connect(source="127.0.0.2") as c:
            assert serves(c)


def test_a_client_may_have_any_number_if_nothing_is_set(start):
    s = start({"server": {"workers": 1}, "proxy": {"trust": ""}, **APPS},
              ready=1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(s.connect(source="127.0.0.2"))
                   for _ in range(200)]
        assert all([serves(c) for c in clients])
    assert s.status()["per_ip_refused"] == 0


def test_trusted_peers_and_unix_sockets_speak_for_many(start, tmp_path):
    s = capped(start, 1)
    with contextlib.ExitStack() as stack:
        assert all([serves(c) for c in connected(s, 5, stack)])
    s = start({"server": {"workers": 1, "max_connections_per_ip": 1,
                          "bind": f"unix:{tmp_path}/http"},
               "proxy": {"trust": ""}, **APPS}, ready=1)
    with contextlib.ExitStack() as stack:
        assert all([serves(c) for c in connected(s, 5, stack)])


def test_it_is_the_client_of_a_proxy_that_counts(start):
    s = capped(start, 2, proxy={"protocol": "on"})

    def connect(client):
        return stack.enter_context(s.connect()).send(
            f"PROXY TCP4 {client} 192.0.2.1 4000 80\r\n")
    with contextlib.ExitStack() as stack:
        first = connect("203.0.113.1")
        assert serves(first)
        assert serves(connect("203.0.113.1"))
        refused(connect("203.0.113.1"))
        assert serves(connect("203.0.113.2"))
        first.sock.close()
        while s.status()["connections"] > 2:
            pass
        assert serves(connect("203.0.113.1"))
        refused(connect("203.0.113.1"))


def test_connections_of_a_worker_that_crashed_do_not_count(start):
    s = capped(start, 3)
    s.allow("killed", "SIGKILL", "worker")
    with contextlib.ExitStack() as stack:
        for c in [stack.enter_context(s.connect(source="127.0.0.2"))
                  for _ in range(3)]:
            assert serves(c)
        mark = s.mark()
        for pid in s.workers():
            os.kill(pid, signal.SIGKILL)
        s.wait(READY, 2, after=mark)
        for c in [stack.enter_context(s.connect(source="127.0.0.2"))
                  for _ in range(3)]:
            assert serves(c)
        with s.connect(source="127.0.0.2") as c:
            refused(c)


def test_a_client_at_its_limit_costs_others_nothing(start):
    s = capped(start, 2)
    with contextlib.ExitStack() as stack:
        for c in [stack.enter_context(s.connect(source="127.0.0.2"))
                  for _ in range(2)]:
            assert serves(c)
        for _ in range(200):
            with s.connect(source="127.0.0.2") as c:
                refused(c)
        assert s.get("/pid").status == 200
        while s.status()["connections"] > 2:
            pass  # the worker has yet to see the end of that one
        assert s.status()["connections"] == 2
    assert len(s.matches("refused a connection")) <= 2 * 2, "rate-limited"


# ---- disk --------------------------------------------------------------------

def test_a_full_access_log_stops_nothing(one):
    s = one(log={"access": "/dev/full"})
    s.allow("access log")
    with s.connect() as c:
        for n in range(3000):
            assert c.get(f"/path?{n:0100}").status == 200
    assert s.get("/pid").status == 200
    assert len(s.matches("access log")) == 1, "said once, not for each line"


def test_lines_that_waited_for_the_disk_are_written_when_there_is_room(
        one, tmp_path):
    log = tmp_path / "access.log"
    s = one(log={"access": log})
    s.allow("access log")
    pid, = s.workers()
    with s.connect() as c:
        assert c.get("/path?before").status == 200
        assert c.get("/path?flush").status == 200
        back = limit(pid, resource.RLIMIT_FSIZE, log.stat().st_size)
        for n in range(20):
            assert c.get(f"/path?full{n}").status == 200
        s.wait("access log")
        back()
        assert c.get("/path?after").status == 200
    s.stop()
    asked = re.findall(r'"GET /path\?(\w+) ', log.read_text())
    assert asked == ["before", "flush", *(f"full{n}" for n in range(20)),
                     "after"]


# ---- memory ------------------------------------------------------------------

@pytest.mark.skipif(SANITIZED, reason="sanitizers map terabytes")
def test_without_memory_a_body_is_refused_and_the_next_is_served(one):
    s = one(http={"body_memory": "64M", "max_body": "100M"})
    s.allow(r"body|memory|thread")
    pid, = s.workers()
    with s.connect() as c:
        assert c.get("/sum", method="POST", body=b"x" * 1000).status == 200
        back = no_more_memory(pid, but=10_000_000)
        with s.connect() as big:
            big.request("/sum", method="POST", Content_Length=50_000_000)
            assert big.send(b"x" * 100_000).response().status == 500
        assert c.get("/sum", method="POST", body=b"x" * 1000).status == 200
        back()
        body = b"x" * 20_000_000
        assert c.get("/sum", method="POST", body=body).status == 200
    assert s.workers() == [pid]


@pytest.mark.skipif(SANITIZED, reason="sanitizers map terabytes")
def test_without_memory_for_connections_those_that_are_open_are_served(one):
    s = one(http={"max_head": "1M", "max_header": "1M"})
    s.allow(r"memory|connection|accept|thread|Cannot allocate")
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(s.connect())
        assert first.get("/pid").status == 200
        back = no_more_memory(pid, but=2_000_000)
        for c in connected(s, 30, stack):
            # Heads that need half a megabyte each, and never end.
            with contextlib.suppress(OSError):
                c.send("GET /pid HTTP/1.1\r\nHost: t\r\nX: " + "y" * 500_000)
        assert first.get("/pid").status == 200
        back()
    assert s.get("/pid").status == 200
    assert s.workers() == [pid]


@pytest.mark.skipif(SANITIZED, reason="sanitizers map terabytes")
def test_without_memory_for_threads_the_log_is_not_flooded(one):
    s = one()
    s.allow("cannot make a thread")
    no_more_memory(s.workers()[0])
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        clients = connected(s, 8, stack)
        for c in clients:
            c.request("/sleep?300")
        for c in clients:
            assert c.response().status == 200
    told = len(s.matches("cannot make a thread"))
    assert 1 <= told <= 1 + time.monotonic() - begun


@pytest.mark.skipif(SANITIZED, reason="sanitizers map terabytes")
def test_a_head_for_which_there_is_no_memory_is_not_too_long(one):
    s = one(http={"max_head": "1M", "max_header": "1M"})
    s.allow("no memory for a head")
    no_more_memory(s.workers()[0])
    with s.connect() as c:
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\nX: ")
        with sending(c, [b"y" * 100_000] * 9):
            assert c.response().status == 500
    assert s.get("/pid").status == 200
