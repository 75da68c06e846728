"""What a service manager is told, what it passes, and being PID 1."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from prefork import (BINARY, PATIENCE, PROBE, READY, Client, processes, run,
                     stat_of, wait_gone)

DEPLOY = pathlib.Path(__file__).parents[2] / "conf/deploy"
# systemd runs programs with the passed sockets from 3 on and their own PID.
PASS = 'LISTEN_PID=$$ exec "$0" "$@" %s'


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(name)
        self.sock.settimeout(PATIENCE)
        self.told = []
        self.env = {"NOTIFY_SOCKET": name.replace("\0", "@")}

    def next(self):
        """One message as a dict."""
        text = self.sock.recv(4096).decode()
        self.told.append(dict(line.split("=", 1)
                              for line in text.split("\n") if line))
        return self.told[-1]

    def until(self, key, value=None):
        """The next message with `key`; with that value, if one is given."""
        while True:
            m = self.next()
            if key in m and (value is None or re.search(value, m[key])):
                return m

    def rest(self):
        """All that has been said by now."""
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.next()
        return self.told


@pytest.fixture
def manager(tmp_path):
    """Asked for before `start`, so that it outlives the server."""
    m = Manager(str(tmp_path / "notify"))
    yield m
    m.sock.close()


def test_ready_is_said_when_the_workers_serve_and_not_before(manager,
                                                             start):
    s = start({"server": {"workers": 3}}, ready=3, env=manager.env)
    m = manager.until("READY")
    assert m == {"READY": "1",
                 "STATUS": "generation 1: 3 workers, 0 connections"}
    assert all("READY" not in t for t in manager.told[:-1])
    s.stop()
    m = manager.until("STOPPING")
    assert m["STOPPING"] == "1"
    assert m["STATUS"].startswith("stopping: 3 workers, ")
    assert all("READY" not in t for t in manager.rest()[1:])


def test_a_first_start_that_fails_is_never_ready(manager, start):
    s = start({"app:probe": {"type": "module", "target": PROBE,
                             "option.refuse": "no moon"}},
              ready=0, env=manager.env)
    s.allow("no moon")
    s.wait_exit(4)
    assert all("READY" not in t for t in manager.rest())


def test_an_abstract_socket_is_told_too(start, tmp_path):
    m = Manager(f"\0prefork-test-{os.getpid()}-{tmp_path.name}")
    s = start({}, env=m.env)
    assert m.until("READY")["READY"] == "1"
    s.stop()
    m.sock.close()


def test_a_reload_is_announced_and_its_end_too(manager, start):
    s = start({}, env=manager.env)
    manager.until("READY")
    before = time.monotonic_ns() // 1000
    s.signal(signal.SIGHUP)
    m = manager.until("RELOADING")
    after = time.monotonic_ns() // 1000
    assert before <= int(m["MONOTONIC_USEC"]) <= after
    assert "READY" not in m
    m = manager.until("READY")
    assert re.fullmatch(r"generation 2: \d+ workers, 0 connections",
                        m["STATUS"])


@pytest.mark.parametrize("broken", ["file", "app"])
def test_a_failed_reload_ends_too_and_the_status_says_why(manager, start,
                                                          broken):
    s = start({}, env=manager.env)
    s.allow("reload failed", "server.ini:2", "no moon")
    manager.until("READY")
    if broken == "file":
        s.file.write_text("[server]\nworkers = none\n")
    else:
        s.configure({"app:probe": {"type": "module", "target": PROBE,
                                   "option.refuse": "no moon"}})
    s.signal(signal.SIGHUP)
    manager.until("RELOADING")
    m = manager.until("READY")
    assert m["STATUS"].startswith(
        "generation 1: 2 workers, 0 connections; reload failed: ")
    assert ("server.ini:2" if broken == "file" else "no moon") in m["STATUS"]
    s.configure({})
    s.signal(signal.SIGHUP)
    manager.until("RELOADING")
    assert "failed" not in manager.until("READY")["STATUS"]


def test_winch_during_a_reload_ends_the_reload(manager, start):
    s = start({}, env=manager.env)
    manager.until("READY")
    old = s.workers()
    os.kill(s.pid, signal.SIGSTOP)  # both are there when it looks
    s.signal(signal.SIGHUP).signal(signal.SIGWINCH).signal(signal.SIGCONT)
    for pid in old:
        wait_gone(pid)
    names = [k for m in manager.rest() for k in m
             if k in ("READY", "RELOADING")]
    assert names[-1] == "READY" and names.count("RELOADING") <= 1


def test_the_status_follows_the_connections(manager, start):
    s = start({"server": {"workers": 1}}, ready=1, env=manager.env)
    manager.until("READY")
    with s.connect() as a, s.connect() as b:
        a.get("/pid")
        b.get("/pid")
        assert manager.until("STATUS", "2 conn") == {
            "STATUS": "generation 1: 1 worker, 2 connections"}
    assert manager.until("STATUS") == {
        "STATUS": "generation 1: 1 worker, 0 connections"}


def test_the_watchdog_is_fed_twice_in_its_time(manager, start):
    s = start({}, env={**manager.env, "WATCHDOG_USEC": "400000"})
    manager.until("READY")
    manager.until("WATCHDOG")
    begin = time.monotonic()
    for _ in range(5):
        manager.until("WATCHDOG")
    assert time.monotonic() - begin < (9 if PATIENCE > 30 else 2)
    assert s.get("/pid").status == 200


@contextlib.contextmanager
def held_back(start, tmp_path, env, **server):
    """A server whose worker serves, and whose next one waits for a byte."""
    fifo = tmp_path / "open"
    os.mkfifo(fifo)
    with open(fifo, "r+b", buffering=0) as both:
        both.write(b"x")
        s = start({"server": {"workers": 1, **server},
                   "app:probe": {"type": "module", "target": PROBE,
                                 "option.open": fifo}}, ready=1, env=env)
        yield s, both


def is_silent(manager, server):
    """No word of the watchdog, while the master's loop turns."""
    manager.rest()
    said = len(manager.told)
    for _ in range(50):
        server.status()
    silent = not any("WATCHDOG" in m for m in manager.rest()[said:])
    manager.sock.settimeout(PATIENCE)
    return silent


