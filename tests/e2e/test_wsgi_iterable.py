"""What an application returns becomes the body; and close() is called once."""
import itertools
import os
import threading

import pytest

from prefork import LEVELS
from wsgi import Web, app

CUT = (EOFError, ConnectionResetError)


@pytest.fixture
def fifo(tmp_path):
    """A named pipe on which an application waits."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


# ---- kinds of iterables (40, 50, 52) -----------------------------------------

@pytest.mark.parametrize("blocks, body", [
    ([], b""), ((), b""), ([b""], b""), ([b"one"], b"one"),
    ((b"one",), b"one"), ([b"one", b"", b"two"], b"onetwo"),
    ((b"a", b"b", b"c"), b"abc"), ([b"%d " % i for i in range(50)],
                                   b"".join(b"%d " % i for i in range(50))),
], ids=repr)
@pytest.mark.parametrize("kind", ["listed", "iterated", "generated"])
def test_blocks_become_the_body(web, kind, blocks, body):
    with web.connect() as c:
        r = c.get(web.target(kind, **{"return": blocks}))
        assert (r.status, r.body) == (200, body)
        assert c.get(web.target("pid")).status == 200


@pytest.mark.parametrize("blocks", [[b"one"], (b"one",), [b"o", b"n", b"e"]])
@pytest.mark.parametrize("status", ["200 OK", "200 Fine", "404 Not Found"])
def test_a_list_has_a_content_length(bare, status, blocks):
    r = bare.get("listed", status=status, **{"return": blocks})
    assert (r["Content-Length"], r["Transfer-Encoding"]) == ("3", None)


def test_what_says_that_it_has_one_block_has_a_content_length(bare):
    r = bare.get("one")
    assert (r["Content-Length"], r.body) == ("4", b"only")


def test_a_generator_is_chunked(bare):
    r = bare.get("generated", **{"return": [b"one", b"two"]})
    assert (r["Content-Length"], r["Transfer-Encoding"]) == (None, "chunked")


def test_bytes_are_one_block(bare):
    r = bare.get("plain", **{"return": b"as it is"})
    assert (r["Content-Length"], r.body) == ("8", b"as it is")


@pytest.mark.parametrize("result", ["'text'", "None", "1", "{'a': 1}",
                                    "['text']", "[1]", "[('x',)]", "[None]"])
def test_other_than_bytes_is_500(web, result):
    mark = web.fails("exception in the application")
    assert web.get("plain", **{"return": result}).status == 500
    web.server.wait("^(TypeError|AssertionError): ", after=mark)


# ---- close() (41, 42) --------------------------------------------------------

@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("blocks", [[], [b"one"], [b"one", b"two"]])
def test_close_is_called_once(web, method, blocks):
    name = web.id()
    assert web.get("iterated", method=method, id=name,
                   **{"return": blocks}).status == 200
    assert web.closed(name) == 1
    assert web.closed(name) == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_close_is_called_once_though_there_is_no_body(web, status):
    name = web.id()
    r = web.get("iterated", status=status, headers=[], id=name,
                **{"return": []})
    assert (r.status, r.body) == (int(status[:3]), b"")
    assert web.closed(name) == 1


def test_a_list_that_wants_to_be_closed_is_closed(web):
    name = web.id()
    assert web.get("closing_list", id=name).body == b"one two"
    assert web.closed(name) == 1


@pytest.mark.parametrize("blocks", [[], [b"one"], [b"", b"one"]])
def test_close_is_called_once_after_an_exception(web, blocks):
    name = web.id()
    web.fails("exception in the application")
    with web.connect() as c:
        c.request(web.target("raising", id=name, **{"return": blocks}))
        if any(blocks):
            assert c.head().status == 200
            with pytest.raises(CUT):
                list(c.chunks())
        else:
            assert c.response().status == 500
    assert web.closed(name) == 1


def test_close_is_called_once_when_a_block_is_wrong(web):
    name = web.id()
    web.fails("exception in the application")
    with web.connect() as c:
        c.request(web.target("iterated", id=name, **{"return": [1]}))
        assert c.response().status == 500
    assert web.closed(name) == 1


def test_close_is_called_once_when_the_client_leaves(web):
    name = web.id()
    mark = web.server.mark()
    with web.connect() as c:
        c.request(web.target("endless", id=name))
        assert c.head().status == 200
    assert web.closed(name) == 1
    web.server.wait(r"\[info\] .*GET /\S*endless\S*: the client left",
                    after=mark)
    assert not web.server.matches(
        rf"id={name}(&\S*)?: exception|without being closed", after=mark)


def test_close_is_called_once_when_the_worker_drains(start, fifo):
    s = start({"server": {"workers": 1}, "app:a": app("draining")}, ready=1)
    with s.connect() as c:
        c.request(f"/?{fifo}")
        r = c.head()
        chunks = c.chunks()
        assert next(chunks) == b"waiting"
        s.signal(15).wait("TERM|drain|retir|shut")
        fifo.write_bytes(b"x")
        assert list(chunks) == [b" done"]
        assert r.status == 200
    s.wait_exit()
    assert len(s.matches("^closed once more$")) == 1


def test_close_that_fails_is_logged_and_harms_nobody(web):
    name = web.id()
    mark = web.fails(r"exception in close\(\)")
    with web.connect() as c:
        assert c.get(web.target("bad_close", id=name)).body == b"one two"
        assert c.get(web.target("pid")).status == 200
    assert web.closed(name) == 1
    web.server.wait("LookupError: close.. fails on purpose", after=mark)


# ---- streaming (44, 45) ------------------------------------------------------

def test_each_block_is_on_the_wire_before_the_next_is_asked_for(web, fifo):
    name = web.id()
    with web.connect() as c:
        c.request(web.target("stepwise", id=name, fifo=str(fifo)))
        with open(fifo, "wb", buffering=0) as steps:
            c.head()
            chunks = c.chunks()
            assert next(chunks) == b"ready"
            for step in b"abc":
                steps.write(bytes([step]))
                assert next(chunks) == b"block " + bytes([step])
        assert list(chunks) == []
    assert web.closed(name) == 1


def test_an_empty_block_does_not_end_a_chunked_body(web, fifo):
    with web.connect() as c:
        c.request(web.target("stepwise", id=web.id(), fifo=str(fifo)))
        with open(fifo, "wb", buffering=0) as steps:
            steps.write(b"-a--b-")
        r = c.head()
        assert c.body_of(r) == b"readyblock ablock b"
        assert c.get(web.target("pid")).status == 200


# ---- errors in the middle (43, 46) -------------------------------------------

@pytest.mark.parametrize("name, blocks", [
    ("raising", [b"first"]), ("iterated", [b"first", "text"]),
    ("iterated", [b"first", None]), ("listed", [b"first", 5]),
])
def test_an_error_after_a_block_cuts_the_body(web, name, blocks):
    mark = web.fails("exception in the application")
    with web.connect() as c:
        c.request(web.target(name, id=web.id(), **{"return": blocks}))
        assert c.head().status == 200
        with pytest.raises(CUT):
            list(c.chunks())
    web.server.wait("^(LookupError|TypeError|AssertionError): ", after=mark)


# ---- Content-Length (47) -----------------------------------------------------

def with_length(n):
    return [("Content-Type", "a/b"), ("Content-Length", str(n))]


@pytest.mark.parametrize("kind", ["listed", "iterated"])
def test_a_body_shorter_than_content_length_cuts_the_connection(web, kind):
    mark = web.fails("short of its Content-Length")
    with web.connect() as c:
        c.request(web.target(kind, headers=with_length(9),
                             **{"return": [b"four"]}))
        r = c.head()
        assert r["Content-Length"] == "9"
        with pytest.raises(CUT):
            c.take(9)
    web.server.wait("5 bytes short of its Content-Length", after=mark)


@pytest.mark.parametrize("kind", ["listed", "iterated"])
@pytest.mark.parametrize("blocks, body", [
    ([b"longer"], b"long"), ([b"lo", b"ng", b"er"], b"long"),
    ([b"l", b"on", b"ger", b"!"], b"long"),
])
def test_a_body_longer_than_content_length_is_cut_off(
        web, kind, blocks, body):
    web.fails("beyond its Content-Length")
    with web.connect() as c:
        for _ in range(2):
            r = c.get(web.target(kind, headers=with_length(4),
                                 **{"return": blocks}))
            assert (r["Content-Length"], r.body) == ("4", body)
        assert c.get(web.target("pid")).status == 200


def test_nobody_iterates_further_than_content_length(web):
    name = web.id()
    web.fails("beyond its Content-Length")
    with web.connect() as c:
        r = c.get(web.target("endless", id=name, length=100_000))
        assert len(r.body) == 100_000
        assert c.get(web.target("closed", id=name)).body == b"1"


# ---- responses without a body (48, 49) ---------------------------------------

@pytest.mark.parametrize("kind", ["listed", "iterated"])
@pytest.mark.parametrize("headers", ["", [("Content-Type", "a/b")],
                                     with_length(6)])
def test_head_has_the_headers_of_get_and_no_body(web, kind, headers):
    with web.connect() as c:
        target = web.target(kind, headers=headers,
                            **{"return": [b"six", b"six"]})
        get = c.get(target)
        head = c.get(target, "HEAD")
        assert c.get(web.target("pid")).status == 200
    assert get.body == b"sixsix"
    names = {n for n, _ in get.fields} - {"Date", "Transfer-Encoding"}
    assert names == {n for n, _ in head.fields} - {"Date"}
    for name in names:
        assert get[name] == head[name]


@pytest.mark.parametrize("kind", ["listed", "iterated"])
@pytest.mark.parametrize("blocks", [[], [b""]])
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_an_empty_answer_to_head_says_no_length_of_gets(
        web, kind, blocks, status):
    """RFC 9110 8.6: the length of GET's body, or none."""
    with web.connect() as c:
        target = web.target(kind, status=status, **{"return": blocks})
        assert c.get(target, "HEAD")["Content-Length"] is None
        assert c.get(target)["Content-Length"] == "0"


