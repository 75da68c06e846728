"""A worker that has nothing to do gives its memory back."""
import contextlib
import pathlib
import resource

import pytest

from prefork import SANITIZED, until
from testmods import connected

HEADERS = 900
MIB = 1 << 20


def resident(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(SANITIZED, reason="sanitizers keep what is freed")
def test_an_idle_worker_gives_back_what_a_busy_one_needed(start):
    """64 requests at a time, each with as many headers as may be."""
    s = start({"server": {"workers": 1}, "http": {"max_headers": HEADERS}},
              ready=1)
    pid, = s.workers()
    with contextlib.ExitStack() as stack:
        clients = connected(s, 64, stack)
        before = resident(pid)
        for c in clients:
            c.send("GET /pid HTTP/1.1\r\nHost: t\r\n"
                   + "a: b\r\n" * (HEADERS - 1))
        high = until(lambda: (now := resident(pid)) > before + 2 * MIB and now)
        for c in clients:
            c.send("\r\n")
            assert c.response().status == 200
        until(lambda: resident(pid) < high - MIB)
        assert clients[0].get("/pid").status == 200
