"""Modules in a running server: what the ABI promises them and their clients."""
import contextlib
import re
import signal
import zlib

import pytest

from prefork import LEVELS, ini, run
from testmods import connected, is_reset, module, outside_sandbox


def lines(body):
    """{"WHAT": CODE} of mod_wrong's report."""
    return {k: int(v) for k, v in
            (x.rsplit(" ", 1) for x in body.decode().splitlines())}


@pytest.fixture
def wrong(start):
    return start({"server": {"workers": 1}, "app:wrong": module("wrong")},
                 ready=1)


def test_calls_in_the_wrong_order_are_refused_and_the_response_is_whole(wrong):
    with wrong.connect() as c:
        r = c.get("/?order")
        assert r.status == 200
        tries = r.body.decode().split("\n")
        assert tries[:6] == ["write -5", "sendfile -5", "end -5", "start 0",
                             "inform -5", "start -5"]
        assert c.get("/?fd").body == b"body_fd -8\n"


def test_heads_that_would_break_the_message_are_refused(wrong):
    with wrong.connect() as c:
        r = c.get("/?heads")
        codes = lines(r.body)
        assert codes.pop("good") == 0
        assert len(codes) >= 15 and set(codes.values()) == {-6}
        assert r.status == 200 and r["A"] is None and r["B"] is None


def test_interim_responses(wrong):
    with wrong.connect() as c:
        c.request("/?informs")
        early = c.head()
        assert early.status == 103 and "preload" in early["Link"]
        assert lines(c.response().body) == {
            "99": -6, "100": -6, "101": -6, "200": -6, "split value": -6,
            "split name": -6, "coding": -6, "103": 0}
        assert early["X"] is early["Transfer-Encoding"] is None
        c.send("GET /?informs HTTP/1.0\r\n\r\n")
        assert c.head().status == 200, "103 to a client of HTTP/1.0"


def test_continue_is_said_to_who_waits_for_it_behind_start(start):
    """Nothing was sent by start() itself: both would wait for each other."""
    s = start({"server": {"workers": 1},
               "app:wrong": module("wrong", stream="yes")}, ready=1)
    with s.connect() as c:
        c.request("/?started", method="POST", Content_Length=4,
                  Expect="100-continue")
        assert c.head().status == 100
        c.send("body")
        assert lines(c.response().body) == {"read": 4}


def test_a_respond_that_fails_releases_once_and_leaves_the_handle(wrong):
    assert lines(wrong.get("/?failed").body) == {"respond": -6, "released": 1}


def test_more_bytes_than_announced_are_refused(wrong):
    with wrong.connect() as c:
        assert c.get("/?long").body == b"good"
        assert wrong.wait(r"long (-?\d+)")[1] == "-5"
        assert c.get("/?twice").body == b"good"
        assert wrong.wait(r"twice (-?\d+)")[1] == "-5"
        assert wrong.wait(r"after (-?\d+)")[1] == "-5"
        assert c.get("/?fd").status == 200


@pytest.mark.parametrize("how", ["short", "unended", "aborted"])
def test_a_response_that_is_not_whole_cuts_the_connection(wrong, how):
    wrong.allow("bytes short of its Content-Length")
    with wrong.connect() as c:
        c.request(f"/?{how}")
        with pytest.raises((ConnectionResetError, EOFError)):
            c.response()
        assert wrong.get("/?fd").status == 200
    if how == "short":
        assert wrong.wait(r"short (-?\d+)")[1] == "-5"
        wrong.wait(r"response to GET .* bytes short of its Content-Length")


@pytest.mark.parametrize("method, status", [
    ("GET", 204), ("GET", 205), ("GET", 304),
    ("HEAD", 200), ("HEAD", 204), ("HEAD", 205), ("HEAD", 304)])
