"""Python applications that hang, crash, fork and compute."""
import contextlib
import fcntl
import itertools
import os
import pathlib
import re
import signal
import threading

import pytest

from prefork import (READY, SANITIZED, files_of, processes, title_of, until,
                     wait_gone)
from testmods import narrow

APPS = pathlib.Path(__file__).resolve().parents[1] / "apps"
LATE = r"request_timeout"


@pytest.fixture
def trouble(start):
    """`app` is of the settings of the application; /calm has the defaults,
    for what a busy machine is not to make late."""
    def begin(ready=1, app=None, http=None, **server):
        section = {"type": "wsgi", "target": f"{APPS}/trouble.py"}
        return start({"server": {"workers": 1, **server}, "http": http or {},
                      "app:trouble": {**section, **(app or {})},
                      "app:calm": {**section, "mount": "/calm"}}, ready=ready)
    return begin


SHORT = {"request_timeout": "300ms"}


def children_of(worker):
    return [pid for pid, (_, parent, _) in processes().items()
            if parent == worker]


def sockets_of(pid):
    return [name for name in files_of(pid) if name.startswith("socket:")]


def test_a_handler_that_spins_is_interrupted_and_the_worker_stays(trouble):
    s = trouble(app=SHORT).allow(LATE, "exception in")
    worker = s.workers()
    assert s.get("/spin").status == 504
    told = s.wait(r"GET /spin runs for \d+\.\d s: request_timeout, "
                  r"id ([0-9a-f]{32})$")
    s.wait(r"^thread 0x[0-9a-f]{16}: app trouble, GET /spin, for \d+\.\d+ s, "
           rf"id {told[1]}")
    s.wait(r'File ".*/trouble\.py", line \d+ in spin')
    s.wait("exception in the application")
    s.wait("RequestTimeout")
    assert s.get("/calm/").status == 200
    assert s.workers() == worker
    assert not s.matches("asks to be replaced")


def test_the_id_of_a_late_request_is_the_one_its_application_was_told(trouble):
    """As on the same connection; only its last digits count requests."""
    s = trouble(app=SHORT).allow(LATE, "exception in")
    with s.connect() as c:
        before = [c.get("/calm/")["Id"] for _ in range(2)]
        assert c.get("/spin").status == 504
    late = s.wait(r"^thread 0x.*GET /spin, .*, id (\w+)")[1]
    s.wait("RequestTimeout")  # it has ended
    count = [int(x[-8:], 16) for x in (*before, late)]
    assert {x[:-8] for x in before} == {late[:-8]}
    assert count[2] - count[1] == count[1] - count[0] == 1


def test_an_interrupt_does_not_hit_the_next_request(trouble):
    s = trouble(app=SHORT).allow(LATE, "exception in")
    with s.connect() as late, s.connect() as next_one:
        late.request("/sleep?1.2")  # returns by itself, a little too late
        assert late.response().status == 504
        while not s.matches("exception in the application"):
            assert next_one.get("/calm/compute?10").status == 200
        for _ in range(20):
            assert next_one.get("/calm/compute?10").status == 200
    assert len(s.matches("exception in the application")) == 1


def test_a_handler_that_no_exception_reaches_costs_the_worker(trouble):
    s = trouble(app=SHORT).allow(LATE, "stuck")
    old = s.workers()
    with s.connect() as c:
        c.request("/sleep?20")
        assert c.response().status == 504
        s.wait(r'trouble\.py", line \d+ in sleep')
        mark = s.mark()
        assert s.get("/calm/").status == 200  # meanwhile, too
        s.wait("asks to be replaced: a handler of app trouble is stuck")
        s.wait(READY, after=mark)
    wait_gone(old[0])
    assert s.get("/calm/").status == 200


