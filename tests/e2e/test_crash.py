"""A worker dies."""
import os
import re
import signal
import time

import pytest

from prefork import PATIENCE, READY, SANITIZED, Load, processes


@pytest.mark.parametrize("signo", [signal.SIGSEGV, signal.SIGKILL])
def test_a_worker_dies_under_load_and_the_others_answer(start, signo):
    s = start({"server": {"workers": 3}}, ready=3)
    s.allow(r"SIG(SEGV|KILL)|signal \d+|killed|crash|died")
    with Load(s, connections=12) as load:
        load.more()
        victim = s.workers()[0]
        mark, killed_at = s.mark(), time.monotonic()
        os.kill(victim, signo)
        successor = int(s.wait(READY, after=mark)[1])
        took = time.monotonic() - killed_at
        load.more()
        load.stop()
    assert took < (10 if SANITIZED else 1), "READY within a second"
    assert successor in s.workers()
    assert victim not in processes(), "a zombie"
    # Only a request that the dead worker had in hand is lost.
    for _, served_by, why in load.failures:
        assert served_by in (str(victim).encode(), None), why
    assert len(load.failures) <= 12
    assert str(successor).encode() in load.answers or s.get("/pid")


def test_the_log_says_how_the_worker_died(server):
    server.allow(r"SIGSEGV|signal 11|[Ss]egmentation")
    victim = server.workers()[0]
    os.kill(victim, signal.SIGSEGV)
    line = server.wait(r"(SIGSEGV|signal 11|[Ss]egmentation)").string
    assert str(victim) in line
    server.wait(READY, 3)


def test_a_crash_loop_backs_off(server):
    server.allow(r"SIG|signal|[Ss]egmentation")
    readies = []
    victim = server.workers()[0]
    for _ in range(5):
        mark = server.mark()
        os.kill(victim, signal.SIGSEGV)
        started = time.monotonic()
        victim = int(server.wait(READY, after=mark)[1])
        readies.append(time.monotonic() - started)
        assert server.get("/pid").status == 200
    assert readies[4] > readies[0] + 0.05, readies
    assert sum(readies) < PATIENCE


def test_an_app_that_crashes_takes_only_its_own_request(start):
    s = start({})
    s.allow(r"SIG|signal|[Ss]egmentation")
    mark = s.mark()
    with s.connect() as c:
        c.request("/segv")
        c.closed()
    s.wait(READY, after=mark)
    assert s.get("/pid").status == 200
    assert any(re.search(r"SIGSEGV|signal 11|[Ss]egmentation", line)
               for line in s.log)
