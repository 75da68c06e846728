"""What an operator may do, and what may go wrong, while clients are served.

Each test has the traffic of load.py running; soak.py does the same for longer.
"""
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import testmods
from load import BIG, Traffic
from prefork import (BINARY, BRIEF, BRIEF_S, PATIENCE, PROBE, READY, SANITIZED,
                     Client, wait_gone)

ASKS = r"worker \d+ \((\d+)\) asks to be replaced"
SECOND = 10 if SANITIZED else 1
LARGE = 600 if SANITIZED else 60  # MiB that a worker alone does not have


def probe(**more):
    return {"type": "module", "target": PROBE, **more}


def reload(s, workers=2):
    """HUP, until the new generation serves and the old one is gone."""
    old, mark = s.workers(), s.mark()
    s.signal(signal.SIGHUP)
    s.wait(r"reload: generation \d+ serves", after=mark)
    for pid in old:
        wait_gone(pid)
    assert len(s.workers()) == workers


# ---- what an operator does ---------------------------------------------------

def test_reloads_fail_no_request(server):
    with Traffic(server) as t:
        for _ in range(5):
            reload(server)
            t.more(100)
    assert t.stop().failures == []
    server.fds_settle()


def test_reloads_under_connections_that_never_pause(server):
    with Traffic(server, single=0, pause=0) as t:
        for _ in range(3):
            t.more(1000)
            reload(server)
        t.more(1000)
    assert t.stop().failures == []


def syntax(_, taken):
    return "[server]\nworkers = 3\nbogus\n"


def app(section, **server):
    def configure(s, taken):
        s.configure({"server": {"workers": 3, **server}, "app:x": section})
        return None
    return configure


def address_in_use(s, taken):
    port = taken.getsockname()[1]
    s.configure({"server": {"workers": 3,
                            "bind": f"127.0.0.1:0, 127.0.0.1:{port}"}})


