"""prefork-python3.N: prefork with libpython linked in, where it is installed."""
import os
import pathlib
import shutil
import socket
import sys

import pytest

from prefork import BINARY, BUILD, PROBE, READY, SANITIZED, Client, run
from test_systemd import passed
from test_upgrade import upgrade
from upgrades import only_generation

MODULE = "python%d.%d.so" % sys.version_info[:2]
LINKED = BUILD / ("prefork-" + MODULE.removesuffix(".so"))
APP = """
import contextvars  # an extension module, which needs the symbols of libpython
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ.get("PREFORK_PROGRAM", "nothing").encode()]
"""

pytestmark = pytest.mark.skipif(
    not LINKED.exists() and (SANITIZED or "PREFORK_CI" not in os.environ),
    reason="built with sanitizers, or without an archive of libpython")


class Installed:
    """A directory with prefork, the one with Python, and the modules."""

    def __init__(self, place, linked=True):
        self.place = place
        self.program = place / "prefork"
        self.linked = place / LINKED.name
        self.modules = place / "modules"
        self.modules.mkdir(parents=True)
        shutil.copy(BINARY, self.program)
        for name in MODULE, "python3.so":
            shutil.copy(BUILD / "modules" / name, self.modules,
                        follow_symlinks=False)
        if linked:
            self.add_linked()

    def add_linked(self):
        shutil.copy(LINKED, self.linked)


def python(target="hello:app", **app):
    return {"app:hello": {"type": "wsgi", "target": target, **app}}


def program_of(pid):
    return pathlib.Path(os.readlink(f"/proc/{pid}/exe"))


def maps_libpython(pid):
    return "/libpython3" in pathlib.Path(f"/proc/{pid}/maps").read_text()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "hello.py").write_text(APP)
    return tmp_path


def test_python_runs_in_the_program_that_has_it_linked_in(start, place):
    s = start(python())
    for pid in (s.pid, *s.workers()):
        assert program_of(pid) == LINKED
        assert not maps_libpython(pid)
        name = pathlib.Path(f"/proc/{pid}/comm").read_text()
        assert name == "prefork\n"
    assert s.get("/").body == b"nothing", "the application sees no trace of it"


def test_what_needs_no_python_runs_in_prefork_itself(start):
    s = start({})
    assert program_of(s.pid) == BINARY


def test_without_that_program_the_module_is_loaded(start, place):
    installed = Installed(place / "lib", linked=False)
    s = start(python(), program=(installed.program,))
    assert program_of(s.pid) == installed.program
    assert all(map(maps_libpython, s.workers()))
    assert s.get("/").body == b"nothing"


def test_a_test_of_the_configuration_runs_where_the_server_would(place):
    (place / "hello.py").write_text(
        "import os, sys\nsys.exit(os.readlink('/proc/self/exe'))\n")
    done = run("-t", "hello:app", cwd=place)
    assert done.returncode != 0
    assert str(LINKED) in done.stdout + done.stderr


def test_a_reload_that_brings_python_loads_the_module(start, place):
    s = start({})
    s.configure(python())
    s.control("reload", "--wait")
    assert s.get("/").body == b"nothing"
    assert program_of(s.pid) == BINARY
    only_generation(s, 2)
    assert all(map(maps_libpython, s.workers()))


def test_a_reload_cannot_bring_another_python(start, place):
    installed = Installed(place / "lib")
    shutil.copy(installed.modules / MODULE, installed.modules / "python3.99.so")
    venv = place / "venv"
    venv.mkdir()
    (venv / "pyvenv.cfg").write_text("version = 3.99.1\n")
    s = start(python(), program=(installed.program,))
    s.allow("exited with status 4", "reload failed", "another Python")
    old = s.workers()
    s.configure(python(venv=venv))
    said = s.control("reload", "--wait", status=1)
    assert ("python3.99.so: this process has another Python: it takes a "
            "restart, or preforkctl upgrade") in said
    assert s.workers() == old
    assert s.get("/").body == b"nothing"


def test_an_upgrade_finds_the_program_that_suits_the_configuration(start,
                                                                   place):
    """From prefork itself to the other one and back."""
    installed = Installed(place / "lib", linked=False)
    s = start({}, program=(installed.program,))
    assert program_of(s.pid) == installed.program
    installed.add_linked()
    s.configure(python())
    upgrade(s)
    assert program_of(s.pid) == installed.linked
    assert s.get("/").body == b"nothing"
    upgrade(s)
    assert program_of(s.pid) == installed.linked
    installed.linked.unlink()
    s.configure({"app:probe": {"type": "module", "target": PROBE}})
    upgrade(s)
    assert program_of(s.pid) == installed.program
    assert s.get("/pid").status == 200


def test_sockets_that_are_passed_survive_the_change_of_program(start, place):
    with socket.create_server(("127.0.0.1", 0)) as sock, passed(sock) as how:
        s = start({"server": {"bind": "fd://http"}, **python()}, ready=0,
                  env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}, **how)
        s.wait(READY, 2)
        assert program_of(s.pid) == LINKED
        with Client(sock.getsockname()) as c:
            assert c.get("/").body == b"nothing"
