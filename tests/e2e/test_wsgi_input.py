"""wsgi.input: the body as a file, and nothing but the body."""
import ast
import hashlib
import io
import json

import pytest

from prefork import SANITIZED, files_of, until
from wsgi import app

LINES = b"one\ntwo\n\nlonger line\r\nlast without an end"
# "\n" on both sides of 4096 and 65536, and lines longer than a buffer
EDGES = (b"x" * 4095 + b"\n" + b"y" * 4096 + b"\n" + b"\n"
         + b"z" * (65536 - 8194) + b"\n" + b"w" * 100_000 + b"\nend\n")


def chunked(body, size=1, trailer=""):
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return (b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
            + b"0\r\n" + trailer.encode() + b"\r\n")


def post_chunked(client, target, data):
    client.send(f"POST {target} HTTP/1.1\r\nHost: h\r\n"
                "Transfer-Encoding: chunked\r\n\r\n")
    return client.send(data).response()


def done_by_io(body, calls):
    """The same calls of a file in memory."""
    f = io.BytesIO(body)
    return [list(f) if name == "list" else getattr(f, name)(*args)
            for name, *args in calls]


# ---- reading (16, 20) --------------------------------------------------------

@pytest.mark.parametrize("body", [b"", LINES, EDGES],
                         ids=["empty", "lines", "edges"])
@pytest.mark.parametrize("calls", [
    [["read", 3], ["read", 0], ["read", -1], ["read", 1]],
    [["read", None]], [["read", 10**9], ["read", 10**9]],
    [["readline"], ["read", 2], ["readline"], ["read", -1], ["readline"]],
    [["readline", 2], ["readline", 0], ["readline", 100], ["readline", -1]],
    [["readlines"]], [["readlines", 5], ["readlines", 0]],
    [["readline"], ["readlines", 1], ["list"]],
    [["list"], ["read", 1], ["list"]],
    [["read", 4095], ["readline"], ["readline"], ["readline"], ["readline"],
     ["read", 99_999], ["readline"], ["readlines"]],
], ids=lambda c: "-".join(name for name, *_ in c))
def test_it_reads_as_any_file_does(web, body, calls):
    r = web.get("calls", method="POST", body=body, calls=json.dumps(calls))
    assert r.status == 200
    results = ast.literal_eval(r.body.decode())
    assert results == done_by_io(body, calls)


def test_read_without_an_argument_is_all(bare):
    calls = [["readline"], ["read"], ["read"]]
    r = bare.get("calls", method="POST", body=LINES, calls=json.dumps(calls))
    assert ast.literal_eval(r.body.decode()) == done_by_io(LINES, calls)


@pytest.mark.parametrize("calls", [
    '[["read", "1"]]', '[["read", 1.5]]', '[["readline", 1, 2]]',
])
def test_an_argument_that_is_no_size_is_a_type_error(bare, calls):
    mark = bare.fails("exception in the application")
    assert bare.get("calls", method="POST", body=b"x",
                    calls=calls).status == 500
    bare.server.wait("^TypeError: ", after=mark)


# ---- its end (17, 18, 19) ----------------------------------------------------

def test_it_ends_before_the_next_request(web):
    with web.connect() as c:
        for _ in range(3):
            c.request(web.target("echo"), "POST", b"abc")
        c.request(web.target("calls", calls='[["read", 100]]'), "POST", b"d")
        assert [c.response().body for _ in range(3)] == [b"abc"] * 3
        assert c.response().body == b"[b'd']"


