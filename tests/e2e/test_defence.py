"""What a worker cannot do, and what is built in against attackers."""
import contextlib
import errno
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from prefork import BINARY, BUILD, CONTROL, READY, SANITIZED
from testmods import module, outside_sandbox, refuses_fds, status_of
from test_privileges import probe, root  # noqa: F401

# The master's: bind, become a worker, give files away, kill (capability.h)
MASTERS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6,
           "SETUID": 7, "SETPCAP": 8, "NET_BIND_SERVICE": 10}
MASTERS_MASK = sum(1 << n for n in MASTERS.values())
CAPS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]


def caps_of(pid):
    status = status_of(pid)
    return {k: int(status[k], 16) for k in CAPS}


def no_new_privs(pid):
    return int(status_of(pid)["NoNewPrivs"])


def core_limit(pid):
    for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max core file size"):
            return line.split()[4:6]
    raise AssertionError("no such limit")


# ---- privileges ------------------------------------------------------------

@root
def test_workers_have_no_capability_and_cannot_gain_any(start, probe):
    s = start({"server": {"user": "nobody"}, **probe})
    for pid in s.workers():
        assert not any(caps_of(pid).values()), caps_of(pid)
        assert no_new_privs(pid) == 1


@root
def test_the_master_keeps_what_it_needs_and_no_more(start, probe):
    s = start({"server": {"user": "nobody"}, **probe})
    caps = caps_of(s.pid)
    assert caps["CapEff"] & ~MASTERS_MASK == 0
    assert caps["CapPrm"] == caps["CapEff"]
    assert caps["CapBnd"] & ~MASTERS_MASK == 0
    assert no_new_privs(s.pid) == 0


def low_port():
    """A port below 1024 that is free, and probably stays so."""
    for port in random.sample(range(512, 1024), 200):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def in_private(tmp_path, name):
    """A directory that only nobody may enter, not even root without a
    capability."""
    nobody = pwd.getpwnam("nobody")
    private = tmp_path / name
    private.mkdir(mode=0o700)
    os.chown(private, nobody.pw_uid, nobody.pw_gid)
    return private


@root
def test_a_master_with_few_capabilities_reloads_reopens_and_upgrades(
        start, probe, tmp_path):
    private = in_private(tmp_path, "private")
    nobody = pwd.getpwnam("nobody")
    sections = {"server": {"user": "nobody", "bind":
                           f"127.0.0.1:0, 127.0.0.1:{low_port()}"},
                "log": {"access": private / "access.log"}, **probe}
    s = start(sections)
    s.get("/pid")
    # a reload: another low port, a socket and a log for another account
    sections["server"]["bind"] = (f"127.0.0.1:0, 127.0.0.1:{low_port()}, "
                                  f"unix:{private}/s.sock")
    sections["log"]["access"] = private / "other.log"
    s.configure(sections)
    mark = s.mark()
    s.signal(signal.SIGHUP)
    s.wait(READY, 2, after=mark)
    assert os.stat(private / "s.sock").st_uid == nobody.pw_uid
    assert os.stat(private / "other.log").st_uid == nobody.pw_uid
    # USR1: the log is gone, and is made again for that account
    os.unlink(private / "other.log")
    s.control("reopen")
    while not (private / "other.log").exists():
        os.sched_yield()
    # a worker of that account is killed, a new program takes over
    mark = s.mark()
    s.control("reload", "--wait")
    s.signal(signal.SIGUSR2)
    s.wait("took over", after=mark)
    s.wait("generation 3 serves", after=mark)
    s.wait(READY, 4, after=mark)
    assert caps_of(s.pid)["CapBnd"] & ~MASTERS_MASK == 0
    s.stop()
    assert not (private / "s.sock").exists()


@root
def test_a_worker_cannot_have_the_master_open_a_file_for_it(
        start, probe, tmp_path):
    """The directory of its log is its own, and so is what it puts there."""
    private, secret = in_private(tmp_path, "private"), tmp_path / "secret"
    log = private / "access.log"
    s = start({"server": {"user": "nobody"}, "log": {"access": log}, **probe})
    s.allow("cannot open the log")
    secret.write_text("root's")
    log.unlink()
    log.symlink_to(secret)
    os.chown(log, *os.stat(private)[4:6], follow_symlinks=False)
    s.control("reopen")
    s.wait(r"cannot open the log \S+access.log: Operation not permitted")
    s.get("/pid")
    s.stop()
    assert secret.read_text() == "root's"


