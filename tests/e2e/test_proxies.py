"""Behind proxies: whose word about clients counts, and what becomes of it."""
import re
import signal
import socket
import struct

import pytest

from prefork import LISTENING, PROBE, READY, Client, run, wait_gone

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REQUEST = b"GET /info HTTP/1.1\r\nHost: test\r\n\r\n"
STRANGER = "127.0.0.9"  # a client that no test trusts


class Info:
    """What the module was shown."""

    def __init__(self, r):
        assert r.status == 200, (r.status, r.body)
        lines = r.body.decode().splitlines()
        self.scheme, self.host = lines[0].split(" ")
        self.client, port = lines[1].split(" ")
        self.port = int(port)
        self.arrived = lines[2]
        self.fields = [tuple(x.split(": ", 1)) if ": " in x
                       else (x.rstrip(": "), "") for x in lines[3:]]

    def __getitem__(self, name):
        found = [v for n, v in self.fields if n.lower() == name.lower()]
        return found[0] if found else None

    def names(self):
        return {n.lower() for n, _ in self.fields} - {"host", "x-request-id"}


def ask(server, **fields):
    return Info(server.get("/info", **fields))


def status_when(server, key, value):
    """Until the counter has this value: it may be counted after the answer."""
    while (n := server.status()[key]) < value:
        pass
    assert n == value


def reload(server, sections):
    """Until only workers with the new settings are there."""
    old, mark = server.workers(), server.mark()
    server.configure(sections)
    server.signal(signal.SIGHUP)
    server.wait(READY, 2, after=mark)
    for pid in old:
        wait_gone(pid)


# ---- the fields of a request -------------------------------------------------

def test_a_trusted_proxy_names_client_scheme_and_host(server):
    info = ask(server, X_Forwarded_For="203.0.113.9:4711",
               X_Forwarded_Proto="https", X_Forwarded_Host="shop.example")
    assert (info.client, info.port) == ("203.0.113.9", 4711)
    assert (info.scheme, info.host) == ("https", "shop.example")
    assert info.arrived.startswith("tcp 127.0.0.1 ")
    assert info["X-Forwarded-For"] == "203.0.113.9:4711"
    assert info["Host"] == "test"


def test_forwarded_is_read_as_well(server):
    info = ask(server, Forwarded='for=6.6.6.6;proto=http, '
               'for="[2001:db8::7]:47";proto=https;host=shop.example')
    assert (info.client, info.port) == ("2001:db8::7", 47)
    assert (info.scheme, info.host) == ("https", "shop.example")


def test_needless_backslashes_in_forwarded_change_nothing(server):
    """Each request of a connection has its own copy of what it said."""
    with server.connect() as c:
        for host in "shop.example", "a:80", "shop.example":
            info = Info(c.get("/info", Forwarded=r'for="203.0.\113.9";'
                              rf'proto="htt\ps";host="\{host}"'))
            assert (info.client, info.scheme) == ("203.0.113.9", "https")
            assert info.host == host
            assert info["Forwarded"].endswith(rf'host="\{host}"')


def test_without_those_fields_the_peer_is_the_client(server):
    with server.connect() as c:
        info = Info(c.get("/info"))
        assert (info.client, info.port) == c.sock.getsockname()
    assert (info.scheme, info.host) == ("http", "test")


def test_a_list_is_believed_from_the_right_as_far_as_it_is_trusted(start):
    s = start({"proxy": {"trust": "127.0.0.1, 10.0.0.0/8, 2001:db8::/32"}})
    said = "6.6.6.6, 203.0.113.9, 10.1.2.3, 2001:db8::1"
    assert ask(s, X_Forwarded_For=said).client == "203.0.113.9"
    said = ", ".join(f'for="{a}"' for a in (
        "6.6.6.6", "203.0.113.9", "10.1.2.3", "[2001:db8::1]"))
    assert ask(s, Forwarded=said).client == "203.0.113.9"


def test_what_others_say_of_proxies_reaches_nobody(start):
    s = start({"proxy": {"trust": "192.0.2.1"}})
    info = ask(s, X_Forwarded_For="10.0.0.1", X_Forwarded_Proto="https",
               X_Forwarded_Host="evil.example", X_Forwarded_Port="443",
               Forwarded="for=10.0.0.1", X_Real_IP="10.0.0.1",
               X_Request_Id="mine", X_Other="kept")
    assert (info.client, info.scheme, info.host) == ("127.0.0.1", "http", "test")
    assert info.names() == {"x-other"}
    assert info["X-Request-Id"] != "mine"
    status_when(s, "forwarding_dropped", 7)
    s.wait(r"dropped field X-\S+ of 127\.0\.0\.1: not in proxy\.trust")


