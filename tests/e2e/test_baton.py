"""The baton: who runs handlers, how many at once, and until when.

mod_gate's handlers wait until the test lets them through, so that a test holds
threads for as long as it wants."""
import contextlib
import os
import signal

import pytest

from prefork import BRIEF, BRIEF_S, READY, until, wait_gone
from testmods import await_read, connected, handlers, module, outside_sandbox

FAST = module("fast", "/fast")


@pytest.fixture
def gated(start, hold):
    """One worker; /gate is held, /fast is not."""
    def begin(http=None, app=None, workers=1, **server):
        return start({
            "server": {"workers": workers, **server},
            "http": http or {},
            "app:gate": hold.app("/gate", **(app or {})),
            "app:fast": FAST,
        }, ready=workers)
    return begin


def inside(server, n):
    """Until n handlers are in the gate."""
    server.wait(rf"inside {n}\b")


def test_fast_handlers_need_no_threads_of_their_own(gated):
    s = gated()
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        clients = connected(s, 40, stack)
        for _ in range(20):
            for c in clients:
                c.request("/fast")
            for c in clients:
                assert c.response().body == b"fast"
    # On a busy machine one may lose the baton because it lost the processor.
    assert handlers(pid) <= 4


def test_one_thread_answers_nearly_all_fast_requests(gated):
    s = gated()
    with s.connect() as c:
        numbers = [c.get("/fast?thread").body for _ in range(300)]
    assert max(numbers.count(n) for n in set(numbers)) > 100


def test_blocked_handlers_delay_nobody(gated, hold):
    s = gated()
    with contextlib.ExitStack() as stack:
        blocked = [c.request("/gate") for c in connected(s, 8, stack)]
        inside(s, 8)
        with s.connect() as c:
            for _ in range(200):
                assert c.get("/fast").body == b"fast"
        hold.let(8)
        assert {c.response().body for c in blocked} == {b"through"}


def test_an_answer_does_not_wait_for_a_handler_that_blocks_behind_it(gated,
                                                                     hold):
    s = gated()
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        fast, blocked, last = connected(s, 3, stack)
        os.kill(pid, signal.SIGSTOP)
        fast.request("/fast")
        blocked.request("/gate")
        last.request("/fast")
        os.kill(pid, signal.SIGCONT)
        assert fast.response().body == b"fast"
        assert last.response().body == b"fast"
        hold.let()
        assert blocked.response().body == b"through"


def test_the_pool_grows_to_threads_and_not_beyond(gated, hold):
    s = gated(threads="1-4")
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        clients = [c.request("/gate") for c in connected(s, 10, stack)]
        inside(s, 4)
        # Each that leaves lets exactly one in.
        for left in range(9, 3, -1):
            mark = s.mark()
            hold.let()
            s.wait("out 3", after=mark)
            s.wait("inside 4", after=mark)
            assert handlers(pid) <= 4, "4 and the one that waits, minus main"
        hold.let(4)
        assert {c.response().body for c in clients} == {b"through"}
        assert s.get("/gate?now").body.split()[1] == b"4"


def test_a_fixed_number_of_threads_is_there_at_once(gated, hold):
    s = gated(threads=3)
    with contextlib.ExitStack() as stack:
        clients = [c.request("/gate") for c in connected(s, 5, stack)]
        inside(s, 3)
        hold.let(5)
        assert {c.response().body for c in clients} == {b"through"}
        assert s.get("/gate?now").body.split()[1] == b"3"


def test_with_one_thread_handlers_never_overlap(gated, hold):
    s = gated(threads=1)
    with contextlib.ExitStack() as stack:
        clients = [c.request("/gate") for c in connected(s, 6, stack)]
        hold.let(6)
        assert {c.response().body for c in clients} == {b"through"}
        assert s.get("/gate?now").body.split()[1] == b"1"


def test_with_its_one_thread_busy_the_loop_still_reads_and_answers(gated,
                                                                   hold):
    s = gated(threads=1, queue_timeout=BRIEF)
    with contextlib.ExitStack() as stack:
        first, second, bad, lost = connected(s, 4, stack)
        first.request("/gate")
        inside(s, 1)
        bad.send("nonsense\r\n\r\n")
        assert bad.response().status == 400
        assert lost.get("/elsewhere").status == 404
        second.request("/fast", method="POST", body=b"x" * 100000)
        r = second.response()
        assert r.status == 503 and int(r["Retry-After"]) == BRIEF_S + 1
        assert not r.closes
        hold.let()
        assert first.response().body == b"through"
        assert second.get("/fast").body == b"fast"


