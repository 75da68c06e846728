"""What prefork does in Python: finds applications, keeps printed lines whole,
and ends what an application began.

What is needed for mistakes only is imported then: a worker that starts has no
use for it.  threading is not: the thread that imports it is the main one."""

import atexit
import gc
import io
import os
import sys
import threading
from _frozen_importlib_external import PathFinder

CO_COROUTINE = 0x80  # inspect.CO_COROUTINE


class RequestTimeout(BaseException):
    """Raised in a handler that is over its request_timeout."""


class Refusal(Exception):
    """Why an application cannot be served; its text is for the operator."""

    def __init__(self, summary, trace=""):
        super().__init__(f"{summary}\n{trace}".rstrip())
        self.trace = trace


# ---- output ------------------------------------------------------------------


class Output(io.TextIOBase):
    """sys.stdout and sys.stderr: what threads write leaves in whole lines.

    A line that cannot be written is lost: a full disk is no reason to fail a
    request."""

    PARTIAL_MAX = 65536
    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd, name):
        self.buffer = io.FileIO(fd, "w", closefd=False)
        self.name = name
        self.mode = "w"
        self._fd = fd
        self._partial = {}  # thread: the line it has begun

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(
                f"write() argument must be str, not {type(text).__name__}")
        me = threading.get_ident()
        line = self._partial.pop(me, "") + text
        whole = line.rfind("\n") + 1
        if len(line) - whole > self.PARTIAL_MAX:
            whole = len(line)
        if whole < len(line):
            self._partial[me] = line[whole:]
        if whole:
            self._out(line[:whole])
        return len(text)

    def _out(self, text):
        data = memoryview(text.encode(self.encoding, self.errors))
        try:
            while data:
                data = data[os.write(self._fd, data):]
        except OSError:
            pass

    def end_lines(self):
        """At the end: what never had a newline."""
        while self._partial:
            self._out(self._partial.popitem()[1] + "\n")

    def writable(self):
        return True

    def fileno(self):
        return self._fd

    def isatty(self):
        return os.isatty(self._fd)

    def reconfigure(self, **_):
        """It is line buffered, and stays so."""


# Ours, whatever an application makes of sys.stdout and sys.stderr.
stdout = Output(1, "<stdout>")
errors = Output(2, "<stderr>")


def begin():
    sys.stdout = sys.__stdout__ = stdout
    sys.stderr = sys.__stderr__ = errors


def end():
    """As the interpreter's own end, but for taking it apart: non-daemon threads
    are waited for, exit functions run."""
    try:
        threading._shutdown()
    except BaseException as e:
        errors.write(exception_text(type(e), e, e.__traceback__).decode())
    atexit._run_exitfuncs()
    stdout.end_lines()
    errors.end_lines()


def before_fork():
    """No line is said twice, and the threads that prefork is going to warn of
    have names."""
    stdout.end_lines()
    errors.end_lines()
    for thread in threading.enumerate():
        if thread is threading.main_thread():
            continue
        try:
            with open(f"/proc/self/task/{thread.native_id}/comm", "wb") as f:
                f.write(thread.name.encode()[:15])
        except OSError:
            pass  # it ended


def after_fork_child():
    """os.fork() leaves the main thread with the native_id of its parent's;
    multiprocessing corrects that in the same way."""
    threading.main_thread()._set_native_id()


# But newline and tab.
CONTROLS = {c: f"\\x{c:02x}" for c in (*range(9), *range(11, 32),
                                       *range(127, 160))}


def exception_text(kind, value, trace):
    """Its traceback in UTF-8.  What the message has from a request cannot pass
    for a line of the log's own."""
    import re
    import traceback
    text = "".join(traceback.format_exception(kind, value, trace))
    text = re.sub(r"(?m)^(?=\d{4}-\d\d-\d\d )", "  ", text)
    return text.translate(CONTROLS).encode(errors="backslashreplace")


# ---- finding the application -----------------------------------------------


def is_ours(frame):
    name = frame.f_code.co_filename
    return name == __file__ or name.startswith("<frozen importlib")


def own_frames_off(trace):
    """Without the frames of this file and of the import machinery."""
    while trace is not None and is_ours(trace.tb_frame):
        trace = trace.tb_next
    return trace


def reason(summary, exc):
    """The Refusal with the traceback below the summary."""
    import traceback
    return Refusal(summary, "".join(traceback.format_exception(
        type(exc), exc, own_frames_off(exc.__traceback__))))


def last_line(exc):
    import traceback
    return "".join(traceback.format_exception_only(type(exc), exc)).strip(
        ).splitlines()[-1]