def test_an_interrupted_handler_has_its_chance_in_a_worker_that_is_to_end(
        trouble, gate):
    s = trouble(app=SHORT).allow(LATE, "exception in")
    worker, = s.workers()
    assert s.get(f"/roll_back?{gate.path}").status == 504
    gate.entered()
    s.signal(signal.SIGTERM)
    until(lambda: "ready" not in title_of(worker))
    gate.open()
    s.wait_exit()
    assert s.matches("^rolled back$")


def test_a_handler_without_time_for_its_chance_is_left_before_the_kill(trouble):
    s = trouble(request_timeout="3s", graceful_timeout="4s")
    s.allow(LATE, "1 handlers are stuck")
    with s.connect() as c:
        c.request("/deep?20")
        s.wait("^deep down$")
        s.signal(signal.SIGTERM)
        assert c.response().status == 504
    s.wait_exit()
    assert not s.matches("asks to be replaced")


def test_lines_of_others_do_not_stand_in_a_report(trouble):
    """One of four stacks of 90 functions, and each line of them in pieces."""
    s = trouble(request_timeout="1s", threads=8)
    s.allow(LATE, "exception in")
    fcntl.fcntl(s.process.stderr, fcntl.F_SETPIPE_SZ, 1 << 20)
    with contextlib.ExitStack() as stack:
        deep = [stack.enter_context(s.connect()) for _ in range(4)]
        for c in deep:
            c.request("/deep?2")
        s.wait("^deep down$", len(deep))
        with s.connect() as c:
            c.request("/chatter")
            for c in deep:
                assert c.response().status == 504
            s.wait("RequestTimeout", len(deep))
            assert s.get("/silence").status == 200
    report = itertools.takewhile(
        lambda line: line != "chatter" and not re.match(r"\d{4}-", line),
        itertools.dropwhile(lambda line: "over its" not in line, s.log))
    text = "\n".join(report)
    assert len(re.findall(r"^thread 0x.*GET /deep", text, re.M)) == 4, text
    assert len(re.findall(r"line \d+ in deep$", text, re.M)) == 4 * 91, text


@pytest.mark.skipif(SANITIZED, reason="the sanitizer has its own report")
@pytest.mark.parametrize("path, name", [("/crash", "SEGV"),
                                        ("/abort", "ABRT")])
def test_a_crash_says_which_request_and_where(trouble, path, name):
    s = trouble().allow("SIG" + name)
    mark = s.mark()
    with s.connect() as c:
        c.request(path + "?x=1", X_Request_Id="shop-1.7")
        c.closed()
    s.wait(READY, after=mark)
    lines = [line for line in s.log[mark:]
             if not re.match(r"\d{4}-\d\d-\d\d ", line)]
    at = next(i for i, line in enumerate(lines)
              if re.match(rf"worker 0 \(\d+\) SIG{name}", line))
    assert re.match(r"thread 0x[0-9a-f]{16}: app trouble, GET "
                    rf"{path}\?x=1, for 0\.\d+ s, id shop-1\.7 \(this thread\)",
                    lines[at + 1])
    assert lines[at + 2].startswith("Current thread 0x")
    assert any(f"trouble.py" in line for line in lines[at + 3:at + 6])
    assert any("_PyEval_EvalFrame" in line or "libpython" in line
               for line in lines[at:]), "the C stack"
    assert s.get("/").status == 200


def test_a_worker_that_stands_still_tells_what_holds_it(trouble):
    """The holder of the interpreter's lock runs C: nobody else runs Python."""
    s = trouble(request_timeout=0, threads=1)
    s.allow("stands still", "killed")
    worker, = s.workers()
    mark = s.mark()
    with s.connect() as c:
        c.request("/hold_the_gil?60")
        s.wait("holding it")
        s.ask_for_report(worker)
        s.wait(r'line \d+ in hold_the_gil')
        s.wait(r"^thread 0x[0-9a-f]{16}: app trouble, GET /hold_the_gil")
    os.kill(worker, signal.SIGKILL)
    s.allow("SIGKILL")
    s.wait(READY, after=mark)
    assert s.get("/").status == 200


