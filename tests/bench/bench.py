#!/usr/bin/env python3
"""bench.py [duel|before|newcomer|spread|blocking|idle|start|memory|hup|wrk|hostile]...

Measures the program in $PREFORK_BUILD (build/release) beside its peers and
prints what was found next to the goal.  The machine may drift by 20 %: rates
are therefore compared in duels, in which server and reference are both pinned
to one CPU, the client to another, and take turns second by second; each slice
is divided by the mean of its neighbours, and the median of those counts.

A goal that is missed is printed, not an error; the exit status is 0."""
import collections
import contextlib
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import services
from services import (RAW, ROOT, memory_kib, nginx, output, pin, prefork,
                      pss_kib, responder)

CONNECTIONS = 64
SLICES = int(os.environ.get("BENCH_SLICES", 15))  # of a duel, odd
CALM = 0.04  # more of the CPUs' time stolen than this: measure again
rows = []


def report(what, value, goal="", ok=None):
    rows.append((what, value, goal, {None: "", True: "PASS",
                                     False: "FAIL"}[ok]))
    print("%-46s %-26s %-22s %s" % rows[-1], flush=True)


# ---- rates -----------------------------------------------------------------

def stolen():
    fields = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    return int(fields[7]), sum(map(int, fields[:8]))


def one_slice(service, path):
    """(requests per second, CPU microseconds per request)."""
    for _ in range(5):
        steal, cpu = stolen(), service.cpu_s()
        answers, seconds = output(RAW / "raw_load", service.port, CONNECTIONS,
                                  1, path, cpu=1)
        used = service.cpu_s() - cpu
        after = stolen()
        if (after[0] - steal[0]) <= CALM * (after[1] - steal[1]):
            break
    return answers / seconds, used * 1e6 / answers


def fight(a, b, path="/"):
    """Ratios a to b, (rate, CPU), each (median, lowest, highest)."""
    one_slice(a, path), one_slice(b, path)  # warm
    turns = [one_slice(b if i % 2 == 0 else a, path) for i in range(SLICES)]
    ratios = []
    for kind in 0, 1:
        found = [turns[i][kind] * 2 / (turns[i - 1][kind] + turns[i + 1][kind])
                 for i in range(1, SLICES - 1, 2)]
        ratios.append((statistics.median(found), min(found), max(found)))
    means = [statistics.median(t[0] for t in turns[k::2]) for k in (1, 0)]
    return ratios, means


def show_fight(name, against, result, rate_goal=None, cpu_goal=None):
    ((rate, low, high), (cpu, cpu_low, cpu_high)), means = result
    report(f"duel: {name} / {against}, rate",
           f"{rate:.2f} ({low:.2f}-{high:.2f})",
           f">= {rate_goal}" if rate_goal else "",
           rate >= rate_goal if rate_goal else None)
    report(f"duel: {name} / {against}, CPU per request",
           f"{cpu:.2f} ({cpu_low:.2f}-{cpu_high:.2f})",
           f"<= {cpu_goal}" if cpu_goal else "",
           cpu <= cpu_goal if cpu_goal else None)
    report(f"  requests per second: {name}, {against}",
           f"{means[0]:,.0f}, {means[1]:,.0f}")


def duel():
    """One process each on CPU 0."""
    if os.cpu_count() < 2:
        report("duel", "absent: it takes two CPUs")
        return
    with prefork(1, 0) as ours, responder(0) as limit:
        show_fight("prefork", "responder", fight(ours, limit), 0.90, 1.15)
        peer = nginx(1, 0)
        if peer is None:
            report("duel: nginx", "absent: nginx is not installed")
            return
        with peer:
            show_fight("nginx", "responder", fight(peer, limit))
            show_fight("prefork", "nginx", fight(ours, peer), 1.0)


