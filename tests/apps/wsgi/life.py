"""What an application does to its process."""
import asyncio
import builtins
import contextvars
import gc
import os
import signal
import sys
import threading

from helpers import asked, say

inside = 0
most = 0
lock = threading.Lock()
leaking = contextvars.ContextVar("leaking", default="unset")


def pid(environ, start_response):
    return say(start_response, os.getpid())


def raises(environ, start_response):
    """Any exception there is, before or after start_response."""
    if asked(environ, "started"):
        start_response("200 OK", [("Content-Type", "text/plain")])
    raise getattr(builtins, asked(environ, "name"))("on purpose")


def cancelled(environ, start_response):
    raise asyncio.CancelledError


def unprintable(environ, start_response):
    """An exception whose text cannot be had."""
    class Unprintable(Exception):
        def __str__(self):
            raise ValueError("no text")
    raise Unprintable


def recursion(environ, start_response):
    def deeper(n):
        return deeper(n + 1) + 1
    return say(start_response, deeper(0))


def memory(environ, start_response):
    return say(start_response, len(b"x" * (sys.maxsize // 2)))


def exits(environ, start_response):
    os._exit(3)


def forks(environ, start_response):
    child = os.fork()
    if child == 0:
        os._exit(7)
    _, status = os.waitpid(child, 0)
    return say(start_response, os.waitstatus_to_exitcode(status))


def closes_fds(environ, start_response):
    for fd in 0, 1, 2:
        try:
            os.close(fd)
        except OSError:
            pass
    return say(start_response, "closed")


def handles_term(environ, start_response):
    """Only in the main thread, as everywhere in Python."""
    try:
        signal.signal(signal.SIGTERM, lambda *_: print("app got TERM"))
    except ValueError as e:
        return say(start_response, f"ValueError: {e}")
    return say(start_response, "set")


def crowd(environ, start_response):
    """How many handlers were ever in here at once; waits for the others."""
    global inside, most
    with lock:
        inside += 1
        most = max(most, inside)
    fd = os.open(asked(environ, "fifo"), os.O_RDONLY)
    os.read(fd, 1)
    os.close(fd)
    with lock:
        inside -= 1
        return say(start_response, most)


def sets_context(environ, start_response):
    was = leaking.get()
    leaking.set("set by a request")
    return say(start_response, was)


def open_files():
    """How many, without what connections and the pool's threads have open."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # that of listdir itself
        found += not name.startswith("socket:") and "schedstat" not in name
    return found


def allocated(environ, start_response):
    """What would grow if something leaked."""
    gc.collect()
    return say(start_response, f"{sys.getallocatedblocks()} "
               f"{len(gc.get_objects())} {open_files()}")
