"""Leaves something to do for the end of its process."""
import atexit
import os
import threading

release = threading.Event()


def last_words():
    print("atexit ran", flush=True)
    print("without a newline", end="")


def worker():
    release.wait()
    print("thread ended")


atexit.register(last_words)
threading.Thread(target=worker).start()
threading._register_atexit(release.set) if hasattr(
    threading, "_register_atexit") else None


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
