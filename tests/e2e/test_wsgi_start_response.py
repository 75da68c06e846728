"""start_response, the write() that it returns, and wsgi.errors' silence."""
import pytest

from prefork import LEVELS
from wsgi import Web, app

# ---- calling it (25, 26, 27, 28, 37) -----------------------------------------


def test_it_returns_a_callable(bare):
    r = bare.get("given", args=("200 OK", []))
    assert (r.status, r.body) == (200, b"taken")


@pytest.mark.parametrize("args", [
    (), ("200 OK",), ("200 OK", [], None, None),
])
def test_other_than_two_or_three_arguments_are_a_type_error(bare, args):
    assert bare.get("given", args=args).body.startswith(b"TypeError: start_re")


def test_never_called_is_500_and_nothing_of_the_body(web):
    mark = web.fails("exception in the application")
    r = web.get("never")
    assert r.status == 500
    assert b"nothing of this" not in r.body
    web.server.wait("exception in the application", after=mark)


def test_it_may_be_called_as_late_as_the_first_next(web):
    r = web.get("lazily")
    assert (r.status, r.reason, r["X-Lazy"], r.body) == (
        201, "Created", "1", b"late")


def test_headers_wait_for_the_first_block(web):
    """An empty block is none: status and headers can still be replaced."""
    r = web.get("after_nothing")
    assert (r.status, r.reason, r.body) == (503, "Later", b"replaced")


def test_an_empty_iterable_sends_the_headers(web):
    for kind in ("iterated", "listed", "generated"):
        r = web.get(kind, **{"return": []})
        assert (r.status, r.body, r["Content-Length"]) == (200, b"", "0")


def test_it_may_be_called_from_another_thread(web):
    r = web.get("other_thread")
    assert (r.status, r["X-Thread"]) == (202, "1")
    assert r.body == b"from a thread, and from the handler"


def test_a_thread_that_writes_too_late_harms_nobody(bare):
    with bare.connect() as c:
        c.send(f"GET {bare.target('abandoned_writer')} HTTP/1.0\r\n\r\n")
        r = c.head()
        assert r.status == 200
        assert set(c.rest()) <= set(b"x")
    assert bare.get("given", args=("200 OK", [])).body == b"taken"


# ---- a second call (29, 30) --------------------------------------------------

def test_a_second_call_without_exc_info_is_an_error(bare):
    r = bare.get("twice")
    assert r.body.startswith(b"AssertionError: start_response was called")


def test_exc_info_replaces_what_was_not_sent(web):
    r = web.get("replaced")
    assert (r.status, r.reason) == (503, "Later")
    assert (r["X-First"], r["X-Second"], r.body) == (None, "2", b"replaced")


def test_exc_info_is_raised_again_when_the_head_is_gone(web):
    mark = web.fails("exception in the application")
    with web.connect() as c:
        c.request(web.target("too_late"))
        assert c.head().status == 200
        with pytest.raises((EOFError, ConnectionResetError)):
            list(c.chunks())
    web.server.wait("raised again: too late for 500", after=mark)
    web.server.wait("LookupError: too late for 500", after=mark)


def test_exc_info_that_is_none_is_a_type_error_when_the_head_is_gone(bare):
    lines = bare.get("bad_exc_info").body.decode().splitlines()
    assert lines[0] == "first"
    assert len(lines) == 6
    assert all(said.startswith("TypeError: ") for said in lines[1:]), lines


def test_exc_info_makes_no_cycle(wsgi_servers):
    web = Web(wsgi_servers.get(1), wsgi_servers.address(1, False), 1)
    assert web.get("cycle").body == b"held"
    assert web.get("cycle_gone").body == b"True"


# ---- the status (31) ---------------------------------------------------------