def test_a_late_request_whose_client_left_is_not_run(gated, hold):
    s = gated(threads=1, queue_timeout=BRIEF)
    with contextlib.ExitStack() as stack:
        first, stays = connected(s, 2, stack)
        first.request("/gate")
        inside(s, 1)
        with s.connect() as leaves:
            leaves.request("/gate")
        await_read(s)
        # Behind it in the queue: when this one is late, that one was.
        assert stays.request("/fast").response().status == 503
        hold.let()
        assert first.response().body == b"through"
        assert s.get("/fast").status == 200
    assert len(s.matches("inside")) == 1


def test_a_full_queue_stops_accepting(gated, hold):
    s = gated(threads=1, queue=2)
    with contextlib.ExitStack() as stack:
        clients = [c.request("/gate") for c in connected(s, 9, stack)]
        inside(s, 1)
        hold.let(9)
        assert {c.response().body for c in clients} == {b"through"}


def test_a_sibling_takes_what_a_full_worker_leaves(gated, hold):
    s = gated(threads=1, queue=1, workers=2)
    with contextlib.ExitStack() as stack:
        # One runs and one waits in each worker, wherever they went.
        blocked = [c.request("/gate") for c in connected(s, 2, stack)]
        s.wait("inside 1")
        more = [c.request("/gate") for c in connected(s, 4, stack)]
        s.wait("inside 1", 2)
        hold.let(6)
        assert {c.response().body for c in blocked + more} == {b"through"}


@pytest.fixture
def grown(start, hold):
    """A worker whose 7 threads have just become idle."""
    s = start({"server": {"workers": 1, "threads": 6},
               "app:gate": hold.app("/gate"), "app:slow": module("slow")},
              ready=1)
    with contextlib.ExitStack() as stack:
        clients = [c.request("/gate") for c in connected(s, 6, stack)]
        inside(s, 6)
        assert handlers(s.workers()[0]) >= 5
        hold.let(6)
        assert {c.response().body for c in clients} == {b"through"}
    return s


# Of 7 threads 2 or 3 stay, and one that leaves may never have had a handler
# of mod_gate.  It takes IDLE_S, once or twice (worker/baton.c).

def test_an_idle_pool_shrinks(grown):
    grown.wait("thread ends", 3)
    assert grown.get("/gate?now").status == 200


def test_a_pool_shrinks_while_a_few_threads_have_work(grown):
    with grown.connect() as c:
        while not grown.matches("thread ends"):
            assert c.get("/?ms=2").body == b"slow"


def test_handlers_that_compute_get_no_more_threads(start):
    s = start({"server": {"workers": 1, "threads": "1-32"},
               "app:spin": module("slow", "/spin"), "app:fast": FAST},
              ready=1)
    pid, = s.workers()
    most = 0
    with contextlib.ExitStack() as stack:
        clients = connected(s, 16, stack)
        for _ in range(6):
            for c in clients:
                c.request("/spin?spin_us=5000")
            for c in clients:
                assert c.response().body == b"slow"
                most = max(most, handlers(pid))
    assert most <= 10, "nearly as many threads as requests"


# ---- deadlines ---------------------------------------------------------------

LATE = (r"(GET|HEAD) /gate\S* runs for \S+ s: request_timeout", r"is stuck",
        r"handlers? are stuck", r"killed|KILL|graceful_timeout")


@pytest.fixture
def late(gated):
    def begin(**server):
        s = gated(app={"request_timeout": "500ms"},
                  **{"graceful_timeout": "3s", **server})
        return s.allow(*LATE)
    return begin


def test_past_its_deadline_a_request_is_504_and_the_log_tells(late, hold):
    s = late()
    old, = s.workers()
    mark = s.mark()
    with s.connect() as c, s.connect() as other:
        assert other.get("/fast").status == 200
        c.request("/gate?who=me")
        r = c.response()
        assert r.status == 504 and r.closes
        c.closed()
        line = s.wait("request_timeout").string
        assert "app gate" in line and "GET /gate?who=me" in line
        # The successor is ready before the old worker goes.
        new = int(s.wait(READY, after=mark)[1])
        assert new != old
        assert other.get("/fast").status == 200
        hold.let()
    wait_gone(old)
    assert s.get("/fast").body == b"fast"
    assert s.workers() == [new]


def test_siblings_of_a_stuck_request_finish(late, hold):
    s = late()
    old, = s.workers()
    with s.connect() as stuck, s.connect() as sibling:
        stuck.request("/gate")
        inside(s, 1)
        assert stuck.response().status == 504
        # Whatever the state of that worker, what it serves is served whole.
        sibling.request("/gate")
        s.wait("inside", 2)
        hold.let(2)
        assert sibling.response().body in (b"through", b"504 Gateway Timeout\n")
    wait_gone(old)


def test_a_stuck_handler_does_not_keep_its_worker(late):
    """Not even in the main thread, and not until it is killed."""
    s = late(graceful_timeout="1000s")
    old, = s.workers()
    with s.connect() as c:
        assert c.get("/gate").status == 504
    wait_gone(old)
    assert s.get("/fast").status == 200


