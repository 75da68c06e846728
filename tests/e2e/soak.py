#!/usr/bin/env python3
"""Everything an operator does and everything that goes wrong, at random, for
SOAK_SECONDS (600), under the traffic of load.py.  At the end nothing may have
leaked and no request may be lost that was not with a worker that was killed.

SOAK_SEED repeats a run's order of events."""
import contextlib
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time

import testmods
from load import Traffic
from prefork import PATIENCE, PROBE, READY, Server, fd_count, wait_gone

WORKERS = 3
STALL_S = 3
GROWTH_KIB = 4096  # of the master, from a first round of all events to the end


class Soak:
    def __init__(self, tmp, seed):
        self.random = random.Random(seed)
        self.server = Server(tmp, self.sections())
        self.server.ready(WORKERS)
        self.server.allow(
            "server.ini:", "reload failed", r"worker \d+ ", "stands still",
            "cannot start worker", "cannot accept", "moves again")
        self.victims = set()
        self.done = []

    def sections(self, **server):
        return {"server": {"workers": WORKERS, "max_requests": 2000,
                           "stall_timeout": f"{STALL_S}s",
                           "graceful_timeout": "20s", "boot_timeout": "5s",
                           **server},
                "app:probe": {"type": "module", "target": PROBE,
                              "warmup": "/say?warm"}}

    # ---- events --------------------------------------------------------------

    def settled(self, workers=WORKERS):
        """Until the workers wanted serve, and nobody else."""
        deadline = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < deadline:
            if len(self.server.workers()) == workers:
                return
            self.traffic.more(20)
        raise AssertionError(f"{self.server.workers()}, not {workers}")

    def reload(self):
        mark = self.server.mark()
        self.server.configure(self.sections())
        self.server.signal(signal.SIGHUP)
        self.server.wait(r"reload: generation \d+ serves", after=mark)

    def listeners(self):
        mark, bind = self.server.mark(), "127.0.0.1:0, [::1]:0"
        self.server.configure(self.sections(bind=bind))
        self.server.signal(signal.SIGHUP)
        m = self.server.wait(r"listening on http://\[::1\]:(\d+)/", after=mark)
        self.server.wait(r"reload: generation \d+ serves", after=mark)
        with Traffic(self.server, keep=4, single=0,
                     address=("::1", int(m[1]))) as other:
            other.more(20)
        self.expect_none(other.stop())
        self.reload()

    def bad_reload(self):
        mark, s = self.server.mark(), self.server
        crash = testmods.module("crash", **{"option.at": "load"})
        kind = self.random.choice(["syntax", "refuse", "crash", "warmup"])
        sections = self.sections()
        if kind == "refuse":
            sections["app:probe"]["option.refuse"] = "no moon"
        elif kind == "crash":
            sections["app:probe"] = crash
        elif kind == "warmup":
            sections["app:probe"]["warmup"] = "/fail"
        s.configure(sections)
        if kind == "syntax":
            s.file.write_text("[server]\nbogus\n")
        s.signal(signal.SIGHUP)
        s.wait("reload failed", after=mark)

    def more_and_fewer(self):
        mark = self.server.mark()
        self.server.signal(signal.SIGTTIN)
        self.server.wait(READY, after=mark)
        self.server.signal(signal.SIGTTOU)

    def reopen(self):
        self.server.signal(signal.SIGUSR1)

    def victim(self):
        pid = self.random.choice(self.server.workers())
        self.victims.add(str(pid))
        return pid

    def killed(self, signo):
        mark, pid = self.server.mark(), self.victim()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signo)
        wait_gone(pid)
        self.server.wait(READY, after=mark)

    def dies(self):
        self.killed(self.random.choice([signal.SIGKILL, signal.SIGSEGV]))

    def stops(self):
        self.killed(signal.SIGSTOP)

    def starves(self):
        pid = self.server.pid
        was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        mark, victim = self.server.mark(), self.victim()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, was[1]))
        os.kill(victim, signal.SIGKILL)
        self.server.wait("cannot start worker", after=mark)
        self.traffic.more(20)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
        self.server.wait(READY, after=mark)

    # ---- the run -------------------------------------------------------------

    EVENTS = [reload, reload, listeners, bad_reload, bad_reload,
              more_and_fewer, reopen, dies, stops, starves]

    def one(self, event):
        self.done.append(event.__name__)
        event(self)
        self.settled()
        self.expect_none(self.traffic)

    def expect_none(self, traffic):
        """But what was with a worker that was killed."""
        wrong = [f for f in traffic.failures
                 if f.kind not in ("reset", "truncated", "cut")
                 or (f.worker and f.worker not in self.victims)]
        assert not wrong, f"after {self.done[-5:]}: {wrong}"

    def counts(self):
        return {"fds of the master": self.server.private_fds(),
                "fds of a worker": max(
                    fd_count(p) for p in self.server.workers())}

    def run(self, seconds):
        until = time.monotonic() + seconds
        with Traffic(self.server, pause=1.0) as self.traffic:
            for event in dict.fromkeys(self.EVENTS):
                self.one(event)
            before = testmods.memory_kib(self.server.pid, "VmRSS")
            while time.monotonic() < until:
                self.one(self.random.choice(self.EVENTS))
                self.traffic.more(self.random.randrange(200))
        self.expect_none(self.traffic.stop())
        old = self.server.workers()
        self.reload()
        for pid in old:
            wait_gone(pid)
        grown = testmods.memory_kib(self.server.pid, "VmRSS") - before
        print(f"{len(self.done)} events, {self.traffic.answers} answers, "
              f"{len(self.traffic.failures)} lost with {len(self.victims)} "
              f"killed workers; master grew {grown} KiB; {self.counts()}")
        assert self.server.private_fds() == self.server.idle_fds
        assert grown < GROWTH_KIB, f"the master grew by {grown} KiB"
        self.server.check()


def main():
    seconds = float(os.environ.get("SOAK_SECONDS", 600))
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
    print(f"soak: SOAK_SEED={seed} SOAK_SECONDS={seconds:g}", flush=True)
    with tempfile.TemporaryDirectory() as tmp:
        soak = Soak(pathlib.Path(tmp), seed)
        try:
            soak.run(seconds)
        except BaseException:
            print("events:", *soak.done, sep="\n  ", file=sys.stderr)
            print("\n".join(soak.server.log[-60:]), file=sys.stderr)
            raise
        finally:
            soak.server.end_all()


if __name__ == "__main__":
    main()
