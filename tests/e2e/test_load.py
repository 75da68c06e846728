"""The traffic of load.py notices what it is there to notice."""
import socket
import threading

import pytest

from load import BIG, Traffic

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


def answer_to(target):
    if target.startswith("/many"):
        return OK % (BIG, bytes(BIG))
    body = b"7 " + target.partition("?")[2].encode()
    return OK % (len(body), body)


# What to say to a request, and whether to close then.
FAULTS = {
    None: lambda target: (answer_to(target), False),
    "cut": lambda target: (answer_to(target), True),
    "reset": lambda target: (b"", True),
    "truncated": lambda target: (answer_to(target)[:-1], True),
    "status": lambda target: (
        answer_to(target).replace(b"200 OK", b"503 No", 1), False),
    "body": lambda target: (OK % (5, b"7 xxx"), False),
}


class Fake:
    """A server with one fault; each connection has a thread."""

    def __init__(self, fault):
        self.fault = FAULTS[fault]
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = self.sock.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                threading.Thread(target=self.serve,
                                 args=(self.sock.accept()[0],),
                                 daemon=True).start()
        except OSError:
            return  # the test is over

    def serve(self, conn):
        with conn, conn.makefile("rb") as lines:
            while target := lines.readline().decode():
                while lines.readline() not in (b"\r\n", b""):
                    pass
                text, close = self.fault(target.split()[1])
                conn.sendall(text)
                if close:
                    return

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_failure_is_noticed(fault):
    fake = Fake(fault)
    with Traffic(fake, keep=4, single=2, pause=0.02) as t:
        if fault in (None, "cut", "status", "body"):
            t.more(60)
        else:
            t.failed(20)
    fake.close()
    assert set(t.stop().kinds()) == ({fault} if fault else set())


def test_a_refused_connection_is_noticed():
    fake = Fake(None)
    with Traffic(fake, keep=2, single=2, pause=0.02) as t:
        t.more(20)
        fake.close()
        t.failed(4)
    assert "refused" in t.stop().kinds()
