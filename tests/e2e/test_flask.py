"""A shop in Flask (tests/apps/flask_shop), two workers."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import random
import re
import signal

import pytest

from applications import (Visitor, app, connection, copy_of, loaded,
                          multipart, open_files, pieces, positions, settled)
from prefork import READY, Load, wait_gone

MIB = 1024 * 1024


def data(size):
    return random.Random(size).randbytes(size)


class Shop:
    def __init__(self, start, tmp_path, max_body="32M", preload="no"):
        self.folder = copy_of("flask_shop", tmp_path)
        self.data = tmp_path / "data"
        self.data.mkdir()
        self.spool = tmp_path / "spool"
        self.spool.mkdir()
        self.server = settled(start({
            "server": {"preload": preload,
                       "env.SHOP_SECRET_KEY": "not very",
                       "env.SHOP_DATA": self.data,
                       "env.PYTHONDONTWRITEBYTECODE": "1",
                       "request_timeout": 0},
            "http": {"max_body": max_body, "body_dir": self.spool},
            "app:shop": app("shop:create_app()", self.folder)}))

    def visitor(self):
        return Visitor(self.server)

    @contextlib.contextmanager
    def ticks(self):
        """A client that has read "ready", and what makes it tick."""
        os.mkfifo(self.data / "orders")
        with self.server.connect() as client:
            client.request("/ticks/orders")
            orders = os.open(self.data / "orders", os.O_WRONLY)
            try:
                assert client.head()["Transfer-Encoding"] == "chunked"
                blocks = client.chunks()
                assert next(blocks) == b"ready\n"
                yield client, blocks, lambda c: os.write(orders, c)
            finally:
                os.close(orders)


@pytest.fixture
def shop(start, tmp_path, preload):
    return Shop(start, tmp_path, preload=preload)


# ---- pages, sessions, JSON -------------------------------------------------

@loaded
def test_a_cart_is_filled_in_the_session(shop):
    me, other = shop.visitor(), shop.visitor()
    assert "Tässchen ☕: 9.50" in me.get("/")
    me.post_form("/cart", product=1)
    me.post_form("/cart", product=2)
    page = me.post_form("/cart", product=2)
    assert '<p class="message">Tässchen ☕ is in your cart</p>' in page
    assert '<p id="total">60.80</p>' in page
    assert "is in your cart" not in me.get("/cart")  # said once
    assert '<p id="total">0.00</p>' in other.get("/cart")
    assert "no product 99" in me.post_form("/cart", product=99, status=404)


@loaded
def test_both_workers_serve_the_pages(shop):
    def pid(_):
        return re.search(r'id="pid">(\d+)', shop.visitor().get("/"))[1]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = set(pool.map(pid, range(200)))
    assert seen <= {str(p) for p in shop.server.workers()}
    assert len(seen) == 2


def test_the_api(shop):
    me = shop.visitor()
    assert [p["id"] for p in json.loads(me.get("/api/products"))] == [1, 2]
    new = json.dumps({"name": "Löffel", "cents": 99}).encode()
    with me.open("/api/products", new, Content_Type="application/json") as r:
        assert r.status == 201
        assert r.headers["Location"] == me.base + "/api/products/3"
        assert json.load(r) == {"id": 3, "name": "Löffel", "cents": 99,
                                "photo": None}
    again = me.get("/api/products", new, status=409,
                   Content_Type="application/json")
    assert "UNIQUE" in json.loads(again)["error"]
    assert "error" in json.loads(me.get(
        "/api/products", b"{", status=400, Content_Type="application/json"))
    assert me.get("/api/products/3", method="DELETE", status=204) == ""
    assert "no product 3" in me.get("/api/products/3", status=404)
    me.get("/api/products", method="PUT", status=405)


@loaded
def test_writers_on_all_workers_lose_nothing(shop):
    def add(i):
        return shop.visitor().get(
            "/api/products", json.dumps({"name": f"no {i}", "cents": i}).encode(),
            status=201, Content_Type="application/json")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    names = {p["name"] for p in json.loads(shop.visitor().get("/api/products"))}
    assert {f"no {i}" for i in range(80)} <= names


def test_head_and_options_are_flasks(shop):
    with shop.server.connect() as c:
        head = c.get("/", method="HEAD")
        body = c.get("/").body
        assert (head.status, head["Content-Length"]) == (200, str(len(body)))
        assert {"GET", "HEAD", "OPTIONS"} == set(
            c.get("/", method="OPTIONS")["Allow"].split(", "))


# ---- uploads ---------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 20 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_arrives_whole(shop, size, chunked):
    sent = data(size)
    c = connection(shop.server)
    c.request("PUT", "/digest", pieces(sent) if chunked else sent,
              encode_chunked=chunked)
    found = json.load(c.getresponse())
    c.close()
    assert found == {"sha256": hashlib.sha256(sent).hexdigest(), "size": size,
                     "length": size, "coding": None}


def test_a_long_body_waits_in_a_file_without_a_name(shop):
    size = 20 * MIB  # more than the buffers of both sockets
    with shop.server.connect() as c:
        c.send(f"PUT /digest HTTP/1.1\r\nHost: t\r\nContent-Length: {size}"
               "\r\n\r\n").send(bytes(size - 1))
        (at,) = [at for name, at in open_files(shop.server)
                 if name.startswith(str(shop.spool))]
        assert at > 65536
        assert os.listdir(shop.spool) == []
        assert json.loads(c.send(b"\0").response().body)["size"] == size


@pytest.mark.parametrize("chunked", [False, True])
def test_a_photo_is_uploaded_and_downloaded(shop, chunked):
    me, photo = shop.visitor(), data(3 * MIB)
    body, kind = multipart({"title": "früh am Morgen"}, "photo", "tea pot.png",
                           photo, "image/png")
    answer = me.get("/photos/1", pieces(body) if chunked else body, "POST",
                    status=201, Content_Type=kind)
    assert json.loads(answer) == {"name": "tea_pot.png", "type": "image/png",
                                  "title": "früh am Morgen"}
    assert (shop.data / "tea_pot.png").read_bytes() == photo
    with me.open("/photos/1?save") as r:
        assert r.headers["Content-Type"] == "image/png"
        assert r.headers["Content-Length"] == str(len(photo))
        assert "tea_pot.png" in r.headers["Content-Disposition"]
        assert r.read() == photo
        tag = r.headers["ETag"]
    me.get("/photos/1", status=304, If_None_Match=tag)
    with me.open("/photos/1", Range="bytes=1000000-1999999") as r:
        assert r.status == 206
        assert r.headers["Content-Range"] == f"bytes 1000000-1999999/{3 * MIB}"
        assert r.read() == photo[1000000:2000000]
    me.get("/photos/1", status=416, Range=f"bytes={3 * MIB}-")
    me.get("/photos/2", status=404)


@pytest.mark.parametrize("framing", [
    b"Content-Length: 1001\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n"],
    ids=["length", "chunked"])
def test_a_body_that_is_too_large_is_refused(start, tmp_path, framing):
    shop = Shop(start, tmp_path, max_body=1000)
    with shop.server.connect() as c:
        c.send(b"PUT /digest HTTP/1.1\r\nHost: t\r\n" + framing)
        assert c.response().status == 413
    assert '"size":1000' in shop.visitor().get("/digest", b"x" * 1000, "PUT")


# ---- downloads and streams ---------------------------------------------------

def test_a_file_is_sent_by_the_kernel(shop):
    """sendfile with an offset leaves the position of a file alone; whoever
    reads the file, as Flask does for a part of it, moves it."""
    photo, size = shop.data / "large.png", 64 * MIB
    body, kind = multipart({"title": ""}, "photo", photo.name, b"", "image/png")
    shop.visitor().get("/photos/1", body, status=201, Content_Type=kind)
    os.truncate(photo, size)
    for fields, moved in ({}, False), ({"Range": "bytes=1-"}, True):
        with shop.visitor().open("/photos/1", **fields) as r:
            assert r.read(MIB) == bytes(MIB)
            found = positions(shop.server, photo)
            assert found and all(at > MIB if moved else at == 0
                                 for at in found)
            assert len(r.read()) == size - MIB - moved


def test_an_export_has_its_request_and_database_to_the_end(shop):
    text = shop.visitor().get("/export.csv?column=cents&column=name")
    assert text == "4180,teapot\r\n950,Tässchen ☕\r\n"


def test_a_stream_arrives_block_by_block(shop):
    with shop.ticks() as (client, blocks, order):
        for i in 1, 2, 3:
            order(b".")
            assert next(blocks) == f"tick {i}\n".encode()
        order(b"x")
        assert list(blocks) == []
        assert client.get("/cart").status == 200
    shop.server.wait("ticks end after 3")


def test_a_stream_ends_when_its_reader_has_left(shop):
    with shop.ticks() as (client, blocks, order):
        order(b".")
        assert next(blocks) == b"tick 1\n"
        client.sock.close()
        with contextlib.suppress(BrokenPipeError):
            while not shop.server.matches("ticks end after"):
                order(b".")
        shop.server.wait("GET /ticks/orders: the client left")


# ---- what goes wrong ---------------------------------------------------------

@loaded
def test_an_exception_is_a_500_and_its_traceback_is_logged(shop):
    shop.server.allow("about to crash")
    assert "Internal Server Error" in shop.visitor().get("/crash", status=500)
    log = shop.server
    log.wait("WARNING in pages: about to crash: ☠")
    log.wait(r"ERROR in app: Exception on /crash \[GET\]")
    log.wait("^Traceback ")
    log.wait("^RuntimeError: the shelf fell down$")
    assert shop.visitor().get("/")


def test_an_exception_in_a_stream_ends_it_and_is_logged(shop):
    shop.server.allow("exception in the application")
    with shop.ticks() as (client, blocks, order):
        order(b".")
        assert next(blocks) == b"tick 1\n"
        order(b"!")
        with pytest.raises((EOFError, ConnectionResetError)):
            next(blocks)
    shop.server.wait("GET /ticks/orders: exception in the application")
    shop.server.wait("^RuntimeError: no tick after 1$")


# ---- reloads -------------------------------------------------------------------

def change(shop, old, new):
    file = shop.folder / "shop/__init__.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@loaded
def test_a_changed_shop_is_served_after_a_reload_and_no_request_fails(shop):
    me, server = shop.visitor(), shop.server
    me.post_form("/cart", product=1)
    old = server.workers()
    with Load(server, "/api/products") as load:
        load.more()
        change(shop, '"first"', '"second"')
        assert "first edition" in me.get("/")  # nothing happens by itself
        mark = server.mark()
        server.signal(signal.SIGHUP)
        server.wait(READY, 2, after=mark)
        for pid in old:
            wait_gone(pid)
        load.more()
        load.stop()
    assert load.failures == []
    page = me.get("/cart")
    assert "second edition" in page
    assert '<p id="total">41.80</p>' in page  # the session is the visitor's


@loaded
def test_a_shop_that_cannot_be_imported_leaves_the_old_one(shop):
    server, old = shop.server, shop.server.workers()
    server.allow("cannot import shop", "generation 2", "(worker|template) .* exit")
    change(shop, "import flask\n", "import flask, flaks\n")
    said = server.control("reload", "--wait", status=1)
    assert "No module named 'flaks'" in said
    assert "Traceback" in said
    assert server.workers() == old
    assert "first edition" in shop.visitor().get("/")
