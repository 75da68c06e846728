"""Where prefork listens."""
import re
import socket
import stat

import pytest

from prefork import LISTENING, READY, Client, run


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


@pytest.mark.parametrize("bind", ["127.0.0.1:99999", "nonsense", "unix:",
                                  "fd://2", "[::1:80"])
def test_a_wrong_address_is_refused(start, bind):
    s = start({})
    done = run("-t", "-c", s.file, "-o", f"server.bind={bind}")
    assert done.returncode == 1
    assert "-o" in done.stderr and "bind" in done.stderr
