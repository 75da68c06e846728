"""Applications that misbehave, by path; a query is an argument."""
import ctypes
import fcntl
import itertools
import os
import stat
import sys
import termios
import threading
import time


def spin(_):
    while True:
        pass


def sleep(argument):
    time.sleep(float(argument))


def deep(argument, frames=90):
    """As sleep(), at the bottom of so many."""
    if frames == 0:
        print("deep down")
        time.sleep(float(argument))
    else:
        deep(argument, frames - 1)


def crash(_):
    ctypes.string_at(0)


def abort(_):
    os.abort()


def hold_the_gil(argument):
    """A call into C that does not let go of it."""
    print("holding it")
    ctypes.PyDLL(None).usleep(int(float(argument) * 1e6))


def fork(argument):
    """A child that lives until somebody writes into the named pipe."""
    if os.fork() == 0:
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                if not os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                    os.close(fd)  # the log: whoever reads it waits for its end
            except OSError:
                pass
        with open(argument, "rb") as pipe:
            pipe.read()
        os._exit(0)


def fork_and_return(_):
    """Both processes return; the exit status of the child."""
    pid = os.fork()
    return [b"%d" % exit_status(pid)]


def fork_and_exit(_):
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    return [b"%d" % exit_status(pid)]


def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


def sockets_of_children(argument):
    """The most that one of so many has."""
    most = 0
    for _ in range(int(argument)):
        pid = os.fork()
        if pid == 0:
            os._exit(sum(map(is_socket, range(3, 256))))
        most = max(most, exit_status(pid))
    return [b"%d" % most]


def exit_status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else -1


def compute(argument):
    """So many milliseconds of a CPU's time, in Python."""
    end = time.thread_time() + float(argument) / 1e3
    while time.thread_time() < end:
        sum(range(100))


def read(argument):
    """A byte of a named pipe."""
    with open(argument, "rb", buffering=0) as pipe:
        print("reading")
        pipe.read(1)


def roll_back(argument):
    """When it is interrupted, it waits for that byte."""
    try:
        while True:
            time.sleep(0.01)
    finally:
        read(argument)
        print("rolled back")


enough = threading.Event()


def chatter(_):
    """Lines until somebody asks for silence, as long as the pipe behind the
    log has room: what finds it full does not come in one piece."""
    while not enough.is_set():
        waits = fcntl.ioctl(sys.stderr, termios.FIONREAD, bytes(4))
        if int.from_bytes(waits, sys.byteorder) < 4096:
            print("chatter")
        else:
            os.sched_yield()


def silence(_):
    enough.set()


def flood(_):
    """A body without end."""
    return itertools.repeat(b"x" * 65536)


def nothing(_):
    pass


def exit(_):
    raise SystemExit(5)


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/") or "nothing"
    body = globals()[name](environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("Id", environ["HTTP_X_REQUEST_ID"])])
    return body or [b"%d" % os.getpid()]
