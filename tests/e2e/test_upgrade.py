"""USR2: another program takes over, or nothing changes."""
import os
import shutil
import signal
import socket

import pytest

from load import Traffic
from prefork import BRIEF, PROBE, READY, Client, run, stat_of, wait_gone
from test_systemd import Manager, passed
from upgrades import FOREIGN, NEWER, TAKEN, held, only_generation, slow_test


def upgrade(server, workers=2, times=1):
    """Until the new program's own generation serves alone."""
    for _ in range(times):
        old, mark = server.workers(), server.mark()
        server.signal(signal.SIGUSR2)
        taken = server.wait(TAKEN, after=mark)
        server.wait(READY, workers, after=mark)
        server.wait(r"reload: generation \d+ serves", after=mark)
        for pid in old:
            wait_gone(pid)
    return taken


def refused(server, *why):
    """USR2, and the log says why nothing has changed."""
    server.allow("upgrade failed", "upgrade: ", "no upgrade")
    old, mark = server.workers(), server.mark()
    server.signal(signal.SIGUSR2)
    server.wait("upgrade failed: ", after=mark)
    for pattern in why:
        server.wait(pattern, after=mark)
    assert server.workers() == old
    assert server.get("/pid").status == 200
    server.fds_settle()


def test_a_newer_version_takes_over_in_the_same_process(start, program,
                                                        tmp_path):
    path = tmp_path / "s.sock"
    s = start({"server": {"bind": f"127.0.0.1:0, unix:{path}",
                          "pidfile": tmp_path / "pid"}},
              program=(program.path,))
    inode = path.stat().st_ino
    address = s.address
    program.put(NEWER)
    taken = upgrade(s)
    assert taken[1] == "0.99.0" and taken[2] != "0.99.0"
    assert taken[3] == "2"
    assert s.matches(r"a new scoreboard")
    assert int((tmp_path / "pid").read_text()) == s.pid
    assert len(s.workers()) == 2
    assert path.stat().st_ino == inode
    for where in address, str(path):
        with Client(where) as c:
            assert c.get("/pid").status == 200
    s.fds_settle()
    done = run("-c", s.file, "-o", f"server.bind=unix:{tmp_path}/other")
    assert done.returncode == 1 and "already running" in done.stderr
    s.stop()
    assert not path.exists() and not (tmp_path / "pid").exists()


def test_ten_upgrades_under_load_fail_no_request(start, program):
    s = start({}, program=(program.path,))
    with Traffic(s) as t:
        t.more()
        upgrade(s, times=10)
        t.more()
    assert t.stop().failures == []
    assert len(s.workers()) == 2
    s.fds_settle()
    assert len(s.matches(TAKEN)) == 10
    assert not s.matches("a new scoreboard")


def test_requests_in_flight_are_finished_by_the_old_workers(start, program,
                                                            gate):
    s = start({"app:probe": {"type": "module", "target": PROBE,
                             **gate.option}}, program=(program.path,))
    old = s.workers()
    with s.connect() as c:
        c.request("/gate")
        gate.entered()
        mark = s.mark()
        s.signal(signal.SIGUSR2)
        s.wait(r"reload: generation 2 serves", after=mark)
        gate.open()
        assert c.response().body == b"through"
    for pid in old:
        wait_gone(pid)
    assert s.get("/pid").status == 200


