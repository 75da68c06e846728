"""server.preload = yes: a template loads the applications and makes the
workers."""
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import time

import pytest

from prefork import (BRIEF, BUILD, PATIENCE, PROBE, READY, Client, Load,
                     preforkctl, processes, stat_of, title_of, until, wait_gone)
from testmods import memory_kib, module
from upgrades import NEWER, TAKEN, Installed

TEMPLATE = r"template \((\d+)\) ready, generation (\d+)"
python = pytest.mark.skipif(not (BUILD / "modules/python3.so").exists(),
                            reason="the Python module is not built")
TSAN = BUILD.name == "tsan"  # it has a thread of its own


@pytest.fixture
def start(start):
    """Workers are ready a moment before they are the master's children."""
    def begin(sections, ready=2, **kw):
        s = start(sections, ready, **kw)
        until(lambda: len(s.workers()) >= ready)
        return s
    return begin


def on(app=None, **server):
    return {"server": {"preload": "yes", **server},
            "app:x": app or module("preload")}


def template_of(server):
    """The template that was ready last."""
    return int(server.matches(TEMPLATE)[-1][1])


def facts(server, workers=2):
    """PID of a worker: (opened by, before, after in parent, after in child), of
    so many, which are all."""
    found, deadline = {}, time.monotonic() + PATIENCE
    while len(found) < workers or set(found) != set(server.workers()):
        assert time.monotonic() < deadline, (found, server.workers())
        pid, *rest = map(int, server.get("/").body.split())
        found = {p: f for p, f in found.items() if p in server.workers()}
        found[pid] = tuple(rest)
    return found


def kill(server, pid, signo=signal.SIGKILL):
    """Its successor is ready when this returns."""
    server.allow(rf"\({pid}\) was killed")
    mark = server.mark()
    os.kill(pid, signo)
    new = int(server.wait(READY, after=mark)[1])
    until(lambda: new in server.workers())
    return new


def reload(server, fails=None):
    mark = server.mark()
    server.signal(signal.SIGHUP)
    if fails is None:
        server.wait(r"reload: generation \d+ serves", after=mark)
    else:
        server.allow("reload failed")
        server.wait(f"reload failed: .*{fails}", after=mark)


# ---- what it is --------------------------------------------------------------

def test_applications_are_loaded_once_and_workers_are_the_masters(start):
    s = start(on(workers=3), ready=3)
    t, = s.templates()
    assert template_of(s) == t
    known = facts(s, 3)
    for pid in (*known, t):
        assert stat_of(pid)[1] == s.pid
    assert {opened_by for opened_by, *_ in known.values()} == {t}


def test_modules_hear_of_each_fork(start):
    s = start(on(workers=3), ready=3)
    assert sorted(hooks for _, *hooks in facts(s, 3).values()) == [
        [1, 0, 1], [2, 1, 1], [3, 2, 1]]


def test_without_it_each_worker_loads_and_no_hook_is_called(start):
    s = start({"app:x": module("preload")})
    assert s.templates() == []
    for pid, told in facts(s).items():
        assert told == (pid, 0, 0, 0)


def test_ps_and_preforkctl_show_it(start):
    s = start(on())
    t, = s.templates()
    assert title_of(t) == "prefork: template gen 1"
    shown = [r for r in s.ask("workers") if r["state"] == "template"]
    assert [(r["pid"], r["generation"], r["slot"], r["requests"])
            for r in shown] == [(t, 1, None, None)]
    assert shown[0]["rss"] > 0
    assert str(t) in s.control("workers")


@pytest.mark.skipif(TSAN, reason="it has a thread of its own")
def test_it_has_no_threads_of_ours(start):
    s = start(on())
    facts(s)
    assert len(os.listdir(f"/proc/{template_of(s)}/task")) == 1


