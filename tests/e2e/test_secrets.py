"""What clients send in Authorization and Cookie is nobody else's to read: not
in a log, not in a report of a crash, not in the scoreboard."""
import contextlib
import pathlib
import re

import pytest

from prefork import BUILD, READY, ROOT, SANITIZED, needs_whole_stacks
from testmods import module
from test_python_trouble import APPS

MARK = "MARK4711SECRET"
SECRETS = (f"Authorization: Bearer {MARK}\r\n"
           f"Cookie: session={MARK}\r\n"
           f"Proxy-Authorization: Basic {MARK}\r\n")
INVALID = sorted((ROOT / "tests/http/invalid").glob("*.http"))
BAD_BODY = ("POST /stream HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
            f"{SECRETS}\r\n5\r\nhelloXX{MARK}\r\n")


@pytest.fixture
def talkative(start, tmp_path):
    """A server that logs all it can; what it wrote is read at the end."""
    access = tmp_path / "access.log"

    def begin(sections=None, ready=1, **server):
        begin.server = start(
            {"server": {"workers": 1, **server}, **(sections or {}),
             "log": {"level": "debug", "access": access}}, ready=ready)
        return begin.server
    yield begin
    s = begin.server
    for told in (s.control("workers"), s.control("--json", "status"),
                 *(scoreboards(s.pid))):
        assert MARK not in told
    s.stop()
    assert s.matches(READY)
    assert not s.matches(MARK)
    assert MARK not in access.read_text()


def scoreboards(pid):
    """What is in the memory that master and workers share."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, mode, *_ = line.split()
        if mode != "rw-s":
            continue
        begin, end = (int(x, 16) for x in span.split("-"))
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(begin)
            yield memory.read(end - begin).decode("latin-1")


def send_only(s, text):
    """Until the server is done with it, in whatever way."""
    with s.connect() as c, contextlib.suppress(ConnectionResetError):
        c.send(text).rest()


def ask(s, target="/", extra="", method="GET", body=""):
    with s.connect() as c:
        c.send(f"{method} {target} HTTP/1.1\r\nHost: t\r\n{extra}{SECRETS}\r\n"
               f"{body}")
        return c.response(method)


def test_the_scoreboard_is_where_this_test_looks(talkative):
    assert any(scoreboards(talkative().pid))


def with_secrets(text):
    """The same mistake, after, between and before secrets."""
    secrets = SECRETS.encode()
    places = [m.end() for m in re.finditer(rb"\r?\n", text)] or [len(text)]
    return [text[:p] + secrets + text[p:] for p in sorted({0, *places[:3]})]


def test_a_request_that_is_refused(talkative):
    s = talkative(sections={"http": {"header_timeout": "300ms",
                                     "body_timeout": "300ms"}})
    for file in INVALID:
        for text in with_secrets(file.read_bytes()):
            with s.connect() as c:
                c.send(text)
                assert b"HTTP/1.1 " in c.rest()
    assert len(s.matches(r"\[debug\].*: 400")) > len(INVALID)


def test_a_request_that_is_too_large_or_for_nobody(talkative):
    s = talkative(sections={
        "http": {"max_body": "10", "max_header": "64", "max_request_line": 64},
        "app:fast": module("fast", "/here")})
    assert ask(s, "/").status == 404
    assert ask(s, "/here", method="POST",
               extra="Content-Length: 11\r\n").status == 413
    assert ask(s, "/here", extra=f"Cookie: {MARK * 9}\r\n").status == 431
    assert ask(s, "/" + "x" * 64).status == 414
    assert ask(s, "/here%").status == 400
    assert ask(s, "/here", extra="Expect: nothing\r\n").status == 417


def test_a_body_that_breaks_off_is_refused(talkative):
    s = talkative(sections={
        "http": {"body_timeout": "200ms"},
        "app:stream": module("stream", "/", stream="yes")})
    send_only(s, BAD_BODY)
    send_only(s, "POST /stream HTTP/1.1\r\nHost: t\r\nContent-Length: 99\r\n"
                 f"{SECRETS}\r\n{MARK}")


def test_a_head_that_never_ends(talkative):
    s = talkative(sections={"http": {"header_timeout": "200ms"}})
    with s.connect() as c:
        c.send(f"GET / HTTP/1.1\r\nHost: t\r\n{SECRETS}")
        assert c.response().status == 408


def test_a_handler_over_its_time_and_a_queue_over_its_own(talkative):
    s = talkative(sections={"app:slow": module("slow")}, threads=1,
                  request_timeout="600ms", queue_timeout="100ms")
    s.allow("request_timeout", "stuck", "has a handler")
    with s.connect() as c, s.connect() as behind:
        c.send(f"GET /?ms=20000 HTTP/1.1\r\nHost: t\r\n{SECRETS}\r\n")
        behind.send(f"GET /?ms=1 HTTP/1.1\r\nHost: t\r\n{SECRETS}\r\n")
        assert c.response().status == 504
    s.wait(r"app slow, GET /\?ms=20000")
    s.wait(READY, 2)


@pytest.mark.skipif(SANITIZED, reason="the sanitizer reports in its own way")
@pytest.mark.parametrize("how", ["segv", "abort"])
def test_a_crash(talkative, how):
    s = talkative(sections={"app:crash": module("crash")})
    s.allow("SIG", "killed")
    with s.connect() as c:
        c.send(f"GET /?{how} HTTP/1.1\r\nHost: t\r\n{SECRETS}\r\n")
        c.closed()
    s.wait(rf"app crash, GET /\?{how}")
    s.wait(READY, 2)


@pytest.mark.skipif(BUILD.name == "tsan",
                    reason="TSan keeps signals back while all threads wait")
@needs_whole_stacks
def test_a_worker_that_stands_still(talkative, hold):
    s = talkative(sections={"app:gate": hold.app()})
    s.allow("still")
    with s.connect() as c:
        c.send(f"GET /held HTTP/1.1\r\nHost: t\r\n{SECRETS}\r\n")
        s.wait("inside")
        s.ask_for_report(s.workers()[0])
        s.wait("app gate, GET /held")
        hold.let()
        assert c.response().status == 200


def test_a_response_that_is_wrong(talkative):
    s = talkative(sections={"app:wrong": module("wrong")})
    s.allow(".")
    for how in ("order", "heads", "failed", "long", "twice", "short", "unended",
                "aborted", "nothing"):
        send_only(s, f"GET /?{how} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                     f"{SECRETS}\r\n")


@pytest.mark.skipif(SANITIZED, reason="the sanitizer reports in its own way")
def test_an_application_in_python(talkative):
    s = talkative(sections={"app:trouble": {
        "type": "wsgi", "target": f"{APPS}/trouble.py"}},
        request_timeout="500ms")
    s.allow("exception|Error|Traceback|SIG|killed|request_timeout")
    assert ask(s, "/nothing-such").status == 500
    assert ask(s, "/spin").status == 504
    s.wait("RequestTimeout")
    with s.connect() as c:
        c.send(f"GET /crash HTTP/1.1\r\nHost: t\r\n{SECRETS}\r\n").closed()
    s.wait(r"app trouble, GET /crash")
    s.wait(READY, 2)