BAD = {
    "syntax error": (syntax, r"server\.ini:3: "),
    "fails to load": (app(probe(**{"option.refuse": "no moon"})),
                      "reload failed: .*no moon"),
    "crashes at load": (
        app(testmods.module("crash", **{"option.at": "load"})),
        "reload failed: .*SIGSEGV"),
    "hangs at load": (
        app(testmods.module("crash", **{"option.at": "load",
                                        "option.how": "hang"}),
            boot_timeout=BRIEF),
        "reload failed: .*boot_timeout"),
    "address in use": (address_in_use, "reload failed: .*in use"),
    "bad warmup": (app(probe(warmup="/fail")),
                   "reload failed: .*warmup /fail was answered 503"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_reload_changes_nothing(server, kind):
    configure, complaint = BAD[kind]
    server.allow("server.ini:3: ", "reload failed", r"worker \d+ .*")
    old = server.workers()
    with Traffic(server) as t, socket.create_server(("127.0.0.1", 0)) as sock:
        for _ in range(2):
            text, mark = configure(server, sock), server.mark()
            if text:
                server.file.write_text(text)
            server.signal(signal.SIGHUP)
            server.wait(complaint, after=mark)
            server.wait("reload failed", after=mark)
            t.more(100)
        # the trial's worker, if there was one, is gone again
        for pid in set(server.workers()) - set(old):
            wait_gone(pid)
    assert t.stop().failures == []
    assert server.workers() == old
    server.fds_settle()


def test_workers_come_and_go(server):
    with Traffic(server) as t:
        for n in range(5):
            mark = server.mark()
            server.signal(signal.SIGTTIN)
            server.wait(READY, after=mark)
            t.more(50)
            server.signal(signal.SIGTTOU)
            server.wait(r"worker \d+ \(\d+\) exited", after=mark)
    assert t.stop().failures == []
    assert len(server.workers()) == 2


def test_a_listener_is_added_and_taken_away(server):
    with Traffic(server) as t:
        mark = server.mark()
        server.configure({"server": {"bind": "127.0.0.1:0, [::1]:0"}})
        reload(server)
        m = server.wait(r"listening on http://\[::1\]:(\d+)/", after=mark)
        with Traffic(server, keep=8, single=0,
                     address=("::1", int(m[1]))) as other:
            other.more(30)
        assert other.stop().failures == []
        with Client(("::1", int(m[1]))) as kept:
            kept.get("/say?one")
            server.configure({})
            server.signal(signal.SIGHUP)
            server.wait(r"generation 3 serves", after=mark)
            while not (r := kept.get("/say?more")).closes:
                assert r.status == 200
            kept.closed()
        t.more(100)
    assert t.stop().failures == []
    with pytest.raises(ConnectionRefusedError):
        Client(("::1", int(m[1])))


# ---- planned ends: the successor serves first --------------------------------

def recycles(s, t, reason, n):
    """n of them, each after its successor; the traffic notices nothing."""
    s.wait(ASKS + ".*" + reason, n)
    asked = [int(m[1]) for m in s.matches(ASKS)][:n]
    for pid in asked:
        s.wait(rf"worker \d+ \({pid}\) exited")
    t.more(50)
    assert t.stop().failures == []
    at = {pid: [i for i, line in enumerate(s.log) if f"({pid})" in line]
          for pid in asked}
    for pid in asked:
        first, last = at[pid][1], at[pid][-1]  # after its own READY
        assert any(re.search(READY, line) for line in s.log[first:last]), pid


def test_max_requests(start):
    s = start({"server": {"max_requests": 150, "max_requests_jitter": "20%"}})
    with Traffic(s) as t:
        recycles(s, t, "max_requests", 6)


def test_max_lifetime(start):
    s = start({"server": {"max_lifetime": "1s", "max_requests_jitter": "50"}})
    with Traffic(s) as t:
        recycles(s, t, "max_lifetime", 4)


def test_max_memory(start):
    s = start({"server": {"max_memory": f"{LARGE}M"}})
    with Traffic(s) as t:
        grown = int(s.get(f"/grow?{LARGE}").body.split()[0])
        recycles(s, t, "MiB: max_memory", 1)
        wait_gone(grown)
    assert grown not in s.workers()
    assert len(s.workers()) == 2


def test_max_memory_hard_does_not_wait(start):
    s = start({"server": {"max_memory_hard": f"{LARGE}M"}})
    with Traffic(s) as t:
        grown = int(s.get(f"/grow?{LARGE}").body.split()[0])
        s.wait(rf"\({grown}\) asks to be replaced at once: .*max_memory_hard")
        s.wait(READY, 3)
        wait_gone(grown)
        t.more(50)
    assert t.stop().failures == []
    assert len(s.workers()) == 2


@pytest.mark.parametrize("end", ["reload", "stop"])
def test_a_worker_stays_until_its_answers_are_taken(start, end):
    """Then no answer depends on what the kernel does for a process that is
    gone, or on the network of a container that ends with its last process."""
    s = start({"server": {"workers": 1}}, ready=1)
    old, = s.workers()
    with s.connect(room=16384) as c, s.connect() as asks:
        c.request(f"/many?{BIG}", Connection="close")
        testmods.await_fin(c)
        s.signal(signal.SIGHUP if end == "reload" else signal.SIGTERM)
        while not asks.get("/pid").closes:  # until the worker retires
            pass
        asks.closed()
        assert testmods.has_owner(c)
        assert len(c.response().body) == BIG
        c.closed()
    wait_gone(old)
    if end == "stop":
        s.wait_exit(0)


# ---- what goes wrong ---------------------------------------------------------

def assert_only_lost_by(t, victims):
    """Requests in flight on the victims, and nobody was refused."""
    victims = {str(v) for v in victims}
    wrong = [f for f in t.stop().failures
             if f.kind not in ("reset", "truncated", "cut")
             or f.worker not in victims | {None}]
    assert not wrong, wrong
    # a connection in flight is lost once
    assert len(t.failures) <= (t.keep + t.single) * len(victims)


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGSEGV])
def test_workers_die(start, signo):
    s = start({"server": {"workers": 4}}, ready=4)
    s.allow("was killed by SIG(KILL|SEGV)")
    victims = s.workers()
    with Traffic(s) as t:
        for victim in victims:
            mark, at = s.mark(), time.monotonic()
            os.kill(victim, signo)
            s.wait(rf"\({victim}\) was killed by {signo.name}", after=mark)
            s.wait(READY, after=mark)
            assert time.monotonic() - at < 0.1 + SECOND
            t.more(50)
    assert_only_lost_by(t, victims)
    assert len(s.workers()) == 4


