"""The actors of the end-to-end tests: Server, Client, Load.

Nothing here sleeps: a test waits for a line of the error log, for the end of a
process (pidfd) or for bytes on a socket, each with a deadline."""
import contextlib
import itertools
import json
import os
import pathlib
import re
import select
import socket
import subprocess
import threading
import time
from signal import SIGKILL, SIGTERM, SIGUSR2

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PREFORK_BUILD", ROOT / "build/release"))
BINARY = BUILD / "prefork"
CONTROL = BUILD / "preforkctl"
PROBE = BUILD / "tests/mod_probe.so"
# What each server runs under, as valgrind; the tests treat it as a sanitizer.
UNDER = os.environ.get("PREFORK_UNDER", "").split()
# Types of application that cannot be had under it.
WITHOUT = os.environ.get("PREFORK_WITHOUT", "").split()
SANITIZED = BUILD.name in ("asan", "tsan") or bool(UNDER)
# Settings for all servers: the same tests, another way of serving
OPTIONS = os.environ.get("PREFORK_OPTIONS", "").split()
PATIENCE = 90 if SANITIZED else 30  # seconds until a wait is a failure
# A limit that a test waits for; who is not to be late may stand still in it.
BRIEF_S = 3
BRIEF = f"{BRIEF_S}s"

LISTENING = r"listening on (http://(\S+):(\d+)/|unix:\S+)"
READY = r"worker \d+ \((\d+)\) ready"
LEVELS = re.compile(r"\[(warn|error)\]")
USUAL = ["workers run as root"]  # the tests may be started by root
if BUILD.name == "tsan":
    USUAL.append("preload: 1 thread ")  # of its own
SANITIZER = re.compile(
    r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:|^==\d+== ")
SAN_ENV = {  # a signal must end a worker as it does without sanitizers
    "ASAN_OPTIONS": "handle_segv=0:handle_abort=0:detect_leaks=1",
    "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lint/lsan.supp:"
                    "print_suppressions=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "handle_segv=0:handle_abort=0:report_signal_unsafe=0:"
                    "atexit_sleep_ms=0",
}
if UNDER:  # each object of Python's a block of its own, that memcheck knows
    SAN_ENV["PYTHONMALLOC"] = "malloc"
needs_whole_stacks = pytest.mark.skipif(
    UNDER, reason="memcheck loses the stack of a thread when a signal with "
    "another stack ends its wait")


def ini(sections):
    """{"server": {"bind": ...}} as the text of a server.ini."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items())
        for name, keys in sections.items())


def environment(extra=None):
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", **SAN_ENV}
    env.update(extra or {})
    return env


def run(*args, env=None, cwd=None, text=None):
    """A prefork that ends by itself: the CompletedProcess, output as text."""
    return subprocess.run([str(BINARY), *map(str, args)], env=environment(env),
                          cwd=cwd, input=text, capture_output=True, text=True,
                          timeout=PATIENCE, check=False)


def preforkctl(*args, env=None, program=(CONTROL,)):
    """The CompletedProcess of preforkctl."""
    return subprocess.run([*map(str, program), *map(str, args)],
                          env=environment(env), capture_output=True, text=True,
                          timeout=PATIENCE, check=False)


def stat_of(pid):
    """(state, parent, session) of a process, None when there is none."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2:].split()
    return fields[0], int(fields[1]), int(fields[3])


def title_of(pid):
    """What ps shows for it; "" when there is none."""
    try:
        text = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return text.rstrip(b"\0").decode("utf-8", "replace")


def processes():
    return {int(p): s for p in os.listdir("/proc") if p.isdigit()
            and (s := stat_of(p))}


def until(done):
    """Waits for what has no event of its own; what it found."""
    deadline = time.monotonic() + PATIENCE
    while not (found := done()):
        assert time.monotonic() < deadline
        os.sched_yield()
    return found


def files_of(pid):
    """What its descriptors are."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def fd_count(pid):
    """Its open files, but what each thread of the pool has."""
    return sum("schedstat" not in name for name in files_of(pid))


def wait_gone(pid):
    """Until process `pid`, not a child of ours, has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([fd], [], [], PATIENCE)
    finally:
        os.close(fd)
    assert ended, f"process {pid} still runs"


class Response:
    def __init__(self, version, status, reason, fields):
        self.version, self.status, self.reason = version, status, reason
        self.fields = fields  # [(name as sent, value)]
        self.body = b""

    def __getitem__(self, name):
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        assert len(values) < 2, f"{name} came twice: {values}"
        return values[0] if values else None

    @property
    def closes(self):
        return (self["Connection"] or "").lower() == "close"


class Client:
    """One connection; sends raw bytes, reads responses."""

    def __init__(self, address, timeout=None, source=None, room=None):
        family = (socket.AF_UNIX if isinstance(address, str) else
                  socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.sock = socket.socket(family)
        self.sock.settimeout(timeout or PATIENCE)
        if source:
            self.sock.bind((source, 0))
        if room:  # bytes that the kernel takes before they are read
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.sock.connect(address)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def request(self, target="/", method="GET", body=None, **fields):
        lines = [f"{method} {target} HTTP/1.1", "Host: test"]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in fields.items()]
        self.send("\r\n".join(lines) + "\r\n\r\n")
        if body:
            self.send(body)
        return self

    def get(self, target="/", method="GET", body=None, **fields):
        return self.request(target, method, body, **fields).response(method)

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"closed after {self.buffer[-200:]!r}")
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def head(self):
        version, status, reason = self.line().split(" ", 2)
        fields = []
        while line := self.line():
            name, value = line.split(":", 1)
            fields.append((name, value.strip()))
        return Response(version, int(status), reason, fields)

    def response(self, method="GET"):
        """The next response that is not 1xx, with its body."""
        while (r := self.head()).status < 200:
            pass
        if method != "HEAD" and r.status not in (204, 304):
            r.body = self.body_of(r)
        return r

    def body_of(self, r):
        if r["Transfer-Encoding"] == "chunked":
            return b"".join(self.chunks())
        if r["Content-Length"] is not None:
            return self.take(int(r["Content-Length"]))
        return self.rest()

    def chunks(self):
        while size := int(self.line(), 16):
            yield self.take(size)
            assert self.line() == "", "chunk without its CRLF"
        while self.line():
            pass

    def rest(self):
        """All until the server closes."""
        with contextlib.suppress(EOFError):
            while True:
                self.more()
        return self.take(len(self.buffer))

    def closed(self):
        """Asserts that the server closes without another byte."""
        assert self.rest() == b""