def test_fields_that_the_proxy_does_not_set_are_not_believed(start):
    s = start({"proxy": {"fields": "X-Forwarded-For, X-Forwarded-Proto"}})
    info = ask(s, X_Forwarded_For="203.0.113.9", Forwarded="for=6.6.6.6",
               X_Forwarded_Host="evil.example")
    assert (info.client, info.host) == ("203.0.113.9", "test")
    assert info.names() == {"x-forwarded-for"}


def test_a_request_goes_to_the_host_that_its_client_asked_for(start):
    s = start({"app:shop": {"type": "module", "target": PROBE,
                            "host": "shop.example", "mount": "/in"},
               "app:other": {"type": "module", "target": PROBE}})
    for host in "shop.example:443", "SHOP.example":
        assert s.get("/in/pid", X_Forwarded_Host=host).status == 200
    assert s.get("/in/pid", X_Forwarded_Host="other.example").status == 404
    assert s.get("/in/pid").status == 404


@pytest.mark.parametrize("fields", [
    {"X_Forwarded_For": "203.0.113.9", "Forwarded": "for=6.6.6.6"},
    {"X_Forwarded_Proto": "http", "Forwarded": "proto=https"},
    {"X_Forwarded_Host": "a", "Forwarded": "host=b"},
    {"X_Forwarded_For": "fe80::1%eth0"},
    {"X_Forwarded_Proto": "ftp"},
    {"X_Forwarded_Host": "a b"},
    {"Forwarded": 'for="6.6.6.6, for=203.0.113.9'},
])
def test_contradictions_and_nonsense_of_a_trusted_proxy_are_refused(
        server, fields):
    r = server.get("/info", **fields)
    assert r.status == 400 and r.closes


def test_each_request_of_a_connection_has_its_own_client(server):
    with server.connect() as c:
        c.request("/info", X_Forwarded_For="203.0.113.1",
                  X_Forwarded_Proto="https", X_Forwarded_Host="a")
        c.request("/info", X_Forwarded_For="203.0.113.2")
        c.request("/info")
        found = [Info(c.response()) for _ in range(3)]
    assert [i.client for i in found] == ["203.0.113.1", "203.0.113.2",
                                         "127.0.0.1"]
    assert [i.scheme for i in found] == ["https", "http", "http"]
    assert [i.host for i in found] == ["a", "test", "test"]


# ---- an https target, which only a secured connection may ask for -------------

HTTPS = "HTTPS://shop.example/info"


def test_an_https_target_is_misdirected_unless_a_proxy_says_https(server):
    with server.connect() as c:
        for fields in {}, {"X_Forwarded_Proto": "http"}, {
                "Forwarded": "proto=http"}, {"X_Forwarded_For": "203.0.113.9"}:
            assert c.get(HTTPS, **fields).status == 421
        for fields in {"X_Forwarded_Proto": "https"}, {
                "Forwarded": "for=203.0.113.9;proto=https"}:
            info = Info(c.get(HTTPS, **fields))
            assert (info.scheme, info.host) == ("https", "shop.example")
            assert info["Host"] == "shop.example"
        assert Info(c.get("http://shop.example/info")).scheme == "http"


def test_a_peer_that_is_not_trusted_cannot_say_https(start):
    s = start({"proxy": {"trust": "192.0.2.1"}})
    with s.connect() as c:
        assert c.get(HTTPS, X_Forwarded_Proto="https").status == 421
        assert Info(c.get("/info")).scheme == "http"


def test_a_misdirected_request_with_a_body_costs_the_connection(server):
    with server.connect() as c:
        r = c.get(HTTPS, "POST", b"GET /info HTTP/1.1\r\nHost: a\r\n\r\n")
        assert r.status == 421 and r.closes
        c.closed()


def test_the_access_log_has_the_client(start, tmp_path):
    s = start({"log": {"access": tmp_path / "access.log"}})
    s.get("/pid", X_Forwarded_For="203.0.113.9")
    s.get("/pid", X_Forwarded_For="2001:db8::7")
    s.stop()
    hosts = {x.split()[0] for x in
             (tmp_path / "access.log").read_text().splitlines()}
    assert hosts == {"203.0.113.9", "2001:db8::7"}