def test_head_of_an_endless_body_ends(web):
    name = web.id()
    assert web.get("endless", method="HEAD", id=name).status == 200
    assert web.closed(name) == 1


# wsgiref.validate wants a type of each body but theirs.
TYPED = {"204": [], "304": [], "205": [("Content-Type", "text/plain")]}


@pytest.mark.parametrize("status", [
    "204 No Content", "205 Reset Content", "304 Not Modified"])
@pytest.mark.parametrize("kind", ["listed", "iterated"])
@pytest.mark.parametrize("blocks", [[], [b""], [b"what should not be here"]])
def test_204_205_and_304_have_no_body(web, status, kind, blocks):
    web.fails("has no body: left out")
    with web.connect() as c:
        r = c.get(web.target(kind, status=status, headers=TYPED[status[:3]],
                             **{"return": blocks}))
        assert r.status == int(status[:3])
        if r.status != 304:
            assert r["Content-Length"] == {204: None, 205: "0"}[r.status]
        assert r["Transfer-Encoding"] is None
        assert c.get(web.target("pid")).status == 200


@pytest.mark.parametrize("status, length", [
    ("204 No Content", None), ("205 Reset Content", "0")])
def test_204_and_205_have_no_length_of_their_applications(web, status, length):
    web.fails("has no body: left out")
    with web.connect() as c:
        for kind in "listed", "iterated":
            r = c.get(web.target(kind, status=status,
                                 headers=TYPED[status[:3]]
                                 + [("Content-Length", "3")],
                                 **{"return": [b"six"]}))
            assert (r.status, r["Content-Length"]) == (int(status[:3]), length)
            assert c.get(web.target("pid")).status == 200


