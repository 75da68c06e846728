"""A worker lets siblings with fewer connections go first, but not those that
take none: status counts how often."""
import contextlib
import os
import resource
import signal

import pytest

from prefork import PROBE, SANITIZED, stat_of
from testmods import connected, limit

N = 200 if SANITIZED else 1000

APPS = {"app:probe": {"type": "module", "target": PROBE, "mount": "/probe"}}


def freeze(pid):
    os.kill(pid, signal.SIGSTOP)
    while stat_of(pid)[0] != "T":
        os.sched_yield()


def thaw(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def pair(start, hold):
    """Two workers: the second one is frozen."""
    frozen = []

    def begin(**server):
        s = start({"server": server, **APPS, "app:gate": hold.app("/gate")})
        s.free, s.other = s.workers()
        freeze(s.other)
        frozen.append(s.other)
        return s
    yield begin
    for pid in frozen:
        thaw(pid)


def loaded(s, stack, n=20):
    """n connections that stay, for the most part in the first worker."""
    clients = connected(s, n, stack)
    for c in clients:
        assert c.get("/probe/pid").status == 200
    return clients


def yields_in(s, n, turns=()):
    """How often was yielded while n connections came and went?  The loops of
    these clients turn meanwhile."""
    before = s.status()["yielded"]
    for _ in range(n):
        for c in turns:
            assert c.get("/none").status == 404
        assert s.get("/probe/pid").body == str(s.free).encode()
    return s.status()["yielded"] - before


def test_nobody_waits_long_for_a_frozen_sibling(pair):
    s = pair()
    with contextlib.ExitStack() as stack:
        loaded(s, stack)
        assert yields_in(s, N) < N / 2


def test_a_sibling_that_moves_again_has_its_share(pair):
    s = pair()
    with contextlib.ExitStack() as stack:
        loaded(s, stack)
        yields_in(s, N)
        thaw(s.other)
        other = str(s.other).encode()
        while s.get("/probe/pid").body != other:
            pass
        seen = []  # by whom its next connections are served
        while seen.count(other) < 10:
            c = stack.enter_context(s.connect())
            seen.append(c.get("/probe/pid").body)
        assert len(seen) <= 40


def test_nobody_waits_for_a_sibling_whose_queue_is_full(pair, hold):
    s = pair(threads=1, queue=1)
    thaw(s.other)
    freeze(s.free)
    with contextlib.ExitStack() as stack:
        *blocked, last = loaded(s, stack, 3)
        for c in blocked:
            c.request("/gate")
            s.wait("inside 1")
        assert last.get("/none").status == 404, "the second one was read, too"
        thaw(s.free)
        loaded(s, stack)
        assert yields_in(s, N, [last]) < N / 2
        hold.let(2)
        assert {c.response().body for c in blocked} == {b"through"}


def test_nobody_waits_for_a_sibling_without_descriptors(pair):
    s = pair()
    s.allow("cannot accept")
    fds = [int(fd) for fd in os.listdir(f"/proc/{s.other}/fd")]
    back = limit(s.other, resource.RLIMIT_NOFILE, max(fds) + 1)
    thaw(s.other)
    freeze(s.free)
    with contextlib.ExitStack() as stack:
        clients = connected(s, max(fds) + 20, stack)
        s.wait("cannot accept")
        thaw(s.free)
        others = [c for c in clients
                  if c.get("/probe/pid").body == str(s.other).encode()]
        assert yields_in(s, N, others[:1]) < N / 2
        back()