class Server:
    """A prefork under test; `check` runs at the end of each test."""

    number = itertools.count()

    def __init__(self, tmp, sections=None, args=(), env=None,
                 pass_fds=(), runtime_dir=True, program=(BINARY,),
                 uid=None):
        self.tmp = tmp
        self.socket = tmp / f"run{next(self.number)}/prefork.ctl"
        self.file = tmp / "server.ini"
        self.allowed = []
        self.log = []
        self.changed = threading.Condition()
        self.stopped = False
        if sections is not None:
            self.configure(sections)
            args = ("-c", self.file, *args)
        for option in OPTIONS:
            args = ("-o", option, *args)
        if runtime_dir:  # not that of all the other servers
            args = ("-o", f"server.runtime_dir={self.socket.parent}", *args)
        self.process = subprocess.Popen(
            [*UNDER, *map(str, program), *map(str, args)], cwd=tmp,
            env=environment(env), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, pass_fds=pass_fds, user=uid)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()

    def configure(self, sections):
        """Writes server.ini; for a reload, send HUP after it."""
        for keys in sections.values():
            if keys.get("type") in WITHOUT:
                pytest.skip(f"no {keys['type']} under {UNDER[0]}")
        defaults = {"server": {"bind": "127.0.0.1:0", "workers": 2}}
        if not any(s.startswith("app:") for s in sections):
            defaults["app:probe"] = {"type": "module", "target": PROBE}
        merged = {**defaults, **sections}
        merged["server"] = {**defaults["server"], **sections.get("server", {})}
        self.file.write_text(ini(merged))

    def read_log(self):
        for line in self.process.stderr:
            with self.changed:
                self.log.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()

    # ---- waiting ---------------------------------------------------------

    def matches(self, pattern, after=0):
        return [m for line in self.log[after:]
                if (m := re.search(pattern, line))]

    def wait(self, pattern, count=1, after=0):
        """Until `count` lines from line `after` on match; the last match."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while len(found := self.matches(pattern, after)) < count:
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None
                                 and not self.reader.is_alive()):
                    raise AssertionError(
                        f"no line {pattern!r} in:\n" + "\n".join(self.log))
                self.changed.wait(min(left, 0.5))
        return found[count - 1]

    def ready(self, workers=2):
        """Until so many workers serve; learns the address of the first
        listener."""
        self.wait(READY, workers)
        m = self.wait(LISTENING)
        self.address = ((m[2].strip("[]"), int(m[3])) if m[2]
                        else m[1].removeprefix("unix:"))
        self.idle_fds = self.private_fds()
        return self

    def mark(self):
        """A place in the log, for `after`."""
        return len(self.log)

    # ---- acting ----------------------------------------------------------

    def connect(self, **kw):
        return Client(self.address, **kw)

    def get(self, target="/", **kw):
        with self.connect() as c:
            return c.get(target, **kw)

    def children(self):
        return sorted(pid for pid, (state, parent, _) in processes().items()
                      if parent == self.pid and state != "Z")

    def templates(self):
        return [pid for pid in self.children()
                if title_of(pid).startswith("prefork: template ")]

    def workers(self):
        """Its other children, but those that are being killed: they have lost
        their names."""
        templates = self.templates()
        return [pid for pid in self.children()
                if pid not in templates and title_of(pid)]

    def fds_settle(self, more=0):
        """Until the master holds no more than when it was idle."""
        until(lambda: self.private_fds() <= self.idle_fds + more)

    def private_fds(self):
        """Open files of the master, one per child not counted."""
        return fd_count(self.pid) - len(self.children())

    def control(self, *words, status=0):
        """What preforkctl printed: its output, or its complaint."""
        done = preforkctl("-s", self.socket, *words)
        assert done.returncode == status, (done.stdout, done.stderr)
        return done.stderr if status else done.stdout

    def ask(self, *words):
        """The records of the answer, without the last one."""
        lines = self.control("--json", *words).splitlines()
        records = [json.loads(line) for line in lines]
        assert records.pop() == {"record": "end", "exit": 0, "reason": None}
        return records

    def status(self):
        return self.ask("status")[0]

    def signal(self, signo):
        os.kill(self.pid, signo)
        return self

    def ask_for_report(self, worker):
        """Until it tells what its handlers are at: it may be in the middle of
        something that a report leaves alone."""
        def told():
            n = len(self.matches("stands still"))
            os.kill(worker, SIGUSR2)
            self.wait("stands still", n + 1)
            return self.matches("^thread 0x")
        return until(told)

    def allow(self, *patterns):
        """Lines at level warn and error that this test causes on purpose."""
        self.allowed += patterns
        return self

    def wait_exit(self, status=0):
        self.stopped = True
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError("\n".join(["it does not end:", *self.log]))
        self.reader.join(PATIENCE)
        assert self.process.returncode == status, "\n".join(self.log)
        return self

    def stop(self, signo=SIGTERM, status=0):
        return self.signal(signo).wait_exit(status)

    # ---- what must hold after every test -----------------------------------

    def left(self):
        """Processes of its session, but those that are ending: they have no
        name any more."""
        return [p for p, (state, _, sid) in processes().items()
                if sid == self.pid and state != "Z" and title_of(p)]

    def check(self):
        try:
            if not self.stopped:
                assert self.process.poll() is None, "\n".join(self.log)
                self.stop()
            self.check_log()
            left = self.left()
            assert not left, f"processes left: {left}"
        finally:
            self.end_all()

    def check_log(self):
        bad = [line for line in self.log if SANITIZER.search(line)]
        bad += [line for line in self.log if LEVELS.search(line)
                and not any(re.search(a, line) for a in USUAL + self.allowed)]
        assert not bad, "unexpected in the log:\n" + "\n".join(
            self.log if SANITIZED else bad)

    def end_all(self):
        """After a failed test nothing may live on."""
        for pid, (_, _, sid) in processes().items():
            if sid == self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)
        self.process.wait(PATIENCE)


class Load:
    """Keep-alive connections that ask again and again until stop()."""

    def __init__(self, server, target="/pid", connections=8):
        self.server, self.target = server, target
        self.answers = []   # bodies
        self.failures = []  # (connection, the worker that served it, why)
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.connection, args=(i,))
                        for i in range(connections)]
        for t in self.threads:
            t.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def connection(self, number):
        while not self.stopping.is_set():
            served_by = None
            try:
                with self.server.connect() as client:
                    while not self.stopping.is_set():
                        r = client.get(self.target)
                        served_by = r.body
                        self.note(r)
                        if r.closes:
                            break
            except (OSError, EOFError) as e:
                self.failures.append((number, served_by, repr(e)))

    def note(self, r):
        with self.changed:
            if r.status == 200:
                self.answers.append(r.body)
            else:
                self.failures.append((None, r.body, r.status))
            self.changed.notify_all()

    def more(self, n=200):
        """Until n more answers came."""
        with self.changed:
            goal = len(self.answers) + n
            assert self.changed.wait_for(
                lambda: len(self.answers) >= goal, PATIENCE), "no answers"

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(PATIENCE)
            assert not t.is_alive(), "a request was never answered"
        return self