def test_no_body_is_sent_where_none_may_be(wrong, method, status):
    """By none of the five ways to send one; what follows is in step."""
    if method == "GET":
        wrong.allow("left out, here and from now on")
    with wrong.connect() as c:
        for way in range(1, 6):
            r = c.get(f"/?bodiless={status}&way={way}", method=method)
            assert r.status == status
            if status == 204:  # RFC 9110 8.6, RFC 9112 6.1
                assert r["Content-Length"] is r["Transfer-Encoding"] is None
            if status == 205:  # RFC 9110 15.3.6
                assert r["Content-Length"] == "0"
                assert r["Transfer-Encoding"] is None
            assert c.buffer == b"" and not r.closes
            assert c.get("/?fd").body == b"body_fd -8\n"


@pytest.mark.parametrize("way", range(1, 6))
def test_a_body_of_204_205_or_304_is_told_once_by_each_worker(start, way):
    """Of HEAD it is not: that handlers treat it as GET is no mistake."""
    s = start({"server": {"workers": 1}, "app:wrong": module("wrong")},
              ready=1)
    s.allow("left out, here and from now on")
    with s.connect() as c:
        for status in 200, 204, 205, 304:
            c.get(f"/?bodiless={status}&way={way}", method="HEAD")
        for status in [205, 204, 304] * 3:
            c.get(f"/?bodiless={status}&way={way}&{'x' * 5000}")
    s.stop()  # all of the log is here
    told = [x for x in s.log if LEVELS.search(x)]
    told = [x for x in told if "left out" in x]
    assert len(told) == 1 and told[0].endswith(
        f": app wrong: GET /?bodiless=205&way={way}&" + "x" * (
            256 - len(f"/?bodiless=205&way={way}&"))
        + ": a response of status 205 has no body: left out, here and from "
          "now on")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_of_1_0_learns_that_205_has_no_body(wrong, method):
    """Without a length it would wait for the end of the connection."""
    if method == "GET":
        wrong.allow("left out, here and from now on")
    with wrong.connect() as c:
        for way in range(1, 6):
            c.send(f"{method} /?bodiless=205&way={way} HTTP/1.0\r\n"
                   "Connection: keep-alive\r\n\r\n")
            r = c.response(method)
            assert (r.status, r["Content-Length"]) == (205, "0")
            assert c.buffer == b"" and not r.closes
        assert c.get("/?fd").body == b"body_fd -8\n"


def test_no_response_at_all_is_500(wrong):
    wrong.allow("done without a response")
    with wrong.connect() as c:
        assert c.get("/?nothing").status == 500
        assert c.get("/?fd").status == 200
    assert "app wrong" in wrong.wait("done without a response").string


def test_a_request_that_is_kept_too_long_does_not_hold_up_the_end(start):
    s = start({"server": {"workers": 1, "graceful_timeout": "1s"},
               "app:wrong": module("wrong")}, ready=1)
    s.allow("graceful_timeout", "killed|KILL")
    with s.connect() as c:
        c.request("/?kept")
        assert s.get("/?fd").status == 200
        s.stop()


# ---- release, backpressure ---------------------------------------------------

@pytest.fixture
def stream(start):
    s = start({"server": {"workers": 1},
               "http": {"send_timeout": "500ms"},
               "app:stream": module("stream", stream="yes")}, ready=1)

    def stats():
        text = s.get("/?stats").body.decode()
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", text)}
    s.stats = stats
    return s


@pytest.mark.parametrize("more", ["", "&copy", "&flag", "&length",
                                  "&length&flag"])
def test_a_streamed_response_arrives_whole(stream, more):
    with stream.connect() as c:
        r = c.get(f"/?n=60&bytes=70000{more}")
        want = b"".join(bytes([97 + i % 26]) * 70000 for i in range(60))
        assert r.body == want
        assert (r["Content-Length"] is not None) == ("length" in more)
        assert c.get("/?n=0").body == b""
    n = stream.stats()
    assert n["made"] == n["released"] == (0 if "copy" in more else 60)


def test_blocks_are_released_when_the_client_leaves(stream):
    with contextlib.ExitStack() as stack:
        for c in connected(stream, 8, stack):
            c.request("/?n=2000&bytes=100000")
            assert c.head().status == 200
    n = stream.stats()
    while n["made"] != n["released"]:
        n = stream.stats()  # their handlers are about to learn it
    assert n["again"] > 0


