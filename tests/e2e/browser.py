"""A headless Chromium, by its DevTools protocol over two pipes: JSON messages
with a NUL after each.  It types keys and clicks places, as a person would."""
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from signal import SIGKILL

from prefork import PATIENCE, processes, wait_gone

NAMES = "chromium", "chromium-browser", "google-chrome"
BINARY = next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page; `statuses` is {URL: status} of all it loaded."""

    def __init__(self, tmp):
        commands, self.write_fd = os.pipe()
        self.read_fd, answers = os.pipe()
        self.buffer, self.number, self.session = b"", 0, None
        self.events, self.statuses, self.failures = [], {}, []
        self.process = subprocess.Popen(
            # it reads from 3 and writes to 4
            ["sh", "-c", f'exec "$@" 3</proc/self/fd/{commands} '
             f'4>/proc/self/fd/{answers} 2>chromium.log', "sh", BINARY,
             "--headless=new", "--remote-debugging-pipe", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update",
             f"--user-data-dir={tmp / 'chromium'}", "about:blank"],
            pass_fds=(commands, answers), start_new_session=True, cwd=tmp,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp),
                 "XDG_RUNTIME_DIR": str(tmp), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(commands)
        os.close(answers)

    def open(self):
        """Takes over the page it began with."""
        target = next(t for t in self.call("Target.getTargets")["targetInfos"]
                      if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", flatten=True,
                                 targetId=target["targetId"])["sessionId"]
        for domain in "Page", "Runtime", "Network", "Log":
            self.call(f"{domain}.enable")
        return self

    # ---- the protocol ------------------------------------------------------

    def message(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0, "the browser says nothing"
            if select.select([self.read_fd], [], [], left)[0]:
                data = os.read(self.read_fd, 1 << 20)
                assert data, "the browser ended"
                self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def post(self, method, **params):
        """A command; its answer may be read later."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(command).encode() + b"\0")

    def call(self, method, **params):
        """The result of a command; events that come before it are kept."""
        self.post(method, **params)
        deadline = time.monotonic() + PATIENCE
        while (m := self.message(deadline)).get("id") != self.number:
            self.note(m)
        assert "error" not in m, (method, m)
        return m["result"]

    def note(self, m):
        p = m.get("params", {})
        if m.get("method") == "Network.responseReceived":
            self.statuses[p["response"]["url"]] = p["response"]["status"]
        elif (m.get("method") == "Runtime.exceptionThrown"
              or m.get("method") == "Network.loadingFailed"
              and not p.get("canceled")):
            self.failures.append(p)
        self.events.append(m.get("method"))

    def loaded(self):
        """Until a page that was asked for is here, with all that it names."""
        deadline = time.monotonic() + PATIENCE
        while "Page.loadEventFired" not in self.events:
            self.note(self.message(deadline))

    # ---- a person ------------------------------------------------------------

    def go(self, url):
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.loaded()

    def value(self, script):
        """Of JavaScript."""
        found = self.call("Runtime.evaluate", expression=script,
                          returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def click(self, selector):
        x, y = self.value(f"""(() => {{
            const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: "center", behavior: "instant"}});
            const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2];
        }})()""")
        for kind in "mousePressed", "mouseReleased":
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y,
                      button="left", clickCount=1)

    def type(self, selector, text):
        self.click(selector)
        self.call("Input.insertText", text=text)

    def submit(self, selector):
        """Clicks what leads to another page."""
        self.events.clear()
        self.click(selector)
        self.loaded()

    # ---- the end ---------------------------------------------------------------

    def close(self):
        """Until all its processes have ended."""
        self.session = None
        try:
            self.post("Browser.close")  # it may be gone before it answers
            self.process.wait(PATIENCE)
        finally:
            for pid, (_, _, session) in processes().items():
                if session == self.process.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, SIGKILL)
                    if pid != self.process.pid:
                        wait_gone(pid)
            self.process.wait(PATIENCE)
            os.close(self.write_fd)
            os.close(self.read_fd)
