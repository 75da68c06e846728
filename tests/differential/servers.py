"""The servers that are compared, each in front of the same application, which
answers with the length of the body that it was given."""
import contextlib
import pathlib
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from prefork import PATIENCE, Server  # noqa: E402
from testmods import module  # noqa: E402

# A server that has not said anything for so long waits for more.
QUIET = 10


class Prefork:
    half_close = False

    def __init__(self, tmp):
        tmp.mkdir()
        self.server = Server(tmp, {
            "server": {"workers": 1},
            "http": {"keepalive_timeout": "60s"},
            "app:sum": module("bigbody")}).ready(1)
        self.address = self.server.address

    def stop(self):
        self.server.check()


class Peer:
    """A program that listens on the unix socket (or port) `address`, and
    passes on to `backend`, the (host, port) of a prefork."""
    address = None
    # After the requests the client ends its side, too: gunicorn's threads would
    # wait for more to come before they look at what they have read already.
    half_close = False

    def __init__(self, tmp, backend):
        tmp.mkdir()
        self.tmp, self.backend = tmp, backend
        self.address = str(tmp / "socket")
        self.log = open(tmp / "log", "wb")
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, cwd=tmp, start_new_session=True)
        self.wait()

    def wait(self):
        """Until it accepts: no program here says so in a common way."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), connect(self.address):
                return
            assert time.monotonic() < deadline and self.process.poll() is None, (
                self.tmp / "log").read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()


class Nginx(Peer):
    name = "nginx"

    def command(self):
        (self.tmp / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid {self.tmp}/pid;
            error_log stderr error;
            events {{ worker_connections 256; }}
            http {{
                access_log off;
                client_body_temp_path {self.tmp}/body;
                proxy_temp_path {self.tmp}/proxy;
                fastcgi_temp_path {self.tmp}/fastcgi;
                uwsgi_temp_path {self.tmp}/uwsgi;
                scgi_temp_path {self.tmp}/scgi;
                server {{
                    listen unix:{self.address};
                    location / {{
                        proxy_pass http://{self.backend[0]}:{self.backend[1]};
                        proxy_http_version 1.1;
                        proxy_set_header Connection "";
                        proxy_ignore_client_abort on;
                    }}
                }}
            }}""")
        return ["nginx", "-e", "stderr", "-p", str(self.tmp), "-c",
                str(self.tmp / "nginx.conf")]


class Apache(Peer):
    name = "apache"

    def command(self):
        with socket.socket() as s:  # it has no way to be given a listener
            s.bind(("127.0.0.1", 0))
            self.address = s.getsockname()
        modules = "".join(
            f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n"
            for m in ("mpm_event", "authz_core", "proxy", "proxy_http"))
        (self.tmp / "apache.conf").write_text(modules + f"""
            ServerRoot {self.tmp}
            ServerName t
            DefaultRuntimeDir {self.tmp}
            PidFile {self.tmp}/pid
            ErrorLog {self.tmp}/error.log
            Listen 127.0.0.1:{self.address[1]}
            User nobody
            Group nogroup
            ProxyPass / http://{self.backend[0]}:{self.backend[1]}/
            """)
        return ["apache2", "-D", "FOREGROUND", "-f",
                str(self.tmp / "apache.conf")]


class HAProxy(Peer):
    name = "haproxy"

    def command(self):
        (self.tmp / "haproxy.cfg").write_text(f"""
defaults
    mode http
    timeout connect {PATIENCE}s
    timeout client {PATIENCE}s
    timeout server {PATIENCE}s
listen all
    bind unix@{self.address}
    server prefork {self.backend[0]}:{self.backend[1]}
""")
        return ["haproxy", "-db", "-f", str(self.tmp / "haproxy.cfg")]


class Gunicorn(Peer):
    name = "gunicorn"
    half_close = True

    def command(self):
        return ["/usr/bin/python3", "-m", "gunicorn", "-k", "gthread",
                "--threads", "4", "-w", "1", "--bind", f"unix:{self.address}",
                "--chdir", str(ROOT / "tests/apps"), "sum:application"]


PEERS = (Nginx, Apache, HAProxy, Gunicorn)


def connect(address):
    s = socket.socket(socket.AF_UNIX if isinstance(address, str)
                      else socket.AF_INET)
    try:
        s.settimeout(QUIET)
        s.connect(address)
    except OSError:
        s.close()
        raise
    return s


def converse(server, data):
    """All that comes back, and whether the server closed."""
    got = b""
    with connect(server.address) as s:
        with contextlib.suppress(OSError):
            s.sendall(data)
            if server.half_close:
                s.shutdown(socket.SHUT_WR)
        try:
            while piece := s.recv(65536):
                got += piece
        except TimeoutError:
            return got, False
        except OSError:
            pass  # reset
    return got, True


def responses(got, is_head):
    """[(status, the body's first word)], as far as they can be read."""
    found = []
    while got.startswith(b"HTTP/"):
        head, end, rest = got.partition(b"\r\n\r\n")
        if not end:
            break
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in
                  (x.partition(":") for x in lines[1:])}
        status = int(lines[0].split()[1])
        if status < 200:
            got = rest
            continue
        body, got = body_of(status, fields, rest, is_head and not found)
        word = body.split()[0].decode("latin-1") if body.split() else ""
        found.append((status, word if word.isdigit() else "-"))
    if got:
        found.append((0, "-"))  # something that is no response
    return found


def body_of(status, fields, rest, is_head):
    if is_head and status < 400 or status in (204, 304):
        return b"", rest
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            size, _, rest = rest.partition(b"\r\n")
            n = int(size or b"0", 16)
            if n == 0:
                return body, rest.partition(b"\r\n")[2]
            body, rest = body + rest[:n], rest[n + 2:]
    n = int(fields.get("content-length", len(rest)))
    if is_head and (not rest or rest.startswith(b"HTTP/")):
        return b"", rest
    return rest[:n], rest[n:]


def outcome(server, data):
    """What became of a request with another behind it, in a word or two:

    served N    both, the first with a body of N bytes
    alone N     the first, and the connection was closed
    refused     with a status of 400 or more, and closed; or the second was
                served, as by a proxy that knows where the first ends
    silent      closed without a word
    waits       for more
    otherwise   the statuses, with the lengths of the bodies they were told"""
    is_head = data.lstrip().startswith(b"HEAD")
    got, closed = converse(server, data)
    found = responses(got, is_head)
    told = [f"{s}:{n}" if s == 200 and n != "-" else str(s) for s, n in found]
    if not closed:
        return " ".join(["waits", *told])
    if not found:
        return "silent"
    if len(found) == 1 and found[0][0] >= 400:
        return "refused"
    if len(found) == 2 and found[0][0] >= 400 and found[1] == (200, "0"):
        return "refused"
    if all(s == 200 for s, _ in found) and len(found) <= 2:
        how = "served" if len(found) == 2 else "alone"
        n = "0" if is_head else found[0][1]
        if len(found) == 1 or found[1][1] == "0":
            return f"{how} {n}"
    return " ".join(told)
