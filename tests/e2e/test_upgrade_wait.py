"""preforkctl upgrade, and who waits for its end."""
import json
import signal

import pytest

from prefork import BRIEF, PROBE, preforkctl, wait_gone
from test_control import Raw
from upgrades import FOREIGN, NEWER, TAKEN, held, only_generation, slow_test


def test_upgrade_wait_tells_that_the_new_program_serves(start, program):
    s = start({}, program=(program.path,))
    old, before = s.workers(), s.status()["version"]
    program.put(NEWER)
    assert s.control("upgrade", "--wait") == \
        f"upgraded from {before} to 0.99.0; generation 2 serves\n"
    assert s.status()["version"] == "0.99.0"
    assert s.status()["generation"] == 2
    assert s.ask("upgrade", "--wait") == [
        {"record": "note",
         "text": "upgraded from 0.99.0 to 0.99.0; generation 3 serves"}]
    for pid in old:
        wait_gone(pid)
    assert s.get("/pid").status == 200
    s.fds_settle()


def test_upgrade_without_wait_tells_that_it_has_begun(start, program):
    s = start({}, program=(program.path,))
    program.put(NEWER)
    assert s.control("upgrade") == \
        f"{program.path} tests itself, then takes over\n"
    s.wait("reload: generation 2 serves")
    only_generation(s, 2)


def not_upgraded(server, reason):
    server.allow("upgrade failed", "upgrade: ")
    old = server.workers()
    complaint = server.control("upgrade", "--wait", status=1)
    assert complaint.startswith("preforkctl: upgrade failed: ")
    assert reason in complaint
    done = preforkctl("-s", server.socket, "--json", "upgrade", "--wait")
    end = json.loads(done.stdout)
    assert (end["record"], end["exit"]) == ("end", 1)
    assert f"preforkctl: {end['reason']}\n" == complaint
    assert server.workers() == old
    assert server.get("/pid").status == 200
    server.fds_settle()


def test_upgrade_wait_tells_why_the_test_failed(start, program):
    s = start({}, program=(program.path,))
    program.put_script("echo no luck >&2; echo today; exit 1")
    not_upgraded(s, "the new program's test exited with status 1: "
                    "no luck; today\n")
    program.put_script("exit 0")
    not_upgraded(s, "does not know how to take over\n")
    program.put_script("exit 0", mode=0o644)
    not_upgraded(s, f"cannot run {program.path}: Permission denied")
    program.put(FOREIGN)
    not_upgraded(s, "cannot take over: version: is of another layout")


def test_upgrade_wait_tells_why_the_program_did_not_run(start, program):
    s = start({}, program=(program.path,))
    s.allow("upgrade failed")
    program.put_script(f'rm "$0"; exec {NEWER} "$@"')  # after its test
    assert s.control("upgrade", "--wait", status=1) == (
        f"preforkctl: upgrade failed: cannot run {program.path}: "
        "No such file or directory\n")
    assert s.get("/pid").status == 200
    s.fds_settle()


def test_upgrade_wait_tells_of_a_test_without_end(start, program):
    s = start({"server": {"boot_timeout": BRIEF}}, program=(program.path,))
    program.put_script("exec sleep 1000")
    not_upgraded(s, "did not test itself within boot_timeout\n")


@pytest.mark.parametrize("text, why", [
    ("[app:probe]\ntype = module\ntarget = {}\noption.refuse = no moon\n",
     "no moon"),
    ("[server]\nworkers = none\n", "server.ini:2"),  # not even a trial
])
def test_upgrade_wait_tells_why_the_reload_failed(start, program, tmp_path,
                                                  text, why):
    """What passes the test is refused by the workers."""
    s = start({}, program=(program.path,))
    s.allow("reload failed", why, "exited with status 4")
    old = s.workers()
    broken = tmp_path / "broken"
    broken.write_text(text.format(PROBE))
    program.put_script(
        f'if [ "$1" != -t ]; then mv {broken} {s.file}; fi\n'
        f'exec {NEWER} "$@"')
    complaint = s.control("upgrade", "--wait", status=1)
    assert "prefork 0.99.0 took over from " in complaint
    assert "but its reload failed: " in complaint and why in complaint
    assert complaint.endswith("generation 1 goes on serving\n")
    assert s.workers() == old
    assert s.get("/pid").status == 200


