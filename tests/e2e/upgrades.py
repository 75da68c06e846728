"""What the tests of upgrades share: programs, and reloads that wait."""
import os
import shutil

from prefork import BINARY, PROBE, wait_gone

NEWER = BINARY.parent / "upgrade/newer/prefork"
FOREIGN = BINARY.parent / "upgrade/foreign/prefork"
TAKEN = r"master \(\d+\): prefork (\S+) took over from (\S+) with (\d+) worker"


class Installed:
    """The file that the server was started from."""

    def __init__(self, path):
        self.path = path
        self.put(BINARY)

    def put(self, source):
        """As a package manager does it: another file under the name."""
        new = self.path.with_name("prefork.new")
        shutil.copy(source, new)
        new.rename(self.path)

    def put_script(self, text, mode=0o755):
        new = self.path.with_name("prefork.new")
        new.write_text(f"#!/bin/sh\n{text}\n")
        new.chmod(mode)
        new.rename(self.path)


def only_generation(server, number):
    """Until its two workers are the only ones."""
    ready = rf"\((\d+)\) ready, generation {number}$"
    server.wait(ready, 2)
    new = {int(m[1]) for m in server.matches(ready)}
    assert len(new) == 2
    for pid in set(server.workers()) - new:
        wait_gone(pid)
    assert set(server.workers()) == new


def slow_test(program, tmp_path):
    """The next test says so, then waits until it may go on."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    program.put_script(
        f'if [ "$1" = -t ]; then read x <{fifo}; fi\n'
        f'exec {NEWER} "$@"')
    return fifo


def held(server, tmp_path):
    """From the next reload on, workers wait for a byte before they serve."""
    fifo = tmp_path / "open"
    os.mkfifo(fifo)
    server.configure({"app:probe": {"type": "module", "target": PROBE,
                                    "option.open": fifo}})
    return fifo
