"""The signals an operator sends to the master."""
import signal

import pytest

from prefork import PROBE, READY, Load, wait_gone


def test_ttin_adds_a_worker_and_ttou_takes_it_away(server):
    two = set(server.workers())
    server.signal(signal.SIGTTIN)
    third = int(server.wait(READY, 3)[1])
    assert set(server.workers()) == two | {third}
    server.signal(signal.SIGTTOU)
    wait_gone(retiring(server, two | {third}))
    assert len(server.workers()) == 2
    assert server.get("/pid").status == 200


def retiring(server, three):
    """The worker that retires, as the log names it."""
    m = server.wait(r"worker \d+ \((\d+)\).*(retir|exit)")
    assert int(m[1]) in three
    return int(m[1])


def test_usr1_reopens_the_logs_after_a_rename(start, tmp_path):
    s = start({"log": {"access": tmp_path / "access.log"}})
    s.get("/pid?one")
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    s.signal(signal.SIGUSR1)
    s.wait("received SIGUSR1")
    for n in range(10000):  # until both workers have heard of it
        s.get(f"/pid?{n}")
        new = tmp_path / "access.log"
        if new.exists() and f"/pid?{n} " in new.read_text():
            break
    else:
        raise AssertionError("still the old file")
    s.stop()
    assert "/pid?one " in (tmp_path / "access.log.1").read_text()
    assert "/pid?one " not in new.read_text()


@pytest.fixture
def gated(start, gate):
    return start({"app:probe": {"type": "module", "target": PROBE,
                                **gate.option}})


def test_term_finishes_what_is_in_flight(start, gate):
    s = start({"server": {"workers": 1},
               "app:probe": {"type": "module", "target": PROBE,
                             **gate.option}}, ready=1)
    with s.connect() as busy, s.connect() as idle:
        idle.get("/pid")
        busy.request("/gate")
        gate.entered()
        s.signal(signal.SIGTERM)
        s.wait("received SIGTERM")
        while not idle.get("/pid").closes:
            pass  # the worker has not heard of it yet
        idle.closed()
        assert s.process.poll() is None
        gate.open()
        r = busy.response()
        assert r.body == b"through" and r.closes
    s.wait_exit(0)


def test_a_second_term_ends_it_now(gated, gate):
    gated.allow("kill")
    with gated.connect() as c:
        c.request("/gate")
        gate.entered()
        mark = gated.mark()
        gated.signal(signal.SIGTERM)
        gated.wait("received SIGTERM", after=mark)
        gated.stop(signal.SIGTERM)


def test_term_kills_after_graceful_timeout(start, gate):
    s = start({"server": {"graceful_timeout": "300ms"},
               "app:probe": {"type": "module", "target": PROBE,
                             **gate.option}})
    s.allow("kill")
    with s.connect() as c:
        c.request("/gate")
        gate.entered()
        s.stop(signal.SIGTERM)


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_end_it(server, signo):
    with server.connect() as c:
        c.get("/pid")
        server.stop(signo)


def test_term_under_load_loses_no_request(server):
    with Load(server) as load:
        load.more()
        server.signal(signal.SIGTERM)
        load.stopping.set()
        load.stop()
    server.wait_exit(0)
    assert [f for f in load.failures if "Refused" not in f[2]] == []


def test_winch_retires_the_workers_and_hup_brings_them_back(server):
    old = server.workers()
    server.signal(signal.SIGWINCH)
    for pid in old:
        wait_gone(pid)
    assert server.workers() == []
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait(READY, 2, after=mark)
    assert server.get("/pid").status == 200


def test_signals_in_a_burst_are_all_survived(server):
    for signo in (signal.SIGTTIN, signal.SIGHUP, signal.SIGUSR1,
                  signal.SIGHUP, signal.SIGTTOU, signal.SIGCHLD):
        server.signal(signo)
    server.wait(READY, 4)
    assert server.get("/pid").status == 200
