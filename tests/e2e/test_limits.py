"""Limits and timeouts: the status, the end of the connection, and what of the
bytes behind it is never served."""
import pytest

from prefork import BRIEF, PROBE
from testmods import (HANDLERS, await_closed, handler_apps, has_owner, is_reset,
                      module, outside_sandbox, sending)

APPS = {
    "app:probe": {"type": "module", "target": PROBE},
    "app:sum": module("bigbody", "/sum"),
    "app:stream": module("stream", "/stream", stream="yes"),
}
NEXT = "GET /pid HTTP/1.1\r\nHost: t\r\n\r\n"


@pytest.fixture
def limited(start):
    def begin(apps=None, **http):
        return start({"server": {"workers": 1}, "http": http,
                      **(apps or APPS)}, ready=1)
    return begin


def refused(client, status):
    """The answer comes, the connection ends, nothing else is served."""
    r = client.response()
    assert r.status == status and r.closes
    client.closed()


# ---- the head ----------------------------------------------------------------

def line_of(n):
    return "GET /" + "x" * (n - len("GET / HTTP/1.1")) + " HTTP/1.1\r\n"


def test_a_request_line_may_be_as_long_as_the_limit(limited):
    s = limited(max_request_line=200)
    with s.connect() as c:
        c.send(line_of(200) + "Host: t\r\n\r\n")
        assert c.response().status == 404
        c.send(line_of(201) + "Host: t\r\n\r\n" + NEXT)
        refused(c, 414)


def test_a_request_line_without_end_is_414_at_once(limited):
    s = limited(max_request_line=200)
    with s.connect() as c:
        c.send("GET /" + "x" * 300)
        refused(c, 414)


def test_a_field_may_be_as_long_as_the_limit(limited):
    s = limited(max_header=100)
    with s.connect() as c:
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\nX: " + "y" * 97 + "\r\n\r\n")
        assert c.response().status == 200
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\nX: " + "y" * 98 + "\r\n\r\n"
               + NEXT)
        refused(c, 431)


def test_as_many_fields_as_the_limit(limited):
    s = limited(max_headers=5)
    with s.connect() as c:
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\n" + "X: y\r\n" * 4 + "\r\n")
        assert c.response().status == 200
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\n" + "X: y\r\n" * 5 + "\r\n"
               + NEXT)
        refused(c, 431)


def test_a_head_may_be_as_long_as_the_limit(limited):
    s = limited(max_head=2048, max_header=1024, max_headers=100)
    start = "GET /pid HTTP/1.1\r\nHost: t\r\n"

    def head(n):
        field = "X: " + "y" * 200 + "\r\n"
        rest = n - len(start) - 2 - 8 * len(field)
        return (start + 8 * field + "X: " + "y" * (rest - 5) + "\r\n\r\n")
    with s.connect() as c:
        assert len(head(2048)) == 2048
        c.send(head(2048))
        assert c.response().status == 200
        c.send(head(2049) + NEXT)
        refused(c, 431)
    with s.connect() as c:
        c.send(start + ("X: " + "y" * 200 + "\r\n") * 12)
        refused(c, 431)


@pytest.mark.parametrize("handler", ["module", pytest.param(
    "python", marks=outside_sandbox)])
def test_a_head_may_be_longer_than_64_kib_everywhere(start, tmp_path, handler):
    """CVE-2020-11984: a length of 16 bits on the way to the application."""
    s = start({"server": {"workers": 1},
               "http": {"max_head": "1M", "max_header": "128k"},
               "app:all": handler_apps(tmp_path)[handler]}, ready=1)
    with s.connect() as c:
        for _ in range(2):
            c.send("GET / HTTP/1.1\r\nHost: t\r\n"
                   + "".join(f"X-{i}: {'y' * 70_000}\r\n" for i in range(5))
                   + "\r\n")
            r = c.response()
            assert r.status == 200 and r.body.startswith(b"0")


@pytest.mark.parametrize("head, status", [
    ("BREW /pot HTCPCP/1.0\r\n\r\n", 400),
    ("GET /pid HTTP/3.0\r\nHost: t\r\n\r\n", 505),
    ("CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\n", 501),
    ("GET /pid HTTP/1.1\r\nHost: t\r\nExpect: 200-maybe\r\n\r\n", 417),
    ("GET /pid HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n", 400),
    ("GET /%00 HTTP/1.1\r\nHost: t\r\n\r\n", 400),
])
def test_what_follows_a_refused_request_is_never_served(limited, head, status):
    with limited().connect() as c:
        c.send(head + NEXT + NEXT)
        refused(c, status)


def test_bytes_sent_after_a_refusal_are_never_served(limited):
    with limited().connect() as c:
        c.send("nonsense\r\n\r\n")
        r = c.response()
        assert r.status == 400
        with sending(c, [NEXT.encode()] * 3):
            c.closed()