def test_a_stream_past_its_deadline_is_cut(late, hold):
    s = late(graceful_timeout="1000s")
    with s.connect() as idle, s.connect() as c:
        idle.get("/fast")  # for its sake the worker stays
        c.request("/gate?stream")
        r = c.head()
        assert r.status == 200
        assert c.line() == "5" and c.line() == "begun"
        with pytest.raises((ConnectionResetError, EOFError)):
            c.line()
        hold.let()
        assert s.wait(r"write (-?\d+)")[1] == "-1", "PF_ECLOSED"


def test_a_head_request_past_its_deadline_gets_no_body(late, hold):
    s = late()
    with s.connect() as c:
        c.request("/gate", method="HEAD")
        assert c.head().status == 504
        c.closed()
        hold.let()


def test_a_deadline_of_the_app_wins_over_the_server_s(gated):
    s = gated(request_timeout="60s", app={"request_timeout": "300ms"},
              graceful_timeout="1s")
    s.allow(*LATE)
    with s.connect() as c:
        assert c.get("/gate").status == 504


def test_a_client_that_waits_for_the_body_it_does_not_send_harms_no_worker(
        gated):
    """The handler is in wait_readable: it is told, and not stuck."""
    s = gated(request_timeout="400ms", app={"stream": "yes"})
    s.allow("request_timeout")
    old = s.workers()
    with s.connect() as c:
        c.request("/gate?read", method="POST", Content_Length=10)
        assert c.response().status == 504
        assert s.wait(r"read (-?\d+)")[1] == "-1", "PF_ECLOSED"
    until(lambda: s.status()["requests"] == 1)
    assert s.get("/fast").status == 200
    assert s.workers() == old
    assert not s.matches("stuck")


# ---- done() from elsewhere ---------------------------------------------------

@pytest.fixture
def wrong(start):
    def begin(**server):
        return start({"server": {"workers": 1, **server},
                      "app:wrong": module("wrong")}, ready=1)
    return begin


def test_a_request_is_completed_from_another_handler(wrong):
    s = wrong()
    with s.connect() as waits, s.connect() as lets:
        waits.request("/?kept")
        # Answered behind it: the kept one is kept by then.
        assert lets.get("/?nothing").status == 500
        s.allow("done without a response")
        r = lets.get("/?let")
        assert r.body == b"alive 1\nstart 0\nwrite 0\n"
        assert waits.response().body == b"late"
        assert lets.get("/?order").status == 200


def test_a_request_is_completed_after_its_client_left(wrong):
    s = wrong()
    with s.connect() as lets:
        with s.connect() as waits:
            waits.request("/?kept")
            assert lets.get("/?fd").status == 200
        while lets.get("/?let").status == 404:
            pass  # nothing is kept yet
        assert lets.get("/?fd").status == 200


def test_a_request_is_completed_after_its_deadline(wrong):
    s = wrong(request_timeout="400ms")
    s.allow("request_timeout")
    old = s.workers()
    with s.connect() as waits, s.connect() as lets:
        r = waits.get("/?kept")
        assert r.status == 504 and r.closes
        r = lets.get("/?let")
        assert r.status == 200
        assert b"alive 0" in r.body and b"write -1" in r.body
        assert lets.get("/?fd").status == 200
    assert s.workers() == old, "no handler was stuck"


@outside_sandbox
def test_a_worker_retires_with_a_request_that_is_done_late(start):
    s = start({"server": {"workers": 1},
               "app:later": module("later")}, ready=1)
    with s.connect() as c:
        c.request("/?ms=300")
        with s.connect() as d:
            assert d.get("/").body == b"later"
        s.signal(signal.SIGHUP)
        assert c.response().body == b"later"


@outside_sandbox
def test_many_requests_completed_by_a_thread_of_the_module(start):
    s = start({"server": {"workers": 1}, "app:later": module("later")},
              ready=1)
    with contextlib.ExitStack() as stack:
        clients = connected(s, 16, stack)
        for _ in range(30):
            for c in clients:
                c.request("/")
            for c in clients:
                assert c.response().body == b"later"


def test_a_module_that_is_told_of_the_end_need_not_answer(start):
    """echo waits for a body, is told that the request is over, says done()."""
    s = start({"server": {"workers": 1, "request_timeout": "300ms"},
               "app:echo": {"type": "module", "target": "echo.so",
                            "stream": "yes"}}, ready=1)
    s.allow("request_timeout")
    with s.connect() as c:
        c.request("/", method="POST", Content_Length=10)
        assert c.response().status == 504
        c.closed()
    until(lambda: s.status()["requests"] == 1)
