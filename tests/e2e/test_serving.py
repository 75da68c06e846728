"""HTTP as clients speak it, the odd ones too."""
import select
import socket
import subprocess
import threading

import pytest

from prefork import BUILD, PATIENCE, PROBE, fd_count, until

ECHO = {"type": "module", "target": BUILD / "modules/echo.so",
        "mount": "/echo"}
HELLO = {"type": "module", "target": BUILD / "modules/hello.so"}
APPS = {"app:probe": {"type": "module", "target": PROBE}, "app:echo": ECHO}


@pytest.fixture
def both(start):
    return start(APPS)


def test_one_connection_serves_many_requests(server):
    with server.connect() as c:
        assert len({c.get("/pid").body for _ in range(50)}) == 1


def test_pipelined_requests_are_answered_in_order(server):
    with server.connect() as c:
        for n in range(30):
            c.request(f"/path/{n}")
        c.request("/env?NONE", Connection="close")
        bodies = [c.response() for _ in range(30)]
        assert {r.status for r in bodies} == {404}
        assert c.response().closes
        c.closed()


def test_pipelining_keeps_the_order_behind_a_slow_one(start, gate):
    s = start({"app:probe": {"type": "module", "target": PROBE,
                             **gate.option}})
    with s.connect() as c:
        c.request("/gate").request("/pid")
        gate.entered().open()
        assert c.response().body == b"through"
        assert c.response().body.isdigit()


def test_a_client_that_never_stops_asking_leaves_turns_to_others(start):
    """puma CVE-2021-29509: one that pipelines held its thread for good."""
    s = start({"server": {"workers": 1, "threads": 1}}, ready=1)
    stop = threading.Event()

    def ask(c):
        while not stop.is_set():
            c.send("GET /pid HTTP/1.1\r\nHost: t\r\n\r\n" * 500)

    def read(c):
        while c.sock.recv(1 << 20):
            pass
    with s.connect() as greedy, s.connect() as other:
        threads = [threading.Thread(target=f, args=(greedy,))
                   for f in (ask, read)]
        for t in threads:
            t.start()
        try:
            for _ in range(50):
                assert other.get("/pid").status == 200
        finally:
            stop.set()
            threads[0].join()
            greedy.sock.shutdown(socket.SHUT_WR)
            threads[1].join()


def test_head_has_the_fields_of_get_and_no_body(server):
    with server.connect() as c:
        get = c.get("/pid")
        head = c.get("/pid", method="HEAD")
        assert head.status == 200 and head.body == b""
        assert head["Content-Length"] == get["Content-Length"]
        assert c.get("/pid").body == get.body, "the connection is in step"


