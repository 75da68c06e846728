#!/usr/bin/env python3
"""Everything an operator does and everything that goes wrong, at random, under
the traffic of load.py.  No request may be lost that was not with a worker that
was killed, and at the end nothing may have leaked.

In SOAK_SECONDS (600) each event happens as often as TABLE says; in a shorter
run a share of that, and where time is left, more at random.  Every second event
begins before the workers of the last one are gone.  SOAK_SEED repeats the
order of a run."""
import collections
import contextlib
import math
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time

import testmods
from load import Traffic
from prefork import (BINARY, PATIENCE, PROBE, READY, SANITIZED, Server, fd_count,
                     processes, wait_gone)

WORKERS = 3
STALL_S = 3
IN_FLIGHT = 64
IN_FLIGHT_MS = 2000
WHOLE_S = 600      # in which all of the table happens
GROWTH_KIB = 4096  # of a master, from its first event to its last


def sockets(pid):
    fds = pathlib.Path(f"/proc/{pid}/fd").iterdir()
    return sum(os.readlink(fd).startswith("socket:") for fd in fds)


class Soak:
    def __init__(self, tmp, seed):
        self.tmp, self.random = tmp, random.Random(seed)
        program = tmp / "prefork"  # for upgrades, as a package has it
        shutil.copy(BINARY, program)
        self.server = Server(tmp, self.sections(), program=(program,))
        self.server.ready(WORKERS)
        self.server.allow(
            "server.ini:", "reload failed", r"worker \d+ ", "stands still",
            "cannot start worker", "cannot accept", "moves again",
            "no upgrade: one is under way",
            "cannot start", "Cannot allocate memory",
            "cannot make a thread", "done without a response")
        self.taken = socket.create_server(("127.0.0.1", 0))
        self.victims = set()  # were killed
        self.starved = set()  # have no memory just now
        self.judged = 0       # failures
        self.done = collections.Counter()
        self.slowest = collections.Counter()
        self.failed = collections.Counter()  # requests
        self.cut = collections.Counter()     # connections at rest
        self.latest = 0  # a successor was, after its backoff
        self.grown = self.base = 0

    def sections(self, app=None, **server):
        return {"server": {"workers": WORKERS, "max_requests": 2000,
                           "stall_timeout": f"{STALL_S}s",
                           "graceful_timeout": "20s", "boot_timeout": "10s",
                           **server},
                "http": {"body_dir": self.tmp},
                "app:probe": {"type": "module", "target": PROBE,
                              "warmup": "/say?warm", **(app or {})}}

    # ---- what an operator does -----------------------------------------------

    def hup(self, **server):
        mark = self.server.mark()
        self.server.configure(self.sections(**server))
        self.server.signal(signal.SIGHUP)
        self.server.wait(r"reload: generation \d+ serves", after=mark)

    def usr2(self):
        self.weigh()
        mark = self.server.mark()
        self.server.signal(signal.SIGUSR2)
        self.server.wait(r"took over from", after=mark)
        self.server.wait(r"reload: generation \d+ serves", after=mark)
        self.base = 0

    def ttin_ttou(self):
        mark = self.server.mark()
        self.server.signal(signal.SIGTTIN)
        self.server.wait(READY, after=mark)
        self.server.signal(signal.SIGTTOU)

    def recycles(self):
        """Each of the workers, and then one of the new ones."""
        mark = self.server.mark()
        self.hup(max_requests=50)
        self.server.wait(r"asks to be replaced: .*max_requests", WORKERS + 1,
                         after=mark)
        self.hup()

    def listeners(self):
        mark = self.server.mark()
        self.hup(bind="127.0.0.1:0, [::1]:0")
        m = self.server.wait(r"listening on http://\[::1\]:(\d+)/", after=mark)
        with Traffic(self.server, keep=4, single=2,
                     address=("::1", int(m[1]))) as other:
            other.more(20)
        assert other.stop().failures == []
        self.hup()

    def usr1(self):
        mark = self.server.mark()
        self.server.signal(signal.SIGUSR1)
        self.server.wait("logs reopened", after=mark)

    def storm(self):
        """Signals on the heels of each other."""
        self.weigh()
        self.base = 0
        signals = [signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN,
                   signal.SIGTTOU, signal.SIGHUP]
        for _ in range(10):
            self.server.signal(self.random.choice(signals))
            self.traffic.more(self.random.randrange(1, 10))
        self.usr1()  # when it has acted on that, it has on all before
        self.until(self.at_rest, "a storm that does not pass")
        self.server.control("scale", str(WORKERS))

    def at_rest(self):
        """No reload on trial, and no other process than workers: an upgrade
        tests itself in one, and cuts off whoever asks just then."""
        try:
            s = self.server.status()
        except AssertionError:
            return False
        return s["trial"] is None and len(
            self.server.workers()) == s["alive"] and s["ready"] >= s["wanted"]

    # ---- reloads that fail ---------------------------------------------------

    def refused(self, complaint, app=None, text=None, **server):
        """The settings in force stay: the same generation, and no fourth
        worker."""
        s = self.server
        mark, before = s.mark(), s.status()["generation"]
        s.configure(self.sections(app, workers=WORKERS + 1, **server))
        if text:
            s.file.write_text(text)
        s.signal(signal.SIGHUP)
        s.wait("reload failed: .*" + complaint, after=mark)
        now = s.status()
        assert (now["generation"], now["wanted"]) == (before, WORKERS)
        s.configure(self.sections())

    def bad_syntax(self):
        self.refused("", text="[server]\nworkers = 4\nbogus\n")

    def bad_load(self):
        self.refused("no moon", {"option.refuse": "no moon"})

    def bad_crash(self):
        self.refused("SIGSEGV", testmods.module(
            "crash", **{"option.at": "load"}))

    def bad_hang(self):
        self.refused("boot_timeout", testmods.module(
            "crash", **{"option.at": "load", "option.how": "hang"}),
            boot_timeout="300ms")

    def bad_address(self):
        port = self.taken.getsockname()[1]
        self.refused("in use", bind=f"127.0.0.1:0, 127.0.0.1:{port}")

    def bad_warmup(self):
        self.refused("answered 503", {"warmup": "/fail"})

    # ---- what goes wrong -----------------------------------------------------

    def serving(self):
        """A worker that serves and would go on doing so."""
        s = self.server
        generation = s.status()["generation"]
        return self.random.choice([w["pid"] for w in s.ask("workers")
                                   if w["state"] == "ready"
                                   and w["generation"] == generation])

    def victim(self):
        pid = self.serving()
        self.victims.add(str(pid))
        return pid

    def killed(self, signo):
        mark, pid = self.server.mark(), self.victim()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signo)
        wait_gone(pid)
        m = self.server.wait(
            rf"\({pid}\) was killed by [^;]*(?:; replaced in ([\d.]+) s)?$",
            after=mark)
        due = time.monotonic() + float(m[1] or 0)
        self.full()
        if m[1]:  # it had no successor yet
            self.latest = max(self.latest, time.monotonic() - due)

    def sigkill(self):
        self.killed(signal.SIGKILL)

    def sigsegv(self):
        self.killed(signal.SIGSEGV)

    def sigstop(self):
        self.killed(signal.SIGSTOP)

    def no_fds(self):
        """The master has none for a worker's channel."""
        mark, victim = self.server.mark(), self.victim()
        back = testmods.limit(self.server.pid, resource.RLIMIT_NOFILE, 3)
        os.kill(victim, signal.SIGKILL)
        self.server.wait("cannot start worker", after=mark)
        self.traffic.more(20)
        back()
        self.full()

    def no_fds_in_a_worker(self):
        back = testmods.limit(self.serving(), resource.RLIMIT_NOFILE, 3)
        with Traffic(self.server, keep=16, single=8, pause=0.2) as other:
            other.more(100)
        assert other.stop().failures == []
        back()

    def no_memory(self):
        """The master has none, and its new workers neither."""
        mark, victim = self.server.mark(), self.victim()
        back = testmods.no_more_memory(self.server.pid)
        os.kill(victim, signal.SIGKILL)
        self.server.wait("exited with status|cannot start", after=mark)
        self.server.signal(signal.SIGHUP)
        self.server.wait("reload failed", after=mark)
        self.traffic.more(20)
        back()
        self.full()

    def no_memory_in_a_worker(self):
        pid = self.serving()
        self.starved.add(str(pid))
        back = testmods.no_more_memory(pid)
        with contextlib.ExitStack() as stack:
            for c in testmods.connected(self.server, 200, stack):
                with contextlib.suppress(OSError):
                    c.send("GET /say?x HTT")
            self.traffic.more(100)
        back()
        assert pid in self.server.workers()

    # ---- the run -------------------------------------------------------------

    TABLE = {hup: 50, usr2: 10, ttin_ttou: 50, recycles: 5, listeners: 5,
             usr1: 10, storm: 10, bad_syntax: 20, bad_load: 20, bad_crash: 20,
             bad_hang: 20, bad_address: 20, bad_warmup: 20, sigkill: 20,
             sigsegv: 20, sigstop: 5, no_fds: 5, no_fds_in_a_worker: 5,
             no_memory: 5, no_memory_in_a_worker: 5}
    if SANITIZED:  # sanitizers map terabytes
        del TABLE[no_memory], TABLE[no_memory_in_a_worker]
    COSTLY = (sigkill, sigsegv, sigstop, no_fds, no_memory,
              no_memory_in_a_worker)

    def until(self, condition, complaint):
        deadline = time.monotonic() + 2 * PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (
                f"{complaint}: {self.server.status()} "
                f"{self.server.ask('workers')}")
            self.traffic.more(10)

    def full(self):
        """Until as many serve as are wanted."""
        self.until(lambda: self.server.status()["ready"] >= WORKERS,
                   "workers are missing")

    def settled(self):
        """Until the workers wanted serve, and nobody else is there."""
        self.until(lambda: len(self.server.workers()) == WORKERS,
                   f"not {WORKERS} workers")

    def one(self, event):
        name, begun = event.__name__, time.monotonic()
        try:
            event(self)
            if event in self.COSTLY:
                self.traffic.more(50)  # its connections have noticed
            if self.random.random() < 0.5:
                self.settled()
        finally:
            new = self.traffic.failures[self.judged:]
            self.judged += len(new)
            self.done[name] += 1
            cut = sum(f.kind == "cut" for f in new)
            self.cut[name] += cut
            self.failed[name] += len(new) - cut
            self.slowest[name] = max(self.slowest[name],
                                     time.monotonic() - begun)
        self.judge(event, new)
        if self.base == 0:
            self.base = self.rss()

    def judge(self, event, new):
        """Lost is only what was with a worker that was killed, or that had no
        memory: that one may say so."""
        wrong = [f for f in new
                 if f.kind not in ("reset", "truncated", "cut")
                 and not (self.starved and f.kind == "status")
                 or (f.worker not in self.victims | self.starved if f.worker
                     else event not in self.COSTLY)]
        self.starved.clear()
        assert not wrong, f"{event.__name__}: {wrong}"
        limit = self.traffic.keep + self.traffic.single
        assert len(new) <= limit, f"{event.__name__}: {len(new)} lost"

    def rss(self):
        return testmods.memory_kib(self.server.pid, "VmRSS")

    def weigh(self):
        """This master has done what it will."""
        if self.base:
            self.grown = max(self.grown, self.rss() - self.base)

    def deck(self, seconds):
        share = min(1, seconds / WHOLE_S)
        deck = [e for e, n in self.TABLE.items()
                for _ in range(math.ceil(n * share))]
        self.random.shuffle(deck)
        return deck

    def run(self, seconds):
        until = time.monotonic() + seconds
        deck, before = self.deck(seconds), self.counts()
        with Traffic(self.server, pause=1.0) as self.traffic:
            for n, event in enumerate(deck, 1):
                self.one(event)
                left = max(0, until - time.monotonic())
                self.pass_time(left / (len(deck) - n + 1))
            while time.monotonic() < until:
                self.one(self.random.choice(list(self.TABLE)))
            self.settled()
        assert self.traffic.failures[self.judged:] == []
        self.weigh()
        old = self.server.workers()
        self.hup()
        for pid in old:
            wait_gone(pid)
        self.server.fds_settle()
        self.report(before, self.counts())
        self.term()

    def pass_time(self, most):
        """So that the deck lasts as long as it is to."""
        begun = time.monotonic()
        most = self.random.uniform(0, most)
        while time.monotonic() < begun + most:
            self.traffic.more(10)

    # ---- the end -------------------------------------------------------------

    def counts(self):
        """What there is of everything while nobody asks for anything."""
        s, workers = self.server, self.server.workers()
        assert len(workers) == WORKERS
        ours = [state for state, _, sid in processes().values()
                if sid == s.pid]
        return {"processes": len(ours),
                "zombies": ours.count("Z"),
                "fds of the master": fd_count(s.pid),
                "sockets of the master": sockets(s.pid),
                "fds of a worker": max(map(fd_count, workers)),
                "sockets of a worker": max(map(sockets, workers)),
                "files": len(list(self.tmp.rglob("*")))}

    def report(self, before, after):
        print(f"{'event':<21} {'times':>5} {'failed':>6} {'cut':>5} "
              f"{'slowest':>8}")
        for name, times in sorted(self.done.items()):
            print(f"{name:<21} {times:5} {self.failed[name]:6} "
                  f"{self.cut[name]:5} {self.slowest[name]:6.1f} s")
        lost, idle = sum(self.failed.values()), sum(self.cut.values())
        print(f"{self.traffic.answers} answers; "
              f"{lost} requests failed and {idle} idle connections were cut "
              f"with {len(self.victims)} workers killed, or starved; "
              f"{len(self.server.matches('asks to be replaced'))} recycled")
        print(f"successors of killed workers were seen ready "
              f"{self.latest:.2f} s after their backoff at the latest")
        print(f"{'left':<24} before  after")
        for what, n in before.items():
            print(f"{what:<24} {n:6} {after[what]:6}")
        print(f"a master grew by {self.grown} KiB at most", flush=True)
        assert before == after
        # a sanitizer keeps what was freed, and looks for leaks itself
        assert SANITIZED or self.grown < GROWTH_KIB

    def term(self):
        """With requests in flight: all are answered."""
        s = self.server
        with contextlib.ExitStack() as stack:
            clients = testmods.connected(s, IN_FLIGHT, stack)
            for c in clients:
                assert c.get("/say?x").status == 200
            for c in clients:
                c.request(f"/sleep?{IN_FLIGHT_MS}")
            s.signal(signal.SIGTERM)
            for c in clients:
                r = c.response()
                assert (r.status, r.closes) == (200, True)
                c.closed()
        s.wait_exit(0)
        s.check()
        print(f"TERM with {IN_FLIGHT} requests in flight: all answered")


def main():
    seconds = float(os.environ.get("SOAK_SECONDS", WHOLE_S))
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
    print(f"soak: SOAK_SEED={seed} SOAK_SECONDS={seconds:g}", flush=True)
    with tempfile.TemporaryDirectory() as tmp:
        soak = Soak(pathlib.Path(tmp), seed)
        try:
            soak.run(seconds)
        except BaseException:
            print("events:", dict(soak.done), file=sys.stderr)
            print("\n".join(soak.server.log[-80:]), file=sys.stderr)
            raise
        finally:
            soak.server.end_all()


if __name__ == "__main__":
    main()