def test_a_stopped_worker_is_replaced_then_killed(start):
    s = start({"server": {"workers": 3, "stall_timeout": "2s"}}, ready=3)
    s.allow("stands still")
    victim = s.workers()[0]
    with Traffic(s) as t:
        t.more(100)
        mark, at = s.mark(), time.monotonic()
        os.kill(victim, signal.SIGSTOP)
        s.wait(rf"\({victim}\) stands still for", after=mark)
        assert time.monotonic() - at < 2 + SECOND
        wait_gone(victim)
        t.more(100)
    assert_only_lost_by(t, [victim])
    text = "\n".join(s.log[mark:])
    assert re.search(rf"(?s)\({victim}\) stands still for.*ready.*"
                     rf"\({victim}\) stands still: killed", text), text
    assert len(s.workers()) == 3


def test_a_stopped_worker_that_goes_on_is_not_killed(start):
    s = start({"server": {"stall_timeout": "1s"},
               "app:x": probe(**{"warmup": "/sleep?1500"})})
    s.allow("stands still", "moves again")
    victim = s.workers()[0]
    with s.connect() as c:
        while int(c.get("/pid").body) != victim:
            c.sock.close()
            c.__init__(s.address)
        os.kill(victim, signal.SIGSTOP)
        s.wait(rf"\({victim}\) stands still for")
        c.request("/say?again")
        os.kill(victim, signal.SIGCONT)
        assert c.response().body == f"{victim} again".encode()
    s.wait(rf"\({victim}\) moves again")
    s.wait(rf"\({victim}\) exited")


def test_an_idle_server_pokes_and_nobody_is_stalled(start):
    s = start({"server": {"stall_timeout": BRIEF,
                          "max_lifetime": f"{5 * BRIEF_S}s",
                          "max_requests_jitter": 0}})
    s.wait(ASKS, 2)  # five times the timeout, and not a request
    assert not s.matches("stands still")


