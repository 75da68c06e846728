"""Real applications, tests/apps/, on the packages of tests/requirements.txt;
and their visitors, whom the Python library plays."""
import contextlib
import http.client
import http.cookiejar
import os
import pathlib
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request

import pytest

from prefork import BUILD, PATIENCE, ROOT, until

VENV = ROOT / "build/venv"


def copy_of(name, tmp_path):
    """The application, where a test may change it."""
    assert (VENV / ".stamp").exists(), (
        f"there is no {VENV}: 'make build/venv/.stamp' says why")
    return shutil.copytree(ROOT / "tests/apps" / name, tmp_path / name)


def app(target, folder, **more):
    """The section of an application in a folder."""
    return {"type": "wsgi", "target": target, "venv": VENV,
            "pythonpath": folder, **more}


# Of a test whose fixtures take `preload`: both ways to load an application.
loaded = pytest.mark.parametrize("preload", ["no", "yes"])


def settled(server, workers=2):
    """With preload, they are ready a moment before they are the master's."""
    if BUILD.name == "tsan":
        server.allow("preload: 1 thread ")  # its own
    until(lambda: len(server.workers()) >= workers)
    return server


class Visitor:
    """Has cookies and follows redirects; any status is an answer."""

    def __init__(self, server):
        self.base = "http://{}:{}".format(*server.address)
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(self.jar))

    def open(self, target, data=None, method=None, **fields):
        """The response, to be read."""
        request = urllib.request.Request(
            self.base + target, data, method=method,
            headers={k.replace("_", "-"): v for k, v in fields.items()})
        try:
            return self.opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as e:
            return e

    def get(self, target, data=None, method=None, status=200, **fields):
        """The body, as text."""
        with self.open(target, data, method, **fields) as r:
            text = r.read().decode()
            assert r.status == status, text
            return text

    def post_form(self, target, status=200, **values):
        return self.get(target, urllib.parse.urlencode(values).encode(),
                        status=status)

    def cookie(self, name):
        return next((c.value for c in self.jar if c.name == name), None)


def connection(server):
    return http.client.HTTPConnection(*server.address, timeout=PATIENCE)


def multipart(fields, name, filename, content, kind):
    """(body, Content-Type) of a form with a file."""
    boundary = "----a-boundary-that-is-in-no-file"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"'
             f"\r\n\r\n{v}\r\n".encode() for k, v in fields.items()]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; '
                 f'name="{name}"; filename="{filename}"\r\n'
                 f"Content-Type: {kind}\r\n\r\n".encode())
    parts += [content, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def pieces(data, size=50021):
    """For a chunked body."""
    return (data[i:i + size] for i in range(0, len(data), size))


def open_files(server):
    """(name, position) of all open files of the workers."""
    found = []
    for pid in server.workers():
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                info = (fd.parents[1] / "fdinfo" / fd.name).read_text()
                position = int(re.search(r"pos:\s+(\d+)", info)[1])
                found.append((os.readlink(fd), position))
    return found


def positions(server, path):
    """Where the open files of the workers that are `path` stand."""
    return [at for name, at in open_files(server) if name == str(path)]