# ---- bodies ------------------------------------------------------------------

def test_a_length_over_max_body_is_413_before_a_byte_of_it(limited):
    s = limited(max_body=1000)
    with s.connect() as c:
        assert c.get("/sum", method="POST", body=b"x" * 1000).status == 200
        c.request("/sum", method="POST", Content_Length=1001)
        refused(c, 413)


def test_chunks_over_max_body_are_413_and_what_follows_is_lost(limited):
    s = limited(max_body=1000)
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    with s.connect() as c:
        c.request("/sum", method="POST", Transfer_Encoding="chunked")
        c.send(chunk * 10 + b"0\r\n\r\n")
        assert c.response().status == 200
        c.request("/sum", method="POST", Transfer_Encoding="chunked")
        c.send(chunk * 11 + b"0\r\n\r\n" + NEXT.encode())
        refused(c, 413)


def test_a_chunk_over_max_body_is_413_before_a_byte_of_it(limited):
    s = limited(max_body=1000)
    for chunks in "3e9\r\n", "3e8\r\n" + "x" * 1000 + "\r\n1\r\n":
        with s.connect() as c:
            c.request("/sum", method="POST", Transfer_Encoding="chunked")
            c.send(chunks)
            refused(c, 413)


def test_an_app_may_have_a_limit_of_its_own(limited):
    s = limited({"app:a": module("bigbody", "/a", max_body=10),
                 "app:b": module("bigbody", "/b")}, max_body=100)
    assert s.get("/a", method="POST", body=b"x" * 10).status == 200
    assert s.get("/a", method="POST", body=b"x" * 11).status == 413
    assert s.get("/b", method="POST", body=b"x" * 100).status == 200
    assert s.get("/b", method="POST", body=b"x" * 101).status == 413


@pytest.mark.parametrize("path", ["/sum", "/stream", "/elsewhere"])
def test_a_client_that_still_uploads_can_read_the_refusal(limited, path):
    s = limited(max_body="1M", apps={**APPS, "app:probe": {
        "type": "module", "target": PROBE, "mount": "/probe"}})
    with s.connect() as c:
        c.request(path, method="POST", Content_Length=50_000_000)
        with sending(c, [b"x" * 65536] * 100):
            r = c.response()
            assert r.status == (404 if path == "/elsewhere" else 413)
            assert r.closes
            c.closed()
    assert s.get("/probe/pid").status == 200


@pytest.fixture
def streaming(limited, hold):
    """A server, and a client whose request a handler reads the body of."""
    def begin(**http):
        s = limited({"app:gate": hold.app(stream="yes")}, **http)
        return s, s.connect()

    def reads(s, c, **fields):
        c.request("/?read", method="POST", **fields)
        s.wait("inside 1")
    begin.reads = reads
    return begin


CHUNKS = {"Transfer_Encoding": "chunked"}
TEN = {"Content_Length": 10}


@pytest.mark.parametrize("fields, sent, code", [
    (CHUNKS, "64\r\n" + "x" * 100 + "\r\n1\r\n", -3),
    (CHUNKS, "65\r\n", -3),
    (CHUNKS, "3\r\nabc\r\nzz\r\n" + NEXT, -4),
    (CHUNKS, "0\r\n" + "A: b\r\n" * 101 + "\r\n" + NEXT, -9),
    (CHUNKS, "0\r\nA: " + "b" * 70000 + "\r\n\r\n" + NEXT, -9),
    (CHUNKS, "3\r\nabc\r\n", -2),
    (TEN, "abc", -2),
], ids=["too big", "one too big", "bad chunk", "trailers", "long trailers",
        "late chunk", "late"])
def test_what_is_wrong_with_a_streamed_body_reaches_its_handler(
        streaming, fields, sent, code):
    late = code == -2
    s, c = streaming(max_body=100, body_timeout="300ms" if late else "60s")
    with c:
        streaming.reads(s, c, **fields)
        c.send(sent)
        r = c.response()
        assert r.body == b"read %d" % code and r.closes
        c.closed()
    assert s.get("/?now").status == 200


@pytest.mark.parametrize("fields", [CHUNKS, TEN], ids=["chunks", "length"])
def test_a_streamed_body_that_is_cut_short_reaches_its_handler(
        streaming, fields):
    s, c = streaming()
    with c:
        streaming.reads(s, c, **fields)
        c.send("3\r\n")
        c.sock.shutdown(1)
        assert c.response().body == b"read -4"
        c.closed()


# ---- timeouts ----------------------------------------------------------------

def test_a_head_that_is_late_is_408(limited):
    s = limited(header_timeout="200ms")
    with s.connect() as c:
        c.send("GET /pid HTTP/1.1\r\nHo")
        refused(c, 408)
    with s.connect() as c:
        assert c.get("/pid").status == 200
        c.send("G")
        refused(c, 408)


