"""-d and the pidfile."""
import os
import re
import signal

import pytest

from prefork import PROBE, Client, ini, processes, run, wait_gone


@pytest.fixture
def daemon(tmp_path):
    """A detached server; ended whatever happens."""
    (tmp_path / "server.ini").write_text(ini({
        "server": {"bind": "127.0.0.1:0", "workers": 2,
                   "runtime_dir": tmp_path / "run", "pidfile": tmp_path / "pid"},
        "log": {"error": tmp_path / "error.log"},
        "app:probe": {"type": "module", "target": PROBE}}))
    done = run("-d", "-c", tmp_path / "server.ini")
    assert done.returncode == 0, done.stderr
    pid = int((tmp_path / "pid").read_text())
    yield pid
    if os.path.exists(f"/proc/{pid}"):
        os.kill(pid, signal.SIGTERM)
        wait_gone(pid)


def test_d_returns_when_it_serves(daemon, tmp_path):
    text = (tmp_path / "error.log").read_text()
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", text)[1])
    with Client(("127.0.0.1", port)) as c:
        assert c.get("/pid").status == 200
    state, parent, session = processes()[daemon]
    assert session not in (0, os.getsid(0)), "a session of its own"


def test_term_takes_the_pidfile_away(daemon, tmp_path):
    os.kill(daemon, signal.SIGTERM)
    wait_gone(daemon)
    assert not (tmp_path / "pid").exists()


def test_a_second_start_with_the_same_pidfile_is_refused(daemon, tmp_path):
    done = run("-c", tmp_path / "server.ini")
    assert done.returncode == 1
    text = done.stderr + (tmp_path / "error.log").read_text()
    assert "pid" in text
    assert int((tmp_path / "pid").read_text()) == daemon


def test_a_stale_pidfile_is_taken_over(start, tmp_path):
    (tmp_path / "pid").write_text("1\n")
    s = start({"server": {"pidfile": tmp_path / "pid"}})
    assert int((tmp_path / "pid").read_text()) == s.pid


def test_d_with_a_start_that_fails_says_so(tmp_path):
    (tmp_path / "server.ini").write_text(ini({
        "server": {"bind": "127.0.0.1:0", "runtime_dir": tmp_path / "run"},
        "app:probe": {"type": "module", "target": PROBE,
                      "option.refuse": "no moon"}}))
    done = run("-d", "-c", tmp_path / "server.ini")
    assert done.returncode == 4
    assert "no moon" in done.stderr
