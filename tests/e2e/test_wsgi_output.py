"""What an application prints: whole lines, in the error log."""
import collections
import concurrent.futures
import os
import re
import signal

import pytest

from prefork import until
from wsgi import Web, app

NAMES = [f"n{i}" for i in range(8)]


# ---- what comes out (24) -----------------------------------------------------

@pytest.mark.parametrize("text", ["plain", "\xe9\u20ac\U0001f600"])
def test_each_way_to_print_is_a_line_of_the_log(web, text):
    mark = web.server.mark()
    assert web.get("prints", text=text).body == b"printed"
    for line in (f"errors {text}", f"lines {text}", f"more {text}",
                 f"stdout {text}", f"stderr {text}"):
        web.server.wait(f"^{line}$", after=mark)
    web.server.wait(f"INFO app {text}", after=mark)
    web.server.wait(f"UserWarning: {text}")


def test_bytes_are_no_text(bare):
    assert bare.get("prints_bytes").body == repr(["TypeError"] * 2).encode()


def test_lines_of_many_threads_are_whole(web):
    mark = web.server.mark()
    web.get("prints_at_once", names=",".join(NAMES))
    web.server.wait(r"^<n\d", 40 * len(NAMES), after=mark)
    lines = [x for x in web.server.log[mark:] if x.startswith("<")]
    want = {f"<{n} " + " ".join(map(str, range(50))) + ">" for n in NAMES}
    bad = [x for x in lines if x.replace(" >", ">") not in want]
    assert bad == []
    assert collections.Counter(re.match(r"<\w+", x)[0] for x in lines) == {
        f"<{n}": 40 for n in NAMES}


def test_tracebacks_are_whole_and_below_the_line_of_their_request(web):
    mark = web.fails("exception in the application")

    def fail(n):
        with web.connect() as c:
            for m in range(5):
                c.get(web.target("fails", id=f"n{n}{m}"))

    with concurrent.futures.ThreadPoolExecutor(len(NAMES)) as pool:
        list(pool.map(fail, range(len(NAMES))))
    web.server.wait("LookupError: on purpose: n", 5 * len(NAMES), after=mark)
    text = "\n".join(web.server.log[mark:])
    for n in range(len(NAMES)):
        for m in range(5):
            assert re.search(
                rf"GET \S*fails\?id=n{n}{m}: exception in the application\n"
                r"Traceback \(most recent call last\):\n(  .*\n)+"
                rf"LookupError: on purpose: n{n}{m}", text), text


def test_an_exception_with_bytes_of_a_request_forges_no_line(web):
    mark = web.fails("exception in the application", "forged$")
    forged = "2026-01-01 00:00:00.000 +0000 [error] worker 0 (1): forged"
    web.get("fails", id=f"a\r\x1b[31m\x9b\x00\n{forged}\nend\tend")
    web.server.wait(r"^  2026-01-01 .* forged$", after=mark)
    web.server.wait("^end\tend$", after=mark)
    assert web.server.wait("on purpose: a", after=mark).string == (
        r"LookupError: on purpose: a\x0d\x1b[31m\x9b\x00")


def test_tracebacks_of_many_threads_are_whole(wsgi_servers):
    web = Web(wsgi_servers.get(8), wsgi_servers.address(8, False), 8)
    mark = web.fails("exception in the application")
    clients = [web.connect() for _ in range(8)]
    for i, c in enumerate(clients):
        for n in range(10):
            c.request(web.target("fails", id=f"c{i}-{n}"))
    for c in clients:
        for n in range(10):
            assert c.response().status == 500
        c.sock.close()
    web.server.wait("^LookupError: on purpose: c", 80, after=mark)
    inside = False
    for line in web.server.log[mark:]:
        if line.startswith("Traceback"):
            assert not inside
            inside = True
        elif line.startswith("LookupError"):
            assert inside
            inside = False
        else:
            assert inside == line.startswith("  "), line


def test_a_report_does_not_depend_on_sys_stderr(wsgi_servers):
    web = Web(wsgi_servers.get(1), wsgi_servers.address(1, False), 1)
    mark = web.fails("exception in the application")
    assert web.get("redirected").status == 500
    assert web.get("restored").status == 200
    web.server.wait("LookupError: without sys.stderr", after=mark)


# ---- where it goes -----------------------------------------------------------

@pytest.fixture
def logged(start, tmp_path):
    """A server with a file as its error log, and how to reach it."""
    path = tmp_path / "socket"
    s = start({"server": {"workers": 1, "threads": 8, "bind": f"unix:{path}"},
               "log": {"error": tmp_path / "error.log"}, "app:a": app()},
              ready=0)
    until(lambda: (tmp_path / "error.log").exists()
          and "ready" in (tmp_path / "error.log").read_text())
    return s, Web(s, str(path), 8)


def goes_to(server, path):
    """Until the output of the worker goes there."""
    pid, = server.workers()
    until(lambda: os.readlink(f"/proc/{pid}/fd/2") == str(path)
          and os.readlink(f"/proc/{pid}/fd/1") == str(path))


def test_after_a_reopen_it_goes_to_the_new_file(logged, tmp_path):
    s, web = logged
    log, old = tmp_path / "error.log", tmp_path / "error.log.1"
    web.get("prints", text="sooner")
    log.rename(old)
    s.signal(signal.SIGUSR1)
    goes_to(s, log)
    web.get("prints_at_once", names=",".join(NAMES))
    web.get("prints", text="later")
    text = log.read_text()
    for line in ("errors later", "stdout later", "stderr later",
                 "INFO app later"):
        assert f"\n{line}\n" in text
    assert "\nstderr sooner\n" in old.read_text()
    assert "later" not in old.read_text()
    s.stop()
    lines = [x for x in text.splitlines() if x.startswith("<n")]
    assert len(lines) == 8 * 40
    assert all(x.endswith(">") for x in lines)


def test_a_full_disk_loses_lines_and_no_request(logged, tmp_path):
    s, web = logged
    log = tmp_path / "error.log"
    log.rename(tmp_path / "error.log.1")
    log.symlink_to("/dev/full")
    s.signal(signal.SIGUSR1)
    goes_to(s, "/dev/full")
    for n in range(3):
        assert web.get("prints", text="lost").status == 200
        assert web.get("fails", id="lost").status == 500
    log.unlink()
    s.signal(signal.SIGUSR1)
    goes_to(s, log)
    assert web.get("prints", text="found").status == 200
    assert "\nstderr found\n" in log.read_text()