@pytest.mark.parametrize("status, error", [
    ("200", "ValueError"), ("20 OK", "ValueError"), ("abc", "ValueError"),
    ("200OK", "ValueError"), ("", "ValueError"), ("2000 OK", "ValueError"),
    ("100 Continue", "ValueError"), ("101 Switching", "ValueError"),
    ("999 Odd", "ValueError"), ("-20 OK", "ValueError"),
    ("200 OK\r\nX: y", "ValueError"), ("200 O\0K", "ValueError"),
    ("200 \u20ac", "ValueError"), ("\u0662\u0660\u0660 OK", "ValueError"),
    (200, "TypeError"), (b"200 OK", "TypeError"), (None, "TypeError"),
])
def test_a_wrong_status_is_refused_when_it_is_given(bare, status, error):
    r = bare.get("given", args=(status, []))
    assert r.body.decode().startswith(f"{error}: status"), r.body


@pytest.mark.parametrize("status", [
    "200 OK", "204 No Content", "404 Nothing here, sorry", "599 \xe9",
])
def test_a_status_is_sent_as_it_is(web, status):
    r = web.get("iterated", status=status, headers=[] if status[:3] == "204"
                else [("Content-Type", "a/b")], **{"return": []})
    assert f"{r.status} {r.reason}" == status


# ---- headers (32, 33, 34, 35, 36, 38, 52) ------------------------------------

@pytest.mark.parametrize("headers", [
    None, {}, {"X-A": "1"}, (), (("X-A", "1"),), "X-A", 1, [["X-A", "1"]],
    [("X-A",)], [("X-A", "1", "2")], [None], [("X-A", b"1")], [(b"X-A", "1")],
    [("X-A", None)], [("X-A", 1)], [(None, "1")],
], ids=repr)
def test_headers_of_a_wrong_type_are_refused_when_they_are_given(
        bare, headers):
    r = bare.get("given", args=("200 OK", headers))
    assert r.body.startswith(b"TypeError: "), r.body


def test_a_generator_is_no_list_of_headers(bare):
    r = bare.get("kinds", kind="generator")
    assert r.body.startswith(b"TypeError: headers must be a list")


@pytest.mark.parametrize("kind", ["list subclass", "str subclass"])
def test_subclasses_are_what_they_inherit(bare, kind):
    r = bare.get("kinds", kind=kind)
    assert (r.status, r["X-A"], r.body) == (200, "1", b"taken")


@pytest.mark.parametrize("pair", [
    ("X:A", "1"), ("X A", "1"), ("", "1"), ("X-A ", "1"), ("X\r\nY", "1"),
    ("X\0", "1"), ("X\x7f", "1"), ("X\xe9", "1"), ("X\u20ac", "1"),
    ("X-A", "1\r\nX-B: 2"), ("X-A", "1\n"), ("X-A", "1\r"), ("X-A", "\0"),
    ("X-A", "\x7f"), ("X-A", "\x01"), ("X-A", "\u20ac"),
], ids=ascii)
def test_characters_that_no_header_has_are_refused(bare, pair):
    r = bare.get("given", args=("200 OK", [pair]))
    assert r.body.startswith(b"ValueError: "), r.body


@pytest.mark.parametrize("pair", [
    ("X-A", "1\r\nX-B: 2"), ("X-A: 1\r\nX-B", "2"), ("X-A", "1\n\n<html>")],
    ids=ascii)
def test_who_lets_a_client_split_the_response_is_500_and_named(bare, pair):
    mark = bare.fails("exception in the application")
    with bare.connect() as c:
        r = c.get(bare.target("sends", headers=[pair]))
        assert (r.status, r["X-A"], r["X-B"]) == (500, None, None)
        assert c.buffer == b""
    bare.server.wait(r'File ".*starts\.py", line \d+, in sends', after=mark)
    bare.server.wait("ValueError: ", after=mark)


@pytest.mark.parametrize("lengths", [
    ["x"], [""], ["-1"], ["+1"], ["1.0"], ["1 2"], ["1", "2"],
    ["99999999999999999999"],
])
def test_a_content_length_that_is_none_is_refused(bare, lengths):
    r = bare.get("given", args=("200 OK",
                                [("Content-Length", n) for n in lengths]))
    assert r.body.startswith(b"ValueError: Content-Length"), r.body


