"""Started by root, the workers run as somebody else."""
import grp
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import pytest

from prefork import BINARY, PROBE, run

root = pytest.mark.skipif(os.getuid() != 0, reason="only root can switch")


@pytest.fixture
def probe():
    """The probe where everybody may read it: the tree may be root's own."""
    with tempfile.TemporaryDirectory() as public:
        os.chmod(public, 0o755)
        yield {"app:probe": {"type": "module",
                             "target": shutil.copy(PROBE, public)}}


@root
def test_the_workers_are_nobody_and_the_master_is_root(start, probe):
    nobody = pwd.getpwnam("nobody")
    s = start({"server": {"user": "nobody"}, **probe})
    assert s.get("/ids").body.decode() == f"{nobody.pw_uid} {nobody.pw_gid}"
    assert os.stat(f"/proc/{s.pid}").st_uid == 0
    for pid in s.workers():
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        lines = dict(x.split(":", 1) for x in text.splitlines())
        assert set(lines["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(lines["Gid"].split()) == {str(nobody.pw_gid)}
        assert set(lines["Groups"].split()) <= {str(nobody.pw_gid)}
        assert int(lines["CapEff"], 16) == 0


@root
def test_a_group_of_its_own(start, probe):
    daemon = grp.getgrnam("daemon")
    s = start({"server": {"user": "nobody", "group": "daemon"}, **probe})
    assert s.get("/ids").body.decode().split()[1] == str(daemon.gr_gid)


@root
def test_a_group_of_many_members_is_found(start, probe, tmp_path):
    """Its line is longer than one would have room for."""
    if subprocess.run(["unshare", "-m", "true"]).returncode != 0:
        pytest.skip("no namespace for mounts here")
    groups = tmp_path / "group"
    groups.write_text("root:x:0:\nmany:x:4711:" + ",".join(
        f"member-{n}" for n in range(20000)) + "\n")
    s = start({"server": {"user": "nobody", "group": "many"}, **probe}, program=(
        "unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/group; exec "$@"',
        groups, BINARY))
    assert s.get("/ids").body.decode().split()[1] == "4711"


@root
def test_the_access_log_is_opened_as_root(start, probe, tmp_path):
    log = tmp_path / "access.log"
    s = start({"server": {"user": "nobody"}, "log": {"access": log},
               **probe})
    s.get("/ids")
    s.stop()
    assert "/ids" in log.read_text()


def test_an_unknown_account_is_an_error(start):
    s = start({})
    done = run("-c", s.file, "-o", "server.user=no-such-account")
    assert done.returncode == 1
    assert "no-such-account" in done.stderr