def built(revision, folder):
    """That revision of this repository, built in the folder: its programs."""
    tree = subprocess.run(["git", "-C", ROOT, "archive", revision],
                          stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=tree, check=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    subprocess.run(["make", "-s", f"-j{os.cpu_count()}", "-C", folder, "all",
                    "build/release/tests/mod_sleep.so"], env=env, check=True,
                   stdout=subprocess.DEVNULL)
    return pathlib.Path(folder, "build/release")


def before():
    """What this tree costs, and gains, against another revision of it."""
    revision = os.environ.get("BEFORE")
    if not revision:
        report("before", "absent: BEFORE=REVISION says against what")
        return
    pathlib.Path(services.work, "small").write_bytes(bytes(1024))
    with tempfile.TemporaryDirectory() as folder:
        build = built(revision, folder)
        with prefork(1, 0) as now, prefork(1, 0, build=build) as then:
            for name, path in ("hello", "/"), ("1 KiB file", "/files/small"):
                show_fight(name, revision, fight(now, then, path), 0.97, 1.03)


def wrk():
    """Both CPUs shared by server and client, as people usually measure."""
    if shutil.which("wrk") is None:
        report("wrk", "absent: wrk is not installed")
        return
    for make in prefork, nginx, responder:
        service = make()
        if service is None:
            report("wrk: nginx", "absent: nginx is not installed")
            continue
        with service:
            text = subprocess.run(
                ["wrk", "-t1", f"-c{CONNECTIONS}", "-d5s", "--latency",
                 f"http://127.0.0.1:{service.port}/"], text=True,
                capture_output=True, check=True).stdout
        rate = re.search(r"Requests/sec:\s+([\d.]+)", text)[1]
        p99 = re.search(r"99%\s+(\S+)", text)[1]
        report(f"wrk -t1 -c64: {service.name}",
               f"{float(rate):,.0f}/s, p99 {p99}")


# ---- reloads ---------------------------------------------------------------

def one_hup(service):
    """(wrk's socket errors, requests lost beside it, the longest gap in ms) of
    8 s with HUP after 2, 4 and 6 of them."""
    url = f"http://127.0.0.1:{service.port}/"
    load = subprocess.Popen(["wrk", "-t1", f"-c{CONNECTIONS}", "-d8s", url],
                            text=True, stdout=subprocess.PIPE)
    probe = subprocess.Popen([RAW / "raw_gap", str(service.port), "7.5", "/"],
                             text=True, stdout=subprocess.PIPE)
    for _ in range(3):
        time.sleep(2)
        service.process.send_signal(signal.SIGHUP)
    errors = re.search(r"Socket errors: (.*)", load.communicate()[0])
    _, lost, gap = map(float, probe.communicate()[0].split())
    return (sum(map(int, re.findall(r"\d+", errors[1]))) if errors else 0,
            int(lost), gap)


def hup():
    """Three rounds in turn: on a busy machine one gap means nothing."""
    if shutil.which("wrk") is None:
        report("hup", "absent: wrk is not installed")
        return
    found = collections.defaultdict(list)
    for make in (prefork, nginx) * 3:
        if service := make():
            with service:
                found[make].append(one_hup(service))
    for make, rounds in found.items():
        errors, lost, gaps = zip(*rounds)
        gap, goal = statistics.median(gaps), make is prefork
        report(f"wrk -c64 across 3 HUPs: {make.__name__}, socket errors",
               ", ".join(map(str, errors)), "0" if goal else "",
               not any(errors) if goal else None)
        report(f"  one connection beside it: {make.__name__}, gap",
               f"{gap:.1f} ms ({min(gaps):.1f}-{max(gaps):.1f})",
               "<= 50 ms" if goal else "", gap <= 50 if goal else None)
        report(f"  requests of it lost: {make.__name__}", str(sum(lost)),
               "0" if goal else "", not any(lost) if goal else None)
    if nginx not in found:
        report("hup: nginx", "absent: nginx is not installed")


# ---- fairness --------------------------------------------------------------

@contextlib.contextmanager
def saturated(service, path="/", seconds=30):
    """64 connections that ask without pause; the Popen of the client."""
    client = subprocess.Popen(
        [RAW / "raw_load", str(service.port), str(CONNECTIONS), str(seconds),
         path], stdout=subprocess.PIPE, text=True)
    try:
        yield client
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


def held_by(service):
    """{worker: its established connections}."""
    inodes = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{service.port:04X}") and fields[3] == "01":
            inodes.add(f"socket:[{fields[9]}]")
    held = {}
    for pid in service.pids()[1:]:
        held[pid] = 0
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                held[pid] += os.readlink(f"/proc/{pid}/fd/{fd}") in inodes
    return held


def await_connections(service, n):
    while sum(held_by(service).values()) < n:
        time.sleep(0.05)


def newcomer():
    for make in prefork, nginx:
        service = make()
        if service is None:
            report("newcomer: nginx", "absent: nginx is not installed")
            continue
        with service, saturated(service):
            await_connections(service, CONNECTIONS)
            n, p50, p99, worst = output(RAW / "raw_probe", service.port, 0, 4,
                                        20, "/")
        goal = make is prefork
        report(f"newcomer beside 64 busy: {service.name}, slowest of {n:.0f}",
               f"{worst:.1f} ms (p99 {p99:.1f})", "<= 5 ms" if goal else "",
               worst <= 5 if goal else None)


def spread():
    for make in prefork, nginx:
        service = make()
        if service is None:
            report("spread: nginx", "absent: nginx is not installed")
            continue
        with service, saturated(service):
            await_connections(service, CONNECTIONS)
            held = sorted(held_by(service).values())
        ratio = held[-1] / held[0] if held[0] else float("inf")
        goal = make is prefork
        report(f"spread of 64 connections: {service.name}",
               f"{held} max/min {ratio:.2f}", "<= 1.5" if goal else "",
               ratio <= 1.5 if goal else None)


def blocking():
    ideal = CONNECTIONS / 0.050
    with prefork() as service, saturated(service, "/sleep", 8) as client:
        await_connections(service, CONNECTIONS)
        _, _, p99, _ = output(RAW / "raw_probe", service.port, 8, 6, 2, "/")
        answers, seconds = map(float, client.communicate()[0].split())
    rate = answers / seconds
    report("64 connections to a 50 ms sleep, of the ideal",
           f"{rate / ideal:.3f} ({rate:.0f}/s)", ">= 0.9", rate >= .9 * ideal)
    report("  hello on the same workers meanwhile, p99", f"{p99:.2f} ms",
           "<= 5 ms", p99 <= 5)


# ---- memory and start ------------------------------------------------------

def hold(service, n):
    """n connections, each after one answered request."""
    held = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", service.port))
        s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        held.append(s)
    for s in held:
        assert s.recv(4096).startswith(b"HTTP/1.1 200"), "no answer"
    return held


def idle(n=10000):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < n + 100:
        report("idle connections", f"absent: only {hard} open files allowed")
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for make in prefork, nginx:
        service = make()
        if service is None:
            report("idle: nginx", "absent: nginx is not installed")
            continue
        with service:
            for s in hold(service, 64):
                s.close()
            before = memory_kib(service)
            held = hold(service, n)
            each = (memory_kib(service) - before) / n
            used = service.cpu_s()
            time.sleep(5)
            used = (service.cpu_s() - used) / 5
            gone = len(select_gone(held))
            for s in held:
                s.close()
        goal = make is prefork
        report(f"{n} idle connections: {service.name}, memory each",
               f"{each:.2f} KiB", "<= 0.5 KiB" if goal else "",
               each <= 0.5 if goal else None)
        report(f"  CPU while idle: {service.name}", f"{used:.1%}",
               "none" if goal else "", used < 0.003 if goal else None)
        if gone:
            report(f"  connections closed by {service.name}", str(gone), "0",
                   False)


def select_gone(held):
    poll = select.poll()
    for s in held:
        poll.register(s, select.POLLIN)
    return poll.poll(0)


def start():
    for make in prefork, nginx, responder:
        times = []
        for _ in range(9):
            service = make()
            if service is None:
                break
            with service:
                times.append(service.start_ms)
        if not times:
            report("start: nginx", "absent: nginx is not installed")
            continue
        goal = make is prefork
        took = statistics.median(times)
        report(f"exec to first answer: {service.name}", f"{took:.1f} ms",
               "<= 10 ms" if goal else "", took <= 10 if goal else None)


def memory():
    for make in prefork, nginx:
        service = make()
        if service is None:
            report("memory: nginx", "absent: nginx is not installed")
            continue
        with service:
            while len(service.pids()) < 3:
                time.sleep(0.05)
            pss, all_of_it = pss_kib(service) / 1024, memory_kib(service) / 1024
        goal = make is prefork
        report(f"master and 2 workers: {service.name}, PSS",
               f"{pss:.1f} MiB (memory {all_of_it:.1f})",
               "<= 3 MiB" if goal else "", pss <= 3 if goal else None)


# ---- slow clients ------------------------------------------------------------

HOSTILE = 10000
SLICES = 33  # of a second, of each kind
ATTACKS = {"slow headers": "-H", "slow body": "-B", "slow read": "-X",
           "range": "-R"}
HOLD = "-H", "-B", "-X"  # connections; others ask once, and come again


def files_for(n):
    """Raises the limit of open files towards n, as far as may be; the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in max(hard, n), hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def wrk16(service):
    """(requests per second, p99 in ms) of 16 healthy connections."""
    text = subprocess.run(
        [*pin(1), "wrk", "-t1", "-c16", "-d1s", "--latency",
         f"http://127.0.0.1:{service.port}/"], text=True,
        capture_output=True, check=True).stdout
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
            float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit])


def established(service):
    """Connections to it, accepted or not; /proc tells some twice, or not at
    all, while others come."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(f[1].endswith(f":{service.port:04X}") and f[3] == "01"
               for f in map(str.split, lines))


