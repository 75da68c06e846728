"""kill -9 of the master: nobody is left holding the port."""
import os
import signal
import socket

from prefork import PROBE, wait_gone


def test_the_workers_go_and_the_port_is_free(server):
    workers = server.workers()
    os.kill(server.pid, signal.SIGKILL)
    for pid in workers:
        wait_gone(pid)
    server.wait_exit(-signal.SIGKILL)
    server.allow("master is gone")
    with socket.create_server(server.address):
        pass


def test_what_is_in_flight_is_finished(start, gate):
    s = start({"app:probe": {"type": "module", "target": PROBE,
                             **gate.option}})
    s.allow("master is gone")
    workers = s.workers()
    with s.connect() as c:
        c.request("/gate")
        gate.entered()
        os.kill(s.pid, signal.SIGKILL)
        s.wait("master is gone")
        gate.open()
        assert c.response().body == b"through"
    for pid in workers:
        wait_gone(pid)
    s.wait_exit(-signal.SIGKILL)
