"""Behind a real nginx, without which these tests are skipped, but in .ci/run."""
import os
import shutil
import socket
import subprocess

import pytest

from prefork import PATIENCE, ROOT, Client
from test_haproxy import MADE_UP
from test_proxies import STRANGER, Info

SHIPPED = ROOT / "conf/deploy/nginx.conf"
PROGRAM = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")

# The rest of a configuration, which in /etc/nginx comes from the distribution.
# A listener that nginx is given in the environment is one that it need not
# bind, and is known by its address.
AROUND = """
daemon off; worker_processes 1; pid {tmp}/pid; error_log stderr notice;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {tmp}/body; proxy_temp_path {tmp}/proxy;
    fastcgi_temp_path {tmp}/fastcgi; uwsgi_temp_path {tmp}/uwsgi;
    scgi_temp_path {tmp}/scgi;
    include {tmp}/shipped.conf;
}}
"""


@pytest.fixture
def nginx(start, tmp_path):
    """A client's address for it, with prefork behind."""
    if PROGRAM is None and "PREFORK_CI" not in os.environ:
        pytest.skip("nginx is not installed")
    assert PROGRAM is not None, "nginx is not installed, and this is .ci/run"
    s = start({"proxy": {"fields": "X-Forwarded-For, X-Forwarded-Proto"}})
    config = SHIPPED.read_text()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        for old, new in (("listen 80;", f"listen 127.0.0.1:{address[1]};"),
                         ("server 127.0.0.1:8000;",
                          f"server 127.0.0.1:{s.address[1]};")):
            assert config.count(old) == 1, old
            config = config.replace(old, new)
        (tmp_path / "shipped.conf").write_text(config)
        (tmp_path / "nginx.conf").write_text(AROUND.format(tmp=tmp_path))
        process = subprocess.Popen(
            [PROGRAM, "-e", "stderr", "-p", tmp_path, "-c",
             tmp_path / "nginx.conf"], pass_fds=[listener.fileno()],
            env={**os.environ, "NGINX": f"{listener.fileno()};"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
    yield address
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE)
    assert "[warn]" not in said and "[error]" not in said, said


def test_the_configuration_that_is_shipped_lets_nobody_make_up_a_client(nginx):
    for fields in {}, MADE_UP:
        with Client(nginx, source=STRANGER) as c:
            for _ in range(2):
                info = Info(c.get("/info", **fields))
                assert (info.client, info.scheme) == (STRANGER, "http")
                assert info.names() == {"x-forwarded-for", "x-forwarded-proto"}
                assert len(info["X-Request-Id"]) == 32
