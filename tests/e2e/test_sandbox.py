"""server.sandbox = yes: a worker that is no longer ours gets nowhere, and one
that is serves as before."""
import errno
import pathlib
import platform
import re
import socket
import subprocess

import pytest

from prefork import BINARY, READY, ROOT, SANITIZED, run
from test_privileges import probe, root  # noqa: F401
from testmods import handlers, module, status_of

built_with = "libseccomp" in subprocess.run(
    ["ldd", str(BINARY)], capture_output=True, text=True, check=True).stdout
sandbox = pytest.mark.skipif(
    not built_with or SANITIZED,
    reason="needs libseccomp; sanitizers make calls of their own")


@pytest.fixture
def inside(start, tmp_path):
    """A server with one worker, files, and a module that tries to get out."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/page").write_text("a page")
    (tmp_path / "spool").mkdir(mode=0o777)

    def begin(**server):
        s = start({"server": {"workers": 1, "sandbox": "yes", **server},
                   "http": {"body_dir": tmp_path / "spool"},
                   "app:files": {"type": "static",
                                 "target": tmp_path / "site"},
                   "app:sum": module("bigbody", "/sum"),
                   "app:escape": module("escape", "/escape", **{
                       "option.file": tmp_path / "site/new",
                       "option.socket": tmp_path / "other"})}, ready=1)
        return s
    return begin


def attempt(s, what):
    return s.get(f"/escape?{what}").body.decode()


def ends_the_worker(s, what, call):
    s.allow("SIGSYS")
    mark, victim = s.mark(), s.workers()[0]
    with s.connect() as c:
        c.request(f"/escape?{what}").closed()
    s.wait(rf"worker 0 \({victim}\) SIGSYS: the sandbox has no system call "
           rf"{call} \(\d+\)")
    s.wait(rf"app escape, GET /escape\?{what}, .*\(this thread\)")
    s.wait(rf"worker 0 \({victim}\) was killed by SIGSYS")
    s.wait(READY, after=mark)
    assert s.get("/page").body == b"a page"


@sandbox
@pytest.mark.parametrize("what, call", [
    ("exec", "execve"), ("fork", "clone"), ("connect", "socket"),
    ("signal", "kill"), ("ptrace", "ptrace"), ("code", "mmap"),
    ("owner", "fcntl"), ("datagram", "socketpair"), ("fastopen", "sendto"),
    ("fastopen_message", "sendmsg"), ("shutdown", "shutdown")])
def test_what_a_server_need_not_do_ends_the_worker(inside, what, call):
    ends_the_worker(inside(), what, call)


@sandbox
@pytest.mark.parametrize("what, call", [
    ("filter", "setsockopt"), ("blocking", "fcntl"),
    ("blocking_ioctl", "ioctl")])
def test_the_sandbox_keeps_listeners_as_they_are(inside, what, call):
    """They outlive the worker, in its siblings and in the master."""
    ends_the_worker(inside(), what, call)


@sandbox
def test_an_option_that_a_listener_hands_on_is_undone(inside):
    """That which a worker must be able to set, but for connections."""
    s = inside()
    assert attempt(s, "linger") == "0"
    with s.connect() as c:
        assert c.get("/page", Connection="close").body == b"a page"
        c.closed()


@sandbox
@pytest.mark.skipif(platform.machine() != "x86_64", reason="has no int 0x80")
def test_a_call_of_another_architecture_ends_more_than_its_thread(inside):
    s = inside().allow("SIGSYS")
    mark, victim = s.mark(), s.workers()[0]
    with s.connect() as c:
        c.request("/escape?int80").closed()
    s.wait(rf"worker 0 \({victim}\) was killed by SIGSYS")
    s.wait(READY, after=mark)
    assert s.get("/page").body == b"a page"


@sandbox
def test_files_outside_of_the_document_roots_are_refused(inside, tmp_path):
    s = inside()
    worker = s.workers()
    assert attempt(s, "passwd") == str(errno.EACCES)
    assert attempt(s, "write") == str(errno.EACCES)
    assert not (tmp_path / "site/new").exists()
    assert s.get("/page").body == b"a page"
    assert s.workers() == worker


@sandbox
def test_without_it_all_of_that_is_possible(inside, tmp_path):
    s = inside(sandbox="no")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "other"))
        for what in ("fork", "connect", "code", "passwd", "write", "thread",
                     "datagram"):
            assert attempt(s, what) == "0", what
        assert other.recv(9) == b"x"
    assert (tmp_path / "site/new").exists()


@sandbox
def test_a_module_may_have_threads(inside):
    s = inside()
    assert attempt(s, "thread") == "0"
    assert handlers(s.workers()[0]) <= 1


@sandbox
def test_all_threads_are_in_it(inside):
    s = inside(threads=4)
    assert attempt(s, "thread") == "0"
    for task in pathlib.Path(f"/proc/{s.workers()[0]}/task").iterdir():
        status = dict(x.split(":", 1) for x in
                      (task / "status").read_text().splitlines())
        assert int(status["Seccomp"]) == 2
        assert int(status["NoNewPrivs"]) == 1
    assert int(status_of(s.pid)["Seccomp"]) == 0, "the master is outside"


@sandbox
def test_workers_of_a_template_are_in_it(inside):
    s = inside(preload="yes")
    worker = int(s.matches(READY)[0][1])
    assert int(status_of(worker)["Seccomp"]) == 2
    assert int(status_of(worker)["NoNewPrivs"]) == 1
    assert attempt(s, "thread") == "0"
    assert attempt(s, "passwd") == str(errno.EACCES)


@sandbox
def test_a_long_body_is_spooled(inside):
    s = inside()
    body = b"x" * 300_000
    with s.connect() as c:
        assert c.get("/sum", "POST", body).body.split()[0] == b"300000"


@sandbox
def test_it_reloads_reopens_its_log_and_drains(inside, tmp_path):
    s = inside()
    mark = s.mark()
    s.control("reload", "--wait")
    s.wait(READY, after=mark)
    s.control("reopen")
    assert s.get("/page").status == 200
    s.stop()


@sandbox
def test_a_module_with_threads_before_the_sandbox_is_refused(start, tmp_path):
    s = start({"server": {"workers": 1, "sandbox": "yes"},
               "app:escape": module("escape", **{"option.early": 1})}, ready=0)
    s.allow("sandbox").wait_exit(3)
    s.wait("server.sandbox = yes: an application has started threads")


@root
@sandbox
def test_workers_of_another_account_are_in_it(start, probe):
    s = start({"server": {"user": "nobody", "sandbox": "yes"}, **probe})
    assert s.get("/ids").body.split()[0] != b"0"
    assert all(int(status_of(pid)["Seccomp"]) == 2 for pid in s.workers())


def test_python_is_refused(tmp_path):
    ini = tmp_path / "server.ini"
    ini.write_text("[server]\nsandbox = yes\n[app:py]\ntype = wsgi\n"
                   "target = a:b\n")
    done = run("-t", "-c", ini)
    assert done.returncode == 1
    assert re.search(r"server\.ini:2: \[server\] sandbox = yes: not with "
                     r"\[app:py\], which is type = wsgi", done.stderr)


@pytest.mark.skipif(built_with, reason="this prefork can")
def test_a_prefork_that_cannot_says_so(tmp_path):
    done = run("-t", "-o", "server.sandbox=yes", ROOT / "conf/site")
    assert done.returncode == 1
    assert "built without libseccomp" in done.stderr