@pytest.fixture
def public():
    """A place that any user can use: the tree may be root's own."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o777)
        yield pathlib.Path(path)


def test_no_process_to_be_had(public, start):
    """Root has as many as it wants: somebody else starts this one."""
    uid = 64321 if os.geteuid() == 0 else None
    s = start({"server": {"workers": 3}, "app:x": {
        "type": "module", "target": shutil.copy(PROBE, public)}},
        tmp=public, program=(shutil.copy(BINARY, public),), uid=uid, ready=3)
    starve(s, "nproc", 1, uid)


def set_limit(pid, name, soft, uid=None):
    """The soft limit of a process of that user."""
    subprocess.run(["prlimit", "--pid", str(pid), f"--{name}={soft}:"],
                   user=uid, check=True)


def starve(s, name, n, uid=None):
    """A worker dies while the master cannot have another, and then can."""
    s.allow("cannot start worker", "was killed by SIGKILL")
    was, _ = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
    victim = s.workers()[0]
    with Traffic(s) as t:
        set_limit(s.pid, name, n, uid)
        mark = s.mark()
        os.kill(victim, signal.SIGKILL)
        s.wait("cannot start worker", 2, after=mark)
        t.more(100)
        assert len(s.workers()) == 2
        set_limit(s.pid, name, was, uid)
        s.wait(READY, after=mark)
        t.more(50)
    assert_only_lost_by(t, [victim])
    assert len(s.workers()) == 3


def test_the_master_has_no_file_descriptor_left(start):
    s = start({"server": {"workers": 3}}, ready=3)
    fds = [int(f) for f in os.listdir(f"/proc/{s.pid}/fd")]
    starve(s, "nofile", max(fds) - 1)


def test_a_worker_has_no_file_descriptor_left(server):
    server.allow("cannot accept")
    victim = server.workers()[0]
    was = resource.prlimit(victim, resource.RLIMIT_NOFILE)
    with Traffic(server, keep=16) as t:
        t.more(50)
        resource.prlimit(victim, resource.RLIMIT_NOFILE, (3, was[1]))
        with Traffic(server, keep=32, single=16):
            server.wait("cannot accept")
            t.more(100)
        resource.prlimit(victim, resource.RLIMIT_NOFILE, was)
        before = t.by_worker[str(victim)]
        while t.by_worker[str(victim)] == before:
            t.more(20)
    assert t.stop().failures == []


@pytest.mark.skipif(SANITIZED, reason="sanitizers map terabytes")
def test_the_master_has_no_memory_left(start):
    s = start({"server": {"workers": 3}}, ready=3)
    s.allow("was killed by SIGKILL", r"worker \d+ .* exited with status",
            "cannot start", "reload failed", "upgrade(:| failed)",
            "out of memory")
    victim, *others = s.workers()
    with Traffic(s) as t:
        back = testmods.no_more_memory(s.pid)
        mark = s.mark()
        os.kill(victim, signal.SIGKILL)
        s.wait("exited with status . *: |cannot start", 2, after=mark)
        s.signal(signal.SIGHUP).wait("reload failed", after=mark)
        s.signal(signal.SIGUSR2).wait("upgrade failed", after=mark)
        t.more(100)
        assert set(others) <= set(s.workers())
        back()
        s.wait(READY, after=mark)
        t.more(50)
    assert_only_lost_by(t, [victim])
    reload(s, 3)


@contextlib.contextmanager
def greedy(server, n):
    """Clients that begin a request and have it kept for them."""
    with contextlib.ExitStack() as stack:
        for c in testmods.connected(server, n, stack):
            with contextlib.suppress(OSError):
                c.send("GET /say?x HTT")
        yield


@pytest.mark.skipif(SANITIZED, reason="sanitizers map terabytes")
def test_a_worker_has_no_memory_left(start):
    s = start({"server": {"workers": 3}}, ready=3)
    s.allow("Cannot allocate memory", "done without a response",
            "cannot make a thread")
    victim, *others = s.workers()
    with Traffic(s) as t:
        t.more(100)
        back = testmods.no_more_memory(victim)
        with greedy(s, 300):
            s.wait("no memory for|cannot accept.*memory")
            t.more(300)
        back()
        failures = len(t.failures)
        before = t.by_worker[str(victim)]
        while t.by_worker[str(victim)] < before + 50:
            t.more(20)
    assert victim in s.workers() and len(s.workers()) == 3
    t.stop()
    assert len(t.failures) == failures, "it has memory again"
    assert not [f for f in t.failures if f.worker in map(str, others)]


# ---- the end -----------------------------------------------------------------

def test_term_with_64_requests_in_flight(start, hold):
    s = start({"server": {"threads": 64}, "app:x": hold.app()})
    clients = [s.connect().request() for _ in range(64)]
    s.wait("inside", 64)
    s.signal(signal.SIGTERM)
    refused_soon(s.address)  # all workers have heard of it
    hold.let(64)
    for c in clients:
        r = c.response()
        assert (r.status, r.closes, r.body) == (200, True, b"through")
        c.closed()
    s.wait_exit(0)


def queued(s, held):
    """Clients that nobody accepts while `held` have all the room there is."""
    clients = [s.connect() for _ in range(held)]
    seen = {c.get("/pid").body for c in clients}
    assert len(seen) == held, "one each"
    return clients, [s.connect().request("/say?x") for _ in range(5)]


def answered(clients):
    for c in clients:
        r = c.response()
        assert (r.status, r.closes) == (200, True)
        c.closed()


def test_term_empties_the_queue_of_the_kernel(start):
    s = start({"server": {"workers": 1, "connections": 1}}, ready=1)
    (held,), waiting = queued(s, 1)
    s.signal(signal.SIGTERM)
    answered(waiting)
    assert held.get("/say?x").closes
    s.wait_exit(0)


def test_a_retiring_worker_empties_the_queue_too(start):
    s = start({"server": {"connections": 1}})
    held, waiting = queued(s, 2)
    s.signal(signal.SIGTTOU)
    answered(waiting)
    assert sorted(c.get("/say?x").closes for c in held) == [False, True]


def test_everything_is_served_during_shutdown_delay(start):
    delay_s = 2 * BRIEF_S
    s = start({"server": {"shutdown_delay": f"{delay_s}s"}})
    with Traffic(s, single=0) as t:
        s.signal(signal.SIGTERM)
        s.wait("received SIGTERM")
        at = time.monotonic()
        with s.connect() as late:  # a connection after TERM, kept alive
            assert not late.get("/say?x").closes
        t.more(100)
        victim = s.workers()[0]
        s.allow("was killed by SIGKILL", r"reload given up")
        os.kill(victim, signal.SIGKILL)  # it is even replaced
        s.wait(READY, 3)
        s.signal(signal.SIGHUP)
        s.wait("reload given up: workers are to stop")
        while time.monotonic() < at + 0.75 * delay_s:
            t.more(10)
        t.stop()
    assert_only_lost_by(t, [victim])
    s.wait_exit(0)
    assert time.monotonic() - at > 0.95 * delay_s


def test_a_second_term_does_not_wait_for_the_delay(start):
    s = start({"server": {"shutdown_delay": "60s"}})
    s.signal(signal.SIGTERM)
    s.wait("received SIGTERM")
    s.signal(signal.SIGTERM)
    s.wait_exit(0)


def test_a_draining_server_queues_nobody(start, gate):
    s = start({"server": {"workers": 1}, "app:x": probe(**gate.option)},
              ready=1)
    with s.connect() as c:
        c.request("/gate")
        gate.entered()
        with s.connect() as early:  # in the queue, or accepted: it is served
            s.signal(signal.SIGTERM)
            assert early.get("/say?x").status == 200
        s.wait("received SIGTERM")
        refused_soon(s.address)
        gate.open()
        assert c.response().closes
    s.wait_exit(0)


def refused_soon(address):
    """Until no worker accepts."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            continue  # it was closing just then
    raise AssertionError("a server that stops takes connections")


