"""preforkctl, and what others may do to its socket."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import tempfile

import pytest

import prefork
from prefork import PATIENCE, PROBE, READY, Load, preforkctl, run, wait_gone
from testmods import burdened, refuses_fds

root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


class Raw:
    """A client of the control socket that need not be a good one."""

    def __init__(self, server):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(server.socket))
        self.sock.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def rest(self):
        """All until the server closes, be it with a reset."""
        data = b""
        try:
            while piece := self.sock.recv(65536):
                data += piece
        except ConnectionResetError:
            pass
        return data

    def end(self):
        return json.loads(self.rest().splitlines()[-1])


# ---- every verb --------------------------------------------------------------

def test_status_tells_how_the_server_is(server):
    server.get("/pid")
    while server.status()["requests"] == 0:
        pass  # it is counted when it has been answered
    status, listener = server.ask("status")
    assert status["record"] == "status"
    assert status["pid"] == server.pid
    assert status["state"] == "serving"
    assert status["source"] == "server.ini"
    assert (status["generation"], status["trial"]) == (1, None)
    assert status["wanted"] == status["ready"] == status["alive"] == 2
    assert status["requests"] == 1
    assert status["errors"] == 0
    assert status["reload"] is status["reload_at"] is None
    assert listener == {"record": "listener",
                        "address": "127.0.0.1:%d" % server.address[1]}
    text = server.control("status")
    assert re.search(rf"^PID +{server.pid}$", text, re.M)
    assert re.search(r"^workers ready +2$", text, re.M)
    assert re.search(r"^listening on +127\.0\.0\.1:\d+$", text, re.M)


def test_workers_has_a_line_for_each(server):
    with server.connect() as client:
        pid = int(client.get("/pid").body)
        while server.status()["requests"] == 0:
            pass
        workers = server.ask("workers")
        assert [w["pid"] for w in workers] == server.workers()
        mine = next(w for w in workers if w["pid"] == pid)
        assert (mine["connections"], mine["requests"]) == (1, 1)
    for w in workers:
        assert (w["generation"], w["state"], w["errors"]) == (1, "ready", 0)
        assert w["threads"] >= 1
        assert w["rss"] > 100_000
    head, *lines = server.control("workers").splitlines()
    assert head.split()[:4] == ["WORKER", "PID", "GEN", "STATE"]
    assert [int(x.split()[1]) for x in lines] == server.workers()
    assert len({len(x) for x in [head, *lines]}) == 1, "columns are aligned"


def test_requests_are_those_of_the_worker_not_of_its_slot(start):
    s = start({"server": {"workers": 1}}, ready=1)
    s.allow("killed by SIGKILL")
    pid = int(s.get("/pid").body)
    while s.status()["requests"] < 1:
        pass  # it is counted when it has been answered
    mark = s.mark()
    os.kill(pid, signal.SIGKILL)
    s.wait(READY, after=mark)
    s.get("/pid")
    while s.status()["requests"] < 2:
        pass
    worker, = s.ask("workers")
    assert worker["pid"] != pid
    assert worker["requests"] == 1


def test_reopen_opens_the_logs_again(start, tmp_path):
    s = start({"log": {"error": tmp_path / "error.log"}}, ready=0)
    while preforkctl("-s", s.socket, "status").returncode == 3:
        pass
    while s.status()["ready"] < 2:
        pass
    (tmp_path / "error.log").rename(tmp_path / "error.log.1")
    assert s.control("reopen") == "logs reopened\n"
    assert "logs reopened" in (tmp_path / "error.log").read_text()
    s.idle_fds = s.private_fds()


def test_stop_drains(start, gate):
    s = start({"app:probe": {"type": "module", "target": PROBE,
                             **gate.option}})
    with s.connect() as busy:
        busy.request("/gate")
        gate.entered()
        assert s.control("stop") == "stopping\n"
        assert s.status()["state"] == "stopping"
        assert s.control("stop") == "stopping\n", "it does not insist"
        assert "stopping" in s.control("scale", 3, status=1)
        assert "are to stop" in s.control("reload", "--wait", status=1)
        gate.open()
        assert busy.response().body == b"through"
    s.wait_exit(0)
    assert not s.socket.exists()
    s.control("status", status=3)


def test_stop_now_does_not_wait_for_requests(start, gate):
    s = start({"app:probe": {"type": "module", "target": PROBE,
                             **gate.option}})
    s.allow("took too long")
    with s.connect() as busy:
        busy.request("/gate")
        gate.entered()
        s.control("stop", "--now")
        s.wait_exit(0)


# ---- reload ------------------------------------------------------------------

def test_reload_wait_answers_when_the_new_generation_serves(server):
    old = server.workers()
    server.configure({"server": {"workers": 3}})
    assert server.control("reload", "--wait") == "generation 2 serves\n"
    status = server.status()
    assert (status["generation"], status["trial"]) == (2, None)
    assert (status["wanted"], status["reload"]) == (3, "done")
    assert status["reload_reason"] is None
    assert status["reload_at"] > 1_700_000_000
    for pid in old:
        wait_gone(pid)
    assert len(server.workers()) == 3


def test_reload_wait_answers_when_no_old_worker_accepts_any_more(start):
    s = start({"server": {"workers": 1, "stall_timeout": "1h"}}, ready=1)
    old, = s.workers()
    os.kill(old, signal.SIGSTOP)
    with Raw(s) as waiting:
        waiting.send(b"reload --wait\n")
        s.wait("generation 2 serves")
        status = s.status()
        assert (status["generation"], status["reload"]) == (2, None)
        os.kill(old, signal.SIGCONT)
        assert waiting.end()["exit"] == 0
    assert s.status()["reload"] == "done"
    wait_gone(old)


def test_after_reload_wait_nobody_meets_the_old_generation(server):
    for generation in range(2, 12):
        old = set(server.workers())
        server.control("reload", "--wait")
        assert {int(server.get("/pid").body) for _ in range(4)}.isdisjoint(old)


def test_reload_without_wait_tells_the_generation(server):
    mark = server.mark()
    assert server.control("reload") == "generation 2 is on trial\n"
    server.wait("generation 2 serves", after=mark)


@pytest.mark.parametrize("wait", [(), ("--wait",)])
def test_reload_of_a_broken_file_prints_the_mistake(server, wait):
    server.allow(r"server\.ini:", "reload failed")
    old = server.workers()
    server.file.write_text("[server]\nworkers = none\n")
    complaint = server.control("reload", *wait, status=1)
    assert "server.ini:2: [server] workers = none" in complaint
    status = server.status()
    assert status["reload"] == "failed"
    assert "server.ini:2: " in status["reload_reason"]
    assert (status["generation"], server.workers()) == (1, old)
    done = preforkctl("-c", server.file, "reload", "--wait")
    assert done.returncode == 1
    assert "server.ini:2: " in done.stderr


def test_reload_of_a_module_that_refuses_prints_its_own_words(server):
    server.allow("exited with status", "reload failed", "no moon")
    old = server.workers()
    server.configure({"app:probe": {
        "type": "module", "target": PROBE, "option.refuse": "no moon tonight"}})
    with Load(server) as load:
        load.more()
        complaint = server.control("reload", "--wait", status=1)
        load.more()
    assert load.failures == []
    assert complaint.startswith("preforkctl: reload failed: ")
    assert "no moon tonight" in complaint
    status = server.status()
    assert status["reload"] == "failed"
    assert "no moon tonight" in status["reload_reason"]
    assert (status["generation"], status["trial"]) == (1, None)
    assert server.workers() == old
    text = server.control("status")
    assert re.search(r"^its reason +.*no moon tonight", text, re.M)


def test_a_reload_that_another_one_overtakes_says_so(start, tmp_path):
    """The first one hangs: its module is a named pipe."""
    s = start({})
    hang = tmp_path / "hang.so"
    os.mkfifo(hang)
    s.configure({"app:probe": {"type": "module", "target": hang}})
    with Raw(s) as first, Raw(s) as second:
        first.send(b"reload --wait\n")
        s.wait("preforkctl reload --wait")
        assert s.status()["trial"] == 2
        s.configure({})
        second.send(b"reload --wait\n")
        end = first.end()
        assert end["exit"] == 1
        assert end["reason"] == "reload given up: another one came"
        assert second.end()["exit"] == 0
    assert s.status()["generation"] == 3


def test_hup_while_preforkctl_waits_is_heard(server):
    with Raw(server) as waiting:
        waiting.send(b"reload --wait\n")
        server.signal(signal.SIGHUP)
        waiting.end()
    server.wait("received SIGHUP")


# ---- scale -------------------------------------------------------------------

def test_scale_up_and_down_under_load_fails_no_request(server):
    with Load(server, connections=16) as load:
        load.more()
        for want in (6, 1, 4, 2):
            server.control("scale", want)
            while [server.status()[n] for n in ("alive", "ready")] != [want] * 2:
                load.more(20)
        load.stop()
    assert load.failures == []


def test_scale_survives_a_reload_until_workers_changes(server):
    assert server.control("scale", 3) == "workers: 3, from 2\n"
    server.control("reload", "--wait")
    assert server.status()["wanted"] == 3
    server.configure({"server": {"workers": 1}})
    server.control("reload", "--wait")
    assert server.status()["wanted"] == 1


@pytest.mark.parametrize("n", ["0", "1025", "-1", "x", "2x", "", None,
                               "99999999999999999999999"])
def test_scale_wants_a_number(server, n):
    server.control("scale", *([] if n is None else [n]), status=2)
    assert server.status()["wanted"] == 2


# ---- the command line ----------------------------------------------------------

@pytest.mark.parametrize("args", [
    (), ("frobnicate",), ("-x", "status"), ("-s",), ("status", "now"),
    ("reload", "--wiat"), ("stop", "now"), ("-s", "a", "-c", "b", "status"),
    ("scale", "1 2"), ("scale", "1\n2"), ("scale", "1" * 5000)], ids=range(11))
def test_a_wrong_command_line_shows_the_usage(server, args):
    if args and args[0] not in ("-x", "-s"):
        args = ("-s", server.socket, *args)
    done = preforkctl(*args)
    assert done.returncode == 2
    assert "usage: " in done.stderr
    assert done.stdout == ""


def test_help_and_version():
    done = preforkctl("--help")
    assert done.returncode == 0
    for word in ("-s", "--json", "status", "workers", "reload [--wait]",
                 "reopen", "scale N", "stop [--now]"):
        assert word in done.stdout
    done = preforkctl("-V")
    assert (done.returncode, done.stdout[:11]) == (0, "preforkctl ")


def test_c_finds_the_socket_of_a_configuration(start, tmp_path):
    (tmp_path / "home").mkdir()
    s = start({"server": {"chdir": tmp_path / "home"},
               "admin": {"control": "here.ctl"}})
    done = preforkctl("-c", s.file, "--json", "status")
    assert json.loads(done.stdout.splitlines()[0])["pid"] == s.pid
    assert (tmp_path / "home/here.ctl").exists()


def test_no_server_is_status_3(tmp_path, start):
    done = preforkctl("-s", tmp_path / "none.ctl", "status")
    assert done.returncode == 3
    assert "no server at" in done.stderr
    s = start({"admin": {"control": "off"}})
    assert not s.socket.exists()
    s.control("status", status=3)
    done = preforkctl("-c", s.file, "status")
    assert done.returncode == 1
    assert "off" in done.stderr


# ---- whose socket --------------------------------------------------------------

def test_the_socket_is_its_owners_alone(server):
    st = server.socket.stat()
    assert stat.S_IMODE(st.st_mode) == 0o600
    assert st.st_uid == os.getuid()
    want = 0o755 if os.getuid() == 0 else 0o700
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == want


class Ordinary:
    """An account without privileges, and programs that it may read."""

    def __init__(self, path):
        root = os.getuid() == 0
        wrap = NOBODY if root else ()
        self.dir = pathlib.Path(path)
        self.prefork = (*wrap, shutil.copy(prefork.BINARY, path))
        self.preforkctl = (*wrap, shutil.copy(prefork.CONTROL, path))
        self.sections = {"app:probe": {
            "type": "module", "target": shutil.copy(PROBE, path)}}
        self.run = self.dir / "run"
        self.run.mkdir()
        self.env = {"XDG_RUNTIME_DIR": self.run}
        if root:
            self.dir.chmod(0o755)
            shutil.chown(self.run, 65534)

    def how(self):
        """For start()."""
        return {"tmp": self.dir, "program": self.prefork, "env": self.env,
                "runtime_dir": False}

    def ask(self, *args):
        return preforkctl(*args, program=self.preforkctl, env=self.env)


@pytest.fixture
def ordinary():
    with tempfile.TemporaryDirectory() as path:
        yield Ordinary(path)


@root
def test_another_account_is_refused_whatever_the_mode(start, ordinary):
    s = start({"admin": {"control": ordinary.dir / "open.ctl"}})
    s.allow("uid 65534 is refused")
    s.socket = ordinary.dir / "open.ctl"
    denied = ordinary.ask("-s", s.socket, "stop")
    assert denied.returncode == 1
    assert "Permission denied" in denied.stderr
    s.socket.chmod(0o666)
    refused = ordinary.ask("-s", s.socket, "stop")
    assert refused.returncode == 1
    assert "only root and the account of the server" in refused.stderr
    assert s.status()["state"] == "serving"


@root
def test_a_socket_of_a_stranger_is_not_asked(ordinary):
    path = str(ordinary.dir / "trap.ctl")
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind(path)
        os.chmod(path, 0o666)
        os.seteuid(1)
        trap.listen()
        os.seteuid(0)
        done = ordinary.ask("-s", path, "status")
    assert done.returncode == 1
    assert "another user's" in done.stderr


def test_an_ordinary_server_answers_its_account_and_root(start, ordinary):
    s = start(ordinary.sections, **ordinary.how())
    s.socket = ordinary.run / "prefork/prefork.ctl"
    assert stat.S_IMODE(s.socket.parent.stat().st_mode) == 0o700
    done = ordinary.ask("--json", "status")
    assert json.loads(done.stdout.splitlines()[0])["pid"] == s.pid
    assert s.status()["pid"] == s.pid


def test_of_two_servers_with_default_paths_the_first_has_it(start, ordinary):
    first = start(ordinary.sections, **ordinary.how())
    second = start(ordinary.sections, **ordinary.how())
    second.allow("no control socket")
    second.wait(r"no control socket.*prefork/prefork\.ctl.*in use")
    assert second.get("/pid").status == 200
    second.stop()
    done = ordinary.ask("--json", "status")
    assert json.loads(done.stdout.splitlines()[0])["pid"] == first.pid


def test_a_default_directory_that_others_may_write_to_is_left(start, ordinary):
    where = ordinary.run / "prefork"
    where.mkdir()
    if os.getuid() == 0:
        shutil.chown(where, 65534)
    where.chmod(0o777)
    s = start(ordinary.sections, **ordinary.how())
    s.allow("no control socket")
    s.wait("no control socket")
    assert s.get("/pid").status == 200
    assert list(where.iterdir()) == []


# ---- the path --------------------------------------------------------------------

def test_a_stale_socket_is_replaced(server, start):
    server.allow("the master is gone")
    workers = server.workers()
    server.signal(signal.SIGKILL)
    server.stopped = True
    for pid in workers:
        wait_gone(pid)
    server.process.wait(PATIENCE)
    assert server.socket.exists()
    again = start({"server": {"runtime_dir": server.socket.parent}},
                  runtime_dir=False)
    again.socket = server.socket
    assert again.status()["pid"] == again.pid


def test_a_chosen_path_in_use_ends_the_start(server):
    done = run("-c", server.file, "-o",
               f"server.runtime_dir={server.socket.parent}")
    assert done.returncode == 1
    assert "no control socket" in done.stderr
    assert str(server.socket) in done.stderr
    assert server.status()["pid"] == server.pid


def test_a_chosen_directory_that_cannot_be_made_ends_the_start(server):
    done = run("-c", server.file, "-o", "server.runtime_dir=/nonexistent/run")
    assert done.returncode == 1
    assert "/nonexistent/run" in done.stderr


def test_a_daemon_that_cannot_have_its_socket_tells_the_shell(server):
    done = run("-d", "-c", server.file, "-o",
               f"server.runtime_dir={server.socket.parent}")
    assert done.returncode == 1
    assert "no control socket" in done.stderr


def test_what_is_no_socket_stays(server, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("data")
    done = run("-c", server.file, "-o", f"admin.control={precious}")
    assert done.returncode == 1
    assert precious.read_text() == "data"


def test_a_reload_cannot_move_the_socket(server, tmp_path):
    server.allow(r"\[admin\] control")
    server.configure({"admin": {"control": tmp_path / "moved.ctl"}})
    server.control("reload", "--wait")
    server.wait(r"\[admin\] control = .*takes effect at the next")
    assert not (tmp_path / "moved.ctl").exists()
    assert server.status()["pid"] == server.pid


# ---- clients that misbehave --------------------------------------------------------

@pytest.mark.parametrize("request_, why", [
    (b"\n", "no verb"), (b"frobnicate\n", "no verb"), (b"status\0x\n", ""),
    (b" status\n", "no verb"), (b"status  \n", "usage"),
    (b"\xff\xfe\n", "no verb"), (b'{"verb":"status"}\n', "no verb"),
    (b"reload --wait --wait\n", "usage"), (b"x" * 4096, "too long"),
    (b"x" * 1_000_000 + b"\n", "too long")], ids=range(10))
def test_garbage_is_refused(server, request_, why):
    with Raw(server) as raw:
        try:
            raw.send(request_)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough
        end = raw.end()
    assert end["exit"] == 2
    assert why in end["reason"]
    assert server.status()["state"] == "serving"


def test_a_client_may_close_its_half_and_speak_slowly(server):
    with Raw(server) as raw:
        for byte in b"status\n":
            raw.send(bytes([byte]))
        raw.sock.shutdown(socket.SHUT_WR)
        assert raw.end()["exit"] == 0
    with Raw(server) as raw:
        raw.send(b"reload --wait\n").sock.shutdown(socket.SHUT_WR)
        assert raw.end()["exit"] == 0
    with Raw(server) as raw:
        raw.send(b"stat").sock.shutdown(socket.SHUT_WR)
        assert raw.rest() == b""


def test_a_silent_client_is_sent_away(server):
    with Raw(server) as raw:
        assert raw.rest() == b""  # the server closes, after 5 s
    server.fds_settle()


def test_a_hundred_silent_clients_keep_nobody_out(server):
    silent = [Raw(server) for _ in range(100)]
    assert server.status()["state"] == "serving"
    for raw in silent[50:]:
        try:
            raw.send(b"st")
        except BrokenPipeError:
            pass  # it had to make way
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait("generation 2 serves", after=mark)
    assert server.control("reload", "--wait") == "generation 3 serves\n"
    while len(server.workers()) > 2:
        pass  # the old generation goes, and then its channels
    server.fds_settle(more=16)
    assert server.get("/pid").status == 200
    server.stop(signal.SIGTERM)
    for raw in silent:
        assert raw.rest() == b""
        raw.sock.close()


@refuses_fds
def test_a_client_cannot_hold_up_the_master_with_a_socket(server):
    with Raw(server) as c, burdened(c.sock, b"status\n"):
        assert server.status()["ready"] == 2


def test_clients_that_vanish_leave_nothing(server):
    for request_ in (b"status\n", b"workers\n", b"stat", b"",
                     b"reload --wait\n"):
        with Raw(server) as raw:
            raw.send(request_)
    server.control("reload", "--wait")
    assert server.status()["state"] == "serving"
    server.fds_settle()


def test_waiting_clients_in_every_place_keep_signals_working(start, tmp_path):
    s = start({})
    s.allow("too many clients wait", "loading", "boot_timeout")
    hang = tmp_path / "hang.so"
    os.mkfifo(hang)
    s.configure({"app:probe": {"type": "module", "target": hang}})
    waiting = [Raw(s) for _ in range(16)]
    for i, raw in enumerate(waiting):
        raw.send(b"reload --wait\n")
        s.wait("preforkctl reload --wait", i + 1)
        if i > 0:
            assert waiting[i - 1].end()["reason"].endswith("another one came")
    s.stop(signal.SIGTERM)
    assert "are to stop" in waiting[-1].end()["reason"]
    for raw in waiting:
        raw.sock.close()
