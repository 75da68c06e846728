#!/usr/bin/env python3
"""wsgi.py [hello|flask|fibonacci|sleep|close|newcomer|start|memory|django|
         long]...

Python applications on prefork and on its peers, which live in build/venv-bench
(tests/bench/requirements.txt).  Everybody has two workers, or one process that
is pinned to a CPU in a duel; prefork has its default settings.  As in bench.py
a goal that is missed is printed, not an error."""
import contextlib
import http.client
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import services
from bench import CONNECTIONS, await_connections, fight, report, saturated
from services import (BUILD, RAW, ROOT, Service, free_port, output,
                      private_kib, pss_kib, responder, title)

VENV = ROOT / "build/venv-bench"
APPS = pathlib.Path(__file__).parent
TURNS = 5   # of each, when servers are compared
REST_S = 5  # until memory is that of a server at rest
BARE, HELLO, FLASK = "wsgi_bare:hello", "wsgi_apps:hello", "wsgi_apps:shop"

BJOERN = """
import importlib, os, sys, bjoern
module, _, name = sys.argv[2].partition(":")
bjoern.listen(getattr(importlib.import_module(module), name), "127.0.0.1",
              int(sys.argv[1]))
for _ in range(int(sys.argv[3]) - 1):
    if os.fork() == 0:
        break
bjoern.run()
"""


# ---- the servers -----------------------------------------------------------

def prefork(app, workers=2, cpu=None, venv=VENV, path=APPS, **server):
    port = free_port()
    settings = {"bind": f"127.0.0.1:{port}", "workers": workers, **server}
    file = pathlib.Path(services.work) / f"prefork-{port}.ini"
    file.write_text(
        "[server]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items())
        + "[log]\nlevel = warn\n[app:bench]\ntype = wsgi\n"
        f"target = {app}\nvenv = {venv}\npythonpath = {path}\n")
    return Service("prefork", [BUILD / "prefork", "-c", file], port, cpu)


def peer(name, cpu, *command, port):
    os.environ["PYTHONPATH"] = str(APPS)
    return Service(name, [VENV / "bin" / command[0], *command[1:]], port, cpu)


def bjoern(app, workers=2, cpu=None):
    port = free_port()
    return peer("bjoern", cpu, "python", "-c", BJOERN, port,
                app, workers, port=port)


def uwsgi(app, workers=2, cpu=None, protocol="http11-socket"):
    port = free_port()
    return peer("uwsgi", cpu, "uwsgi", "--master", "--processes", workers,
                "--listen", 1024, "--disable-logging", f"--{protocol}",
                f"127.0.0.1:{port}", "--module", app, "--die-on-term",
                "--virtualenv", VENV, port=port)


def gunicorn(app, workers=2, cpu=None, threads=4):
    port = free_port()
    return peer("gunicorn", cpu, "gunicorn", "-w", workers, "-k", "gthread",
                "--threads", threads, "--log-level", "warning", "-b",
                f"127.0.0.1:{port}", app, port=port)


# ---- the measurements -------------------------------------------------------

def ratio(name, against, result, goal=None):
    ((rate, low, high), (cpu, _, _)), means = result
    report(f"duel: {name} / {against}, rate",
           f"{rate:.2f} ({low:.2f}-{high:.2f})",
           f">= {goal}" if goal else "", rate >= goal if goal else None)
    report("  CPU per request, ratio; requests/s",
           f"{cpu:.2f}; {means[0]:,.0f} / {means[1]:,.0f}")


def hello():
    with prefork(BARE, 1, 0) as ours:
        with responder(0) as limit:
            ratio("prefork", "responder", fight(ours, limit), 0.69)
        for make, goal in (bjoern, 1.0), (uwsgi, 2), (gunicorn, 13):
            with make(BARE, 1, 0) as theirs:
                ratio("prefork", theirs.name, fight(ours, theirs), goal)


def flask():
    with prefork(FLASK, 1, 0) as ours:
        for make, goal in (bjoern, 1.0), (uwsgi, None), (gunicorn, 3):
            with make(FLASK, 1, 0) as theirs:
                ratio("Flask: prefork", theirs.name, fight(ours, theirs),
                      goal)


def wrk(service, path, *options, seconds=3):
    """(requests per second, p99 in ms, errors)"""
    text = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
         *options, f"http://127.0.0.1:{service.port}{path}"], text=True,
        capture_output=True, check=True).stdout
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    bad = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)",
                    text)
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
            float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit],
            sum(map(int, bad.groups())) if bad else 0)


