"""Files from a directory, and none from outside of it."""
import ctypes.util
import email.utils
import errno
import os
import subprocess
import sys

import pytest

from prefork import BINARY, PATIENCE, environment, run

# Becomes the program of its arguments, to which openat2(), call 437 of every
# machine, fails with errno argv[1], as in a container of Docker 19.
WITHOUT_OPENAT2 = """
import ctypes, os, sys
lib = ctypes.CDLL("libseccomp.so.2")
lib.seccomp_init.restype = ctypes.c_void_p
filter = ctypes.c_void_p(lib.seccomp_init(0x7fff0000))
assert lib.seccomp_rule_add(filter, 0x50000 | int(sys.argv[1]), 437, 0) == 0
assert lib.seccomp_load(filter) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def site(tmp_path):
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "bare").mkdir()
    (root / "index.html").write_text("<h1>home</h1>")
    (root / "sub/index.html").write_text("<h1>sub</h1>")
    (root / "style.css").write_text("body {}")
    (root / "data.bin").write_bytes(os.urandom(3_000_000))
    (root / "empty").write_bytes(b"")
    (root / "a b.txt").write_text("space")
    (root / ".secret").write_text("secret")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (root / "out").symlink_to("../outside.txt")
    (root / "absolute").symlink_to(tmp_path / "outside.txt")
    (root / "inside").symlink_to("style.css")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def files(start, site):
    return start({"app:files": {"type": "static", "target": site}})


def test_a_directory_serves_its_index(files):
    r = files.get("/")
    assert (r.status, r.body) == (200, b"<h1>home</h1>")
    assert r["Content-Type"].startswith("text/html")
    assert files.get("/sub/").body == b"<h1>sub</h1>"


def test_a_directory_without_its_slash_is_redirected(files):
    r = files.get("/sub")
    assert r.status in (301, 308) and r["Location"].endswith("/sub/")


@pytest.mark.parametrize("path, kind", [
    ("/style.css", "text/css"), ("/data.bin", "application/octet-stream"),
    ("/a%20b.txt", "text/plain")])
def test_the_type_follows_the_suffix(files, path, kind):
    assert files.get(path)["Content-Type"].split(";")[0] == kind


def test_large_and_empty_files_come_whole(files, site):
    with files.connect() as c:
        assert c.get("/data.bin").body == (site / "data.bin").read_bytes()
        r = c.get("/empty")
        assert (r.status, r.body, r["Content-Length"]) == (200, b"", "0")
        assert c.get("/inside").body == b"body {}"


def test_head_tells_the_length_and_sends_nothing(files):
    with files.connect() as c:
        r = c.get("/data.bin", method="HEAD")
        assert (r.status, r["Content-Length"]) == (200, "3000000")
        assert c.get("/style.css").body == b"body {}"


def test_an_unchanged_file_is_304(files, site):
    with files.connect() as c:
        r = c.get("/style.css")
        mtime = os.stat(site / "style.css").st_mtime
        assert r["Last-Modified"] == email.utils.formatdate(
            int(mtime), usegmt=True)
        same = c.get("/style.css", If_None_Match=r["ETag"])
        assert (same.status, same["ETag"]) == (304, r["ETag"])
        assert c.get("/style.css",
                     If_Modified_Since=r["Last-Modified"]).status == 304
        assert c.get("/style.css", If_None_Match='"other"').status == 200
        assert c.get("/style.css", If_None_Match='"other"',
                     If_Modified_Since=r["Last-Modified"]).status == 200
        (site / "style.css").write_text("body { color: red }")
        assert c.get("/style.css", If_None_Match=r["ETag"]).status == 200


def test_a_range_of_a_file_is_206(files, site):
    data = (site / "data.bin").read_bytes()
    with files.connect() as c:
        for spec, part, place in [
                ("0-0", data[:1], "0-0"),
                ("1000000-2999999", data[1000000:], "1000000-2999999"),
                ("-70000", data[-70000:], "2930000-2999999"),
                ("2999999-9999999", data[-1:], "2999999-2999999")]:
            r = c.get("/data.bin", Range=f"bytes={spec}")
            assert (r.status, r.body) == (206, part)
            assert r["Content-Range"] == f"bytes {place}/3000000"
        r = c.get("/data.bin", Range="bytes=3000000-")
        assert (r.status, r["Content-Range"]) == (416, "bytes */3000000")
        r = c.get("/data.bin", Range="bytes=0-1,5-6")
        assert (r.status, r.body) == (200, data)
        r = c.get("/data.bin", method="HEAD", Range="bytes=0-1")
        assert (r.status, r["Content-Length"]) == (200, "3000000")
        assert r["Accept-Ranges"] == "bytes"


def test_a_download_goes_on_only_if_the_file_is_the_same(files, site):
    with files.connect() as c:
        r = c.get("/style.css")
        more = c.get("/style.css", Range="bytes=4-", If_Range=r["ETag"])
        assert (more.status, more.body) == (206, b" {}")
        (site / "style.css").write_text("html {}")
        whole = c.get("/style.css", Range="bytes=4-", If_Range=r["ETag"])
        assert (whole.status, whole.body) == (200, b"html {}")


def test_an_if_range_date_joins_no_two_versions_of_one_second(files, site):
    """It is weak within its second, RFC 9110 8.8.2.2."""
    def save(text, ns):
        (site / "style.css").write_text(text)
        os.utime(site / "style.css", ns=(ns, ns))
    with files.connect() as c:
        save("body {}", 784111777_100_000_000)
        date = c.get("/style.css")["Last-Modified"]
        save("html []", 784111777_900_000_000)
        r = c.get("/style.css", Range="bytes=4-", If_Range=date)
        assert (r["Last-Modified"], r.status, r.body) == (date, 200, b"html []")


def test_a_method_that_nobody_knows_is_501(files):
    assert files.get("/style.css", method="BREW").status == 501


@pytest.mark.parametrize("path", [
    "/../outside.txt", "/sub/../../outside.txt", "/%2e%2e/outside.txt",
    "/..%2foutside.txt", "/sub/%2e%2e/%2e%2e/outside.txt", "//etc/passwd",
    "/out", "/absolute", "/.secret", "/.git/config", "/sub/../.secret",
    "/pipe", "/data.bin/", "/data.bin/x", "/style.css%00.html",
    "/\\..\\outside.txt"])
def test_there_is_no_way_out_of_the_root(files, path):
    r = files.get(path)
    assert r.status in (400, 403, 404)
    assert b"secret" not in r.body


def test_what_is_not_there_is_404(files):
    assert files.get("/nothing").status == 404
    assert files.get("/bare/").status in (403, 404)


def test_only_get_and_head_are_allowed(files):
    for method in "POST", "PUT", "DELETE", "OPTIONS":
        r = files.get("/style.css", method=method, body=b"")
        assert r.status == 405
        assert {m.strip() for m in r["Allow"].split(",")} >= {"GET", "HEAD"}


def test_an_unreadable_file_is_403(start, site, tmp_path):
    if os.getuid() == 0:
        for d in (tmp_path, *tmp_path.parents):
            if d.stat().st_mode & 0o001 == 0:
                d.chmod(d.stat().st_mode | 0o011)
        s = start({"server": {"user": "nobody"},
                   "app:files": {"type": "static", "target": site}})
    else:
        s = start({"app:files": {"type": "static", "target": site}})
    (site / "style.css").chmod(0)
    assert s.get("/style.css").status == 403


def test_a_root_that_is_no_directory_ends_the_start(tmp_path):
    file = tmp_path / "server.ini"
    file.write_text("[app:files]\ntype = static\ntarget = /nonexistent\n")
    done = run("-c", file, "-o", "server.bind=127.0.0.1:0")
    assert done.returncode in (1, 4)
    assert "/nonexistent" in done.stderr


@pytest.mark.skipif(not ctypes.util.find_library("seccomp"),
                    reason="needs libseccomp")
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_where_openat2_is_forbidden_the_test_of_the_settings_says_so(
        tmp_path, error):
    file = tmp_path / "server.ini"
    file.write_text(f"[app:files]\ntype = static\ntarget = {tmp_path}\n")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENAT2, str(error), BINARY,
         "-t", "-c", file], env=environment(), capture_output=True, text=True,
        timeout=PATIENCE, check=False)
    assert done.returncode == 4
    assert f"openat2: {os.strerror(error)} (static files need" in done.stderr
