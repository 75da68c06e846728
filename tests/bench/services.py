"""Servers under measurement: how they are started, and what their processes
cost."""
import collections
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PREFORK_BUILD", ROOT / "build/release"))
RAW = BUILD / "bench"
TICKS = os.sysconf("SC_CLK_TCK")
work = None  # where their files are


@contextlib.contextmanager
def workplace():
    """In which services may be started."""
    global work
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)  # workers may be another account
        yield


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def pin(cpu):
    return ["taskset", "-c", str(cpu)] if cpu is not None else []


def output(*command, cpu=None):
    done = subprocess.run([*pin(cpu), *map(str, command)], text=True,
                          stdout=subprocess.PIPE, check=True)
    return [float(x) for x in done.stdout.split()]


class Service:
    """A server under measurement and all of its processes."""

    def __init__(self, name, command, port, cpu=None):
        self.name, self.port = name, port
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [*pin(cpu), *map(str, command)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True)
        self.await_answer()

    def await_answer(self):
        """Spins until it answers: start-up times are measured with this."""
        while True:
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended:\n"
                         + self.process.stderr.read().decode())
            with contextlib.suppress(OSError), socket.create_connection(
                    ("127.0.0.1", self.port)) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                if s.recv(64).startswith(b"HTTP/1.1 "):
                    break
        self.start_ms = (time.monotonic() - self.began) * 1e3

    def pids(self):
        """The processes of its session, the master first."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                stat = pathlib.Path(f"/proc/{int(entry)}/stat").read_text()
                if int(stat[stat.rindex(")"):].split()[4]) == self.process.pid:
                    found.append(int(entry))
        return sorted(found, key=lambda p: (p != self.process.pid, p))

    def cpu_s(self):
        """User and system time of all processes so far."""
        total = 0
        for pid in self.pids():
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            total += sum(map(int, stat[stat.rindex(")"):].split()[12:16]))
        return total / TICKS

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stderr.close()


def prefork(workers=2, cpu=None, patient=False, build=BUILD, **server):
    """hello at /, a handler that sleeps 50 ms at /sleep, files at /files.

    patient: no client is too slow.  build: of which tree."""
    port = free_port()
    settings = {"bind": f"127.0.0.1:{port}", "workers": workers,
                "connections": 20000, **server}
    text = "[server]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items())
    if patient:
        text += ("[http]\nheader_timeout = 1h\nbody_timeout = 1h\n"
                 "send_timeout = 1h\n")
    text += ("[http]\nkeepalive_timeout = 300s\n[log]\nlevel = warn\n"
             f"[app:files]\ntype = static\ntarget = {work}\nmount = /files\n"
             f"[app:hello]\ntype = module\ntarget = {build}/modules/hello.so\n"
             f"[app:sleep]\ntype = module\ntarget = {build}/tests/mod_sleep.so"
             "\nmount = /sleep\noption.ms = 50\n")
    file = pathlib.Path(work) / f"prefork-{port}.ini"
    file.write_text(text)
    return Service("prefork", [build / "prefork", "-c", file], port, cpu)


def nginx(workers=2, cpu=None):
    """`return 200`, or None where there is no nginx."""
    binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if binary is None:
        return None
    port = free_port()
    file = pathlib.Path(work) / f"nginx-{port}.conf"
    file.write_text(f"""daemon off; worker_processes {workers};
        pid {work}/nginx-{port}.pid; error_log stderr warn;
        worker_rlimit_nofile 20000;
        events {{ worker_connections 16384; }}
        http {{ access_log off; keepalive_timeout 300s;
          keepalive_requests 1000000000; default_type text/plain;
          client_body_temp_path {work}/n1; proxy_temp_path {work}/n2;
          fastcgi_temp_path {work}/n3; uwsgi_temp_path {work}/n4;
          scgi_temp_path {work}/n5;
          server {{ listen 127.0.0.1:{port}; location / {{
            return 200 "Hello, World!"; }} }} }}""")
    return Service("nginx", [binary, "-e", "stderr", "-c", file], port, cpu)


def responder(cpu=None):
    port = free_port()
    return Service("responder", [RAW / "raw_respond", port], port, cpu)


def memory_kib(service):
    """Private pages of all its processes, and of each mapping the largest
    shared part: what ending the server would free."""
    private, shared = 0, collections.Counter()
    for pid in service.pids():
        mapping = None
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().split("\n"):
            fields = line.split()
            if fields and not fields[0].endswith(":"):
                mapping = (fields[0].split("-")[0], *fields[5:6])
                here = 0
            elif line.startswith("Private_"):
                private += int(fields[1])
            elif line.startswith("Shared_"):
                here += int(fields[1])
                shared[mapping] = max(shared[mapping], here)
    return private + sum(shared.values())


def pss_kib(service):
    return sum(rollup_kib(pid, "Pss") for pid in service.pids())


def private_kib(pid):
    return rollup_kib(pid, "Private_Clean") + rollup_kib(pid, "Private_Dirty")


def rollup_kib(pid, field):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.M)[1])


def title(pid):
    """What ps shows."""
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().strip("\0")
