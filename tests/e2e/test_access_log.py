"""The access log, in the format that tools read."""
import re

import pytest

COMBINED = re.compile(
    r'(?P<host>\S+) - - \[(?P<time>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]'
    r' "(?P<line>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    r' "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"')


@pytest.fixture
def logged(start, tmp_path):
    s = start({"log": {"access": tmp_path / "access.log"}})

    def lines():
        s.stop()
        text = (tmp_path / "access.log").read_text()
        found = [COMBINED.fullmatch(x) for x in text.splitlines()]
        assert all(found), text
        return found
    s.lines = lines
    return s


def test_each_request_is_one_combined_line(logged):
    logged.get("/pid?q=1", Referer="http://from/", User_Agent="agent/1")
    logged.get("/nowhere")
    logged.get("/pid", method="HEAD")
    lines = {m["line"]: m for m in logged.lines()}
    assert set(lines) == {"GET /pid?q=1 HTTP/1.1", "GET /nowhere HTTP/1.1",
                          "HEAD /pid HTTP/1.1"}
    m = lines["GET /pid?q=1 HTTP/1.1"]
    assert m["host"] == "127.0.0.1" and m["status"] == "200"
    assert m["referer"] == "http://from/" and m["agent"] == "agent/1"
    assert int(m["bytes"]) > 0
    assert lines["GET /nowhere HTTP/1.1"]["status"] == "404"
    assert lines["HEAD /pid HTTP/1.1"]["bytes"] in ("0", "-")


def test_what_a_client_sends_cannot_forge_a_line(logged):
    logged.get('/pid?"x', User_Agent='a" 200 "b\\')
    logged.get("/pid", User_Agent="esc\x1b[31m")
    lines = logged.lines()
    assert len(lines) == 2
    assert all("\x1b" not in m.string for m in lines)


def test_a_refused_request_is_logged_too(logged):
    with logged.connect() as c:
        c.send("nonsense\r\n\r\n")
        assert c.response().status == 400
    assert [m["status"] for m in logged.lines()] == ["400"]


def test_no_line_is_lost_under_load(logged):
    with logged.connect() as c:
        for n in range(500):
            c.get(f"/pid?{n}")
    assert [m["line"].split()[1] for m in logged.lines()] == [
        f"/pid?{n}" for n in range(500)]
