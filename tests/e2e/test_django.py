"""A site of Django (tests/apps/django_site), two workers, its static files
served beside it."""
import hashlib
import json
import os
import random
import re
import signal
import subprocess

import pytest

from applications import (VENV, Visitor, app, copy_of, loaded, multipart,
                          pieces, positions, settled)
from browser import BINARY, Browser
from prefork import PATIENCE, READY, Load, wait_gone

MIB = 1024 * 1024
PASSWORD = "a long enough one"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with its tables and an operator, and collected static files:
    what Django's own commands made."""
    data = tmp_path_factory.mktemp("django")
    folder = copy_of("django_site", data)
    for words in (["migrate"], ["collectstatic", "--no-input"],
                  ["createsuperuser", "--no-input", "--username", "admin",
                   "--email", "a@example.com"]):
        done = subprocess.run(
            [VENV / "bin/python3", folder / "manage.py", *words],
            env={"SITE_DATA": str(data), "DJANGO_SUPERUSER_PASSWORD": PASSWORD},
            timeout=PATIENCE, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return data


class Site:
    def __init__(self, start, tmp_path, made, preload):
        self.folder = copy_of("django_site", tmp_path)
        self.data = tmp_path / "data"
        self.data.mkdir()
        (self.data / "site.db").write_bytes((made / "site.db").read_bytes())
        self.server = settled(start({
            "server": {"preload": preload,
                       "env.SITE_SECRET_KEY": "not very",
                       "env.SITE_DATA": self.data,
                       "env.PYTHONDONTWRITEBYTECODE": "1",
                       "request_timeout": 0},
            "http": {"max_body": "32M"},
            "app:site": app("website.wsgi", self.folder),
            "app:static": {"type": "static", "target": made / "static",
                           "mount": "/static"}}))

    def visitor(self):
        return Person(self.server)

    def admin(self):
        return self.visitor().log_in("admin", PASSWORD)


class Person(Visitor):
    """Fills in forms: the token of the last page goes with each."""

    def page(self, target, status=200):
        text = self.get(target, status=status)
        self.token = TOKEN.search(text)
        return text

    def fill_in(self, target, status=200, **values):
        """The page that follows the form on the page `target`."""
        self.page(target)
        return self.post_form(target, status=status,
                              csrfmiddlewaretoken=self.token[1], **values)

    def log_in(self, name, password):
        self.page_after = self.fill_in("/admin/login/?next=/admin/",
                                       username=name, password=password)
        return self

    def attach(self, topic, text, filename, content, chunked=False):
        self.page("/")
        body, kind = multipart(
            {"csrfmiddlewaretoken": self.token[1], "topic": topic,
             "text": text}, "attached", filename, content, "application/pdf")
        return self.get("/", pieces(body) if chunked else body, "POST",
                        Content_Type=kind)


@pytest.fixture
def site(start, tmp_path, made, preload):
    return Site(start, tmp_path, made, preload)


@pytest.fixture
def topic(site):
    """The number of a topic, made in the admin."""
    admin = site.admin()
    admin.fill_in("/admin/notes/topic/add/", name="Küche")
    page = admin.get("/admin/notes/topic/")
    return re.search(r"/admin/notes/topic/(\d+)/change/", page)[1]


# ---- admin, forms, tokens ----------------------------------------------------

@loaded
def test_an_operator_logs_in_and_writes_a_note(site):
    admin = site.admin()
    assert "Site administration" in admin.page_after
    page = admin.fill_in("/admin/notes/topic/add/", name="Küche")
    assert "was added successfully" in page and "Küche" in page
    assert "already exists" in admin.fill_in("/admin/notes/topic/add/",
                                             name="Küche")
    number = re.search(r"/admin/notes/topic/(\d+)/change/", page)[1]
    admin.fill_in("/admin/notes/note/add/", topic=number,
                  text="Salz ist aus ☕")
    assert "Salz ist aus ☕" in admin.get("/admin/notes/note/?q=Salz")
    assert "0 notes" in admin.get("/admin/notes/note/?q=Pfeffer")
    assert "Küche: Salz ist aus ☕" in site.visitor().get("/")


def test_a_wrong_password_and_no_password(site):
    nobody = site.visitor().log_in("admin", "wrong")
    assert "Please enter the correct username" in nobody.page_after
    assert 'name="password"' in nobody.get("/admin/notes/note/")
    assert nobody.cookie("sessionid") is None


@loaded
def test_a_form_without_its_token_is_refused(site, topic):
    me = site.visitor()
    assert "CSRF" in me.post_form("/", status=403, topic=topic, text="x")
    site.server.wait("Forbidden .CSRF cookie not set.")
    me.page("/")
    assert "CSRF" in me.post_form("/", status=403, topic=topic, text="x",
                                  csrfmiddlewaretoken="0" * 64)
    assert "Noted: x" in me.fill_in("/", topic=topic, text="x")


def test_a_form_with_mistakes_comes_back(site, topic):
    me = site.visitor()
    page = me.fill_in("/", status=422, topic=topic, text="I shout")
    assert "Please do not shout." in page and "I shout</textarea>" in page
    assert "Select a valid choice" in me.fill_in("/", status=422, topic=0,
                                                 text="x")


def test_pages_that_are_not_there(site):
    me = site.visitor()
    assert "Not Found" in me.get("/nowhere", status=404)
    me.get("/attached/1", status=404)
    me.get("/digest", status=405)
    with site.server.connect() as c:
        c.send("GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n")
        assert c.response().status == 400  # ALLOWED_HOSTS
    site.server.wait("ERROR django.security.DisallowedHost")


def test_static_files_beside_it(site, made):
    me = site.visitor()
    page = me.get("/admin/login/")
    for path in re.findall(r'href="(/static/[^"]+\.css)"', page):
        with me.open(path) as r:
            assert r.headers["Content-Type"].startswith("text/css")
            file = made / "static" / path.removeprefix("/static/")
            assert r.read() == file.read_bytes()
    me.get("/static/../site.db", status=404)


# ---- files up and down -------------------------------------------------------

@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_a_file_is_attached_and_comes_back(site, topic, size, chunked):
    """Django keeps small files in memory and writes large ones to a file."""
    me, content = site.visitor(), random.Random(size).randbytes(size)
    assert "Noted: see" in me.attach(topic, "see there", "plan.pdf", content,
                                     chunked)
    assert (site.data / "media/attached/plan.pdf").read_bytes() == content
    link = re.search(r'href="(/attached/\d+)"', me.get("/"))[1]
    with me.open(link) as r:
        assert r.headers["Content-Length"] == str(size)
        assert r.headers["Content-Type"] == "application/pdf"
        assert 'filename="plan.pdf"' in r.headers["Content-Disposition"]
        assert r.read() == content


def test_an_attached_file_is_sent_by_the_kernel(site, topic):
    me, size = site.visitor(), 64 * MIB
    me.attach(topic, "large", "large.pdf", b"x")
    file = site.data / "media/attached/large.pdf"
    os.truncate(file, size)
    link = re.search(r'href="(/attached/\d+)"', me.get("/"))[1]
    with me.open(link) as r:
        assert r.read(MIB) == b"x" + bytes(MIB - 1)
        found = positions(site.server, file)
        assert found and not any(found)
        assert len(r.read()) == size - MIB


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_read_by_the_view(site, chunked):
    me, sent = site.visitor(), random.Random(1).randbytes(3 * MIB)
    me.page("/")
    found = json.loads(me.get(
        "/digest", pieces(sent) if chunked else sent, "POST",
        X_CSRFToken=me.token[1], Content_Type="application/octet-stream"))
    assert found == {"sha256": hashlib.sha256(sent).hexdigest(),
                     "size": len(sent), "length": str(len(sent))}


# ---- streams -----------------------------------------------------------------

def test_an_export_streams_from_the_database(site, topic):
    me = site.visitor()
    for i in range(3):
        me.fill_in("/", topic=topic, text=f"no {i}")
    with me.open("/export") as r:
        assert r.headers["Transfer-Encoding"] == "chunked"
        assert r.read().decode() == "Küche: no 0\nKüche: no 1\nKüche: no 2\n"


def test_a_stream_arrives_block_by_block(site):
    os.mkfifo(site.data / "pipe")
    with site.server.connect() as c:
        c.request("/follow/pipe")
        with open(site.data / "pipe", "wb", buffering=0) as pipe:
            pipe.write(b"a")
            assert c.head().status == 200
            blocks = c.chunks()
            assert next(blocks) == b"a"
            for byte in b"b", b"c":
                pipe.write(byte)
                assert next(blocks) == byte
        assert list(blocks) == []
        site.server.wait("INFO notes.views: nobody follows")
        assert c.get("/").status == 200


# ---- what goes wrong -----------------------------------------------------------

@loaded
def test_an_exception_is_a_500_and_its_traceback_is_logged(site):
    assert "Server Error (500)" in site.visitor().get("/crash", status=500)
    log = site.server
    log.wait("ERROR django.request: Internal Server Error: /crash")
    log.wait("^Traceback ")
    log.wait("^ZeroDivisionError: division by zero$")


# ---- reloads -------------------------------------------------------------------

@loaded
def test_a_changed_site_is_served_after_a_reload_and_no_request_fails(
        site, topic):
    admin, server = site.admin(), site.server
    assert json.loads(admin.get("/mine")) == {"user": "admin", "visits": 1}
    views = site.folder / "notes/views.py"
    old = server.workers()
    with Load(server, "/") as load:
        load.more(50)
        views.write_text(views.read_text().replace("Write it down.",
                                                   "Say it louder."))
        assert "Write it down." in admin.get("/")
        mark = server.mark()
        server.signal(signal.SIGHUP)
        server.wait(READY, 2, after=mark)
        for pid in old:
            wait_gone(pid)
        load.more(50)
        load.stop()
    assert load.failures == []
    assert "Say it louder." in admin.get("/")
    assert json.loads(admin.get("/mine")) == {"user": "admin", "visits": 2}


@loaded
def test_a_site_that_does_not_start_leaves_the_old_one(site):
    server, old = site.server, site.server.workers()
    server.allow("generation 2", "(worker|template) .* exit")
    settings = site.folder / "website/settings.py"
    settings.write_text(settings.read_text().replace('"notes",', '"nots",'))
    said = server.control("reload", "--wait", status=1)
    assert "ModuleNotFoundError: No module named 'nots'" in said
    assert server.workers() == old
    assert "Write it down." in site.visitor().get("/")


# ---- in a browser --------------------------------------------------------------

@pytest.fixture
def browser(tmp_path):
    if BINARY is None and "PREFORK_CI" not in os.environ:
        pytest.skip("chromium is not installed")
    assert BINARY is not None, "chromium is not installed, and this is .ci/run"
    one = Browser(tmp_path)
    try:
        yield one.open()
    finally:
        one.close()


def test_a_browser_logs_in_to_the_admin_and_submits_a_form(site, browser):
    base = site.visitor().base
    browser.go(base + "/admin/")
    browser.type("#id_username", "admin")
    browser.type("#id_password", PASSWORD)
    browser.submit("[type=submit]")
    assert browser.value("document.title").startswith("Site administration")
    browser.submit("a[href='/admin/notes/topic/add/']")
    browser.type("#id_name", "Küche ☕")
    browser.submit("[name=_save]")
    assert "Küche ☕” was added successfully" in browser.value(
        "document.querySelector('.messagelist .success').textContent")
    browser.go(base + "/")
    assert browser.value("getComputedStyle(document.querySelector('h1')).color"
                         ) == "rgb(1, 2, 3)"  # its style sheet is here
    browser.value("document.querySelector('#id_topic').selectedIndex = 1")
    browser.type("#id_text", "Salz\nPfeffer")
    browser.submit("button")
    assert "Küche ☕: Salz" in browser.value("document.body.textContent")
    assert any(url.endswith("/admin/css/base.css") for url in browser.statuses)
    assert not browser.failures
    bad = {url for url, status in browser.statuses.items() if status >= 400}
    assert bad <= {base + "/favicon.ico"}  # asked for by itself
