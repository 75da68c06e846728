"""Request bodies: where they are kept, and what becomes of those nobody reads."""
import os
import re
import resource
import socket
import zlib

import pytest

from prefork import PROBE, SANITIZED, fd_count, files_of
from testmods import memory_kib, module, outside_sandbox, sending

ECHO = {"type": "module", "target": "echo.so"}
NEXT = "GET /pid HTTP/1.1\r\nHost: t\r\n\r\n"
APPS = {
    "app:probe": {"type": "module", "target": PROBE},
    "app:sum": module("bigbody", "/sum"),
    "app:unread": module("fast", "/unread", stream="yes"),
    "app:echo": {**ECHO, "mount": "/echo", "stream": "yes"},
}


@pytest.fixture
def one(start):
    def begin(apps=None, **http):
        return start({"server": {"workers": 1}, "http": http,
                      **(apps or APPS)}, ready=1)
    return begin


def text(n):
    """n bytes, no two pages of them alike."""
    return b"".join(b"%07d\n" % i for i in range(n // 8 + 1))[:n]


def chunked(body, size):
    """The chunks, each on its own."""
    for at in range(0, len(body), size):
        piece = body[at:at + size]
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def answer(body, where):
    return b"%d %d %s" % (len(body), zlib.adler32(body), where)


@pytest.mark.parametrize("n", [0, 1, 4095, 4096, 4097, 65536, 65537, 3_000_000])
def test_a_body_of_any_length_arrives(one, n):
    s = one(body_memory="4k")
    body = text(n)
    where = b"memory" if n <= 4096 else b"file"
    with s.connect() as c:
        for _ in range(2):
            assert c.get("/sum", method="POST",
                         body=body).body == answer(body, where)
        # The last bytes come with the next request behind them.
        c.request("/sum", method="PUT", Content_Length=n)
        c.send(body + NEXT.encode())
        assert c.response().body == answer(body, where)
        assert c.response().status == 200


@pytest.mark.parametrize("size", [1, 100, 4096, 100_000])
def test_a_chunked_body_of_any_length_arrives(one, size):
    s = one(body_memory="4k")
    body = text(min(300_000, size * 500))
    where = b"memory" if len(body) <= 4096 else b"file"
    with s.connect() as c:
        for _ in range(2):
            c.request("/sum", method="POST", Transfer_Encoding="chunked")
            c.send(b"".join(chunked(body, size)) + NEXT.encode() * 2)
            assert c.response().body == answer(body, where)
            assert c.response().status == c.response().status == 200


def test_spooled_bodies_leave_no_open_file(one):
    s = one(body_memory="4k")
    pid, = s.workers()
    with s.connect() as c:
        assert c.get("/pid").status == 200
        before = fd_count(pid)
        for _ in range(20):
            assert c.get("/sum", method="POST", body=text(9000)).status == 200
        # The response may be here before the request is put away; the next
        # one is served after that.
        assert c.get("/pid").status == 200
        assert fd_count(pid) <= before


def unwritable(tmp_path):
    """A place where no file can be made, not even by root."""
    file = tmp_path / "file"
    file.write_text("")
    return file


@pytest.mark.parametrize("kind", [
    pytest.param("absent", marks=outside_sandbox), "a file", "/proc"])
def test_without_room_for_a_body_only_that_request_fails(one, tmp_path, kind):
    where = {"absent": tmp_path / "absent", "a file": unwritable(tmp_path),
             "/proc": "/proc"}[kind]
    s = one(body_memory="4k", body_dir=where)
    s.allow(r"body_dir")
    with s.connect() as c:
        r = c.get("/sum", method="POST", body=text(5000))
        assert r.status == 500 and r.closes
        c.closed()
    with s.connect() as c:
        c.request("/sum", method="POST", Content_Length=500_000)
        with sending(c, [text(500_000)]):
            assert c.response().status == 500
    assert str(where) in s.wait("body_dir").string
    assert s.get("/sum", method="POST", body=text(4000)).status == 200


def test_a_full_disk_fails_only_that_request(one, tmp_path):
    """A limit on the size of files stands for the disk: write() fails in the
    middle of a body."""
    s = one(body_memory="4k", body_dir=tmp_path)
    s.allow(r"body_dir")
    pid, = s.workers()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    small, big = text(90_000), text(110_000)
    with s.connect() as c:
        r = c.get("/sum", method="POST", body=small)
        assert r.body == answer(small, b"file")
        c.request("/sum", method="POST", Content_Length=len(big))
        with sending(c, [big]):
            r = c.response()
            assert r.status == 500 and r.closes
    r = s.get("/sum", method="POST", body=small)
    assert r.body == answer(small, b"file")
    assert s.workers() == [pid], "no signal ended it"


# ---- streaming ---------------------------------------------------------------

def test_an_upload_that_streams_through_takes_no_memory(one):
    s = one(max_body="1G")
    pid, = s.workers()
    piece = text(100_000)
    total = 500 * len(piece)
    with s.connect() as c:
        c.get("/echo", method="POST", body=piece)
        before = memory_kib(pid, "VmRSS")
        c.request("/echo", method="POST", Content_Length=total)
        with sending(c, [piece] * 500):
            assert c.head().status == 200
            seen = 0
            while seen < total:
                got = c.take(min(total - seen, 70_001))
                at = seen % len(piece)
                assert got == (piece + piece)[at:at + len(got)]
                seen += len(got)
        assert c.get("/pid").status == 200
    grown = memory_kib(pid) - before
    assert grown < (40_000 if SANITIZED else 2_000), f"{grown} KiB"


def test_backpressure_reaches_a_client_that_does_not_read(one):
    s = one(max_body="1G", send_timeout="60s")
    pid, = s.workers()
    piece = text(100_000)
    with s.connect() as c:
        c.request("/echo", method="POST", Content_Length=500 * len(piece))
        c.sock.setblocking(False)
        sent = 0
        try:
            while sent < 500:
                sent += 1
                c.sock.send(piece)
        except BlockingIOError:
            pass
        assert s.get("/pid").status == 200
        # What fits into the buffers of two sockets, and ours: not 50 MB.
        assert sent < 400
        assert memory_kib(pid) < (400_000 if SANITIZED else 20_000)


def test_a_chunked_upload_streams_through_too(one):
    s = one(max_body="1G")
    body = text(2_000_000)
    with s.connect() as c:
        c.request("/echo", method="POST", Transfer_Encoding="chunked")
        with sending(c, list(chunked(body, 10_007)) + [NEXT.encode()]):
            r = c.response()
            assert r["Transfer-Encoding"] == "chunked"
            assert r.body == body
            assert c.response().status == 200


def test_one_thread_is_enough_to_stream(start):
    """It waits for its client; somebody else turns the loop."""
    s = start({"server": {"workers": 1, "threads": 1}, **APPS}, ready=1)
    body = text(2_000_000)
    with s.connect() as c:
        for _ in range(3):
            c.request("/echo", method="POST", Content_Length=len(body))
            with sending(c, [body]):
                assert c.response().body == body


def test_each_piece_comes_back_before_the_next_is_sent(one):
    with one().connect() as c:
        c.request("/echo", method="POST", Transfer_Encoding="chunked")
        c.send("3\r\none\r\n")
        assert c.head().status == 200
        assert (c.line(), c.line()) == ("3", "one")
        c.send("3\r\ntwo\r\n")
        assert (c.line(), c.line()) == ("3", "two")
        c.send("0\r\n\r\n" + NEXT)
        assert (c.line(), c.line()) == ("0", "")
        assert c.response().status == 200


@pytest.mark.parametrize("wrong", ["zz\r\n", "3\r\nabcX", "3;a\rb\r\n",
                                   "0\r\nHost: h\r\n\r\n",
                                   "0\r\n" + "A: b\r\n" * 101 + "\r\n"],
                         ids=["size", "end", "extension", "trailer", "many"])
def test_a_chunk_that_is_wrong_after_the_head_is_out_cuts_the_answer(
        one, wrong):
    with one().connect() as c:
        c.request("/echo", method="POST", Transfer_Encoding="chunked")
        c.send("3\r\none\r\n")
        assert c.head().status == 200
        assert (c.line(), c.line()) == ("3", "one")
        c.send(wrong + NEXT)
        try:
            assert b"0\r\n\r\n" not in c.rest(), "as if it was complete"
        except ConnectionResetError:
            pass


def test_expect_continue_is_said_when_a_streaming_handler_reads(one):
    with one().connect() as c:
        c.request("/echo", method="POST", Content_Length=4,
                  Expect="100-continue")
        assert c.head().status == 100
        c.send("body")
        assert c.response().body == b"body"
        # This one answers without it: no 100, and no body either; whether it
        # will come nobody knows.
        c.request("/unread", method="POST", Content_Length=4,
                  Expect="100-continue")
        r = c.response()
        assert r.status == 200 and r.closes
        c.closed()


@pytest.mark.parametrize("path", ["/sum", "/echo", "/unread"])
@pytest.mark.parametrize("sent", ["zz\r\n", "5\r\nhello", "3\r\nabcX", "1\r\n"])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_bodies_that_are_malformed_or_cut_short_are_counted(
        one, path, sent, later):
    s = one()
    good = b"5\r\nhello\r\n0\r\n\r\n"
    with s.connect() as c:
        for _ in range(2):
            c.request(path, method="POST", Transfer_Encoding="chunked")
            c.send(good)
            assert c.response().status == 200
        c.request(path, method="POST", Transfer_Encoding="chunked")
        if later and path != "/sum":
            if path == "/unread":
                c.response()  # discarding
            else:
                c.send("1\r\nx\r\n")
                c.head()
        try:
            c.send(sent).sock.shutdown(socket.SHUT_WR)
            c.rest()
        except OSError:
            pass  # reset, when its answer was cut
    while s.status()["bodies_bad"] < 1:
        pass
    assert s.status()["bodies_bad"] == 1


# ---- bodies nobody reads -----------------------------------------------------

def test_an_unread_body_is_discarded_and_the_connection_kept(one):
    with one().connect() as c:
        for n in 1, 10_000, 60_000:
            r = c.request("/unread", method="POST", Content_Length=n).response()
            assert r.body == b"fast" and not r.closes
            c.send(text(n))
            assert c.get("/pid").status == 200
        c.request("/unread", method="POST", Transfer_Encoding="chunked")
        assert c.response().body == b"fast"
        c.send(b"".join(chunked(text(30_000), 999)) + NEXT.encode())
        assert c.response().status == 200


def test_an_unread_body_that_is_too_long_ends_the_connection(one):
    with one().connect() as c:
        c.request("/unread", method="POST", Content_Length=10_000_000)
        assert c.response().body == b"fast"
        with sending(c, [text(100_000)] * 100 + [NEXT.encode()]):
            try:
                c.closed()
            except ConnectionResetError:
                pass  # it is told either way, and nothing else is served


@pytest.mark.parametrize("n, stays", [(65536, True), (196608, False)])
def test_an_unread_body_is_read_on_for_64_kib(one, n, stays):
    """And for the piece that is under way then, which is no longer."""
    with one().connect() as c:
        c.request("/unread", method="POST", Content_Length=n)
        assert c.response().body == b"fast"
        with sending(c, [text(n), NEXT.encode()]):
            if stays:
                assert c.response().status == 200
            else:
                with pytest.raises((EOFError, ConnectionResetError)):
                    c.response()


def test_an_unread_body_that_turns_out_wrong_ends_the_connection(one):
    with one().connect() as c:
        c.request("/unread", method="POST", Transfer_Encoding="chunked")
        assert c.response().body == b"fast"
        c.send("zz\r\n" + NEXT)
        c.closed()


def test_an_unread_body_that_never_comes_is_not_waited_for_long(one):
    with one(body_timeout="300ms").connect() as c:
        c.request("/unread", method="POST", Content_Length=10)
        assert c.response().body == b"fast"
        c.send("half")
        c.closed()


def test_where_bodies_lie_no_name_is_seen(one, tmp_path, hold):
    s = one({"app:gate": hold.app()}, body_memory="4k", body_dir=tmp_path)
    before = sorted(os.listdir(tmp_path))
    with s.connect() as c:
        c.request("/", method="POST", body=text(100_000))
        s.wait("inside 1")
        pid, = s.workers()
        assert any(re.match(f"{tmp_path}/.*deleted", x) for x in files_of(pid))
        assert sorted(os.listdir(tmp_path)) == before
        hold.let()
        assert c.response().body == b"through"
