#!/usr/bin/env python3
"""fibonacci.py: how long do 10, 100 and 1000 requests of a Flask page take?

The page, fibonacci_page.py, computes for about a third of a millisecond and is
105 KB long.  It is served by Flask's own server with and without threads, by
gunicorn with its workers that serve one request (sync) or several (gthread),
and by prefork; one client asks for it, or ten at once.  All share this
machine's CPUs, the clients too: compare the rows, not the numbers.  Each
number is the median of three; who closes the connection pays for the next."""
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("PREFORK_BUILD", ROOT / "build/release"))
VENV = ROOT / "build/venv-bench"
ASK = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
REQUESTS = 10, 100, 1000
CLIENTS = 1, 10
WORKERS = 2
PATIENCE = 30


# ---- servers ---------------------------------------------------------------

def flask(threads):
    return lambda port, _: [
        VENV / "bin/flask", "--app", "fibonacci_page", "run", "--port",
        port, "--no-reload", f"--with{'' if threads else 'out'}-threads"]


def gunicorn(*words):
    return lambda port, _: [
        VENV / "bin/gunicorn", "--bind", f"127.0.0.1:{port}", "--workers",
        WORKERS, *words, "fibonacci_page:app"]


def prefork(port, folder):
    file = folder / "server.ini"
    file.write_text(f"""[server]
bind = 127.0.0.1:{port}
workers = {WORKERS}
runtime_dir = {folder}
[log]
level = warn
[app:page]
type = wsgi
target = fibonacci_page:app
venv = {VENV}
""")
    return [BUILD / "prefork", "-c", file]


SERVERS = {
    "Flask, one request": flask(threads=False),
    "Flask, threads": flask(threads=True),
    "gunicorn sync": gunicorn(),
    "gunicorn gthread": gunicorn("--worker-class", "gthread", "--threads", 8),
    "prefork": prefork,
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def await_answer(process, port, log):
    until = time.monotonic() + PATIENCE
    while True:
        if process.poll() is not None or time.monotonic() > until:
            sys.exit(f"{process.args[0]} does not serve:\n"
                     + log.read_text(errors="replace"))
        with contextlib.suppress(OSError):
            Client(port).ask()
            return
        time.sleep(0.05)


@contextlib.contextmanager
def serving(command):
    """The port at which this server answers."""
    with tempfile.TemporaryDirectory() as work:
        port, log = free_port(), pathlib.Path(work) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(word) for word in command(port, pathlib.Path(work))],
                cwd=HERE, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                     "PYTHONDONTWRITEBYTECODE": "1"}, start_new_session=True)
        try:
            await_answer(process, port, log)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


# ---- clients ---------------------------------------------------------------

class Client:
    """Asks on one connection for as long as the server keeps it."""

    def __init__(self, port):
        self.port, self.sock = port, None
        self.buffer = bytearray(1 << 20)

    def ask(self):
        if self.sock is None:
            self.sock = socket.create_connection(("127.0.0.1", self.port),
                                                 PATIENCE)
        self.sock.sendall(ASK)
        size = self.receive(0)
        while (end := self.buffer.find(b"\r\n\r\n", 0, size)) < 0:
            size += self.receive(size)
        head = bytes(self.buffer[:end]).lower()
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise OSError(head.decode())
        length = int(head.split(b"\r\ncontent-length:", 1)[1].split()[0])
        while size < end + 4 + length:
            size += self.receive(size)
        if head.startswith(b"http/1.0") or b"\r\nconnection: close" in head:
            self.close()

    def receive(self, at):
        n = self.sock.recv_into(memoryview(self.buffer)[at:])
        if n == 0:
            raise OSError("closed within an answer")
        return n

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def milliseconds(port, requests, clients):
    def ask(_):
        one = Client(port)
        for _ in range(requests // clients):
            one.ask()
        one.close()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        began = time.monotonic()
        list(pool.map(ask, range(clients)))
        return (time.monotonic() - began) * 1000


# ---- the table ---------------------------------------------------------------

def main():
    if not (VENV / ".stamp").exists():
        sys.exit(f"there is no {VENV}: make bench-fibonacci makes it")
    columns = [(n, c) for c in CLIENTS for n in REQUESTS]
    print(f"{'milliseconds for':20}" + "".join(
        f"{n:>5} by {c:<3}" for n, c in columns))
    for name, command in SERVERS.items():
        print(f"{name:20}", end="", flush=True)
        with serving(command) as port:
            milliseconds(port, 100, 10)  # warm
            for n, c in columns:
                took = statistics.median(
                    milliseconds(port, n, c) for _ in range(3))
                print(f"{took:>8.1f}   ", end="", flush=True)
        print()


main()