def test_http_1_0_closes_unless_asked_to_keep(server):
    with server.connect() as c:
        c.send("GET /pid HTTP/1.0\r\n\r\n")
        assert c.response().status == 200
        c.closed()
    with server.connect() as c:
        for _ in range(3):
            c.send("GET /pid HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            r = c.response()
            assert r["Connection"].lower() == "keep-alive"


def test_http_1_0_gets_no_chunks(server):
    with server.connect() as c:
        c.send("GET /many?100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        r = c.response()
        assert r["Transfer-Encoding"] is None
        assert len(r.body) == 100000


def test_a_streamed_response_is_chunked(server):
    with server.connect() as c:
        r = c.get("/many?5000000")
        assert r["Transfer-Encoding"] == "chunked"
        assert len(r.body) == 5000000
        assert c.get("/pid").status == 200


def test_a_body_comes_back(both):
    body = bytes(range(256)) * 40
    with both.connect() as c:
        r = c.get("/echo", method="POST", body=body)
        assert (r.status, r.body) == (200, body)


def test_a_body_past_body_memory_comes_back(both):
    body = bytes(range(256)) * 4096 * 4
    with both.connect() as c:
        r = c.get("/echo", method="POST", body=body)
        assert (r.status, r.body) == (200, body)
        assert c.get("/pid").status == 200


def test_a_chunked_body_comes_back(both):
    with both.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            c.send("5\r\nhello\r\n1;x=y\r\n \r\n")
        c.send("0\r\nX-Checksum: ignored\r\n\r\n")
        r = c.response()
        assert (r.status, r.body) == (200, b"hello " * 3)
        assert c.get("/pid").status == 200


def test_expect_100_continue_is_answered_before_the_body(both):
    with both.connect() as c:
        c.request("/echo", method="POST", Expect="100-continue",
                  Content_Length=4)
        assert c.head().status == 100
        c.send("body")
        assert c.response().body == b"body"


def test_expect_with_a_body_that_is_refused_gets_no_100(start):
    s = start({**APPS, "http": {"max_body": "1k"}})
    with s.connect() as c:
        c.request("/echo", method="POST", Expect="100-continue",
                  Content_Length=5000)
        assert c.head().status == 413


def test_a_body_over_the_limit_is_413(start):
    s = start({**APPS, "http": {"max_body": "1k"}})
    with s.connect() as c:
        assert c.get("/echo", method="POST", body=b"x" * 1024).status == 200
        c.request("/echo", method="POST", Content_Length=1025)
        r = c.response()
        assert r.status == 413 and r.closes
    with s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\n"
               "Transfer-Encoding: chunked\r\n\r\n401\r\n" + "x" * 0x401)
        assert c.response().status == 413


@pytest.mark.parametrize("head, status", [
    ("GET / HTTP/1.1\r\nHost: t\r\nX: " + "x" * 9000 + "\r\n\r\n", 431),
    ("GET / HTTP/1.1\r\nHost: t\r\n" + "X: y\r\n" * 101 + "\r\n", 431),
    ("GET /" + "x" * 9000 + " HTTP/1.1\r\nHost: t\r\n\r\n", 414),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: t\n\n", 400),
    ("GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
    ("GET  / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : t\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: t\r\nA: b\r\n c\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +1\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n"
     "Content-Length: 2\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n"
     "Transfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: t\r\n"
     "Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
])
def test_a_doubtful_request_is_refused_and_the_connection_closed(
        server, head, status):
    with server.connect() as c:
        c.send(head)
        r = c.response()
        assert r.status == status and r.closes
        c.closed()


def test_a_malformed_chunk_ends_the_connection(both):
    with both.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\n"
               "Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        r = c.response()
        assert r.status == 400 and r.closes
        c.closed()


@pytest.mark.parametrize("setting, sent", [
    ("header_timeout", "GET /pid HTTP/1.1\r\nHost"),
    ("body_timeout", "POST /echo HTTP/1.1\r\nHost: t\r\n"
                     "Content-Length: 9\r\n\r\nhalf"),
])
def test_a_client_that_stops_in_a_request_gets_408(start, setting, sent):
    s = start({**APPS, "http": {setting: "200ms"}})
    with s.connect() as c:
        c.send(sent)
        r = c.response()
        assert r.status == 408 and r.closes
        c.closed()


def test_a_connection_that_sends_nothing_is_closed_without_a_word(start):
    s = start({"http": {"header_timeout": "200ms",
                        "keepalive_timeout": "200ms"}})
    with s.connect() as c:
        c.closed()


def test_an_idle_connection_is_closed_after_keepalive_timeout(start):
    s = start({"http": {"keepalive_timeout": "200ms"}})
    with s.connect() as c:
        assert not c.get("/pid").closes
        c.closed()


def test_keepalive_timeout_0_closes_after_each_response(start):
    s = start({"http": {"keepalive_timeout": "0"}})
    with s.connect() as c:
        assert c.get("/pid").closes
        c.closed()


def test_max_keepalive_requests_is_kept(start):
    s = start({"http": {"max_keepalive_requests": 3}})
    with s.connect() as c:
        assert [c.get("/pid").closes for _ in range(3)] == [
            False, False, True]
        c.closed()


def test_a_client_that_reads_nothing_is_cut(start):
    s = start({"http": {"send_timeout": "200ms"}})
    with s.connect() as c:
        c.request("/many?200000000")
        assert s.get("/pid").status == 200
        reset = select.poll()
        reset.register(c.sock, 0)  # only POLLERR and POLLHUP
        assert reset.poll(PATIENCE * 1000), "never reset"
        with pytest.raises(ConnectionResetError):
            c.response()


def test_a_handler_past_request_timeout_is_answered_504(start, gate):
    s = start({"server": {"request_timeout": "300ms"},
               "app:probe": {"type": "module", "target": PROBE,
                             **gate.option}})
    s.allow(r"\[warn\]", r"killed|stuck|request_timeout")
    with s.connect() as c:
        c.request("/gate")
        gate.entered()
        assert c.response().status == 504
    gate.file.close()  # the worker left without its handler, or goes now


def test_the_longest_mount_answers(start):
    s = start({"app:root": HELLO,
               "app:probe": {"type": "module", "target": PROBE,
                             "mount": "/probe"}})
    assert s.get("/probe/pid").body.isdigit()
    assert not s.get("/probes").body.isdigit()


def test_outside_all_mounts_is_404(start):
    s = start({"app:probe": {"type": "module", "target": PROBE,
                             "mount": "/probe"}})
    with s.connect() as c:
        r = c.get("/elsewhere")
        assert r.status == 404 and not r.closes
        assert c.get("/probe/pid").status == 200


def test_a_host_name_chooses_the_app(start):
    s = start({"app:any": HELLO,
               "app:probe": {"type": "module", "target": PROBE,
                             "host": "probe.example"}})
    with s.connect() as c:
        c.send("GET /pid HTTP/1.1\r\nHost: Probe.Example:80\r\n\r\n")
        assert c.response().body.isdigit()
        c.send("GET /pid HTTP/1.1\r\nHost: other.example\r\n\r\n")
        assert not c.response().body.isdigit()


def test_paths_are_decoded_once(server):
    r = server.get("/path")
    assert r.body == b"/path"
    assert server.get("/%70ath").body == b"/path"
    assert server.get("/%zz").status == 400


def test_responses_carry_date_and_server(start):
    r = start({}).get("/pid")
    assert r["Date"].endswith(" GMT") and r["Server"].startswith("prefork")


def test_the_server_field_can_be_left_out(start):
    r = start({"http": {"server_header": "no"}}).get("/pid")
    assert r["Date"] and r["Server"] is None


def test_curl_uploads_and_downloads(both, tmp_path):
    up = tmp_path / "up"
    up.write_bytes(b"0123456789" * 50000)
    url = "http://%s:%d/echo" % both.address
    done = subprocess.run(
        ["curl", "-sS", "--fail", "--data-binary", f"@{up}", url],
        capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == up.read_bytes()


def test_connections_leave_no_open_files(server):
    before = {p: fd_count(p) for p in server.workers()}
    for _ in range(100):
        assert server.get("/pid", Connection="close").status == 200
    with server.connect() as c:
        c.get("/pid")
    assert server.workers() == sorted(before)
    for pid, n in before.items():
        until(lambda: fd_count(pid) <= n)