def test_a_body_of_204_or_304_is_told_once_by_each_worker(start):
    s = start({"server": {"workers": 1, "threads": 4}, "app:a": app()},
              ready=1)
    s.allow("has no body: left out")
    web = Web(s, s.address, 4)
    with s.connect() as c:
        for kind in "listed", "iterated":
            for status in "204 No Content", "304 Not Modified", "200 OK":
                for method in "HEAD", "GET", "POST":
                    c.get(web.target(kind, status=status,
                                     **{"return": [b"six", b"six"]}), method)
    s.stop()  # all of the log is here
    told = [x for x in s.log if LEVELS.search(x) and "left out" in x]
    assert len(told) == 1
    assert ": GET /listed?" in told[0] and " status 204 has no" in told[0]


def test_304_may_tell_the_length_of_what_it_does_not_send(bare):
    with bare.connect() as c:
        r = c.get(bare.target("listed", status="304 Not Modified",
                              headers=[("ETag", '"x"')], **{"return": []}))
        assert r["ETag"] == '"x"'
        assert c.get("/pid").status == 200


# ---- versions and packets (51, 53) -------------------------------------------

@pytest.mark.parametrize("kind", ["iterated", "generated"])
def test_http_1_0_ends_by_closing(web, kind):
    with web.connect() as c:
        c.send(f"GET {web.target(kind, **{'return': [b'a', b'b']})} HTTP/1.0"
               "\r\nConnection: keep-alive\r\n\r\n")
        r = c.head()
        assert r["Transfer-Encoding"] is None
        assert (r["Connection"] or "close") == "close"
        assert c.rest() == b"ab"


def test_http_1_0_is_kept_alive_when_the_length_is_known(bare):
    with bare.connect() as c:
        for _ in range(3):
            c.send(f"GET {bare.target('listed', **{'return': [b'a', b'b']})} "
                   "HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            r = c.response()
            assert (r["Connection"], r.body) == ("keep-alive", b"ab")


def test_three_requests_in_one_packet(web):
    with web.connect() as c:
        c.send("".join(
            f"GET {web.target('iterated', **{'return': [n]})} HTTP/1.1\r\n"
            "Host: h\r\n\r\n" for n in (b"one", b"two", b"three")))
        assert [c.response().body for _ in range(3)] == [
            b"one", b"two", b"three"]


def test_a_byte_a_packet(web):
    with web.connect() as c:
        request = (f"POST {web.target('echo')} HTTP/1.1\r\nHost: h\r\n"
                   "Content-Length: 4\r\n\r\nbody").encode()
        for byte in request:
            c.send(bytes([byte]))
        assert c.response().body == b"body"


def test_a_list_that_changes_while_it_is_sent_sends_what_it_was(bare):
    def ask(bodies):
        with bare.connect() as c:
            for _ in range(40):
                bodies.append(c.get(bare.target("changed_while_sent")).body)
    found = [[] for _ in range(4)]
    clients = [threading.Thread(target=ask, args=(f,)) for f in found]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    for body in itertools.chain(*found):
        assert body in (b"a" * 100000, b"b" * 100000)
    assert [len(f) for f in found] == [40] * 4