def test_no_worker_no_watchdog(manager, start, tmp_path):
    with held_back(start, tmp_path, {**manager.env, "WATCHDOG_USEC": "20000"}
                   ) as (s, go):
        s.allow("was killed by SIGKILL")
        manager.until("WATCHDOG")
        (worker,) = s.workers()
        os.kill(worker, signal.SIGSTOP)  # READY still, as far as anybody knows
        manager.until("WATCHDOG")
        os.kill(worker, signal.SIGKILL)
        s.wait("replaced in")
        assert is_silent(manager, s)
        go.write(b"x")
        s.wait(READY, 2)
        manager.until("WATCHDOG")


def test_a_worker_that_stands_still_does_not_feed_the_watchdog(
        manager, start, tmp_path):
    with held_back(start, tmp_path, {**manager.env, "WATCHDOG_USEC": "20000"},
                   stall_timeout="2s") as (s, go):
        s.allow("stands still", "moves again")
        manager.until("WATCHDOG")
        (worker,) = s.workers()
        os.kill(worker, signal.SIGSTOP)
        s.wait(rf"\({worker}\) stands still for")
        assert is_silent(manager, s)
        go.write(b"x")
        s.wait(READY, 2)
        manager.until("WATCHDOG")


def test_a_watchdog_for_another_process_is_not_ours(manager, start):
    s = start({}, env={**manager.env, "WATCHDOG_USEC": "1000",
                       "WATCHDOG_PID": "1"})
    with s.connect() as c:
        c.get("/pid")
        manager.until("STATUS", "1 conn")  # some seconds
    assert all("WATCHDOG" not in m for m in manager.told)


def test_more_time_is_asked_for_while_it_drains(manager, start, gate):
    s = start({"app:probe": {"type": "module", "target": PROBE,
                             **gate.option}}, env=manager.env)
    manager.until("READY")
    assert all("EXTEND_TIMEOUT_USEC" not in m for m in manager.told)
    with s.connect() as c:
        c.request("/gate")
        gate.entered()
        s.signal(signal.SIGTERM)
        manager.until("STOPPING")
        assert int(manager.until("EXTEND_TIMEOUT_USEC")[
            "EXTEND_TIMEOUT_USEC"]) > 4000000
        gate.open()
        assert c.response().body == b"through"
    s.wait_exit(0)