def import_module(name):
    """There is one module of each name: another's is not this application's."""
    top = name.partition(".")[0]
    there = getattr(sys.modules.get(top), "__spec__", None)
    found = PathFinder.find_spec(top)
    if (there and found and there.origin and found.origin
            and os.path.realpath(there.origin)
            != os.path.realpath(found.origin)):
        raise Refusal(f"cannot import {found.origin}: a module {top} is here "
                      f"already, from {there.origin}")
    __import__(name)
    return sys.modules[name]


def import_file(path):
    """path/to/file.py, and its directory becomes importable."""
    full = os.path.abspath(path)
    name = os.path.splitext(os.path.basename(full))[0]
    if not os.path.isfile(full):
        raise Refusal(f"{path}: no such file")
    folder = os.path.dirname(full)
    sys.path[:] = [folder, *(p for p in sys.path if p != folder)]
    return import_module(name)


def import_target(name):
    try:
        if name.endswith(".py"):
            return import_file(name)
        return import_module(name)
    except Refusal:
        raise
    except ModuleNotFoundError as e:
        missing = e.name or ""
        if name == missing or name.startswith(missing + "."):
            raise Refusal(
                f"cannot import {name}: no module named {missing!r}; looked in "
                + ", ".join(p for p in sys.path if os.path.isdir(p))
            ) from None
        raise reason(f"cannot import {name}: {last_line(e)}", e) from None
    except SystemExit as e:
        raise reason(f"cannot import {name}: it called sys.exit({e.code!r})",
                     e) from None
    except BaseException as e:
        raise reason(f"cannot import {name}: {last_line(e)}", e) from None


def attribute(owner, name, where):
    try:
        return getattr(owner, name)
    except AttributeError:
        import difflib
        near = difflib.get_close_matches(name, dir(owner), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise Refusal(f"{where} has no {name}{hint}") from None


def literals(call, text):
    import ast
    try:
        args = [ast.literal_eval(a) for a in call.args]
        named = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        if None in named:
            raise ValueError
    except ValueError:
        raise Refusal(f"{text}: arguments must be literals") from None
    return args, named


def call_factory(factory, args, named, text):
    try:
        return factory(*args, **named)
    except TypeError as e:
        if e.__traceback__.tb_next is None:  # the call itself: no frame below
            raise Refusal(f"cannot call {text}: {e}") from None
        raise reason(f"{text} failed: {last_line(e)}", e) from None
    except BaseException as e:
        raise reason(f"{text} failed: {last_line(e)}", e) from None


def evaluate(node, module, text):
    """NAME, NAME.NAME or either called with literals."""
    import ast
    if isinstance(node, ast.Name):
        return attribute(module, node.id, module.__name__)
    if isinstance(node, ast.Attribute):
        owner = evaluate(node.value, module, text)
        return attribute(owner, node.attr, ast.unparse(node.value))
    if isinstance(node, ast.Call) and not isinstance(node.func, ast.Call):
        factory = evaluate(node.func, module, text)
        if not callable(factory):
            raise Refusal(f"{ast.unparse(node.func)} is not callable")
        args, named = literals(node, text)
        return call_factory(factory, args, named, text)
    raise Refusal(f"{text}: must be a name, names with dots, or a call")


def default_object(module):
    for name in ("application", "app"):
        found = getattr(module, name, None)
        if found is not None:
            return found
    raise Refusal(f"{module.__name__} has neither application nor app; "
                  "name the object as MODULE:OBJECT")


def is_asgi(found):
    """Is it, or its __call__, an `async def`?"""
    for function in found, getattr(found, "__call__", None):
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & CO_COROUTINE:
            return True
    return False


def load(target, testing):
    """The application that target names; Refusal.  The log has its traceback,
    unless it is read by whoever tests."""
    try:
        return find(target)
    except Refusal as e:
        if not testing:
            errors.write(e.trace)
        raise


def find(target):
    name, colon, text = target.partition(":")
    name, text = name.strip(), text.strip()
    module = import_target(name)
    if text.isidentifier():
        found = attribute(module, text, module.__name__)
    elif colon and text:
        import ast
        try:
            node = ast.parse(text, mode="eval").body
        except SyntaxError:
            raise Refusal(f"{text}: must be a name, names with dots, or a "
                          "call") from None
        found = evaluate(node, module, text)
    else:
        found = default_object(module)
    if not callable(found):
        raise Refusal(f"{target} is not callable: {type(found).__name__}")
    if is_asgi(found):
        raise Refusal(f"{target} is an ASGI application, and not WSGI")
    return found


def settle():
    """What was imported stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def add_paths(paths):
    """In front of sys.path, in their order."""
    for path in reversed(paths):
        full = os.path.abspath(path)
        if full not in sys.path:
            sys.path.insert(0, full)