def test_blocks_are_released_when_the_client_does_not_read(stream):
    with stream.connect() as c:
        c.request("/?n=2000&bytes=100000")
        assert is_reset(c)
        n = stream.stats()
        while n["made"] != n["released"]:
            n = stream.stats()
        assert n["made"] < 200, "no backpressure"


def test_a_handler_may_answer_before_it_reads(stream):
    with stream.connect() as c:
        c.request("/?n=3&bytes=5&early", method="POST",
                  Transfer_Encoding="chunked")
        r = c.head()
        assert c.line() == "5" and c.line() == "aaaaa"
        c.send("3\r\nabc\r\n0\r\n\r\n")
        assert c.line() == "5" and c.line() == "bbbbb"
        assert c.line() == "5" and c.line() == "ccccc"
        assert c.line() == "0" and c.line() == ""
        assert r.status == 200
        assert c.get("/?n=1&bytes=1").body == b"a"


def test_a_head_request_gets_no_byte_of_a_stream(stream):
    with stream.connect() as c:
        r = c.get("/?n=5&bytes=5000", method="HEAD")
        assert r.status == 200
        assert c.get("/?n=1&bytes=1").body == b"a"
    n = stream.stats()
    assert n["made"] == n["released"]


# ---- the life of a module ----------------------------------------------------

def test_thread_states_are_made_and_ended_in_pairs(start):
    s = start({"server": {"workers": 1, "threads": 8},
               "app:fast": module("fast"), "app:slow": module("slow", "/slow"),
               }, ready=1)
    with contextlib.ExitStack() as stack:
        clients = connected(s, 8, stack)
        for _ in range(5):
            for c in clients:
                c.request("/slow?ms=5").request("/")
            for c in clients:
                assert c.response().body == b"slow"
                assert c.response().body == b"fast"
    assert re.match(rb"inits=[1-9]\d* finis=\d+$", s.get("/?stats").body)
    s.stop()
    inits, finis = s.wait(r"threads: inits=(\d+) finis=(\d+)").groups()
    assert inits == finis != "0"


def test_a_thread_init_that_refuses_is_500_and_nothing_else(start):
    s = start({"server": {"workers": 1},
               "app:fast": module("fast", **{"option.thread_init": "fail"}),
               "app:slow": module("slow", "/slow")}, ready=1)
    s.allow("thread_init of module fast failed")
    with s.connect() as c:
        for _ in range(3):
            r = c.get("/")
            assert r.status == 500 and not r.closes
            assert c.get("/slow").body == b"slow"


def test_close_and_worker_fini_are_called_when_a_worker_retires(start, hold):
    s = start({"server": {"workers": 2}, "app:gate": hold.app()})
    mark = s.mark()
    s.signal(signal.SIGHUP)
    s.wait(r"app gate: close$", 2, after=mark)
    s.stop()
    assert len(s.matches(r"app gate: close$")) == 4


def test_two_apps_of_one_module_share_one_worker_init(start):
    s = start({"server": {"workers": 1},
               "app:one": module("fast", "/one"),
               "app:two": module("fast", "/two")}, ready=1)
    with s.connect() as c:
        for _ in range(10):
            assert c.get("/one").body == c.get("/two").body == b"fast"
        # One state of the module: both apps count the same threads.
        assert (c.get("/one?stats").body.split()[0]
                == c.get("/two?stats").body.split()[0])
    s.stop()
    found = s.matches(r"app (\w+): threads: inits=(\d+) finis=(\d+)")
    assert len(found) == 2 and len({m.groups() for m in found}) == 1, (
        "closed once each, and the first app is the module's")


def load(tmp_path, *args, **apps):
    (tmp_path / "server.ini").write_text(ini({
        "server": {"bind": "127.0.0.1:0", "workers": 2},
        **{f"app:{name}": keys for name, keys in apps.items()}}))
    return run(*args, "-c", tmp_path / "server.ini")


@pytest.mark.parametrize("at", ["init", "open"])
def test_a_module_that_refuses_ends_the_start_with_its_reason(tmp_path, at):
    done = load(tmp_path, good=module("fast"), bad=module(
        "refuse", "/bad", **{"option.at": at, "option.why": "no moon"}))
    assert done.returncode == 4
    assert "app bad" in done.stderr and "no moon" in done.stderr


