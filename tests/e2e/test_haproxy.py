"""Behind a real HAProxy, without which these tests are skipped, but in .ci/run."""
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

from prefork import PATIENCE, ROOT, Client
from test_proxies import STRANGER, Info, status_when

SHIPPED = ROOT / "conf/deploy/haproxy.cfg"
PROGRAM = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")

GLOBAL = """
global
    log stdout format raw local0 info
"""
CONFIG = """
defaults
    log global
    timeout connect {patience}s
    timeout client {patience}s
    timeout server {patience}s
frontend in
    bind fd@{fd}
    mode {mode}
    default_backend out
{frontend}
backend out
    mode {mode}
    option log-health-checks
    server prefork {address} {server}
{backend}
"""


def listener_of(family=socket.AF_INET):
    listener = socket.socket(family)
    listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    listener.listen()
    return listener


def address_of(server):
    to = server.address
    return f"unix@{to}" if isinstance(to, str) else f"{to[0]}:{to[1]}"


class HAProxy:
    """Passes on what comes to .address; .log are its lines."""

    def __init__(self, tmp, server, mode, options, frontend=(), backend=(),
                 family=socket.AF_INET):
        listener = listener_of(family)
        self.run(tmp, CONFIG.format(
            patience=PATIENCE, fd=listener.fileno(), mode=mode,
            address=address_of(server), server=options,
            frontend="\n".join(f"    {x}" for x in frontend),
            backend="\n".join(f"    {x}" for x in backend)), listener)

    def run(self, tmp, config, *listeners):
        self.address = listeners[0].getsockname()[:2]
        file = tmp / "haproxy.cfg"
        file.write_text(GLOBAL + config)
        self.process = subprocess.Popen(
            [PROGRAM, "-db", "-f", file], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            pass_fds=[x.fileno() for x in listeners])
        for x in listeners:
            x.close()
        self.log = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.log.append(line)
                self.changed.notify_all()

    def wait(self, text):
        with self.changed:
            assert self.changed.wait_for(
                lambda: any(text in line for line in self.log), PATIENCE), \
                self.log

    def stop(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.process.stdout.close()

    def ask(self, source=None, address=None, **fields):
        with Client(address or self.address, source=source) as c:
            r = c.get("/info", **fields)
            assert r.status == 200, (r.status, r.body, self.log)
            return Info(r), c.sock.getsockname()


class Shipped(HAProxy):
    """With conf/deploy/haproxy.cfg, and other addresses in it."""

    def __init__(self, tmp, web, unread):
        listeners = listener_of(), listener_of()
        config = SHIPPED.read_text()
        for old, new in (
                ("bind :80\n", f"bind fd@{listeners[0].fileno()}\n"),
                ("bind :8080\n", f"bind fd@{listeners[1].fileno()}\n"),
                ("local 127.0.0.1:8000", f"local {web}"),
                ("local 127.0.0.1:8001", f"local {unread}"),
                ("HEAD uri / ", "HEAD uri /pid ")):
            assert config.count(old) == 1, old
            config = config.replace(old, new)
        self.unread = listeners[1].getsockname()
        self.run(tmp, config, *listeners)


@pytest.fixture
def program():
    if PROGRAM is None and "PREFORK_CI" not in os.environ:
        pytest.skip("haproxy is not installed")
    assert PROGRAM is not None, "haproxy is not installed, and this is .ci/run"
    return PROGRAM


@pytest.fixture
def haproxy(program, tmp_path):
    """haproxy(server, mode, options, ...) starts one."""
    started = []

    def begin(*args, kind=HAProxy, **kw):
        started.append(kind(tmp_path, *args, **kw))
        return started[-1]
    yield begin
    for h in started:
        h.stop()


@pytest.mark.parametrize("options, frontend", [
    ("send-proxy", ()),
    ("send-proxy-v2", ()),
    ("send-proxy-v2 proxy-v2-options crc32c,unique-id",
     ("unique-id-format %[uuid()]",)),
], ids=["v1", "v2", "v2-tlvs"])
def test_the_proxy_protocol_of_haproxy(start, haproxy, options, frontend):
    s = start({"proxy": {"protocol": "on"}})
    h = haproxy(s, "tcp", options, frontend)
    info, name = h.ask(source=STRANGER)
    assert (info.client, info.port) == name == (STRANGER, name[1])


def test_ipv6_clients_of_haproxy(start, haproxy):
    s = start({"proxy": {"protocol": "on", "trust": "127.0.0.1"}})
    for options in "send-proxy", "send-proxy-v2":
        info, name = haproxy(s, "tcp", options, family=socket.AF_INET6).ask()
        assert (info.client, info.port) == name[:2] == ("::1", name[1])


def test_a_client_of_haproxy_cannot_say_who_it_is(start, haproxy):
    s = start({"proxy": {"protocol": "on"}})
    h = haproxy(s, "tcp", "send-proxy-v2")
    info, _ = h.ask(source=STRANGER, X_Forwarded_For="6.6.6.6",
                    X_Forwarded_Proto="https", Forwarded="for=6.6.6.6")
    assert (info.client, info.scheme) == (STRANGER, "http")
    assert not info.names()


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2"])
def test_health_checks_of_haproxy_pass(start, haproxy, options):
    s = start({"proxy": {"protocol": "on"}})
    h = haproxy(s, "tcp", options + " check inter 100ms", (),
                ("option httpchk GET /pid",))
    h.wait("Health check for server out/prefork succeeded")
    assert s.status()["proxy_refused"] == 0


def test_health_checks_without_a_header_fail(start, haproxy):
    """Such a check connects past the header; the server stays safe."""
    s = start({"proxy": {"protocol": "on"}})
    s.allow("PROXY header: there is none")
    h = haproxy(s, "tcp", "check inter 100ms", (), ("option httpchk GET /pid",))
    h.wait("Health check for server out/prefork failed")
    assert s.status()["proxy_refused"] > 0


def test_over_a_unix_socket(start, haproxy, tmp_path):
    s = start({"server": {"bind": f"unix:{tmp_path / 's.sock'}"},
               "proxy": {"protocol": "on"}})
    info, name = haproxy(s, "tcp", "send-proxy-v2").ask(source=STRANGER)
    assert (info.client, info.port) == name


def test_the_fields_of_haproxy(start, haproxy):
    s = start({})
    h = haproxy(s, "http", "", (
        "option forwardfor",
        "unique-id-format %[uuid()]",
        "unique-id-header X-Request-Id",
        "http-request set-header X-Forwarded-Proto https",
        "http-request set-header X-Forwarded-Host shop.example",
        "http-request del-header Forwarded"))
    info, _ = h.ask(source=STRANGER, X_Forwarded_For="6.6.6.6",
                    X_Forwarded_Proto="http", Forwarded="for=6.6.6.6")
    assert (info.client, info.port) == (STRANGER, 0)
    assert (info.scheme, info.host) == ("https", "shop.example")
    assert info["X-Request-Id"].count("-") == 4


MADE_UP = {"X_Forwarded_For": "6.6.6.6", "X_Forwarded_Proto": "https",
           "X_Forwarded_Host": "evil.example", "X_Forwarded_Port": "1",
           "X_Real_IP": "6.6.6.6", "X_Request_Id": "6",
           "Forwarded": "for=6.6.6.6"}


def test_the_configuration_that_is_shipped_is_without_a_warning(
        program, tmp_path):
    (tmp_path / "global.cfg").write_text(GLOBAL)
    done = subprocess.run([program, "-c", "-f", tmp_path / "global.cfg", "-f",
                           SHIPPED], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode == 0
    assert "[" not in done.stderr + done.stdout, "[WARNING], [ALERT]"


@pytest.fixture
def shipped(start, haproxy, tmp_path):
    """The server is as the file's first lines say."""
    said = dict(re.findall(r"^#   (\w+) = (.*)$", SHIPPED.read_text(), re.M))
    assert set(said) == {"bind", "trust", "fields", "protocol"}
    unix = tmp_path / "unread.sock"
    s = start({"server": {"bind": f"127.0.0.1:0, unix:{unix}"},
               "proxy": {"trust": said["trust"] + ", unix",
                         "fields": said["fields"], "protocol": f"unix:{unix}"}})
    h = haproxy(address_of(s), f"unix@{unix}", kind=Shipped)
    h.wait("Health check for server prefork/local succeeded")
    return s, h


def test_the_configuration_that_is_shipped_lets_nobody_make_up_a_client(
        shipped):
    s, h = shipped
    for fields in {}, MADE_UP:
        info, _ = h.ask(source=STRANGER, **fields)
        assert (info.client, info.scheme) == (STRANGER, "http")
        assert info.names() == {"x-forwarded-for", "x-forwarded-proto"}
        assert info["X-Request-Id"].count("-") == 4
        info, name = h.ask(source=STRANGER, address=h.unread, **fields)
        assert (info.client, info.port) == name
        assert info.scheme == "http" and not info.names()
        assert "-" not in info["X-Request-Id"]
    assert s.status()["proxy_refused"] == 0


def test_a_target_that_haproxy_lets_pass_makes_no_https(start, haproxy):
    """It hands on what its client wrote, and says nothing without TLS."""
    h = haproxy(start({}), "http", "", (
        "http-request del-header X-Forwarded-Proto",
        "http-request set-header X-Forwarded-Proto https if { ssl_fc }"))
    with Client(h.address) as c:
        assert c.get("https://test/info").status == 421
        assert Info(c.get("http://test/info")).scheme == "http"


def test_what_haproxy_lets_pass_is_no_contradiction_unseen(start, haproxy):
    """A Forwarded that its client made up beside HAProxy's X-Forwarded-For."""
    h = haproxy(start({}), "http", "", ("option forwardfor",))
    with Client(h.address, source=STRANGER) as c:
        assert c.get("/info", Forwarded="for=6.6.6.6").status == 400


def test_many_requests_over_connections_that_haproxy_keeps(start, haproxy):
    s = start({})
    h = haproxy(s, "http", "", ("option forwardfor",),
                ("http-reuse always",))
    for n in range(2, 30):
        info, _ = h.ask(source=f"127.0.1.{n}")
        assert info.client == f"127.0.1.{n}"


def test_haproxy_and_the_counters(start, haproxy):
    s = start({"proxy": {"trust": "192.0.2.1"}})
    h = haproxy(s, "http", "", ("option forwardfor",))
    info, _ = h.ask(source=STRANGER)
    assert info.client == "127.0.0.1"
    status_when(s, "forwarding_dropped", 1)