@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
def test_what_is_not_read_is_not_the_next_request(web, size):
    with web.connect() as c:
        for _ in range(3):
            r = c.get(web.target("unread"), "POST", b"GET / " * (size // 6))
            assert r.body == b"not read"
            if r.closes:
                return
        c.get(web.target("part", n=5), "POST", b"x" * size)
        assert c.get(web.target("unread")).body == b"not read"


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_a_chunked_body_has_a_length(web, size):
    body = LINES * 100
    with web.connect() as c:
        for trailer in ("", "X-T: 1\r\nX-U: 2\r\n"):
            r = post_chunked(c, web.target("echo"),
                             chunked(body, size, trailer))
            assert r.body == body
            assert r["X-Length"] == str(len(body))


def test_an_empty_chunked_body_reads_as_nothing(web):
    with web.connect() as c:
        r = post_chunked(c, web.target("echo"), b"0\r\n\r\n")
        assert r.body == b""


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_went_to_a_file_is_the_same(web, framing):
    body = bytes(range(256)) * 4096
    before = fds(web)
    with web.connect() as c:
        target = web.target("digest", hash=1)
        if framing == "chunked":
            r = post_chunked(c, target, chunked(body, 10_000))
        else:
            r = c.get(target, "POST", body)
    assert r.body.decode() == (
        f"{len(body)} {hashlib.sha1(body).hexdigest()} {len(body)}")
    until(lambda: fds(web) == before)  # its file is gone


def fds(web):
    """Files of the worker that have no name."""
    pid = int(web.get("pid").body)
    return [name for name in files_of(pid) if "(deleted)" in name]


def test_a_chunked_body_may_be_a_gibibyte(start):
    gibibyte = 1 << (26 if SANITIZED else 30)
    piece = b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20))
    s = start({"server": {"workers": 1}, "http": {"max_body": "2G"},
               "app:a": app()}, ready=1)
    with s.connect() as c:
        c.send("POST /digest HTTP/1.1\r\nHost: h\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(gibibyte >> 20):
            c.send(piece)
        c.send("0\r\n\r\n")
        total, _, length = c.response().body.decode().split()
    assert int(total) == int(length) == gibibyte


# ---- a stream: the handler starts before the body is here --------------------

@pytest.fixture
def streaming(start):
    s = start({"server": {"workers": 1, "threads": 4},
               "app:a": app(stream="yes", max_body="400K")}, ready=1)
    return s


def test_a_stream_is_read_as_it_comes(streaming):
    with streaming.connect() as c:
        c.send("POST /calls?calls=[[%22readline%22],[%22read%22]] HTTP/1.1\r\n"
               "Host: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"on", b"e\nt", b"wo"):
            c.send(chunked(piece, 9)[:-5])
        c.send("0\r\n\r\n")
        assert c.response().body == b"[b'one\\n', b'two']"


def test_a_stream_ends_at_its_length(streaming):
    with streaming.connect() as c:
        for _ in range(2):
            assert c.get("/echo", "POST", b"x" * 300_000).body == (
                b"x" * 300_000)


def test_a_client_that_dies_in_its_body_is_an_os_error_and_a_line(streaming):
    s = streaming
    with s.connect() as c:
        c.send("POST /failing HTTP/1.1\r\nHost: h\r\n"
               "Content-Length: 1000\r\n\r\nsome")
    s.wait("read failed: Connection.*Error")
    s.wait(r"\[info\] .*POST /failing: the client left")
    assert s.get("/pid").status == 200
    assert not s.matches("Traceback")


def test_a_stream_that_is_too_long_is_413(streaming):
    with streaming.connect() as c:
        c.send("POST /failing HTTP/1.1\r\nHost: h\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        c.send(chunked(bytes(500_000), 100_000))
        assert c.response().status == 413
    streaming.wait(r"\[info\] .*POST /failing: the client left, or failed")


def test_a_stream_that_is_malformed_is_400(streaming):
    with streaming.connect() as c:
        c.send("POST /failing HTTP/1.1\r\nHost: h\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        streaming.wait("^reading$")
        c.send("4\r\nsomewhat\r\n")
        assert c.response().status == 400


@pytest.mark.parametrize("trailers", ["A: b\r\n" * 101,
                                      "A: " + "b" * 70_000 + "\r\n"],
                         ids=["many", "long"])
def test_a_stream_with_too_large_trailers_is_431(streaming, trailers):
    with streaming.connect() as c:
        c.send("POST /failing HTTP/1.1\r\nHost: h\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        streaming.wait("^reading$")
        c.send("4\r\nsome\r\n0\r\n" + trailers + "\r\n")
        assert c.response().status == 431
    streaming.wait("read failed: OSError: .*trailers")


def test_an_error_of_ones_own_after_that_is_500(streaming):
    streaming.allow("exception in the application")
    with streaming.connect() as c:
        c.send("POST /failing_of_its_own HTTP/1.1\r\nHost: h\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        streaming.wait("^reading$")
        c.send("4\r\nsomewhat\r\n")
        assert c.response().status == 500
    streaming.wait("LookupError: nothing was read")


def test_a_client_that_dies_before_the_handler_is_not_told_to_it(web):
    """Its body is not here yet, so there is no handler to tell."""
    mark = web.server.mark()
    with web.connect() as c:
        c.send(f"POST {web.target('failing')} HTTP/1.1\r\nHost: h\r\n"
               "Content-Length: 1000\r\n\r\nsome")
    assert web.get("pid").status == 200
    assert not web.server.matches("Traceback|read failed", after=mark)


# ---- afterwards (22) ---------------------------------------------------------

def test_whoever_keeps_it_gets_errors_when_the_request_is_over(bare):
    name = bare.id()
    assert bare.get("keep", method="POST", body=b"body",
                    id=name).body == b"kept"
    said = bare.get("use_kept", id=name).body.decode().splitlines()
    assert len(said) == 6
    assert all("ValueError: the request" in line for line in said), said


# ---- Expect (23) -------------------------------------------------------------

def expecting(web, name, version="HTTP/1.1", expect="100-continue"):
    c = web.connect()
    return c.send(f"POST {web.target(name)} {version}\r\nHost: h\r\n"
                  f"Content-Length: 4\r\nExpect: {expect}\r\n\r\n")


def test_100_continue_is_sent_once(web):
    with expecting(web, "echo") as c:
        assert c.head().status == 100
        r = c.send(b"body").head()
        assert (r.status, c.body_of(r)) == (200, b"body")


def test_http_1_0_gets_no_100(web):
    with expecting(web, "echo", "HTTP/1.0") as c:
        r = c.send(b"body").head()
        assert (r.status, c.body_of(r)) == (200, b"body")


def test_another_expectation_is_417(web):
    with expecting(web, "echo", expect="a-miracle") as c:
        assert c.response().status == 417


def test_a_stream_that_is_not_read_asks_for_nothing(streaming):
    with streaming.connect() as c:
        c.send("POST /unread HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
               "Expect: 100-continue\r\n\r\n")
        assert c.head().status == 200