# ---- warmup ------------------------------------------------------------------

def test_a_worker_is_warm_before_it_serves(start, gate):
    s = start({"app:x": probe(warmup="/gate", **gate.option),
               "server": {"workers": 1}}, ready=0)
    gate.entered()
    assert not s.matches(READY)
    gate.open()
    s.ready(1)
    assert s.get("/pid").status == 200


@pytest.mark.parametrize("path, why", [
    ("/fail", "warmup /fail was answered 503"),
    ("/no", "warmup /no was answered 404"),
    ("/segv", "killed by SIGSEGV")])
def test_a_first_start_with_a_bad_warmup_ends_with_3(start, path, why):
    s = start({"app:x": probe(warmup=path)}, ready=0)
    s.allow("cannot start", "warmup", "SIGSEGV")
    s.wait_exit(3)
    assert s.matches("cannot start: .*" + why), s.log


def test_each_application_with_its_host_is_asked(start, tmp_path):
    access = tmp_path / "access.log"
    s = start({"log": {"access": access},
               "app:a": probe(warmup="/say?a", host="a.example"),
               "app:b": probe(warmup="/b/say?b", mount="/b"),
               "app:c": probe(mount="/c")})
    s.stop()
    lines = access.read_text()
    assert lines.count("/say?a ") == lines.count("/b/say?b ") == 2