@root
def test_a_log_of_roots_in_a_directory_of_roots_is_written_to(
        start, probe, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("")
    log.chmod(0o640)
    s = start({"server": {"user": "nobody"}, "log": {"access": log}, **probe})
    s.get("/pid")
    s.stop()
    assert "GET /pid" in log.read_text()


@root
def test_privileges_may_be_gained_when_the_operator_says_so(start, probe):
    s = start({"server": {"user": "nobody", "no_new_privs": "no"}, **probe})
    for pid in s.workers():
        caps = caps_of(pid)
        assert no_new_privs(pid) == 0
        assert caps["CapBnd"] == caps_of("self")["CapBnd"]
        assert not any(caps[k] for k in CAPS if k != "CapBnd")


@root
def test_a_low_port_by_an_ambient_capability_is_the_masters_alone(
        start, probe, tmp_path):
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    with tempfile.TemporaryDirectory() as public:
        os.chmod(public, 0o777)
        start_here = pathlib.Path(public)
        s = start({"server": {"bind": f"127.0.0.1:{low_port()}"}, **probe},
                  tmp=start_here,
                  program=("setpriv", "--reuid=65534", "--regid=65534",
                           "--clear-groups", "--inh-caps=+net_bind_service",
                           "--ambient-caps=+net_bind_service",
                           shutil.copy(BINARY, public)))
        bit = 1 << MASTERS["NET_BIND_SERVICE"]
        assert caps_of(s.pid)["CapEff"] == bit
        for pid in s.workers():
            caps = caps_of(pid)
            assert not any(caps[k] for k in CAPS if k != "CapBnd"), caps
        s.check()


def test_workers_of_anybody_cannot_gain_privileges(start):
    s = start({})
    assert all(no_new_privs(pid) == 1 for pid in s.workers())


def test_a_worker_writes_no_core_unless_the_operator_wants_one(start):
    s = start({})
    assert all(core_limit(pid) == ["0", "0"] for pid in s.workers())
    s.configure({"server": {"limit_core": "1M"}})
    mark = s.mark()
    s.signal(signal.SIGHUP)
    new = [int(s.wait(READY, n, after=mark)[1]) for n in (1, 2)]
    hard = core_limit(s.pid)[1]
    want = "1048576" if hard == "unlimited" else str(min(int(hard), 1 << 20))
    assert all(core_limit(pid) == [want, want] for pid in new)


def test_what_a_worker_writes_into_shared_memory_does_not_end_the_master(start):
    s = start({"server": {"workers": 1, "max_connections_per_ip": 100},
               "proxy": {"trust": ""},
               "app:escape": module("escape")}, ready=1)
    mark = s.mark()
    assert s.get("/?scribble").body == b"0"
    assert s.status()["pid"] == s.pid
    assert s.ask("workers")
    s.control("reload", "--wait")
    s.wait(READY, after=mark)
    assert s.get("/?thread").body == b"0"
    s.signal(signal.SIGUSR2)
    s.wait("took over", after=mark)


@refuses_fds
@outside_sandbox
@pytest.mark.parametrize("preload", ["no", "yes"])
def test_a_worker_cannot_hold_up_the_master_with_a_socket(start, preload):
    """Once the master closed what it was sent, and waited for it to be read."""
    s = start({"server": {"workers": 1, "preload": preload},
               "app:escape": module("escape")}, ready=1)
    burden = s.get("/?burden").body.decode()
    assert s.status()["ready"] == 1
    s.control("reload", "--wait")
    assert burden == str(errno.EPERM)


# ---- what the linker and the compiler do -----------------------------------

MODULES = sorted(BUILD.glob("modules/*.so"))
PROGRAMS = [BINARY, CONTROL]
LINKED = sorted(BUILD.glob("prefork-python3*"))
readelf = pytest.mark.skipif(not shutil.which("readelf") or SANITIZED,
                             reason="needs readelf and the release build")


def elf(file, *what):
    return subprocess.run(["readelf", "-W", *what, str(file)], check=True,
                          capture_output=True, text=True).stdout


@readelf
@pytest.mark.parametrize("file", PROGRAMS + LINKED + MODULES,
                         ids=lambda f: f.name)
def test_nothing_that_is_written_to_can_be_run(file):
    segments = elf(file, "--segments").splitlines()
    assert not [x for x in segments if " RWE " in x]
    assert [x for x in segments if "GNU_STACK" in x]
    assert [x for x in segments if "GNU_RELRO" in x]
    dynamic = elf(file, "--dynamic")
    assert "BIND_NOW" in dynamic  # with RELRO: the whole table of calls
    assert "TEXTREL" not in dynamic
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic


@readelf
@pytest.mark.parametrize("file", PROGRAMS + MODULES, ids=lambda f: f.name)
def test_programs_and_modules_load_anywhere(file):
    """But those that libpython is linked into: Debian's archive cannot."""
    assert "DYN" in elf(file, "--file-header")
    assert file in MODULES or " PIE" in elf(file, "--dynamic")


@readelf
@pytest.mark.parametrize(
    "file",
    PROGRAMS + LINKED + [m for m in MODULES if m.name.startswith("python")],
    ids=lambda f: f.name)
def test_an_overrun_is_noticed(file):
    symbols = elf(file, "--dyn-syms")
    assert "__stack_chk_fail" in symbols
    assert "_chk@" in symbols.replace("__stack_chk", "")  # FORTIFY


@readelf
@pytest.mark.parametrize("file", PROGRAMS + MODULES, ids=lambda f: f.name)
def test_what_the_linker_does_not_show_is_noted_by_the_compiler(file):
    noted = {line for line in elf(file, "--debug-dump=info").splitlines()
             if "DW_AT_producer" in line}
    if not any("GNU C" in line for line in noted):
        pytest.skip("only gcc notes its options")
    for flag in ("-fstack-protector-strong", "-fstack-clash-protection",
                 "-ftrivial-auto-var-init=zero", "-fcf-protection"):
        assert all(flag in line for line in noted), (flag, noted)


@readelf
def test_overruns_are_looked_for_where_sizes_show_late():
    """The symbols are the same for _FORTIFY_SOURCE=1."""
    assert "-D_FORTIFY_SOURCE=3" in (BUILD / "flags").read_text()