def test_workers_know_nothing_of_the_service_manager(manager, start):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        fd = sock.fileno()
        s = start({"server": {"bind": "fd://http"}}, ready=0, pass_fds=(fd,),
                  program=("bash", "-c", PASS % f"3<&{fd}", BINARY),
                  env={**manager.env, "WATCHDOG_USEC": "60000000",
                       "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"})
        s.wait(READY, 2)
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                     "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            with Client(sock.getsockname()) as c:
                assert c.get(f"/env?{name}").body == b"", name


def test_a_manager_that_is_gone_does_not_matter(manager, start):
    s = start({}, env=manager.env)
    s.allow("cannot notify the service manager")
    manager.sock.close()
    s.signal(signal.SIGHUP)
    s.wait("generation 2 serves")
    assert s.get("/pid").status == 200


def test_a_manager_that_does_not_listen_is_told_later(manager, start):
    manager.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                filler.sendto(b"X=1", manager.env["NOTIFY_SOCKET"])
        start({}, env=manager.env)
        assert manager.until("READY")["READY"] == "1"


# ---- socket activation ---------------------------------------------------


@contextlib.contextmanager
def passed(*sockets, program=BINARY):
    """Arguments of start() that pass these sockets, from 3 on."""
    fds = [s.fileno() for s in sockets]
    high = [os.dup(fd) for fd in fds]  # out of the way of 3, 4, ...
    while min(high) < 3 + len(fds):
        high = [os.dup(fd) for fd in high]
    redirect = " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, fd in enumerate(high))
    yield {"pass_fds": high,
           "program": ("bash", "-c", PASS % redirect, program)}


def test_a_passed_socket_is_used_for_its_address(start):
    with socket.create_server(("127.0.0.1", 0)) as sock, passed(sock) as how:
        address = sock.getsockname()
        s = start({"server": {"bind": "127.0.0.1:%d" % address[1]}},
                  env={"LISTEN_FDS": "1"}, **how)
        assert s.get("/pid").status == 200
        old = s.workers()
        s.signal(signal.SIGHUP)
        for pid in old:
            wait_gone(pid)
        assert s.get("/pid").status == 200
        s.stop()
        with Client(address):  # the socket lives on and queues
            pass


def test_clients_of_a_socket_for_both_families_are_counted_apart(start):
    """It names IPv4 clients ::ffff:127.0.0.2 and the like, which are all of one
    IPv6 network: once, they shared one limit."""
    with (socket.create_server(("::", 0), family=socket.AF_INET6,
                               dualstack_ipv6=True) as both,
          passed(both) as how):
        port = both.getsockname()[1]
        s = start({"server": {"bind": f"[::]:{port}",
                              "max_connections_per_ip": 1},
                   "proxy": {"trust": "127.0.0.9"}},
                  env={"LISTEN_FDS": "1"}, **how)
        s.allow("max_connections_per_ip")
        with contextlib.ExitStack() as stack:
            def connect(source):
                return stack.enter_context(
                    Client(("127.0.0.1", port), source=source))
            for last in range(2, 6):
                assert connect(f"127.0.0.{last}").get("/pid").status == 200
            assert connect("127.0.0.2").response().status == 503
            for _ in range(2):
                assert connect("127.0.0.9").get("/pid").status == 200
        s.wait(r"refused a connection of 127\.0\.0\.2: ")


def test_two_families_and_a_path_find_their_sockets(start, tmp_path):
    path = tmp_path / "s"
    with (socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
          socket.socket(socket.AF_UNIX) as unix):
        unix.bind(str(path))
        unix.listen()
        port = six.getsockname()[1]
        with passed(unix, six) as how:
            s = start({"server": {"bind": f"[::1]:{port}, unix:{path}"}},
                      env={"LISTEN_FDS": "2"}, **how)
            for address in (("::1", port), str(path)):
                with Client(address) as c:
                    assert c.get("/pid").status == 200
            s.stop()
        assert path.exists(), "its file is the manager's"


def test_a_socket_is_found_by_its_name(start):
    with (socket.create_server(("127.0.0.1", 0)) as a,
          socket.create_server(("127.0.0.1", 0)) as b, passed(a, b) as how):
        s = start({"server": {"bind": "fd://web"}}, ready=0,
                  env={"LISTEN_FDS": "2", "LISTEN_FDNAMES": "other:web"},
                  **how)
        s.allow(r"passed socket 3 \(\"other\"\)")
        s.wait(READY, 2)
        s.wait("passed socket 3")
        with Client(b.getsockname()) as c:
            assert c.get("/pid").status == 200