def test_a_forked_child_keeps_no_port_and_no_connection(trouble, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    s = trouble(http={"keepalive_timeout": "1s"})
    with s.connect() as idle:
        assert idle.get("/").status == 200
        assert s.get(f"/fork?{pipe}").status == 200
        child, = children_of(s.workers()[0])
        until(lambda: not sockets_of(child))  # when it got to run
        s.stop()  # while the child lives on
        idle.closed()
    with pytest.raises(ConnectionRefusedError):
        s.connect().get("/")
    pipe.write_bytes(b"go")
    wait_gone(child)


def test_a_forked_child_has_no_connection_that_comes_or_goes_meanwhile(trouble):
    s = trouble(threads=2)
    enough = threading.Event()

    def come_and_go():
        while not enough.is_set():
            with s.connect() as c:
                assert c.send("nonsense\r\n\r\n").response().status == 400
    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        assert s.get("/sockets_of_children?100").body == b"0"
    finally:
        enough.set()
        for t in threads:
            t.join()


def test_a_warmup_whose_handler_forks_ends_with_its_answer(trouble, gate):
    s = trouble(app={"warmup": f"/fork?{gate.path}"})
    child, = children_of(s.workers()[0])
    gate.entered()
    gate.open()
    wait_gone(child)


@pytest.mark.parametrize("how", ["return", "exit"])
def test_a_forked_child_that_comes_back_from_its_handler_ends(trouble, how):
    """Else it would go on as a second worker."""
    s = trouble().allow("returned from the handler: ended", "exception in")
    worker, = s.workers()
    for _ in range(3):
        assert s.get(f"/fork_and_{how}").body == b"1"
    s.wait("app trouble: a process that a handler forked returned from the "
           "handler: ended", 3)
    assert s.workers() == [worker]
    assert children_of(worker) == []


def test_sys_exit_in_a_handler_is_a_500_and_no_more(trouble):
    s = trouble().allow("exception in")
    worker = s.workers()
    assert s.get("/exit").status == 500
    s.wait("SystemExit: 5")
    assert s.get("/").status == 200
    assert s.workers() == worker


def test_handlers_that_compute_do_not_pile_up_on_the_lock(trouble):
    s = trouble(threads="1-64")
    stop = threading.Event()

    def ask():
        with s.connect() as c:
            while not stop.is_set():
                assert c.get("/compute?3").status == 200
    clients = [threading.Thread(target=ask) for _ in range(16)]
    for c in clients:
        c.start()
    try:
        with s.connect() as c:
            for _ in range(60):
                assert c.get("/compute?3").status == 200
        threads = s.ask("workers")[0]["threads"]
    finally:
        stop.set()
        for c in clients:
            c.join()
    assert threads <= 8, "of 64 that were allowed"


def test_handlers_that_wait_run_beside_each_other(trouble):
    s = trouble(threads="1-64")
    clients = [s.connect() for _ in range(24)]
    for round_ in range(4):
        for c in clients:
            c.request("/sleep?0.05")
        for c in clients:
            assert c.response().status == 200
    threads = s.ask("workers")[0]["threads"]
    for c in clients:
        c.__exit__()
    assert threads >= 8


@pytest.mark.parametrize("path", ["/flood", "/read?{}"])
def test_handlers_that_wait_do_not_keep_out_a_burst_that_computes(
        trouble, tmp_path, path):
    """For a client that reads slowly, or for something else.  A burst halves
    the pool, and then they filled it until they ended."""
    s = trouble(threads="1-64", request_timeout=0, http={"send_timeout": "1h"})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with contextlib.ExitStack() as stack:
        let = os.open(fifo, os.O_RDWR)
        stack.callback(os.close, let)
        for n in range(1, 4):
            c = stack.enter_context(narrow(s)).request(path.format(fifo))
            if path == "/flood":
                assert c.head().status == 200
            else:
                s.wait("reading", n)
        for c in [stack.enter_context(s.connect()).request("/compute?50")
                  for _ in range(10)]:
            assert c.response().status == 200
        os.write(let, b"xxx")
