"""Every request of tests/http, over the wire to a running server.

The unit tests of the parser say that it understands them; here it is the whole
way: what a refused one is answered, that nothing behind it is served, and that
after an accepted one the connection is in step."""
import pytest

from prefork import ROOT
from testmods import HANDLERS, handler_apps, outside_sandbox

CORPUS = ROOT / "tests/http"
# Longer ones fill more than one read of the server.
SPLITS = (None, 1, 7)
# What the parser does does not depend on who answers; so each way of splitting
# is tried with one of them.
WAYS = [("module", s) for s in SPLITS] + [
    pytest.param(h, None, marks=outside_sandbox if "python" in h else ())
    for h in HANDLERS[1:]]


def cases(kind):
    found = sorted((CORPUS / kind).glob("*.http"))
    assert len(found) >= 40
    return found


def expected(file):
    return file.with_suffix(".expect").read_text(errors="surrogateescape")


@pytest.fixture(scope="module")
def all_files():
    return {kind: cases(kind) for kind in ("valid", "invalid")}


@pytest.fixture
def served(start, tmp_path, request):
    """All of it with the access log on, which must survive them too."""
    params = getattr(request.node, "callspec", None)
    handler = params.params.get("handler", "module") if params else "module"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("home")
    return start({
        "server": {"workers": 1},
        "log": {"access": tmp_path / "access.log"},
        "app:all": handler_apps(tmp_path / "site")[handler],
    }, ready=1)


def deliver(client, data, step):
    """In pieces of `step`; a server that has refused it may be gone."""
    step = step or len(data) or 1
    try:
        for at in range(0, len(data), step):
            client.send(data[at:at + step])
    except (BrokenPipeError, ConnectionResetError):
        pass


@pytest.mark.parametrize("handler, step", WAYS)
def test_invalid_requests_get_their_status_and_nothing_else(
        served, all_files, handler, step):
    wrong = []
    for file in all_files["invalid"]:
        data = file.read_bytes()
        if step and len(data) > 2000:
            continue
        want = int(expected(file).split()[0])
        with served.connect() as c:
            deliver(c, data, step)
            try:
                r = c.response()
                rest = c.rest()
            except (EOFError, OSError) as e:
                wrong.append((file.name, repr(e)))
                continue
            if r.status != want or not r.closes or rest:
                wrong.append((file.name, want, r.status, r.fields, rest))
    assert not wrong


def responses(client):
    """All until the connection closes: the statuses."""
    found = []
    try:
        while True:
            found.append(client.response(client.methods[len(found)]).status)
    except EOFError:
        assert client.buffer == b""
    return found


def answers(handler, lines):
    """The statuses that a request of these .expect lines may have."""
    if lines["method"] == "CONNECT":
        return {501}
    if "%00" in lines["raw_path"]:
        return {400}  # well-formed, but no path for a module
    if lines.get("scheme") == "https":
        return {421}  # nobody says that the connection is secured
    if handler != "static":
        return {200}
    if lines["method"] in ("GET", "HEAD"):
        return {200, 404}
    return {405, 501}


@pytest.mark.parametrize("handler, step", WAYS)
def test_valid_requests_are_answered_and_the_connection_is_in_step(
        served, all_files, handler, step):
    wrong = []
    for file in all_files["valid"]:
        data = file.read_bytes()
        if step and len(data) > 2000:
            continue
        lines = dict(x.split(": ", 1) for x in expected(file).splitlines()
                     if ": " in x)
        with served.connect() as c:
            # The first, and what else the file has behind it.
            rest = int(lines["rest"])
            behind = data[len(data) - rest:] if rest else b""
            n = 1 + behind.count(b" HTTP/1.1\r\n") + behind.count(b" HTTP/1.0\r\n")
            c.methods = [lines["method"]] + ["GET"] * 9
            deliver(c, data, step)
            c.sock.shutdown(1)
            got = responses(c)
        keeps = lines["keepalive"] == "yes"
        want = answers(handler, lines)
        stays = keeps and not want & {400, 501} or want == {405, 501}
        if not set(got[:1]) & want or (keeps and stays and len(got) != n):
            wrong.append((file.name, want, n, got))
        if not keeps and len(got) != 1:
            wrong.append((file.name, "served more", got))
    assert not wrong


def test_a_valid_request_after_each_valid_one(served, all_files):
    """With a request of ours behind it, on the same connection."""
    wrong = []
    for file in all_files["valid"]:
        text = expected(file)
        if "keepalive: yes" not in text or "rest: 0" not in text or (
                "method: CONNECT" in text) or "%00" in text:
            continue
        method = text.split("method: ")[1].split("\n")[0]
        with served.connect() as c:
            c.send(file.read_bytes()
                   + b"GET /last HTTP/1.1\r\nHost: t\r\n"
                     b"Connection: close\r\n\r\n")
            first = c.response(method)
            if first.closes:
                wrong.append((file.name, first.status, "closes"))
                continue
            second = c.response()
            if second.body != b"0 1 memory" or not second.closes:
                wrong.append((file.name, second.status, second.body))
            c.closed()
    assert not wrong