def test_upgrade_of_a_paused_server_tells_so(start, program):
    s = start({}, program=(program.path,))
    old = s.workers()
    s.signal(signal.SIGWINCH)
    for pid in old:
        wait_gone(pid)
    program.put(NEWER)
    assert s.control("upgrade", "--wait").endswith(
        "to 0.99.0; paused: a reload brings the workers back\n")


def test_two_wait_for_one_upgrade(start, program, tmp_path):
    s = start({}, program=(program.path,))
    fifo = slow_test(program, tmp_path)
    s.allow("no upgrade: one is under way")
    with Raw(s) as first, Raw(s) as second, Raw(s) as silent:
        first.send(b"upgrade --wait\n")
        s.wait("tests itself")
        second.send(b"upgrade --wait\n")
        s.wait("preforkctl upgrade --wait", 2)
        assert s.control("upgrade", status=1) == \
            "preforkctl: no upgrade: one is under way\n"
        with open(fifo, "w") as f:
            f.write("x\n")
        for raw in first, second:
            note, end = map(json.loads, raw.rest().splitlines())
            assert note["text"].endswith("to 0.99.0; generation 2 serves")
            assert end["exit"] == 0
        # who has not spoken yet is heard by the new program
        answer = silent.send(b"status\n").rest().splitlines()
        assert json.loads(answer[0])["version"] == "0.99.0"
    assert len(s.matches("tests itself")) == 1
    s.fds_settle()


@pytest.mark.parametrize("when", ["before it", "after it"])
def test_who_leaves_while_he_waits_for_an_upgrade(start, program, tmp_path,
                                                  when):
    s = start({}, program=(program.path,))
    fifo = slow_test(program, tmp_path)
    with Raw(s) as leaves:
        leaves.send(b"upgrade --wait\n")
        s.wait("tests itself")
        if when == "before it":
            leaves.sock.close()
        held_open = held(s, tmp_path)
        with open(fifo, "w") as f:
            f.write("x\n")
        s.wait(TAKEN)
    with open(held_open, "r+b", buffering=0) as both:
        both.write(b"xx")
        s.wait("reload: generation 2 serves")
    only_generation(s, 2)
    assert s.status()["version"] == "0.99.0"
    s.fds_settle()


def test_a_reload_that_overtakes_that_of_an_upgrade_ends_it(start, program,
                                                            tmp_path):
    s = start({}, program=(program.path,))
    program.put(NEWER)
    fifo = held(s, tmp_path)
    with Raw(s) as waiting:
        waiting.send(b"upgrade --wait\n")
        s.wait(TAKEN)
        with open(fifo, "wb", buffering=0):  # a worker of generation 2 loads
            s.configure({})
            s.signal(signal.SIGHUP).wait("reload given up: another one came")
        note, end = map(json.loads, waiting.rest().splitlines())
        assert note["text"].endswith("generation 3 serves")
        assert end["exit"] == 0
    only_generation(s, 3)


def test_stop_ends_the_wait_for_an_upgrade(start, program, tmp_path):
    s = start({}, program=(program.path,))
    fifo = slow_test(program, tmp_path)
    with Raw(s) as waiting:
        waiting.send(b"upgrade --wait\n")
        s.wait("tests itself")
        with open(fifo, "w"):  # it runs
            s.stop()
        assert waiting.end() == {
            "record": "end", "exit": 1,
            "reason": "no upgrade: prefork is stopping"}


def test_the_control_socket_is_there_all_the_time(start, program):
    s = start({}, program=(program.path,))
    inode = s.socket.stat().st_ino
    for generation in 2, 3, 4:
        s.signal(signal.SIGUSR2)
        while not s.matches(f"reload: generation {generation} serves"):
            s.status()  # is answered, whoever serves
    assert s.socket.stat().st_ino == inode
