"""Where prefork listens."""
import os
import re
import signal
import socket
import stat

import pytest

from load import Traffic
from prefork import LISTENING, PROBE, READY, Client, run
from testmods import burdened, refuses_fds


def addresses(server, n):
    server.wait(LISTENING, n)
    return [m[1] for m in server.matches(LISTENING)]


def test_several_addresses_serve_the_same(start, tmp_path):
    path = tmp_path / "s.sock"
    s = start({"server": {
        "bind": f"127.0.0.1:0, [::1]:0, unix:{path}"}})
    found = addresses(s, 3)
    v4 = int(re.search(r"127\.0\.0\.1:(\d+)", found[0])[1])
    v6 = int(re.search(r"\[::1\]:(\d+)", found[1])[1])
    for address in ("127.0.0.1", v4), ("::1", v6), str(path):
        with Client(address) as c:
            assert c.get("/pid").status == 200
    s.stop()
    assert not path.exists(), "the socket file goes with the server"


def test_a_unix_socket_has_the_mode_of_the_settings(start, tmp_path):
    path = tmp_path / "s.sock"
    start({"server": {"bind": f"unix:{path}", "socket_mode": "0600"}})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_stale_socket_file_is_replaced(start, tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    s = start({"server": {"bind": f"unix:{path}"}})
    assert s.get("/pid").status == 200


def test_a_socket_that_another_serves_is_left_alone(start, tmp_path):
    path = tmp_path / "s.sock"
    s = start({"server": {"bind": f"unix:{path}"}})
    done = run("-c", s.file)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert s.get("/pid").status == 200


def test_a_file_that_is_no_socket_is_left_alone(start, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    s = start({})
    done = run("-c", s.file, "-o", f"server.bind=unix:{path}")
    assert done.returncode == 1
    assert path.read_text() == "data"


def test_an_inherited_descriptor_is_served(start):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, address = listener.fileno(), listener.getsockname()
        s = start({"server": {"bind": f"fd://{fd}"}}, ready=0, pass_fds=(fd,))
        s.wait(READY, 2)
        with Client(address) as c:
            assert c.get("/pid").status == 200


@refuses_fds
@pytest.mark.parametrize("made_by", ["us", "another"])
def test_a_client_cannot_stop_a_worker_with_a_socket(start, tmp_path, made_by):
    """Once the worker closed what came with a request, and waited for it to be
    read."""
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        bind = f"unix:{path}"
        if made_by == "another":
            sock.bind(path)
            sock.listen()
            bind = f"fd://{sock.fileno()}"
        s = start({"server": {"bind": bind, "workers": 1}}, ready=0,
                  pass_fds=(sock.fileno(),))
        s.wait(READY)
        with Client(path) as c, burdened(
                c.sock, b"GET /pid HTTP/1.1\r\nHost: test\r\n\r\n"):
            with Client(path) as other:
                assert other.get("/pid").status == 200


@pytest.mark.parametrize("bind", ["127.0.0.1:99999", "nonsense", "unix:",
                                  "fd://2", "[::1:80"])
def test_a_wrong_address_is_refused(start, bind):
    s = start({})
    done = run("-t", "-c", s.file, "-o", f"server.bind={bind}")
    assert done.returncode == 1
    assert "-o" in done.stderr and "bind" in done.stderr


# ---- addresses that overlap --------------------------------------------------

@pytest.mark.parametrize("one, every", [("127.0.0.1", "0.0.0.0"),
                                        ("[::1]", "[::]")])
def test_a_reload_from_every_address_to_one_and_back(start, one, every):
    s = start({"server": {"bind": f"{every}:0"}})
    port = s.address[1]
    with Traffic(s, keep=8, single=8, pause=0.05,
                 address=(one.strip("[]"), port)) as t:
        for host in one, every, one:
            t.more()
            s.configure({"server": {"bind": f"{host}:{port}"}})
            s.control("reload", "--wait")
            assert [r["address"] for r in s.ask("status")[1:]] == \
                [f"{host}:{port}"]
        t.more()
        s.control("upgrade", "--wait")  # knows all that it needs of it
        t.more()
    assert t.failures == []
    s.fds_settle()


def test_a_trial_has_no_address_before_it_serves(start, tmp_path):
    s = start({"server": {"bind": "0.0.0.0:0"}})
    s.allow("reload failed", "exited with status 4")
    s.address, old = ("127.0.0.1", s.address[1]), s.workers()
    fifo = tmp_path / "open"
    os.mkfifo(fifo)
    s.configure({"server": {"bind": "127.0.0.1:%d" % s.address[1]},
                 "app:probe": {"type": "module", "target": PROBE,
                               "option.open": fifo}})
    s.signal(signal.SIGHUP)
    with open(fifo, "wb", buffering=0):  # a worker of generation 2 loads
        for _ in range(20):
            assert int(s.get("/pid").body) in old
    s.wait("reload failed")  # the end of the pipe meant that it may not
    for _ in range(20):
        assert int(s.get("/pid").body) in old
    s.fds_settle()


def test_an_address_that_another_program_has_is_refused(start):
    s = start({})
    s.allow("reload failed", "cannot listen")
    with socket.create_server(("127.0.0.1", 0)) as other:
        s.configure({"server": {"bind": "0.0.0.0:%d" % other.getsockname()[1]}})
        assert "Address already in use" in s.control("reload", status=1)
    assert s.get("/pid").status == 200


# ---- the end of a listener ---------------------------------------------------

@pytest.mark.parametrize("event", ["stop", "reload"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_who_comes_at_the_end_is_served_or_refused(start, tmp_path, kind,
                                                   event):
    """Never accepted by the kernel and then cut off."""
    path = tmp_path / "s.sock"
    other = "127.0.0.2:0" if kind == "tcp" else f"unix:{path}"
    s = start({"server": {"bind": f"127.0.0.1:0, {other}"}})
    port = addresses(s, 2)[1].rstrip("/").rpartition(":")[2]
    address = ("127.0.0.2", int(port)) if kind == "tcp" else str(path)
    with Traffic(s, keep=0, single=32, pause=0.002, address=address) as t:
        t.more(1000)
        if event == "stop":
            s.stop()
        else:
            s.configure({"server": {"bind": "127.0.0.1:0"}})
            s.control("reload", "--wait")
        t.failed(32)
        t.stop()
    assert set(t.kinds()) == {"refused"}, t.failures


def test_a_passed_socket_outlives_us(start):
    """Whoever passed it goes on with it, clients waiting."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        s = start({"server": {"bind": f"fd://{sock.fileno()}"}},
                  pass_fds=(sock.fileno(),), ready=0)
        s.wait(READY, 2)
        s.control("upgrade", "--wait")
        s.stop()
        with socket.create_connection(sock.getsockname()) as c:
            accepted, _ = sock.accept()
            with accepted:
                c.sendall(b"x")
                assert accepted.recv(1) == b"x"