def test_values_are_latin_1_and_lose_space_around_them(bare):
    r = bare.get("sends", headers=[("X-A", "  \xe9\t"), ("X-B", ""),
                                   ("X-C", "a\tb")])
    assert (r["X-A"], r["X-B"], r["X-C"]) == ("\xe9", "", "a\tb")


def test_headers_of_the_connection_are_left_out_with_one_warning(start):
    s = start({"server": {"workers": 1}, "app:a": app()}, ready=1)
    s.allow("response header Connection is the server's")
    web = Web(s, s.address, 1)
    headers = [("Connection", "close"), ("Keep-Alive", "x"), ("TE", "x"),
               ("Proxy-Authenticate", "x"), ("Proxy-Connection", "x"),
               ("Trailer", "x"), ("Transfer-Encoding", "chunked"),
               ("Upgrade", "h2c"), ("Status", "404 No"), ("X-A", "1")]
    with s.connect() as c:
        for _ in range(2):
            r = c.get(web.target("sends", headers=headers))
            assert (r.status, r["X-A"], r.body) == (200, "1", b"sent")
            sent = {n.lower() for n, _ in r.fields}
            assert not sent & {n.lower() for n, _ in headers[:-1]}
            assert r["Content-Length"] == "4"
    s.stop()  # all of the log is here
    assert len([x for x in s.log if LEVELS.search(x)
                and "the server's to send" in x]) == 1


def test_order_and_repetition_of_headers_are_kept(web):
    headers = [("Content-Type", "a/b"), ("Set-Cookie", "a=1"), ("X-A", "1"),
               ("set-cookie", "b=2"), ("X-A", "2")]
    r = web.get("sends", headers=headers)
    names = {n.lower() for n, _ in headers}
    assert [f for f in r.fields if f[0].lower() in names] == headers


def test_many_headers_are_sent(web):
    r = web.get("many")
    assert [f for f in r.fields if f[0].startswith("X-")] == [
        (f"X-{i}", str(i) * 20) for i in range(200)]


def test_the_list_is_copied(web):
    r = web.get("mutated")
    assert (r["X-A"], r["X-B"]) == ("before", None)


def test_date_and_server_of_the_application_are_not_doubled(web):
    mine = [("Content-Type", "a/b"), ("Date", "yesterday"), ("Server", "me")]
    r = web.get("sends", headers=mine)
    assert (r["Date"], r["Server"]) == ("yesterday", "me")
    r = web.get("sends", headers=mine[:1])
    assert r["Date"] and r["Server"] == "prefork"


@pytest.mark.parametrize("name", ["C", "Content", "Content-Lengt",
                                  "Content-Length-X"])
def test_a_name_that_begins_like_content_length_is_another(web, name):
    r = web.get("sends", headers=[("Content-Type", "a/b"), (name, "x")])
    assert (r[name], r.body) == ("x", b"sent")


# ---- write() (39) ------------------------------------------------------------

@pytest.mark.parametrize("write, blocks, body", [
    ([b"a", b"b"], [b"c"], b"abc"), ([b"a"], [], b"a"), ([b""], [b"c"], b"c"),
    ([], [b"c"], b"c"), ([b"x" * 5000], (b"y",), b"x" * 5000 + b"y"),
], ids=["both", "nothing follows", "nothing written", "none", "long"])
def test_what_is_written_comes_before_what_is_returned(
        web, write, blocks, body):
    r = web.get("writes", write=write, **{"return": blocks})
    assert (r.status, r.body) == (200, body)


def test_writing_other_than_bytes_is_a_type_error(bare):
    lines = bare.get("writes_text").body.decode().splitlines()
    assert len(lines) == 4
    assert all(x.startswith("TypeError: write() argument") for x in lines)


def test_writing_beyond_content_length_is_an_error(web):
    mark = web.server.mark()
    with web.connect() as c:
        assert c.get(web.target("writes_beyond")).body == b"abc"
        assert c.get(web.target("pid")).status == 200
    web.server.wait("beyond: ValueError: write", after=mark)