@pytest.mark.parametrize("trust, client", [
    ("127.0.0.1, unix", "203.0.113.9"), ("127.0.0.1", "")])
def test_unix_sockets_are_trusted_by_name(start, tmp_path, trust, client):
    s = start({"server": {"bind": f"unix:{tmp_path / 's.sock'}"},
               "proxy": {"trust": trust}})
    info = ask(s, X_Forwarded_For="203.0.113.9")
    assert info.client == client
    assert info.arrived == f"unix {tmp_path / 's.sock'} 0"


def test_forwarded_allow_ips_is_who_is_trusted(start):
    s = start({}, env={"FORWARDED_ALLOW_IPS": "192.0.2.1,127.0.0.1"})
    assert ask(s, X_Forwarded_For="203.0.113.9").client == "203.0.113.9"
    s = start({}, env={"FORWARDED_ALLOW_IPS": "192.0.2.1"})
    assert ask(s, X_Forwarded_For="203.0.113.9").client == "127.0.0.1"


def test_a_reload_changes_who_is_trusted(start):
    s = start({})
    assert ask(s, X_Forwarded_For="203.0.113.9").client == "203.0.113.9"
    reload(s, {"proxy": {"trust": ""}})
    assert ask(s, X_Forwarded_For="203.0.113.9").client == "127.0.0.1"


@pytest.mark.parametrize("value, why", [
    ("10.0.0.0/33", "has a prefix length that is not a number from 0 to 32"),
    ("10.0.0.1/8", "has a network with bits set behind its prefix"),
    ("proxy.example", "has something that is no IP address"),
])
def test_a_wrong_network_is_told_with_file_and_line(tmp_path, value, why):
    file = tmp_path / "server.ini"
    file.write_text(f"[proxy]\n\ntrust = ::1, {value}\n"
                    "[app:a]\ntype = static\ntarget = .\n")
    done = run("-t", "-c", file)
    assert done.returncode == 1
    assert (f"{file}:3: [proxy] trust = ::1, {value}: at {value}: {why}"
            in done.stderr)


# ---- names that mean something else to applications --------------------------

def test_names_that_applications_would_confuse_are_dropped_and_counted(server):
    with server.connect() as c:
        c.send("GET /info HTTP/1.1\r\nHost: test\r\nX_Forwarded_For: 6.6.6.6\r\n"
               "Proxy: http://evil/\r\nRemote_User: root\r\nX-Kept: 1\r\n\r\n")
        info = Info(c.response())
    assert info.client == "127.0.0.1"
    assert info.names() == {"x-kept"}
    status_when(server, "fields_dropped", 3)
    assert server.status()["forwarding_dropped"] == 0
    server.wait("dropped field Remote_User of 127.0.0.1: its name")


def test_a_flood_of_them_does_not_flood_the_log(start):
    s = start({"server": {"workers": 1}}, ready=1)
    with s.connect() as c:
        for _ in range(200):
            c.get("/pid", **{"A": "x\r\nB_C: y"})
    status_when(s, "fields_dropped", 200)
    s.stop()
    assert len(s.matches("dropped field")) < 20


# ---- X-Request-Id ------------------------------------------------------------

def test_a_request_id_of_a_trusted_proxy_is_kept(server):
    assert ask(server, X_Request_Id="0f-1.Z")["X-Request-Id"] == "0f-1.Z"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, "t\xe4glich"])
def test_a_request_without_a_good_id_gets_one(server, given):
    fields = {} if given is None else {"X_Request_Id": given}
    with server.connect() as c:
        lines = [f"{k.replace('_', '-')}: {v}\r\n" for k, v in fields.items()]
        c.send(("GET /info HTTP/1.1\r\nHost: test\r\n" + "".join(lines) +
                "\r\n").encode("latin-1"))
        made = Info(c.response())["X-Request-Id"]
    assert re.fullmatch("[0-9a-f]{32}", made)


def test_request_ids_are_all_different(server):
    found = set()
    for _ in range(20):
        with server.connect() as c:
            found |= {Info(c.get("/info"))["X-Request-Id"] for _ in range(5)}
    assert len(found) == 100