def is_idle():
    """What this process becomes takes no time from others; the kernel means
    others of its session (sched_autogroup_enabled)."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


@contextlib.contextmanager
def attacked(service, mode, n):
    """By n connections that send or take a byte a second; they come from
    this machine, but should not take its time from wrk.  How to signal it."""
    attack = subprocess.Popen(
        [*pin(1), "sh", "-c", 'while :; do "$@"; done', "sh",
         "slowhttptest", mode, "-c", str(n),
         "-r", "5000" if mode in HOLD else "500",  # all while we measure
         "-i", "1", "-x", "1", "-n", "1", "-w", "1", "-y", "64", "-z", "1",
         "-s", "1000000", "-l", "300", "-p", "60",
         "-u", f"http://127.0.0.1:{service.port}/files/big"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=is_idle, process_group=0)
    try:
        until = time.monotonic() + 60  # it may cut them
        before, now = 0, established(service)
        while mode in HOLD and not before == now >= n and \
                time.monotonic() < until:
            time.sleep(0.5)
            before, now = now, established(service)
        yield lambda signo: os.killpg(attack.pid, signo)
    finally:
        os.killpg(attack.pid, signal.SIGKILL)
        attack.wait()


def hostile_slices(victim, other, signal_attack):
    """Of the one under attack; of the other, which pays for the processors
    that the attack takes, too; and of the other while the attack is stopped:
    each (rate, p99).  A p99 is 0.3 or 3 ms, as the scheduler has it: their mean
    is one of ratios, and of so many that it is the same tomorrow."""
    kinds = ((victim, signal.SIGCONT), (other, signal.SIGCONT),
             (other, signal.SIGSTOP))
    turns = [[] for _ in kinds]
    for _ in range(SLICES):
        for turn, (service, signo) in zip(turns, kinds):
            signal_attack(signo)
            turn.append(wrk16(service))
    return [(statistics.median(rates), statistics.geometric_mean(p99s))
            for rates, p99s in (zip(*turn) for turn in turns)]


def hostile():
    """Timeouts that let the attack go on: as if it were 240 bytes a second."""
    for tool in "slowhttptest", "wrk":
        if shutil.which(tool) is None:
            report("hostile", f"absent: {tool} is not installed")
            return
    # two workers: a file that waits for its client is open, too
    n = min(HOSTILE, files_for(HOSTILE + 1000) - 1000)
    if os.cpu_count() < 2:
        report("hostile", "absent: it takes two CPUs")
        return
    with open(os.path.join(services.work, "big"), "wb") as f:
        f.truncate(10_000_000)
    for name, mode in ATTACKS.items():
        with prefork(2, 0, patient=True) as victim, prefork(2, 0) as other, \
                attacked(victim, mode, n) as signal_attack:
            held = established(victim)
            used = victim.cpu_s()
            time.sleep(3)
            used = (victim.cpu_s() - used) / 3
            ours, beside, own = hostile_slices(victim, other, signal_attack)
            left = established(victim)
        if min(held, left) < .99 * n if mode in HOLD else used < 0.001:
            report(f"{n:,} of {name}", f"only {held:,} to {left:,}",
                   "an attack", False)
        report(f"wrk -c16 beside {held:,} to {left:,} of {name}, rate",
               f"{ours[0] / own[0]:.2f} of {own[0]:,.0f}/s", ">= 0.9",
               ours[0] >= .9 * own[0])
        report("  its p99, of one beside it that is not attacked",
               f"{ours[1] / beside[1]:.2f} x {beside[1]:.2f} ms",
               "<= 2 x", 0 < ours[1] <= 2 * beside[1])
        report("  its p99, of one while the attack is stopped",
               f"{ours[1] / own[1]:.2f} x {own[1]:.2f} ms",
               "<= 2 x", 0 < ours[1] <= 2 * own[1])
        report("  CPU of the server for the attack alone", f"{used:.1%}")


ALL = {f.__name__: f for f in (duel, before, newcomer, spread, blocking, idle,
                               start, memory, hup, wrk, hostile)}


def main():
    names = sys.argv[1:] or list(ALL)
    if unknown := [n for n in names if n not in ALL]:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(ALL)}")
    with services.workplace():
        for name in names:
            ALL[name]()


if __name__ == "__main__":
    main()