def test_a_name_that_nobody_passed_is_an_error(start):
    done = run("-c", start({}).file, "-o", "server.bind=fd://web")
    assert done.returncode == 1
    assert "fd://web: no socket of this name was passed" in done.stderr


def test_sockets_for_another_process_are_left_alone(start):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        done = run("-c", start({}).file, "-o", f"server.bind=127.0.0.1:{port}",
                   env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
        assert done.returncode == 1
        assert "Address already in use" in done.stderr


# ---- the units -----------------------------------------------------------


@pytest.mark.skipif(not shutil.which("systemd-analyze"),
                    reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    version = int(re.search(r"systemd (\d+)", subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True,
        check=True).stdout)[1])
    service = (DEPLOY / "prefork.service").read_text()
    service = service.replace("/usr/local/sbin/prefork", str(BINARY))
    if version < 253:  # as the comment in the unit tells the operator
        service = service.replace(
            "\nType=notify-reload\n",
            "\nType=notify\nExecReload=/bin/kill -HUP $MAINPID\n")
    (tmp_path / "prefork.service").write_text(service)
    shutil.copy(DEPLOY / "prefork.socket", tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no",
         tmp_path / "prefork.service", tmp_path / "prefork.socket"],
        capture_output=True, text=True, timeout=PATIENCE, check=False)
    ours = [line for line in done.stderr.splitlines() if "prefork" in line]
    assert ours == [] and done.returncode == 0, done.stderr


# ---- PID 1 ---------------------------------------------------------------

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")


def may_unshare():
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True,
                              timeout=PATIENCE, check=False).returncode == 0
    except FileNotFoundError:
        return False


needs_namespace = pytest.mark.skipif(
    not may_unshare(), reason="a PID namespace needs root")


@pytest.fixture
def init(start):
    """A server that is PID 1 of its namespace; .init is its PID out here."""
    s = start({}, program=(*UNSHARE, BINARY))
    s.wait("generation 1 serves")
    (s.init,) = [p for p, (_, parent, _) in processes().items()
                 if parent == s.pid]
    yield s
    if not s.stopped:
        os.kill(s.init, signal.SIGTERM)
        s.wait_exit(0)


@needs_namespace
def test_as_pid_1_it_stops_on_term(init):
    init.wait(r"\[info\] master \(1\)")
    assert init.get("/pid").status == 200
    os.kill(init.init, signal.SIGTERM)
    init.wait_exit(0)


@needs_namespace
def test_as_pid_1_it_reaps_orphans_and_judges_none_of_them(init):
    for how in ("exit 0", "exit 3", "kill -KILL $$"):
        mark = init.mark()
        with subprocess.Popen(
                ["nsenter", "-t", str(init.init), "-p", "-m", "sh", "-c",
                 f"exec 3<&0; sh -c 'read x <&3; {how}' &"],
                stdin=subprocess.PIPE) as parent:
            # the inner shell reads from our pipe, and its parent is gone
            orphans = set()
            deadline = time.monotonic() + PATIENCE
            while not orphans and time.monotonic() < deadline:
                orphans = {p for p, (_, ppid, _) in processes().items()
                           if ppid == init.init} - set(children(init))
            assert len(orphans) == 1
            (orphan,) = orphans
            parent.stdin.write(b"\n")
            parent.stdin.flush()
            wait_gone(orphan)
            while stat_of(orphan) and time.monotonic() < deadline:
                pass
            assert stat_of(orphan) is None, "still a zombie"
        assert init.log[mark:] == []
    assert init.get("/pid").status == 200


def children(server):
    """The workers, as seen out here."""
    return [p for p, (_, ppid, _) in processes().items()
            if ppid == server.init and b"prefork: worker" in
            pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]


@needs_namespace
def test_as_pid_1_it_replaces_a_worker_that_died(init):
    init.allow("was killed by SIGKILL")
    os.kill(children(init)[0], signal.SIGKILL)
    init.wait(READY, 3)
    assert init.get("/pid").status == 200
