#!/usr/bin/env python3
"""layers.py SOURCE...: who may include whom, and what a pure file may not do.

The arguments are the C files that the Makefile builds; one that lies in the
tree but is not among them is an error too."""
import pathlib
import re
import sys

SIDES = ("common", "conf", "master", "worker")
MAY = {  # side: the sides whose headers it may include
    "common": {"common"},
    "conf": {"common", "conf"},
    "master": {"common", "conf", "master"},
    "worker": {"common", "conf", "worker"},
}
# The one header through which the master knows of workers.
DOORS = {("master", "worker/worker.h")}
PURE_MARK = re.compile(r"\bpure\b", re.I)
PURE_HEADERS = re.compile(
    r"ev\.h|unistd\.h|fcntl\.h|pthread\.h|netdb\.h|poll\.h|sys/(socket|epoll|"
    r"mman|stat)\.h|common/(fd|channel)\.h")
PURE_CALLS = re.compile(
    r"\b(clock_gettime|clock_now_ns|clock_ns|gettimeofday|time|fork|socket|"
    r"ev_\w+|open|read|write|close|kill|getenv)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"')


def first_comment(text):
    m = COMMENT.match(text.lstrip())
    return m.group(0) if m else ""


def is_pure(path, text):
    """Its first comment, or that of the header of the same name, says so."""
    if PURE_MARK.search(first_comment(text)):
        return True
    header = path.with_suffix(".h")
    return path.suffix == ".c" and header.exists() and bool(
        PURE_MARK.search(first_comment(header.read_text())))


def check_include(path, kind, name):
    side = path.parts[0]
    target = name.split("/")[0]
    if path.parts[:2] == ("worker", "modules"):
        own = kind == '"' and (path.parent / name).exists()
        if kind == '"' and not own:
            return f"a module includes {name}: only <prefork/...> and its own"
    elif kind == '"' and target not in SIDES:
        return f'"{name}" is not written from the root'
    elif kind == '"' and target not in MAY[side] and \
            (side, name) not in DOORS:
        return f"{side}/ includes {name}"
    if side == "master" and name == "pthread.h":
        return "the master has no threads"
    return None


def check_pure(text):
    code = COMMENT.sub("", text)
    for _, name in INCLUDE.findall(code):
        if PURE_HEADERS.fullmatch(name):
            yield f"a pure file includes {name}"
    for call in PURE_CALLS.findall(LITERAL.sub('""', code)):
        yield f"a pure file calls {call}()"


def check_file(path):
    text = path.read_text()
    for kind, name in INCLUDE.findall(text):
        problem = check_include(path, kind, name)
        if problem:
            yield problem
    if is_pure(path, text):
        yield from check_pure(text)


def main():
    listed = {pathlib.Path(p) for p in sys.argv[1:]}
    bad = []
    files = sorted(p for side in SIDES for p in pathlib.Path(side).rglob("*")
                   if p.suffix in (".c", ".h", ".def"))
    for path in files:
        bad += [f"{path}: {why}" for why in check_file(path)]
        if path.suffix == ".c" and path not in listed:
            bad.append(f"{path}: not in the Makefile")
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad or not files else 0


sys.exit(main())
