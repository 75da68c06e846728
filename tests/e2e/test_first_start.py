"""The first minutes with prefork: start it, mistype it, break it."""
import os
import re
import socket

import pytest

from prefork import BUILD, PROBE, ROOT, ini, run

HELLO = BUILD / "modules/hello.so"


def write(path, sections):
    path.write_text(ini(sections))
    return path


def test_the_address_is_printed_and_answers(server):
    assert server.get("/pid").status == 200


def test_the_shipped_server_ini_loads():
    done = run("-t", "-c", "conf/server.ini", cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_mistake_is_told_in_one_run(tmp_path):
    file = tmp_path / "server.ini"
    file.write_text("[server]\nworkres = 2\nbacklog = many\n[htpp]\nx = 1\n")
    done = run("-c", file)
    assert done.returncode == 1
    for line in (2, 3, 4):
        assert f"server.ini:{line}: " in done.stderr
    assert "workers" in done.stderr, "the nearest known name"


@pytest.mark.parametrize("kind", ["absent", "directory", "unreadable"])
def test_a_file_that_cannot_be_read_is_said(tmp_path, kind):
    file = tmp_path / "server.ini"
    if kind == "directory":
        file.mkdir()
    elif kind == "unreadable":
        file.symlink_to("server.ini")  # a loop: not even root can open it
    done = run("-c", file)
    assert done.returncode == 1
    assert "server.ini" in done.stderr


def test_an_address_in_use_ends_the_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = write(tmp_path / "server.ini", {
            "server": {"bind": f"127.0.0.1:{port}"},
            "app:a": {"type": "module", "target": PROBE}})
        done = run("-c", file)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "in use" in done.stderr


@pytest.mark.parametrize("app, why", [
    ({"target": "/nonexistent.so"}, "nonexistent"),
    ({"target": PROBE, "option.refuse": "no moon tonight"}, "no moon tonight"),
])
def test_an_app_that_cannot_load_ends_the_start(tmp_path, app, why):
    file = write(tmp_path / "server.ini", {
        "server": {"bind": "127.0.0.1:0"},
        "app:a": {"type": "module", **app}})
    done = run("-c", file)
    assert done.returncode == 4
    assert why in done.stderr
    done = run("-t", "-c", file)
    assert done.returncode == 4
    assert why in done.stderr


@pytest.mark.parametrize("args", [("-x",), ("-o",), ("a", "b"), ("-c",)])
def test_a_wrong_command_line_shows_the_usage(args):
    done = run(*args)
    assert done.returncode == 2
    assert "usage:" in done.stderr.lower()


def test_help_and_version():
    done = run("-h")
    assert done.returncode == 0
    assert "usage:" in done.stdout.lower()
    for option in "-c", "-t", "-T", "-o", "-d", "-V", "-h":
        assert option in done.stdout
    done = run("-V")
    assert done.returncode == 0
    assert re.match(r"prefork \d+\.\d+\.\d+", done.stdout)


def test_t_says_that_a_good_file_is_good_and_starts_nothing(tmp_path):
    file = write(tmp_path / "server.ini", {
        "server": {"bind": "127.0.0.1:0", "pidfile": tmp_path / "pid"},
        "app:a": {"type": "module", "target": PROBE}})
    done = run("-t", "-c", file)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "pid").exists()


def test_T_prints_each_value_and_where_it_came_from(tmp_path):
    file = write(tmp_path / "server.ini", {
        "server": {"workers": 3},
        "app:a": {"type": "module", "target": PROBE}})
    done = run("-T", "-c", file, "-o", "http.max_headers=7",
               env={"PORT": "8765"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()

    def line(key):
        return next(x for x in lines if re.match(rf"\s*{key}\s*=", x))
    assert "3" in line("workers") and "server.ini:2" in line("workers")
    assert "7" in line("max_headers") and "-o" in line("max_headers")
    assert "0.0.0.0:8765" in line("bind") and "PORT" in line("bind")
    assert "default" in line("backlog")


def test_what_T_prints_loads_again(tmp_path):
    file = write(tmp_path / "server.ini", {
        "app:a": {"type": "module", "target": PROBE}})
    again = tmp_path / "again.ini"
    again.write_text(run("-T", "-c", file).stdout)
    done = run("-T", "-c", again)
    assert done.returncode == 0, done.stderr


def test_a_directory_is_a_target(start, tmp_path):
    site = tmp_path / "public"
    site.mkdir()
    (site / "index.html").write_text("<p>here")
    s = start(args=("-o", "server.bind=127.0.0.1:0", "-o", "server.workers=2",
                    site))
    assert s.get("/").body == b"<p>here"


def test_a_shared_object_is_a_target(start):
    s = start(args=("-o", "server.bind=127.0.0.1:0", "-o", "server.workers=2",
                    HELLO))
    assert s.get("/").status == 200


def test_a_module_of_ours_is_found_by_its_name(start):
    s = start({"app:h": {"type": "module", "target": "hello.so"}})
    assert s.get("/").status == 200


def test_PORT_and_WEB_CONCURRENCY_are_the_defaults(start):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    s = start(args=(HELLO,), ready=3,
              env={"PORT": str(port), "WEB_CONCURRENCY": "3"})
    assert s.address == ("0.0.0.0", port)
    assert len(s.workers()) == 3
    s.address = ("127.0.0.1", port)
    assert s.get("/").status == 200


def test_the_working_directory_and_the_environment_are_set(start, tmp_path):
    (tmp_path / "home").mkdir()
    s = start({"server": {"chdir": tmp_path / "home", "env.COLOUR": "blue"}})
    assert s.get("/cwd").body.decode() == os.path.realpath(tmp_path / "home")
    assert s.get("/env?COLOUR").body == b"blue"


def test_two_starts_share_no_address(tmp_path, server):
    done = run("-c", tmp_path / "server.ini", "-o",
               f"server.bind=127.0.0.1:{server.address[1]}")
    assert done.returncode == 1
    assert server.get("/pid").status == 200