def test_a_request_with_all_the_fields_it_may_have_gets_an_id(start):
    s = start({"http": {"max_headers": 3}})
    info = ask(s, X_A="1", X_B="2")
    assert info.names() == {"x-a", "x-b"} and info["X-Request-Id"]


# ---- the PROXY protocol ------------------------------------------------------

def v1(client="203.0.113.9", port=4711):
    family = "TCP6" if ":" in client else "TCP4"
    to = "::1" if ":" in client else "198.51.100.1"
    return f"PROXY {family} {client} {to} {port} 443\r\n".encode()


def v2(client="203.0.113.9", port=4711, command=0x21, tlvs=b""):
    if client is None:
        return SIGNATURE + struct.pack("!BBH", command, 0, len(tlvs)) + tlvs
    kind = socket.AF_INET6 if ":" in client else socket.AF_INET
    ip = socket.inet_pton(kind, client)
    body = ip + ip + struct.pack("!HH", port, 443) + tlvs
    family = 0x21 if kind == socket.AF_INET6 else 0x11
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


@pytest.fixture
def proxied(start):
    return start({"proxy": {"protocol": "on"}})


@pytest.mark.parametrize("header", [
    v1(), v1("2001:db8::7"), v2(), v2("2001:db8::7"),
    v2(tlvs=b"\x05\0\x04unid\x04\x0f\x00" + bytes(3840)),
], ids=["v1", "v1-v6", "v2", "v2-v6", "v2-tlvs"])
def test_a_proxy_header_names_the_client_of_the_connection(proxied, header):
    client = "2001:db8::7" if header in (
        v1("2001:db8::7"), v2("2001:db8::7")) else "203.0.113.9"
    with proxied.connect() as c:
        c.send(header + REQUEST)
        info = Info(c.response())
        assert (info.client, info.port) == (client, 4711)
        assert info.scheme == "http"
        # and of those that follow
        assert Info(c.get("/info")).client == client


@pytest.mark.parametrize("header", [v1(), v2(tlvs=b"\x05\0\x04unid")],
                         ids=["v1", "v2"])
def test_it_may_come_in_any_pieces(proxied, header):
    data = header + REQUEST
    for at in range(1, len(data)):
        with proxied.connect() as c:
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            c.send(data[:at]).send(data[at:])
            assert Info(c.response()).client == "203.0.113.9"
    with proxied.connect() as c:
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            c.send(data[i:i + 1])
        assert Info(c.response()).client == "203.0.113.9"


def test_a_client_may_wait_between_header_and_request(proxied):
    with proxied.connect() as c:
        c.send(v1())
        assert proxied.status()["proxy_refused"] == 0
        c.send(REQUEST)
        assert Info(c.response()).client == "203.0.113.9"


BAD = [REQUEST, b"PROXY \r\n" + REQUEST, b"PROXY TCP4 a b 1 2\r\n" + REQUEST,
       b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + REQUEST,
       b"PROXY " + b"x" * 200, b"\x16\x03\x01", b"\r\n\r\n" + REQUEST,
       v2(command=0x22) + REQUEST, SIGNATURE + b"\x21\x11\0\x04\0\0\0\0",
       SIGNATURE + b"\x20\x00\xff\xff"]


@pytest.mark.parametrize("data", BAD)
def test_a_connection_without_a_good_header_is_closed(proxied, data):
    proxied.allow("PROXY header:")
    with proxied.connect() as c:
        try:
            c.send(data)
            assert c.rest() == b""
        except ConnectionResetError:
            pass
    status_when(proxied, "proxy_refused", 1)
    assert proxied.status()["requests"] == 0
    proxied.wait(r"closed a connection of 127\.0\.0\.1 to 127\.0\.0\.1:\d+: "
                 "PROXY header: ")


def test_a_header_that_is_cut_short_counts_as_none(proxied):
    proxied.allow("PROXY header: it is cut short")
    with proxied.connect() as c:
        c.send(v1()[:20]).sock.shutdown(socket.SHUT_WR)
        assert c.rest() == b""
    status_when(proxied, "proxy_refused", 1)


def test_a_second_header_is_no_request(proxied):
    with proxied.connect() as c:
        c.send(v1() + v1("6.6.6.6") + REQUEST)
        r = c.response()
        assert r.status == 400 and r.closes