@pytest.mark.parametrize("handler", [
    pytest.param(h, marks=outside_sandbox if "python" in h else ())
    for h in HANDLERS])
def test_what_is_late_is_408_whoever_is_behind(start, tmp_path, handler):
    s = start({"server": {"workers": 1},
               "http": {"header_timeout": "300ms", "body_timeout": "300ms"},
               "app:all": handler_apps(tmp_path)[handler]}, ready=1)
    head = "POST / HTTP/1.1\r\nHost: t\r\n"
    for late in (head, head + "Content-Length: 5\r\n\r\nhe",
                 head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhe"):
        with s.connect() as c:
            c.send(late)
            refused(c, 408)


def test_header_timeout_counts_from_the_head_s_first_byte(limited):
    """A connection whose every read ends inside a head is never late."""
    s = limited(header_timeout=BRIEF)
    first, rest = NEXT[:9], NEXT[9:]
    with s.connect() as c, s.connect() as clock:
        c.send(first)
        clock.send("GET")  # this one is late
        done = False
        while not done:
            c.send(rest + first)
            assert c.response().status == 200
            clock.sock.setblocking(False)
            try:
                clock.more()
                done = True
            except BlockingIOError:
                pass
        assert clock.buffer.startswith(b"HTTP/1.1 408")
        c.send(rest)
        assert c.response().status == 200


def test_a_body_that_is_late_is_408(limited):
    s = limited(body_timeout="200ms")
    with s.connect() as c:
        c.request("/sum", method="POST", Content_Length=10).send("half")
        refused(c, 408)
    with s.connect() as c:
        c.request("/sum", method="POST", Transfer_Encoding="chunked")
        c.send("5\r\nhal")
        refused(c, 408)


def test_body_timeout_ends_with_the_body(start, hold):
    """A body that is complete is not late, however long its request waits."""
    s = start({"server": {"workers": 1, "threads": 1},
               "http": {"body_timeout": "300ms"},
               "app:gate": hold.app("/gate"),
               "app:sum": module("bigbody", "/sum")}, ready=1)
    with s.connect() as blocks, s.connect() as c, s.connect() as clock:
        blocks.request("/gate")
        s.wait("inside 1")
        c.request("/sum?read", method="POST", Content_Length=5000)
        c.send("x" * 2500)
        c.send("x" * 2500)
        clock.request("/sum", method="POST", Content_Length=10).send("half")
        assert clock.response().status == 408
        hold.let()
        assert c.response().body.startswith(b"5000 ")
        assert not c.get("/sum").closes


def test_send_timeout_cuts_a_client_that_sends_but_does_not_read(limited):
    s = limited({"app:echo": {"type": "module", "target": "echo.so",
                              "stream": "yes"}},
                send_timeout="300ms", max_body="1G")
    s.allow("client gone")
    with s.connect() as c:
        c.request("/", method="POST", Content_Length=500_000_000)
        with sending(c, [b"x" * 1000000] * 500):
            assert is_reset(c)
    assert s.get("/").status == 200


def test_a_request_that_crosses_the_last_answer_resets_nothing(start):
    """Sent before the client knew, it arrives when all is answered."""
    s = start({"http": {"max_keepalive_requests": 1}})
    with s.connect() as c:
        c.request("/say?one")
        await_closed(c)
        c.request("/say?two")
        assert has_owner(c)  # else its kernel answers: with a reset
        assert c.response().closes
        c.closed()


def test_a_response_that_closes_does_not_destroy_itself(start, hold):
    """The client pipelines; the server closes; no reset overtakes the answer.

    The second request is not read when the connection ends."""
    s = start({"server": {"workers": 1},
               "http": {"max_keepalive_requests": 1},
               "app:gate": hold.app()}, ready=1)
    with s.connect() as c:
        c.request("/")
        s.wait("inside 1")
        c.request("/?now")
        hold.let()
        r = c.response()
        assert r.body == b"through" and r.closes
        c.closed()


@pytest.mark.parametrize("head", [
    "POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody",
    "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
], ids=["1.0", "close"])
def test_what_is_sent_behind_the_last_request_destroys_no_response(
        start, hold, head):
    """RFC 9112 9.6: nor when it is the client that wanted to close (2.2: some
    send a CRLF too many)."""
    s = start({"server": {"workers": 1, "threads": 4},
               "app:gate": hold.app()}, ready=1)
    with s.connect() as c:
        c.send(head)
        s.wait("inside 1")
        c.send("\r\n")
        for _ in range(2):  # the loop turns, and sees it
            s.get("/?now")
        hold.let()
        r = c.response()
        assert r.body == b"through" and r.closes
        c.closed()
