"""Steady traffic that notices everything.

64 keep-alive connections that pause at random between requests, and 16 that are
new for each; some answers are large, some take their time.  Every answer is checked to the last byte; whatever is not as it
should be becomes a Failure:

  refused    no connection
  cut        an idle connection closed without Connection: close before
  reset      no answer to a request
  truncated  part of an answer
  late       no answer in time
  status     not 2xx
  body       not the bytes that belong there
"""
import asyncio
import collections
import random
import threading

from prefork import PATIENCE

# worker: who answered last on that connection, None before the first answer
Failure = collections.namedtuple("Failure", "kind worker detail")
BIG = 200_000
SLOW_MS = 300


class Broken(Exception):
    """The answer is not one: (kind, detail)."""


async def read_chunks(reader):
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise Broken("body", "chunk without its CRLF")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return body


async def read_answer(reader):
    """(status, does it announce the end, body)"""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as e:
        kind = "truncated" if e.partial else "reset"
        raise Broken(kind, repr(e.partial[:80])) from None
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(f.lower().split(": ", 1) for f in lines[1:] if f)
    status = int(lines[0].split(" ")[1])
    try:
        if fields.get("transfer-encoding") == "chunked":
            body = await read_chunks(reader)
        else:
            body = await reader.readexactly(int(fields["content-length"]))
    except (asyncio.IncompleteReadError, ConnectionError) as e:
        raise Broken("truncated", repr(e)) from None
    return status, fields.get("connection") == "close", body


class Traffic:
    """Runs in a thread of its own until stop()."""

    def __init__(self, server, keep=64, single=16, pause=0.5, seed=None,
                 address=None):
        self.address = address or server.address
        self.keep, self.single, self.pause_s = keep, single, pause
        self.random = random.Random(seed)
        self.answers = 0
        self.by_worker = collections.Counter()
        self.failures = []
        self.changed = threading.Condition()
        self.started = threading.Event()
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self.run()), daemon=True)
        self.thread.start()
        assert self.started.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- for the test --------------------------------------------------------

    def more(self, n=300):
        """Until n more answers came."""
        with self.changed:
            goal = self.answers + n
            assert self.changed.wait_for(
                lambda: self.answers >= goal, PATIENCE), "no answers"

    def failed(self, n):
        """Until there are n failures."""
        with self.changed:
            assert self.changed.wait_for(
                lambda: len(self.failures) >= n, PATIENCE), self.failures

    def stop(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.stopping.set)
            self.thread.join(2 * PATIENCE)
            assert not self.thread.is_alive(), "a request was never answered"
        return self

    def kinds(self):
        return collections.Counter(f.kind for f in self.failures)

    # ---- in its thread -------------------------------------------------------

    async def run(self):
        self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
        self.started.set()
        await asyncio.gather(
            *(self.keep_alive(f"k{i}") for i in range(self.keep)),
            *(self.one_by_one(f"s{i}") for i in range(self.single)))

    def fail(self, kind, worker, detail):
        with self.changed:
            self.failures.append(Failure(kind, worker, detail))
            self.changed.notify_all()

    async def rest(self, most, reader=None):
        """A pause at random, or until the connection ends; true: stop."""
        waits = [asyncio.ensure_future(self.stopping.wait())]
        if reader:
            waits.append(asyncio.ensure_future(reader.read(1)))
        await asyncio.wait(waits, timeout=self.random.uniform(0, most),
                           return_when=asyncio.FIRST_COMPLETED)
        for w in waits:
            w.cancel()
        said = (await asyncio.gather(*waits, return_exceptions=True))[-1]
        if isinstance(said, bytes) and said:
            self.fail("body", None, f"{said}, and nobody had asked")
        return self.stopping.is_set()

    async def connect(self):
        try:
            if isinstance(self.address, str):
                return await asyncio.open_unix_connection(self.address)
            return await asyncio.open_connection(*self.address)
        except OSError as e:
            self.fail("refused", None, repr(e))
            await self.rest(0.2)
            return None, None

    async def ask(self, reader, writer, token, worker, last):
        """(who answered, does the connection end)"""
        what = self.random.random()
        big, slow = what < 0.05, what > 0.98
        if slow:
            token = str(self.random.randrange(SLOW_MS))
        target = (f"/many?{BIG}" if big else f"/sleep?{token}" if slow
                  else f"/say?{token}")
        try:
            writer.write((f"GET {target} HTTP/1.1\r\nHost: test\r\n"
                          + ("Connection: close\r\n" if last else "")
                          + "\r\n").encode())
            status, closes, body = await asyncio.wait_for(
                read_answer(reader), PATIENCE)
        except Broken as e:
            self.fail(e.args[0], worker, e.args[1])
            return worker, True
        except ConnectionError as e:
            self.fail("reset", worker, repr(e))
            return worker, True
        except asyncio.TimeoutError:
            self.fail("late", worker, target)
            return worker, True
        if not 200 <= status < 300:
            self.fail("status", worker, status)
        elif big and body != bytes(BIG):
            self.fail("body", worker, f"{len(body)} bytes")
        elif not big:
            worker, _, said = body.decode().partition(" ")
            if said != token:
                self.fail("body", worker, body[:80])
        with self.changed:
            self.answers += 1
            self.by_worker[worker] += 1
            self.changed.notify_all()
        return worker, closes

    async def keep_alive(self, name):
        n = 0
        while not self.stopping.is_set():
            reader, writer = await self.connect()
            if reader is None:
                continue
            worker, ends = None, False
            while not ends and not await self.rest(self.pause_s, reader):
                if reader.at_eof() or reader.exception():
                    self.fail("cut", worker, repr(reader.exception()))
                    break
                n += 1
                worker, ends = await self.ask(reader, writer, f"{name}.{n}",
                                              worker, False)
            writer.close()

    async def one_by_one(self, name):
        n = 0
        while not await self.rest(self.pause_s / 2):
            reader, writer = await self.connect()
            if reader is None:
                continue
            n += 1
            await self.ask(reader, writer, f"{name}.{n}", None, True)
            writer.close()
