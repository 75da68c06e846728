"""What ps shows."""
import re
import signal
import subprocess

from prefork import READY, wait_gone


def title(pid):
    return subprocess.run(["ps", "-o", "args=", "-p", str(pid)], check=True,
                          capture_output=True, text=True).stdout.strip()


def test_ps_tells_master_worker_and_generation(server):
    assert re.match(r"prefork: master", title(server.pid))
    titles = [title(p) for p in server.workers()]
    assert all(re.match(r"prefork: worker \d+ gen 1 ready", t) for t in titles)
    assert len(set(titles)) == 2


def test_a_reload_shows_in_the_names(server):
    old, mark = server.workers(), server.mark()
    server.signal(signal.SIGHUP)
    server.wait(READY, 2, after=mark)
    for pid in old:
        wait_gone(pid)
    assert all(" gen 2 " in title(p)
               for p in server.workers())