def test_the_template_is_nobody_when_root_starts_it(start, tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can switch")
    public = pathlib.Path(f"/tmp/prefork-preload-{os.getpid()}.so")
    shutil.copy(PROBE, public)
    try:
        s = start(on({"type": "module", "target": public}, user="nobody"))
        ids = s.get("/ids").body.decode().split()
        assert ids[0] != "0"
        for pid in (*s.templates(), *s.workers()):
            assert os.stat(f"/proc/{pid}").st_uid == int(ids[0])
        s.stop()
    finally:
        public.unlink()


# ---- workers that end --------------------------------------------------------

def test_a_crashed_worker_is_replaced_from_the_template(start):
    s = start(on())
    t = template_of(s)
    for pid in s.workers():
        new = kill(s, pid)
        s.wait(rf"\({pid}\) was killed by SIGKILL; replaced in")
        assert facts(s)[new][0] == t
    assert s.templates() == [t]


def test_a_worker_that_dies_at_once_is_noticed(start, tmp_path):
    """Nobody may miss an exit that comes right after the fork."""
    die = tmp_path / "die"
    s = start(on(module("preload", **{"option.segv": die}), workers=1),
              ready=1)
    s.allow(r"was killed by SIG(KILL|SEGV)")
    die.touch()
    old, = s.workers()
    os.kill(old, signal.SIGKILL)
    s.wait(r"was killed by SIGSEGV.*; replaced in", 3)
    mark = s.mark()
    die.unlink()
    s.wait(READY, after=mark)
    assert facts(s, 1)
    assert s.templates() == [template_of(s)]


def test_max_requests_brings_successors_from_the_template(start):
    s = start(on(workers=1, max_requests=20, max_requests_jitter="0%"),
              ready=1)
    t, old = template_of(s), s.workers()[0]
    with Load(s, target="/", connections=2) as load:
        s.wait(READY, 3)
    assert load.failures == []
    wait_gone(old)
    assert s.templates() == [t] and len(s.matches(TEMPLATE)) == 1


def test_ttin_and_ttou(start):
    s = start(on())
    t = template_of(s)
    s.signal(signal.SIGTTIN).wait(READY, 3)
    assert {told[0] for told in facts(s, 3).values()} == {t}
    s.signal(signal.SIGTTOU).wait(r"worker \d+ \(\d+\) exited")
    assert len(facts(s)) == 2


def test_a_worker_may_refuse_after_the_fork(start):
    s = start(on(module("preload", **{"option.refuse": "no pen"})), ready=0)
    s.allow("no pen").wait_exit(4)
    s.wait(r"worker \d+ \(\d+\) exited with status 4: app x: module preload "
           "refuses: no pen")


@pytest.mark.parametrize("time", range(8))
def test_a_failed_start_leaves_no_worker_that_was_being_made(start, time):
    s = start(on(module("preload", **{"option.refuse": "no pen"}), workers=8),
              ready=0)
    os.waitid(os.P_PID, s.pid, os.WEXITED | os.WNOWAIT)
    left = s.left()  # at once
    s.allow("no pen").wait_exit(4)
    assert left == []


# ---- reloads -----------------------------------------------------------------

def test_a_reload_makes_a_new_template_and_ends_the_old(start):
    s = start(on())
    old = template_of(s)
    reload(s)
    wait_gone(old)
    t, = s.templates()
    assert title_of(t) == "prefork: template gen 2"
    for pid in set(s.workers()) - set(map(int, (
            m[1] for m in s.matches(READY + ", generation 2")))):
        wait_gone(pid)
    assert {told[0] for told in facts(s).values()} == {t}
    s.fds_settle()


def test_a_reload_turns_it_on_and_off(start):
    s = start({"app:x": module("preload")})
    for preload in "yes", "no", "yes":
        old = s.children()
        s.configure({"server": {"preload": preload}, "app:x":
                     module("preload")})
        reload(s)
        for pid in old:
            wait_gone(pid)
        assert len(s.templates()) == (preload == "yes")
        assert len(s.workers()) == 2
        assert s.get("/").status == 200


BAD = {
    "refuses": (module("refuse"), r"template \(\d+\) exited with status 4: "),
    "crashes": (module("crash", **{"option.at": "load"}),
                r"template \(\d+\) was killed by SIGSEGV"),
    "hangs": (module("crash", **{"option.at": "load", "option.how": "hang"}),
              r"template \(\d+\) was not ready within boot_timeout"),
}


def limit(kind):
    """The others take what time they need."""
    return {"boot_timeout": BRIEF} if kind == "hangs" else {}


@pytest.mark.parametrize("kind", BAD)
def test_a_template_that_cannot_load_changes_nothing(start, kind):
    s = start(on())
    s.allow("template .* (exited with status 4|SIGSEGV|boot_timeout)")
    t, workers = template_of(s), s.workers()
    app, why = BAD[kind]
    s.configure(on(app, **limit(kind)))
    for _ in range(2):
        reload(s, fails=why)
        assert s.workers() == workers
    until(lambda: s.templates() == [t])
    new = kill(s, workers[0])
    assert facts(s)[new][0] == t
    s.fds_settle()


@pytest.mark.parametrize("kind, status", [("refuses", 4), ("crashes", 3),
                                          ("hangs", 3)])
def test_a_first_start_ends_with_the_template(start, kind, status):
    app, why = BAD[kind]
    s = start(on(app, **limit(kind)), ready=0)
    s.allow("cannot start", "template ")
    s.wait_exit(status)
    s.wait("cannot start: " + why)


def test_reloads_under_load_fail_no_request(start):
    s = start(on(PROBE_APP))
    with Load(s, connections=8) as load:
        for _ in range(5):
            reload(s)
            load.more(100)
    assert load.failures == []
    s.fds_settle()


PROBE_APP = {"type": "module", "target": PROBE}


def test_a_reload_supersedes_a_template_that_loads(start, tmp_path):
    s = start(on(PROBE_APP))
    fifo = tmp_path / "open"
    os.mkfifo(fifo)
    s.configure(on({**PROBE_APP, "option.open": fifo}))
    s.signal(signal.SIGHUP)
    with open(fifo, "wb", buffering=0):  # the template of generation 2 loads
        s.configure(on(PROBE_APP))
        s.signal(signal.SIGHUP)
        s.wait("reload: generation 3 serves")
    until(lambda: len(s.templates()) == 1)
    assert s.get("/pid").status == 200


# ---- a template that dies ----------------------------------------------------

def test_a_dead_template_is_made_anew_when_it_is_needed(start):
    s = start(on())
    t, workers = template_of(s), s.workers()
    s.allow(r"template \(\d+\) was killed by SIGKILL; it is made anew")
    os.kill(t, signal.SIGKILL)
    s.wait(rf"template \({t}\) was killed by SIGKILL; it is made anew")
    assert s.workers() == workers and s.templates() == []
    assert {told[0] for told in facts(s).values()} == {t}
    new = kill(s, workers[0])
    assert s.templates() == [template_of(s)] != [t]
    assert facts(s)[new][0] == template_of(s)
    s.fds_settle()


def test_workers_that_wait_for_a_template_that_dies_are_asked_for_again(
        start, tmp_path):
    stop = tmp_path / "stop"
    s = start(on(module("preload", **{"option.stop": stop})))
    s.allow("was killed by SIGKILL")
    t = template_of(s)
    stop.touch()
    for pid in s.workers():
        os.kill(pid, signal.SIGKILL)
        s.wait(rf"\({pid}\) was killed by SIGKILL; replaced in")
    s.wait("stops at the fork")
    until(lambda: s.status()["alive"] == 2)
    assert s.workers() == []
    stop.unlink()
    os.kill(t, signal.SIGKILL)
    s.wait(READY, 4)
    assert facts(s) and s.templates() != [t]


def test_one_that_hangs_at_a_fork_is_killed_and_made_anew(start, tmp_path):
    stop = tmp_path / "stop"
    s = start(on(module("preload", **{"option.stop": stop}),
                 boot_timeout=BRIEF))
    s.allow("was killed by SIGKILL", "was not ready within boot_timeout")
    t = template_of(s)
    stop.touch()
    os.kill(s.workers()[0], signal.SIGKILL)
    s.wait("stops at the fork")
    stop.unlink()
    s.wait(rf"template \({t}\) was not ready within boot_timeout: killed")
    s.wait(READY, 3)
    assert len(facts(s)) == 2 and template_of(s) != t


def test_who_made_a_worker_and_was_killed_before_he_could_say_so(
        start, tmp_path):
    """Neither of the two that are left waits for the other."""
    orphan = tmp_path / "orphan"
    s = start(on(module("preload", **{"option.orphan": orphan}), workers=1),
              ready=1)
    s.allow("was killed by SIGKILL", "cannot start worker 0: No child")
    t = template_of(s)
    orphan.touch()
    os.kill(s.workers()[0], signal.SIGKILL)
    s.wait("cannot start worker 0: No child processes")
    s.wait(READY, 2)
    assert template_of(s) == t
    until(lambda: len(family(s)) == 2)
    s.fds_settle()


def family(server):
    """All its processes, those between a template and a worker included."""
    return [pid for pid, (state, _, session) in processes().items()
            if session == server.pid and pid != server.pid and state != "Z"]


def test_kills_at_random_lose_nobody(start):
    """Whoever is killed, whenever: in the end all serve, and no process is left
    that nobody knows."""
    s = start(on(workers=3), ready=3)
    s.allow("was killed by SIGKILL", "reload failed", "its template died",
            "cannot start worker")
    dice = random.Random(11)
    for _ in range(40):
        mark = s.mark()
        s.signal(signal.SIGHUP)
        if dice.randrange(2):
            s.wait("ready, generation|reload (failed|given up)", after=mark)
        s.signal(dice.choice([signal.SIGTTIN, signal.SIGTTOU]))
        everybody = family(s)
        for pid in dice.sample(everybody, min(len(everybody),
                                              dice.randrange(4))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    until(lambda: not s.status()["trial"])
    reload(s)
    s.control("scale", 3)
    until(lambda: s.status()["ready"] == len(s.workers()) == 3)
    until(lambda: len(family(s)) == 4)
    assert len(facts(s, 3)) == 3
    s.fds_settle()


# ---- the end -----------------------------------------------------------------

def test_term_ends_the_template_before_the_last_request(start, gate):
    """It holds the listeners: nobody may queue there for no one."""
    s = start(on({**PROBE_APP, **gate.option}))
    t = template_of(s)
    with s.connect() as c:
        c.request("/gate")
        gate.entered()
        s.signal(signal.SIGTERM)
        wait_gone(t)
        gate.open()
        assert c.response().body == b"through"
    s.wait_exit()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(s.address).close()


def test_term_while_it_loads(start, tmp_path):
    fifo = tmp_path / "open"
    os.mkfifo(fifo)
    s = start(on({**PROBE_APP, "option.open": fifo}), ready=0)
    with open(fifo, "wb", buffering=0):
        s.stop()


def test_all_go_when_the_master_is_killed(start):
    s = start(on())
    s.allow("master is gone")
    children = s.children()
    os.kill(s.pid, signal.SIGKILL)
    for pid in children:
        wait_gone(pid)
    s.wait_exit(-signal.SIGKILL)
    with socket.create_server(s.address):
        pass


# ---- upgrade, logs -----------------------------------------------------------

def test_an_upgrade_in_place_makes_a_template_of_its_own(start, tmp_path):
    program = Installed(tmp_path / "prefork")
    s = start(on(PROBE_APP), program=(program.path,))
    old = s.children()
    program.put(NEWER)
    with Load(s) as load:
        load.more()
        s.signal(signal.SIGUSR2).wait(TAKEN)
        s.wait("reload: generation 2 serves")
        load.more()
    assert load.failures == []
    for pid in old:
        wait_gone(pid)
    assert title_of(*s.templates()) == "prefork: template gen 2"
    assert len(s.workers()) == 2


@pytest.mark.parametrize("moment", ["tests itself", "takes over", "took over"])
def test_a_worker_that_dies_around_an_upgrade_is_replaced(start, tmp_path,
                                                          moment):
    program = Installed(tmp_path / "prefork")
    s = start(on(PROBE_APP), program=(program.path,))
    s.allow("was killed by SIGKILL")
    victim, fifo = s.workers()[0], tmp_path / "open"
    os.mkfifo(fifo)
    s.configure(on({**PROBE_APP, "option.open": fifo}))
    s.signal(signal.SIGUSR2).wait(moment)
    os.kill(victim, signal.SIGKILL)
    s.wait(READY, 3)  # its successor, with the settings of generation 1
    with open(fifo, "r+b", buffering=0) as both:
        both.write(b"x")
        s.wait("reload: generation 2 serves")
    assert s.get("/pid").status == 200


def test_an_upgrade_waits_for_a_worker_under_way(start, tmp_path):
    program = Installed(tmp_path / "prefork")
    stop = tmp_path / "stop"
    s = start(on(module("preload", **{"option.stop": stop}),
                 boot_timeout=BRIEF), program=(program.path,))
    s.allow("was killed by SIGKILL", "boot_timeout")
    stop.touch()
    s.signal(signal.SIGTTIN)
    s.wait("stops at the fork")
    stop.unlink()
    s.signal(signal.SIGUSR2).wait("tests itself")
    s.wait("template .* was not ready within boot_timeout")
    s.wait(TAKEN)
    s.wait("reload: generation 2 serves")
    s.wait(READY + ", generation 2", 3)


def test_a_worker_made_after_a_rotation_writes_to_the_new_file(start,
                                                               tmp_path):
    log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    s = start({**on(PROBE_APP, workers=1), "log": {"access": log}}, ready=1)
    log.rename(rotated)
    s.signal(signal.SIGUSR1).wait("logs reopened")
    kill(s, s.workers()[0])
    s.get("/pid?later")
    s.stop()
    assert "later" in log.read_text() and "later" not in rotated.read_text()


# ---- threads -----------------------------------------------------------------

@pytest.mark.skipif(TSAN, reason="it has a thread of its own")
def test_threads_that_will_be_missing_are_named(start):
    s = start(on(module("preload", **{"option.threads": 2})))
    s.allow("preload: 2 threads")
    assert len(s.matches("preload: 2 threads of the applications .*: "
                         "lingerer, lingerer$")) == 1


# ---- Python ------------------------------------------------------------------

APP = """
import os, random, sys, threading
print("imported by", os.getpid())
print("half a line", end="")
random.random()
BIG = [str(n) for n in range({size})]
if {thread}:
    stop = threading.Event()
    threading.Thread(target=stop.wait, name="refresher", daemon=True).start()

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    where = environ["PATH_INFO"]
    if where == "/walk":
        return [str(sum(len(s) for s in BIG)).encode()]
    return [f"{{os.getpid()}} {{random.random()}} "
            f"{{environ['HTTP_X_REQUEST_ID']}}".encode()]
"""


def wsgi(start, tmp_path, size=10, thread=False, **kw):
    (tmp_path / "shop.py").write_text(APP.format(size=size, thread=thread))
    return start(on({"type": "wsgi", "target": "shop"}), **kw)


@python
def test_python_is_imported_once_and_what_is_random_differs(start, tmp_path):
    s = wsgi(start, tmp_path)
    t = template_of(s)
    assert [m[1] for m in s.matches(r"^imported by (\d+)$")] == [str(t)]
    told = {}
    while len(told) < 2:
        pid, *rest = s.get("/").body.split()
        told.setdefault(pid, rest)
    (number, request), (other_number, other_request) = told.values()
    assert number != other_number
    assert request[:16] != other_request[:16]
    s.stop()
    assert s.log.count("half a line") == 1


@python
def test_the_main_thread_has_the_native_id_of_its_worker(start, tmp_path):
    """It had that of the template, which is no thread of the worker."""
    (tmp_path / "shop.py").write_text(
        "import os, threading\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    main = threading.main_thread()\n"
        "    return [f'{os.getpid()} {main.native_id}'.encode()]\n")
    s = start(on({"type": "wsgi", "target": "shop"}))
    pid, native_id = map(int, s.get("/").body.split())
    assert pid in s.workers() and native_id == pid


@python
def test_python_workers_share_what_was_imported(start, tmp_path):
    """Walking over it leaves it shared as far as the counts allow: much less is
    the worker's own than there is."""
    s = wsgi(start, tmp_path, size=500_000)
    t = template_of(s)
    assert s.get("/").status == 200
    for pid in s.workers():
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        own = int(re.search(r"Private_Dirty: +(\d+)", text)[1])
        assert own < memory_kib(t, "VmRSS") / 3, text


@python
def test_a_broken_import_leaves_the_old_generation(start, tmp_path):
    s = wsgi(start, tmp_path)
    t = template_of(s)
    (tmp_path / "shop.py").write_text("import no_such_thing\n")
    s.allow("exited with status 4")
    done = preforkctl("-s", s.socket, "reload", "--wait")
    s.allow("reload failed")
    assert done.returncode == 1
    assert "no_such_thing" in done.stderr and "Traceback" in done.stderr
    assert s.templates() == [t]
    new = kill(s, s.workers()[0])
    assert new and s.get("/").status == 200


@python
def test_a_first_start_with_a_broken_import_exits_4(start, tmp_path):
    (tmp_path / "shop.py").write_text("import no_such_thing\n")
    s = start(on({"type": "wsgi", "target": "shop"}), ready=0)
    s.allow("no_such_thing").wait_exit(4)


@python
@pytest.mark.skipif(TSAN, reason="it has a thread of its own")
def test_python_threads_that_will_be_missing_are_named(start, tmp_path):
    s = wsgi(start, tmp_path, thread=True)
    s.allow("preload: 1 thread ")
    s.wait("preload: 1 thread of the applications .*: refresher$")
    assert s.get("/").status == 200


@python
@pytest.mark.skipif(TSAN, reason="it refuses threads after such a fork")
def test_python_threads_do_not_disturb_the_fork(start, tmp_path):
    s = wsgi(start, tmp_path, thread=True)
    s.allow("preload: 1 thread ")
    for _ in range(3):
        new = kill(s, s.workers()[0])
        with Client(s.address) as c:
            assert c.get("/").status == 200
        assert stat_of(new)