def test_a_relative_name_is_found_again(start, program, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    s = start({"server": {"chdir": tmp_path / "elsewhere"}},
              program=("./prefork",))
    upgrade(s)
    assert s.get("/cwd").body.decode() == str(tmp_path / "elsewhere")


def test_a_link_to_another_version_is_followed(start, program, tmp_path):
    shutil.copy(NEWER, tmp_path / "prefork-0.99")
    (tmp_path / "current").symlink_to("prefork")
    s = start({}, program=(tmp_path / "current",))
    (tmp_path / "new").symlink_to("prefork-0.99")
    (tmp_path / "new").rename(tmp_path / "current")
    assert upgrade(s)[1] == "0.99.0"


def test_options_and_target_go_along(start, program, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<title>here</title>")
    s = start(args=("-o", "server.bind=127.0.0.1:0", "-o", "server.workers=1",
                    "site"), ready=1, program=(program.path,))
    upgrade(s, workers=1)
    assert b"here" in s.get("/").body


def test_a_value_longer_than_a_line_of_a_file_goes_along(start, program,
                                                         tmp_path):
    site = tmp_path.joinpath(*["d" * 60] * 4)
    site.mkdir(parents=True)
    (site / "index.html").write_text("<title>deep</title>")
    s = start(args=("-o", "server.bind=127.0.0.1:0", "-o", "server.workers=1",
                    site), ready=1, program=(program.path,))
    upgrade(s, workers=1)
    assert b"deep" in s.get("/").body


def test_what_ttin_did_stays(start, program):
    s = start({}, program=(program.path,))
    s.signal(signal.SIGTTIN).wait(READY, 3)
    upgrade(s, workers=3)
    assert len(s.workers()) == 3


def test_without_workers_it_stays_without(start, program):
    s = start({}, program=(program.path,))
    old = s.workers()
    s.signal(signal.SIGWINCH)
    for pid in old:
        wait_gone(pid)
    s.wait(r"worker \d+ \(\d+\) exited", 2)
    program.put(NEWER)
    s.signal(signal.SIGUSR2)
    assert s.wait(TAKEN)[3] == "0"
    assert s.workers() == []
    mark = s.mark()
    s.signal(signal.SIGHUP)
    s.wait(READY, 2, after=mark)
    assert s.get("/pid").status == 200


# ---- programs that cannot ------------------------------------------------


@pytest.mark.parametrize("text, why", [
    ("echo no luck >&2; exit 1", ("no luck", "exited with status 1")),
    ("exit 0", ("does not know how to take over",)),
    ("kill -SEGV $$", ("was killed by SIGSEGV",)),
    ("exit 4", ("exited with status 4",)),
])
def test_a_program_that_fails_its_test_changes_nothing(start, program, text,
                                                       why):
    s = start({}, program=(program.path,))
    program.put_script(text)
    refused(s, *why)
    program.put(NEWER)
    assert upgrade(s)[1] == "0.99.0"


def test_a_file_that_cannot_be_run_changes_nothing(start, program):
    s = start({}, program=(program.path,))
    program.put_script("exit 0", mode=0o644)
    refused(s, "cannot run .*prefork: Permission denied")
    program.path.unlink()
    refused(s, "cannot run .*prefork: No such file")


def test_a_program_that_cannot_read_our_state_changes_nothing(start, program):
    s = start({}, program=(program.path,))
    program.put(FOREIGN)
    refused(s, "cannot take over: version: is of another layout")


def test_a_file_that_goes_away_after_its_test_changes_nothing(start, program):
    s = start({}, program=(program.path,))
    program.put_script(f'rm "$0"; exec {NEWER} "$@"')
    refused(s, "takes over", "cannot run .*prefork: No such file")
    s.signal(signal.SIGTTIN).wait(READY, 3)  # signals are heard again
    program.put(NEWER)
    assert upgrade(s, workers=3)[1] == "0.99.0"


def test_a_test_that_takes_too_long_is_ended(start, program):
    s = start({"server": {"boot_timeout": BRIEF}}, program=(program.path,))
    program.put_script("echo $$; exec sleep 1000")
    s.allow("upgrade failed", "upgrade: ")
    s.signal(signal.SIGUSR2)
    s.wait("upgrade failed: .*within boot_timeout")
    tester = int(s.wait(r"upgrade: (\d+)$")[1])
    assert stat_of(tester) is None
    assert s.get("/pid").status == 200


def test_a_broken_configuration_changes_nothing(start, program):
    s = start({}, program=(program.path,))
    s.file.write_text("[server]\nworkers = none\n")
    refused(s, r"server\.ini:2")


def test_an_application_that_does_not_load_changes_nothing(start, program):
    s = start({}, program=(program.path,))
    s.configure({"app:probe": {"type": "module", "target": PROBE,
                               "option.refuse": "no moon"}})
    refused(s, "no moon")


# ---- at the same time ----------------------------------------------------


def test_the_master_acts_on_signals_during_the_test(start, program, tmp_path):
    s = start({}, program=(program.path,))
    fifo = slow_test(program, tmp_path)
    s.allow("no upgrade: one is under way")
    s.signal(signal.SIGUSR2).wait("tests itself")
    s.signal(signal.SIGTTIN).wait(READY, 3)
    s.signal(signal.SIGUSR2).wait("no upgrade: one is under way")
    with open(fifo, "w") as f:  # the test has begun to read
        f.write("x\n")
    assert s.wait(TAKEN)[3] == "3"
    s.wait(r"reload: generation 2 serves")
    assert s.get("/pid").status == 200


def test_term_during_the_test_ends_both(start, program, tmp_path):
    s = start({}, program=(program.path,))
    fifo = slow_test(program, tmp_path)
    s.signal(signal.SIGUSR2).wait("tests itself")
    with open(fifo, "w"):  # it runs
        s.stop()
    assert not s.matches(TAKEN)


def test_term_with_the_upgrade_is_not_lost(start, program):
    """TERM at any moment of an upgrade: it always ends the server."""
    s = start({}, program=(program.path,))
    mark = s.mark()
    s.signal(signal.SIGUSR2)
    s.wait("takes over", after=mark)  # the old program's last words
    s.stop()


def test_a_reload_on_trial_is_waited_for(start, program, tmp_path):
    s = start({}, program=(program.path,))
    old = s.workers()
    fifo = held(s, tmp_path)
    s.signal(signal.SIGHUP)
    with open(fifo, "wb", buffering=0):  # a worker of generation 2 loads
        s.signal(signal.SIGUSR2).wait("waits for the reload to end")
        assert set(old) < set(s.workers()) and not s.matches(TAKEN)
        s.allow("reload failed", "exited with status 4")
        s.configure({})
    # the end of the pipe means that it may not
    s.wait("reload failed")
    s.wait(TAKEN)
    s.wait(r"reload: generation 3 serves")
    only_generation(s, 3)
    assert s.get("/pid").status == 200


def test_a_reload_that_ends_well_is_waited_for_too(start, program, tmp_path):
    s = start({}, program=(program.path,))
    fifo = held(s, tmp_path)
    s.signal(signal.SIGHUP)
    with open(fifo, "r+b", buffering=0) as both:
        s.signal(signal.SIGUSR2).wait("waits for the reload to end")
        s.configure({})
        both.write(b"xx")
        s.wait(r"reload: generation 2 serves")
    s.wait(TAKEN)
    s.wait(r"reload: generation 3 serves")
    only_generation(s, 3)
    assert s.get("/pid").status == 200


@pytest.mark.parametrize("moment", ["tests itself", "takes over",
                                    "took over"])
def test_a_worker_that_dies_around_it_is_noticed(start, program, tmp_path,
                                                 moment):
    s = start({}, program=(program.path,))
    s.allow("was killed by SIGKILL")
    victim = s.workers()[0]
    fifo = held(s, tmp_path)
    s.signal(signal.SIGUSR2).wait(moment)
    os.kill(victim, signal.SIGKILL)
    s.wait(rf"\({victim}\) was killed by SIGKILL")
    assert stat_of(victim) is None
    s.wait(READY, 3)  # its successor, with the settings of generation 1
    with open(fifo, "r+b", buffering=0) as both:
        both.write(b"xx")
        s.wait("reload: generation 2 serves")
    only_generation(s, 2)
    assert s.get("/pid").status == 200


def test_a_reload_that_fails_after_it_leaves_the_workers(start, program,
                                                         tmp_path):
    long = "x" * 1000  # more than a line of a file has
    s = start({}, args=("-o", f"server.env.LONG={long}"),
              program=(program.path,))
    s.allow("reload failed", r"server\.ini:2")
    old = s.workers()
    broken = tmp_path / "broken"
    broken.write_text("[server]\nworkers = none\n")
    program.put_script(  # valid for the test, broken for what follows
        f'if [ "$1" != -t ]; then mv {broken} {s.file}; fi\n'
        f'exec {NEWER} "$@"')
    s.signal(signal.SIGUSR2).wait(TAKEN)
    s.wait("reload failed: ")
    assert s.workers() == old
    assert s.get("/pid").status == 200
    s.allow("was killed by SIGKILL")
    mark = s.mark()
    for pid in old:  # the adopted settings serve for their heirs
        os.kill(pid, signal.SIGKILL)
    s.wait(READY, 2, after=mark)
    assert s.get("/env?LONG").body.decode() == long
    assert len(s.workers()) == 2


# ---- what others hold ----------------------------------------------------


def test_the_service_manager_hears_of_a_reload(tmp_path, start, program):
    manager = Manager(str(tmp_path / "notify"))
    s = start({}, program=(program.path,),
              env={**manager.env, "WATCHDOG_USEC": "400000"})
    manager.until("READY")
    upgrade(s)
    manager.until("RELOADING")
    assert manager.until("READY")["STATUS"].startswith("generation 2: ")
    manager.until("WATCHDOG")
    assert s.get("/env?NOTIFY_SOCKET").body == b""
    s.stop()
    manager.until("STOPPING")
    manager.sock.close()


def test_passed_sockets_are_passed_on(start, program):
    with (socket.create_server(("127.0.0.1", 0)) as a,
          socket.create_server(("127.0.0.1", 0)) as b,
          passed(a, b, program=program.path) as how):
        s = start({"server": {"bind": "fd://one"}}, ready=0,
                  env={"LISTEN_FDS": "2", "LISTEN_FDNAMES": "one:two"}, **how)
        s.allow("passed socket 4")
        s.wait(READY, 2)
        upgrade(s)
        upgrade(s)
        s.configure({"server": {"bind": "fd://two"}})
        s.signal(signal.SIGHUP).wait("listening on fd://two")
        s.wait(r"generation 4 serves")
        with Client(b.getsockname()) as c:
            assert c.get("/pid").status == 200