def compare(what, path, makers, *options, goal="", judge=None):
    """In turns; reports, and returns, (rate, p99, errors) of each: medians."""
    runs = {name: [] for name in makers}
    with contextlib.ExitStack() as stack:
        services = {name: stack.enter_context(make())
                    for name, make in makers.items()}
        for _ in range(TURNS):
            for name, service in services.items():
                runs[name].append(wrk(service, path, *options))
    found = {name: [statistics.median(kind) for kind in zip(*turns)]
             for name, turns in runs.items()}
    for name, (rate, p99, bad) in found.items():
        ours = name == "prefork"
        report(f"{what}: {name}", f"{rate:,.0f}/s, p99 {p99:.1f} ms"
               + (f", {bad:.0f} errors" if bad else ""), goal if ours else "",
               judge(rate, found) if ours and judge else None)
    return found


def best_peer(found):
    return max(rate for name, (rate, *_) in found.items()
               if not name.startswith("prefork"))


def fibonacci():
    one = "prefork, threads = 1"
    found = compare("Flask, 1000 Fibonacci numbers", "/fibonacci",
                    {"prefork": lambda: prefork(FLASK),
                     one: lambda: prefork(FLASK, threads=1),
                     "bjoern": lambda: bjoern(FLASK),
                     "uwsgi": lambda: uwsgi(FLASK),
                     "gunicorn": lambda: gunicorn(FLASK)},
                    goal=">= the best peer",
                    judge=lambda rate, found: rate >= best_peer(found))
    ratio = found[one][0] / found["prefork"][0]
    report("  the time it takes, of that with one thread", f"{ratio:.2f}",
           "<= 1.05", ratio <= 1.05)


def sleep():
    compare("50 ms sleep, 64 connections", "/sleep",
            {"prefork": lambda: prefork(HELLO),
             "gunicorn, 4 threads": lambda: gunicorn(HELLO)},
            goal=">= 1200/s", judge=lambda rate, _: rate >= 1200)


def close():
    compare("new connection per request", "/",
            {"prefork": lambda: prefork(BARE),
             "uwsgi": lambda: uwsgi(BARE, protocol="http-socket"),
             "bjoern": lambda: bjoern(BARE)}, "-H", "Connection: close",
            goal=">= uwsgi",
            judge=lambda rate, found: rate >= found["uwsgi"][0])


def newcomer():
    """Of prefork alone: with others the newcomer may never be answered."""
    with prefork(BARE) as service, saturated(service):
        await_connections(service, CONNECTIONS)
        n, _, p99, worst = output(RAW / "raw_probe", service.port, 0, 4, 20,
                                  "/")
    report(f"newcomer beside 64 busy: prefork, slowest of {n:.0f}",
           f"{worst:.1f} ms (p99 {p99:.1f})", "<= 5 ms", worst <= 5)


def start():
    for make in prefork, bjoern, uwsgi, gunicorn:
        times = []
        for _ in range(7):
            with make(BARE) as service:
                times.append(service.start_ms)
        took = sorted(times)[3]
        ours = make is prefork
        report(f"exec to first answer: {service.name}", f"{took:.1f} ms",
               "<= 25 ms" if ours else "", took <= 25 if ours else None)


def memory():
    for make in prefork, bjoern, uwsgi, gunicorn:
        with make(BARE) as service:
            output(RAW / "raw_load", service.port, CONNECTIONS, 1, "/")
            time.sleep(REST_S)
            pss = pss_kib(service) / 1024
        ours = make is prefork
        report(f"2 workers: {service.name}, PSS", f"{pss:.1f} MiB",
               "<= 13 MiB" if ours else "", pss <= 13 if ours else None)


def django():
    """With preload: what workers do not share, after 1000 requests."""
    venv = ROOT / "build/venv"
    if not (venv / ".stamp").exists():
        report("Django, preload", "absent: make build/venv/.stamp")
        return
    with prefork("wsgi_django", venv=venv, preload="yes") as service:
        for _ in range(1000):
            client = http.client.HTTPConnection("127.0.0.1", service.port)
            client.request("GET", "/")
            assert client.getresponse().status == 200
            client.close()
        time.sleep(REST_S)
        most = max(private_kib(pid) for pid in service.pids()
                   if " worker " in title(pid)) / 1024
    report("Django, preload, 1000 requests: a worker's own memory",
           f"{most:.1f} MiB", "<= 4 MiB", most <= 4)


def long():
    """8 clients in a handler of 2 s, and somebody beside them."""
    with prefork(HELLO) as service:
        command = [RAW / "raw_load", str(service.port), "8", "6", "/long"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as client:
            await_connections(service, 8)
            _, _, p99, _ = output(RAW / "raw_probe", service.port, 8, 4, 2,
                                  "/")
            client.wait()
    report("hello beside 8 clients in 2 s handlers, p99", f"{p99:.2f} ms",
           "<= 10 ms", p99 <= 10)


ALL = {f.__name__: f for f in (hello, flask, fibonacci, sleep, close,
                               newcomer, start, memory, django, long)}


def main():
    names = sys.argv[1:] or list(ALL)
    if unknown := [n for n in names if n not in ALL]:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(ALL)}")
    with services.workplace():
        for name in names:
            ALL[name]()


if __name__ == "__main__":
    main()
