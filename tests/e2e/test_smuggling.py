"""Requests hidden in requests: one test for each way that was once possible in
a server of this kind.  No byte of an attack is ever served as a request of its
own: the access log, which has a line for each request, never names one."""
import contextlib
import socket

import pytest

from testmods import HANDLERS, handler_apps, module

# The request that an attacker wants served to others.
HIDDEN = b"GET /hidden/%s HTTP/1.1\r\nHost: hidden\r\nX: "
END = b"y\r\n\r\n"


def post(*fields, version=b"1.1"):
    return (b"POST /attack/%s HTTP/" + version + b"\r\nHost: t\r\n"
            + b"".join(f + b"\r\n" for f in fields) + b"\r\n")


CHUNKED = b"Transfer-Encoding: chunked"


def length(n):
    return b"Content-Length: %d" % n


# name: (what comes before the hidden request, the status)
ATTACKS = {
    # gunicorn CVE-2024-1135: the last coding is not chunked, or there are two
    "te_after_chunked": (
        post(CHUNKED, b"Transfer-Encoding: identity") + b"0\r\n\r\n", 400),
    "te_chunked_list": (
        post(b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n", 400),
    "te_chunked_twice": (post(CHUNKED, CHUNKED) + b"0\r\n\r\n", 400),
    # gunicorn CVE-2024-6827: an unknown coding fell back to Content-Length
    "te_unknown_and_length": (
        post(b"Transfer-Encoding: xchunked", length(0)), 400),
    "te_unknown": (post(b"Transfer-Encoding: xchunked"), 501),
    "te_quoted": (post(b'Transfer-Encoding: "chunked"', length(0)), 400),
    "te_vertical_tab": (post(b"Transfer-Encoding: \x0bchunked"), 400),
    "te_nel": (post(b"Transfer-Encoding: chunked\x85", length(0)), 400),
    "te_space_before_colon": (
        post(b"Transfer-Encoding : chunked", length(0)), 400),
    "te_folded": (post(b"Transfer-Encoding:\r\n chunked", length(0)), 400),
    "te_bare_lf": (post(b"X: y\nTransfer-Encoding: chunked", length(0)), 400),
    "te_bare_cr": (post(b"X: y\rTransfer-Encoding: chunked", length(0)), 400),
    # gunicorn 22.0.0, CVE-2020-11076 (puma), waitress 2026
    "length_and_te": (post(length(0), CHUNKED) + b"0\r\n\r\n", 400),
    "te_and_length": (post(CHUNKED, length(0)) + b"0\r\n\r\n", 400),
    "te_in_1_0": (post(CHUNKED, version=b"1.0") + b"0\r\n\r\n", 400),
    "te_gzip": (post(b"Transfer-Encoding: gzip"), 400),
    "te_gzip_chunked": (
        post(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "name_empty": (post(b": 5", length(0)), 400),
    # waitress CVE-2022-24761, uwsgi#2775, CVE-2023-40175 (puma)
    "length_plus": (post(b"Content-Length: +0"), 400),
    "length_minus": (post(b"Content-Length: -1"), 400),
    "length_hex": (post(b"Content-Length: 0x0"), 400),
    "length_empty": (post(b"Content-Length: "), 400),
    "length_list": (post(b"Content-Length: 0, 0"), 400),
    "length_twice": (post(length(0), length(500)), 400),
    "length_twice_equal": (post(length(0), length(0)), 400),
    "length_overflows": (post(b"Content-Length: 18446744073709551616"), 400),
    "length_space": (post(b"Content-Length: 0 0"), 400),
    "length_underscore": (post(b"Content-Length: 0_0"), 400),
    "length_nul": (post(b"Content-Length: 0\x00"), 400),
    "chunk_plus": (post(CHUNKED) + b"+0\r\n\r\n", 400),
    "chunk_0x": (post(CHUNKED) + b"0x0\r\n\r\n", 400),
    "chunk_minus": (post(CHUNKED) + b"-1\r\n\r\n", 400),
    "chunk_underscore": (post(CHUNKED) + b"0_0\r\n\r\n", 400),
    "chunk_space": (post(CHUNKED) + b"0 \r\n\r\n", 400),
    "chunk_overflows": (
        post(CHUNKED) + b"10000000000000000\r\n\r\n", 400),
    # gunicorn 25.3.0 #3556, Kestrel CVE-2025-55315, Go CVE-2025-22871, Netty
    # CVE-2025-58056, Jetty CVE-2026-2332, h11 CVE-2025-43859
    "chunk_bare_lf": (post(CHUNKED) + b"0\n\r\n", 400),
    "chunk_bare_cr": (post(CHUNKED) + b"0\r\r\n\r\n", 400),
    "extension_bare_lf": (post(CHUNKED) + b"0;a\n\r\n", 400),
    "extension_bare_cr": (post(CHUNKED) + b"0;a\rb\r\n\r\n", 400),
    "extension_quoted_crlf": (post(CHUNKED) + b'0;a="\n"\r\n\r\n', 400),
    "extension_quote_open": (
        post(CHUNKED) + b'2;a="\r\nab\r\n0;"\r\n\r\n', 400),
    "extension_space_after": (post(CHUNKED) + b"0;a \r\n\r\n", 400),
    "chunk_end_wrong": (post(CHUNKED) + b"2\r\nabXX0\r\n\r\n", 400),
    "chunk_end_missing": (post(CHUNKED) + b"2\r\nab0\r\n\r\n", 400),
    "chunk_end_bare_lf": (post(CHUNKED) + b"2\r\nab\n0\r\n\r\n", 400),
    # puma CVE-2024-21647: extensions without an end
    "extension_endless": (
        post(CHUNKED) + b"1;" + b"a" * 300 + b"\r\nx\r\n0\r\n\r\n", 400),
    "extensions_endless": (
        post(CHUNKED) + (b"1;" + b"a" * 250 + b"\r\nx\r\n") * 300, 400),
    # puma CVE-2023-40175, gunicorn 22.0.0: trailers that frame
    "trailer_length": (
        post(CHUNKED) + b"0\r\nContent-Length: 500\r\n\r\n", 400),
    "trailer_te": (
        post(CHUNKED) + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "trailer_bare_lf": (post(CHUNKED) + b"0\r\nX: y\n\r\n", 400),
    "trailer_folded": (post(CHUNKED) + b"0\r\nX: y\r\n z\r\n\r\n", 400),
    # puma CVE-2021-41136, gunicorn 23.0.0 #3253: ends of lines
    "line_bare_lf": (b"POST /attack/%s HTTP/1.1\nHost: t\n\n", 400),
    "fields_bare_lf": (b"POST /attack/%s HTTP/1.1\r\nHost: t\n\r\n", 400),
    "value_bare_cr": (post(b"X: a\rContent-Length: 500"), 400),
    "value_nul": (post(b"X: a\x00b", length(0)), 400),
    "folded": (post(b"X: a", b" Content-Length: 500"), 400),
    # gunicorn 26: forms of the target, duplicates
    "host_twice": (post(b"Host: hidden", length(0)), 400),
    "type_twice": (
        post(b"Content-Type: a/b", b"Content-Type: c/d", length(0)), 400),
    "authority_form": (b"GET t:80 HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "asterisk_form": (b"GET * HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "absolute_bad": (
        b"GET http://a@b/ HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "connect": (b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n", 501),
    # waitress CVE-2024-49768: what comes behind an error is not looked at
    "version_2": (b"GET /attack/%s HTTP/2.0\r\nHost: t\r\n\r\n", 505),
    "head_too_long": (post(b"X: " + b"y" * 9000), 431),
    "body_too_large": (post(length(1 << 40)), 413),
    "expect_unknown": (post(b"Expect: 200-ok", length(0)), 417),
    # bjoern, unicorn, CVE-2015-0219, puma CVE-2024-45614: '_' for '-'
    "host_underscore": (
        b"GET /attack/%s HTTP/1.1\r\nHo_st: t\r\n\r\n", 400),
}

# These are one request whose body is the hidden one: it must not be served
# either.  What a server that reads the length wrongly would see.
BODIES = {
    "length_zeros": lambda body: (
        post(b"Content-Length: %09d" % len(body)), body),
    "underscore_te": lambda body: (
        post(b"Transfer_Encoding: chunked", length(len(body))), body),
    "underscore_length": lambda body: (
        post(b"Content_Length: 0", length(len(body))), body),
    "chunk_of_it": lambda body: (
        post(CHUNKED), b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)),
    "chunk_end_in_data": lambda body: (
        post(CHUNKED),
        b"%x\r\n0\r\n\r\n%s\r\n0\r\n\r\n" % (len(body) + 5, body)),
    "extension_quoted": lambda body: (
        post(CHUNKED), b'%x;a="0;\t0"\r\n%s\r\n0\r\n\r\n' % (len(body), body)),
    "extension_spaces": lambda body: (
        post(CHUNKED),
        b'%x ;\ta = "0" ; b\r\n%s\r\n0 ;a\r\n\r\n' % (len(body), body)),
    "expect": lambda body: (
        post(b"Expect: 100-continue", length(len(body))), body),
    "upgrade": lambda body: (
        post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
             length(len(body))), body),
    "get_with_a_body": lambda body: (
        post(length(len(body))).replace(b"POST", b"GET"), body),
    "head_with_a_body": lambda body: (
        post(length(len(body))).replace(b"POST", b"HEAD"), body),
}


@pytest.fixture(params=HANDLERS)
def served(request, start, tmp_path):
    (tmp_path / "site").mkdir()
    s = start({"server": {"workers": 1},
               "http": {"max_body": "1M"},
               "log": {"access": tmp_path / "access.log"},
               "app:all": handler_apps(tmp_path / "site")[request.param]},
              ready=1)

    def lines():
        s.stop()
        return (tmp_path / "access.log").read_text().splitlines()
    s.lines = lines
    s.handler = request.param
    return s


def named(name, data):
    return data.replace(b"%s", name.encode())


def read_one(client, method="GET"):
    """The status and whether it closes, or what went wrong."""
    try:
        r = client.response(method)
        return r.status, r.closes
    except (EOFError, OSError) as e:
        return repr(e), None


def send(client, data, step=None):
    try:
        for at in range(0, len(data), step or len(data)):
            client.send(data[at:at + (step or len(data))])
    except OSError:
        pass  # refused already


def rest(client):
    try:
        return client.rest()
    except OSError:
        return b""  # reset: nothing came


def hidden_lines(lines):
    return [x for x in lines if "/hidden/" in x]


@pytest.mark.parametrize("how", ["together", "bytes", "after"])
def test_no_attack_is_served(served, how):
    """`after`: the hidden request is sent when the answer is here, to a server
    that might still read."""
    wrong = []
    for name, (before, status) in ATTACKS.items():
        before, hidden = named(name, before), named(name, HIDDEN + END)
        with served.connect() as c:
            if how == "after":
                send(c, before)
                # what shows itself only in what follows
                if name in ("value_bare_cr", "line_bare_lf"):
                    send(c, b"\r\n")
            else:
                send(c, before + hidden, 1 if how == "bytes" else None)
            got = read_one(c)
            if how == "after":
                send(c, hidden)
            more = rest(c)
        if got != (status, True) or more:
            wrong.append((name, status, got, more))
    assert not wrong
    lines = served.lines()
    assert hidden_lines(lines) == []
    assert len(lines) == len(ATTACKS), "one request each, and no other"


@pytest.mark.parametrize("step", [None, 1])
def test_a_request_in_a_body_is_a_body(served, step):
    wrong = []
    for name, make in BODIES.items():
        head, body = make(named(name, HIDDEN + END))
        last = b"GET /last/%s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        with served.connect() as c:
            send(c, named(name, head) + body + named(name, last), step)
            method = head.split(b" ")[0].decode()
            first, second = read_one(c, method), read_one(c)
            if first[1] is not False or second[1] is not True or rest(c):
                wrong.append((name, first, second))
    assert not wrong
    lines = served.lines()
    assert hidden_lines(lines) == []
    assert len(lines) == 2 * len(BODIES)


def test_what_is_pipelined_openly_is_served_and_seen(served):
    """The counts above would notice: the same bytes behind a clean request."""
    with served.connect() as c:
        c.send(named("open", post(length(0)) + HIDDEN + END))
        assert read_one(c)[1] is False and read_one(c)[1] is False
    lines = served.lines()
    assert len(hidden_lines(lines)) == 1 and len(lines) == 2


def test_an_unread_body_is_not_a_request(start, tmp_path):
    """gunicorn 26.0.0: a handler that does not read, on a kept connection."""
    s = start({"server": {"workers": 1},
               "log": {"access": tmp_path / "access.log"},
               "app:fast": module("fast", stream="yes")}, ready=1)
    body = named("unread", HIDDEN + END)
    with s.connect() as c:
        for _ in range(3):
            c.send(named("unread", post(length(len(body)))) + body)
            assert c.response().status == 200
        c.send(named("unread", post(CHUNKED)))
        c.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert c.response().status == 200
        assert c.get("/last").status == 200
    s.stop()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert hidden_lines(lines) == [] and len(lines) == 5


def test_no_client_gets_the_answer_of_another(start):
    """puma CVE-2020-11077, CVE-2022-23634: of a connection that ended with
    requests or answers in it, the next had them."""
    s = start({"server": {"workers": 1}, "app:echo": {
        "type": "module", "target": "echo.so", "stream": "yes"}}, ready=1)

    def ask(c, name, n):
        for i in range(n):
            c.request(f"/{name}/{i}")
            c.request("/", method="POST", Content_Length=len(name))
            c.send(name)

    for turn in range(20):
        with contextlib.ExitStack() as stack:
            names = [f"client-{turn}-{i}" for i in range(4)]
            asked = [(stack.enter_context(s.connect()), x) for x in names]
            left = stack.enter_context(s.connect())
            ask(left, "left", 30)  # and never reads: a reset, with the stack
            left.response()
            for c, name in asked:
                ask(c, name, 10)
            left.sock.close()
            for c, name in asked:
                for i in range(10):
                    text = c.response().body.decode()
                    assert f"path: /{name}/{i}\n" in text and "left" not in text
                    assert c.response().body.decode() == name


def test_a_truncated_body_is_never_complete(served):
    """gunicorn 26.1.0 #3382: the end of the connection ends no body."""
    cut = [post(length(10)) + b"half",
           post(CHUNKED) + b"5\r\nab",
           post(CHUNKED) + b"5\r\nabcde\r\n",
           post(CHUNKED) + b"0\r\n",
           post(CHUNKED) + b"0\r\n\r"]
    for data in cut:
        with served.connect() as c:
            c.send(named("cut", data))
            c.sock.shutdown(socket.SHUT_WR)
            assert read_one(c) == (400, True), data
            assert rest(c) == b""
    assert served.status()["bodies_bad"] == len(cut)
    lines = served.lines()
    assert [x.split('" ')[1].split()[0] for x in lines] == ["400"] * len(cut)