def test_a_module_that_refuses_without_a_word_is_named(tmp_path):
    done = load(tmp_path, bad=module("refuse", **{"option.why": ""}))
    assert done.returncode == 4
    assert "module refuse refuses" in done.stderr


def test_check_refuses_in_a_test_of_the_configuration(tmp_path):
    bad = module("refuse", **{"option.at": "check", "option.why": "no sun"})
    done = load(tmp_path, "-t", bad=bad)
    assert done.returncode == 4 and "no sun" in done.stderr
    # check() looks, open() is not called: -t starts nothing.
    done = load(tmp_path, "-t", bad=module("refuse"))
    assert done.returncode == 0, done.stderr


def test_a_module_of_another_abi_is_refused_with_both_numbers(tmp_path):
    done = load(tmp_path, bad=module("badabi"))
    assert done.returncode == 4
    assert "ABI 1001" in done.stderr and "speaks 1" in done.stderr


def test_a_file_that_is_no_module_is_refused(tmp_path):
    (tmp_path / "x.so").write_text("not a shared object")
    done = load(tmp_path, bad={"type": "module", "target": tmp_path / "x.so"})
    assert done.returncode == 4 and "x.so" in done.stderr


@pytest.mark.parametrize("how", ["segv", "exit", "abort"])
def test_a_module_that_dies_while_it_loads_ends_the_start(tmp_path, how):
    done = load(tmp_path, bad=module(
        "crash", **{"option.at": "load", "option.how": how}))
    assert done.returncode in (3, 4), done.stderr


# ---- several apps ------------------------------------------------------------

@outside_sandbox
def test_each_app_is_reached_under_its_mount_and_host(start):
    s = start({
        "app:root": module("slow"),
        "app:fast": module("fast", "/fast"),
        "app:deep": module("later", "/fast/later"),
        "app:host": module("wrong", "/fast", host="other.example"),
    })
    with s.connect() as c:
        assert c.get("/").body == b"slow"
        assert c.get("/fast").body == b"fast"
        assert c.get("/fast/x").body == b"fast"
        assert c.get("/faster").body == b"slow"
        assert c.get("/fast/later").body == b"later"

        def ask(host, target="/fast"):
            c.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
            return c.response().body
        assert ask("other.example") == b"no such rule\n"
        assert ask("OTHER.example:8080") == b"no such rule\n"
        assert ask("another.example") == b"fast"
        assert ask("other.example", "/fast/later") == b"later"
        assert ask("other.example", "http://third.example/fast") == b"fast"
        assert ask("third.example",
                   "http://other.example/fast") == b"no such rule\n"


def test_the_checksum_of_a_body_is_right_wherever_it_is_kept(start):
    s = start({"server": {"workers": 1}, "http": {"body_memory": "8k"},
               "app:sum": module("bigbody")}, ready=1)
    with s.connect() as c:
        for n, where in ((1, b"memory"), (3000, b"memory"), (8192, b"memory"),
                         (8193, b"file"), (300000, b"file")):
            body = bytes(i * 7 % 251 for i in range(n))
            for query in "", "?read", "?read&bytes=7" if n < 9000 else "":
                r = c.get(f"/{query}", method="POST", body=body)
                got = r.body.split()
                assert got[0] == b"%d" % n
                assert got[1] == b"%d" % zlib.adler32(body)
                assert got[2] == (b"memory" if "read" in query else where)


@outside_sandbox
def test_a_worker_retires_while_a_thread_of_a_module_holds_a_late_request(
        start):
    """Its application outlives it: the thread still works on the request."""
    s = start({"server": {"workers": 1, "request_timeout": "200ms"},
               "app:later": module("later")},
              env={"MALLOC_PERTURB_": "165"}, ready=1)
    s.allow("request_timeout", "3 handlers are stuck")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(s.connect()) for _ in range(3)]
        for c in clients:
            c.request("/?ms=5000")
        for c in clients:
            assert c.response().status == 504
        s.signal(signal.SIGTERM)
    s.wait("3 handlers are stuck: exit without them")
    s.wait_exit()