def test_a_look_whether_the_port_is_open_is_no_mistake(proxied):
    with proxied.connect() as c:
        c.sock.shutdown(socket.SHUT_WR)
        c.closed()
    assert proxied.status()["proxy_refused"] == 0


def test_a_header_has_the_time_of_a_head(start):
    s = start({"proxy": {"protocol": "on"}, "http": {"header_timeout": "2s"}})
    s.allow("PROXY header: it is late")
    with s.connect() as silent, s.connect() as slow, s.connect() as later:
        slow.send(v2()[:14])
        later.send(v2())
        silent.closed()
        slow.closed()
        later.closed()
        status_when(s, "proxy_refused", 1)


def test_the_log_is_not_flooded(start):
    s = start({"server": {"workers": 1}, "proxy": {"protocol": "on"}}, ready=1)
    s.allow("PROXY header: there is none")
    for _ in range(100):
        with s.connect() as c:
            c.send("x").closed()
    status_when(s, "proxy_refused", 100)
    s.stop()
    assert len(s.matches("PROXY header")) < 20


def test_a_proxy_speaks_for_itself_with_local(proxied):
    with proxied.connect() as c:
        c.send(v2(None, command=0x20) + REQUEST)
        info = Info(c.response())
        assert (info.client, info.port) == c.sock.getsockname()


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(None)],
                         ids=["v1", "v2"])
def test_who_is_not_named_is_not_trusted(proxied, header):
    with proxied.connect() as c:
        c.send(header)
        info = Info(c.get("/info", X_Forwarded_For="203.0.113.9",
                          X_Forwarded_Proto="https"))
    assert (info.client, info.scheme) == ("127.0.0.1", "http")
    assert not info.names()


def test_fields_are_the_clients_unless_the_client_is_trusted(start):
    s = start({"proxy": {"protocol": "on", "trust": "127.0.0.1, 10.0.0.0/8"}})
    for client, believed in ("203.0.113.9", False), ("10.0.0.7", True):
        with s.connect() as c:
            c.send(v2(client))
            info = Info(c.get("/info", X_Forwarded_For="192.0.2.55"))
        assert info.client == ("192.0.2.55" if believed else client)


def test_only_trusted_peers_may_send_one(proxied):
    proxied.allow(f"{STRANGER} .* PROXY header: it is not in proxy.trust")
    with proxied.connect(source=STRANGER) as c:
        try:
            c.send(v1() + REQUEST)
            assert c.rest() == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    status_when(proxied, "proxy_refused", 1)


def test_it_may_be_required_of_some_listeners_only(start, tmp_path):
    path = tmp_path / "s.sock"
    s = start({"server": {"bind": f"127.0.0.1:0, unix:{path}"},
               "proxy": {"protocol": f"unix:{path}"}})
    assert ask(s).client == "127.0.0.1"
    with Client(str(path)) as c:
        c.send(v1() + REQUEST)
        info = Info(c.response())
    assert (info.client, info.port) == ("203.0.113.9", 4711)
    assert info.arrived == f"unix {path} 0"
    with s.connect() as c:
        c.send(v1() + REQUEST)
        assert c.response().status == 400


def test_a_listener_must_be_one_of_bind(tmp_path):
    file = tmp_path / "server.ini"
    file.write_text("[server]\nbind = 127.0.0.1:8000\n"
                    "[proxy]\nprotocol = 127.0.0.1:9000\n"
                    "[app:a]\ntype = static\ntarget = .\n")
    done = run("-t", "-c", file)
    assert done.returncode == 1
    assert (f"{file}:4: [proxy] protocol = 127.0.0.1:9000: is not among the "
            "addresses of bind") in done.stderr


def test_a_reload_turns_it_on_for_a_listener_that_stays(start):
    s = start({})
    assert ask(s).client == "127.0.0.1"
    mark = s.mark()
    reload(s, {"proxy": {"protocol": "on"}})
    with s.connect() as c:
        c.send(v1() + REQUEST)
        assert Info(c.response()).client == "203.0.113.9"
    assert not [m for m in s.matches(LISTENING, after=mark)
                if m[3] != str(s.address[1])]


def test_warmup_needs_no_header(start):
    s = start({"proxy": {"protocol": "on"}, "app:probe": {
        "type": "module", "target": PROBE, "warmup": "/pid"}})
    with s.connect() as c:
        c.send(v1() + REQUEST)
        assert Info(c.response()).client == "203.0.113.9"
