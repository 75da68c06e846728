"""Handlers that block, and what everybody else gets meanwhile."""
import contextlib
import os
import re
import signal

import pytest

from prefork import PROBE, Load, needs_whole_stacks


@pytest.fixture
def one(start, gate):
    """One worker with the probe; more settings by keyword."""
    def begin(**server):
        return start({
            "server": {"workers": 1, **server},
            "app:probe": {"type": "module", "target": PROBE, **gate.option},
        }, ready=1)
    return begin


def test_a_blocked_handler_holds_up_nobody(one, gate):
    s = one()
    with s.connect() as slow, s.connect() as quick:
        slow.request("/gate")
        gate.entered()
        for _ in range(100):
            assert quick.get("/pid").status == 200
        gate.open()
        assert slow.response().body == b"through"


def test_many_handlers_may_wait_at_once(start, gates):
    s = start({"server": {"workers": 1}, "app:probe": {
        "type": "module", "target": PROBE, **gates[0].option}}, ready=1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(s.connect()) for _ in gates]
        for client, gate in zip(clients, gates):
            client.request(gate.target)
        for gate in gates:
            gate.entered()
        assert s.get("/pid").status == 200
        for client, gate in reversed(list(zip(clients, gates))):
            gate.open()
            assert client.response().body == b"through"


def test_one_thread_serves_one_after_the_other(one, gate):
    s = one(threads=1)
    with s.connect() as first, s.connect() as second:
        first.request("/gate")
        gate.entered()
        second.request("/pid")
        gate.open()
        assert first.response().body == b"through"
        assert second.response().status == 200


def test_a_request_that_waits_too_long_for_a_thread_is_503(one, gate):
    s = one(threads=1, queue_timeout="200ms")
    with s.connect() as first, s.connect() as second:
        first.request("/gate")
        gate.entered()
        r = second.get("/pid")
        assert r.status == 503 and int(r["Retry-After"]) > 0
        gate.open()
        assert first.response().body == b"through"


def test_a_client_that_leaves_a_blocked_handler_harms_nobody(one, gate):
    s = one()
    with s.connect() as c:
        c.request("/gate")
        gate.entered()
    gate.open()
    assert s.get("/pid").status == 200


def test_a_full_queue_leaves_the_rest_to_the_kernel(one, gate):
    s = one(threads=1, queue=2)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(s.connect()).request("/gate")
        gate.entered()
        waiting = [stack.enter_context(s.connect()).request("/pid")
                   for _ in range(8)]
        gate.open()
        assert first.response().body == b"through"
        # All are answered; a worker that stopped accepting starts again.
        for c in waiting:
            assert c.response().status == 200


AT_WORK = re.compile(r"thread 0x[0-9a-f]{16}: app probe, GET /(say\?x|sleep\?1), "
                     r"for \d+\.\d{3} s, id [0-9a-f-]+( \(this thread\))?")


@needs_whole_stacks
def test_a_report_while_handlers_end_names_whole_requests(one):
    """The signal may be anybody's, also of a thread that runs no handler: what
    it looks at must not be freed meanwhile."""
    s = one()
    s.allow("stands still")
    worker, = s.workers()
    with Load(s, "/say?x", 4) as quick, Load(s, "/sleep?1", 4) as slow:
        quick.more(100)
        for n in range(1, 101):
            os.kill(worker, signal.SIGUSR2)
            s.wait("stands still", n)
        slow.more(100)
    assert quick.stop().failures == slow.stop().failures == []
    told = s.matches("^thread 0x.*")
    assert told
    for line in told:
        assert AT_WORK.fullmatch(line[0]), line[0]
