"""environ, as PEP 3333 and RFC 3875 have it."""

import pytest

from prefork import Client
from wsgi import app

REQUIRED = {"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING",
            "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR",
            "wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors",
            "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once",
            "wsgi.file_wrapper", "wsgi.input_terminated"}


# ---- the dict (1, 2, 3) ------------------------------------------------------

def test_environ_is_a_dict_and_has_what_is_required(web):
    values, types = web.environ()
    assert types["environ"] == "dict"
    assert REQUIRED <= values.keys()


def test_what_a_request_does_to_its_environ_the_next_does_not_see(web):
    with web.connect() as c:
        before = web.shown(c.get(web.target()))
        assert c.get(web.target("spoil")).body == b"spoiled"
        after = web.shown(c.get(web.target()))
    for values, _ in before, after:
        for each in "wsgi.input", "wsgi.errors", "HTTP_X_REQUEST_ID":
            values.pop(each, None)  # its address, or another for each
    assert before == after


def test_values_of_cgi_are_exactly_str(web):
    values, types = web.environ("/p?q", X_Header="v", Content_Type="text/x")
    for key in values:
        if key.isupper():
            assert types[key] == "str", key


def test_wsgi_variables_tell_the_configuration(web):
    values, types = web.environ()
    assert (types["wsgi.version"], values["wsgi.version"]) == (
        "tuple", "(1, 0)")
    assert values["wsgi.url_scheme"] == "http"
    assert values["wsgi.multithread"] is (web.threads > 1)
    assert values["wsgi.multiprocess"] is False
    assert values["wsgi.run_once"] is False
    assert values["wsgi.input_terminated"] is True


def test_several_workers_are_wsgi_multiprocess(start):
    s = start({"server": {"workers": 2}, "app:a": app()})
    assert b'"wsgi.multiprocess": ["bool", true]' in s.get("/").body


def test_what_the_environment_holds_is_not_in_environ(web):
    values, _ = web.environ()
    assert not {"PATH", "LC_ALL", "HOME"} & values.keys()


# ---- of the head (4, 5, 7, 9, 10) --------------------------------------------

def test_content_type_and_length_have_no_prefix(web):
    values, _ = web.environ(method="POST", body=b"12345",
                            Content_Type="text/x")
    assert values["CONTENT_TYPE"] == "text/x"
    assert values["CONTENT_LENGTH"] == "5"
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & values.keys()


def test_without_a_body_there_is_no_content_length(web):
    values, _ = web.environ()
    assert "CONTENT_LENGTH" not in values
    assert "CONTENT_TYPE" not in values


def test_an_empty_body_has_content_length_0(web):
    values, _ = web.environ(method="POST", body=b"")
    assert values["CONTENT_LENGTH"] == "0"


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_server_protocol_is_that_of_the_request(web, version):
    with web.connect() as c:
        c.send(f"GET {web.target()} {version}\r\nHost: h\r\n\r\n")
        values, _ = web.shown(c.response())
    assert values["SERVER_PROTOCOL"] == version


@pytest.mark.parametrize("target, query", [
    ("/", ""), ("/?", ""), ("/?a=b&c", "a=b&c"), ("/?%41+%00?x", "%41+%00?x"),
])
def test_the_query_is_raw(web, target, query):
    values, _ = web.environ(target)
    assert values["QUERY_STRING"] == query
    assert values["REQUEST_URI"] == values["RAW_URI"] == web.mount + target


def test_repeated_headers_are_joined(web):
    with web.connect() as c:
        c.send(f"GET {web.target()} HTTP/1.1\r\nHost: h\r\n"
               "X-A: 1\r\nAccept: a\r\nx-a: 2\r\naccept: b\r\nX-A: 3\r\n"
               f"{'X' * 70}: 1\r\n{'x' * 70}: 2\r\n"
               "Cookie: a=1\r\nCookie: b=2\r\n\r\n")
        values, _ = web.shown(c.response())
    assert values["HTTP_X_A"] == "1, 2, 3"
    assert values["HTTP_ACCEPT"] == "a, b"
    assert values["HTTP_COOKIE"] == "a=1; b=2"
    assert values["HTTP_" + "X" * 70] == "1, 2"


def test_bytes_beyond_ascii_are_latin_1(web):
    with web.connect() as c:
        c.send(f"GET {web.target()} HTTP/1.1\r\nHost: h\r\n".encode()
               + b"X-A: \xe9\xff\x80\r\nUser-Agent: \xc3\xa9\r\n\r\n")
        values, _ = web.shown(c.response())
    assert values["HTTP_X_A"] == "\xe9\xff\x80"
    assert values["HTTP_USER_AGENT"] == "\xc3\xa9"


def test_values_are_of_this_request_though_they_are_remembered(web):
    """Of many names, which share few places."""
    with web.connect() as c:
        for n in (1, 1, 2, 3):
            fields = {f"X_{i}": f"{n}-{i}" for i in range(80)}
            values, _ = web.shown(c.get(web.target(), Accept=f"a{n}",
                                        **fields))
            assert values["HTTP_ACCEPT"] == f"a{n}"
            for i in range(80):
                assert values[f"HTTP_X_{i}"] == f"{n}-{i}"


def test_how_a_body_was_framed_is_not_told(web):
    with web.connect() as c:
        c.send(f"POST {web.target()} HTTP/1.1\r\nHost: h\r\nTrailer: X-T\r\n"
               "Transfer-Encoding: chunked\r\n\r\n"
               "2\r\nab\r\n0\r\nX-T: 1\r\n\r\n")
        values, _ = web.shown(c.response())
    assert values["CONTENT_LENGTH"] == "2"
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_TRAILER",
                "HTTP_X_T"} & values.keys()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH",
                                    "OPTIONS"])
def test_the_method_is_as_sent(web, method):
    values, _ = web.environ(method=method)
    assert values["REQUEST_METHOD"] == method


def test_a_method_of_ones_own_is_as_sent(bare):
    with bare.connect() as c:
        values, _ = bare.shown(c.get("/", "Frob"))
    assert values["REQUEST_METHOD"] == "Frob"


# ---- the path (6, 8) ---------------------------------------------------------

@pytest.mark.parametrize("raw, path", [
    ("/%C3%A9", "/\xc3\xa9"), ("/a%2Fb", "/a/b"), ("//x", "//x"),
    ("/a/../b", "/a/../b"), ("/%41%ff", "/A\xff"), ("/a;p=1", "/a;p=1"),
    ("/%25", "/%"),
])
def test_path_info_is_decoded_once(web, raw, path):
    values, _ = web.environ(raw)
    assert values["PATH_INFO"] == path
    assert values["SCRIPT_NAME"] == web.mount


def test_a_target_in_absolute_form_is_a_path(bare):
    values, _ = bare.shown(bare_send(
        bare, "GET http://name:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n"))
    assert values["PATH_INFO"] == "/p"
    assert values["QUERY_STRING"] == "q"


def test_host_is_that_of_the_target_in_absolute_form(bare):
    """Else who routes by one and who checks the other differ."""
    values, _ = bare.shown(bare_send(
        bare, "GET http://name:81/p HTTP/1.1\r\nHost: other\r\n\r\n"))
    assert values["HTTP_HOST"] == "name:81"


def bare_send(bare, text):
    with bare.connect() as c:
        return c.send(text).response()


@pytest.mark.parametrize("target, path", [
    ("*", "*"), ("http://h", "*"), ("http://h/", "/"), ("http://h?", "/")])
def test_options_of_the_server_is_a_star(bare, target, path):
    values, _ = bare.shown(bare_send(
        bare, f"OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
    assert values["PATH_INFO"] == path
    assert values["REQUEST_URI"] == target


def test_a_nul_in_the_path_is_400(web):
    assert web.get("a%00b").status == 400


@pytest.mark.parametrize("target, script, path", [
    ("/validated", "/validated", ""),
    ("/validated/", "/validated", "/"),
    ("/validated/x", "/validated", "/x"),
    ("/validatedx", "", "/validatedx"),
    ("/", "", "/"),
])
def test_the_mount_is_script_name(bare, target, script, path):
    values, _ = bare.environ(target)
    assert (values["SCRIPT_NAME"], values["PATH_INFO"]) == (script, path)


# ---- who and where (14, 15) --------------------------------------------------

def test_no_client_says_where_the_script_ends(web):
    """gunicorn 22.0 #2650: it moved the path past the rules of proxies."""
    with web.connect() as c:
        values, _ = web.shown(c.get(web.target() + "/admin/x", **{
            "SCRIPT-NAME": "/admin", "X: y\r\nSCRIPT_NAME": "/admin",
            "X: y\r\nPATH_INFO": "/public", "Path-Info": "/public",
            "X-Script-Name": "/admin", "X-Forwarded-Prefix": "/admin"}))
    whole = values["SCRIPT_NAME"] + values["PATH_INFO"]
    assert values["SCRIPT_NAME"] == web.mount and whole.endswith("/admin/x")


def test_remote_addr_is_the_peer(web):
    with web.connect() as c:
        values, _ = web.shown(c.get(web.target()))
        if web.unix:
            assert values["REMOTE_ADDR"] == ""
            assert "REMOTE_PORT" not in values
        else:
            assert (values["REMOTE_ADDR"], int(values["REMOTE_PORT"])) == \
                c.sock.getsockname()


def test_server_name_and_port_are_where_it_listens(web):
    values, _ = web.environ()
    if web.unix:  # Host: test
        assert (values["SERVER_NAME"], values["SERVER_PORT"]) == ("test", "80")
    else:
        assert (values["SERVER_NAME"], int(values["SERVER_PORT"])) == \
            web.address


@pytest.mark.parametrize("host, name, port", [
    ("example.com", "example.com", "80"),
    ("example.com:8080", "example.com", "8080"),
    ("[::1]:81", "[::1]", "81"), ("[::1]", "[::1]", "80"),
    ("example.com:", "example.com", "80"),
])
def test_over_a_unix_socket_the_host_header_names_the_server(
        wsgi_servers, host, name, port):
    with Client(wsgi_servers.address(1, True)) as c:
        c.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
        text = c.response().body.decode()
    assert f'"SERVER_NAME": ["str", "{name}"]' in text
    assert f'"SERVER_PORT": ["str", "{port}"]' in text


def test_without_a_host_there_is_still_a_name(wsgi_servers):
    with Client(wsgi_servers.address(1, True)) as c:
        c.send("GET / HTTP/1.0\r\n\r\n")
        text = c.response().body.decode()
    assert '"SERVER_NAME": ["str", "localhost"]' in text
    assert '"SERVER_PORT": ["str", "80"]' in text


@pytest.mark.parametrize("bind, connect, name", [
    ("0.0.0.0:0", "127.0.0.1", "name"), ("[::]:0", "::1", "name"),
    ("[::1]:0", "::1", "::1"),
])
def test_a_wildcard_has_the_name_the_client_uses(start, bind, connect, name):
    s = start({"server": {"workers": 1, "bind": bind}, "app:a": app()},
              ready=1)
    port = s.address[1]
    with Client((connect, port)) as c:
        c.send("GET / HTTP/1.1\r\nHost: name:1234\r\n\r\n")
        text = c.response().body.decode()
    assert f'"SERVER_NAME": ["str", "{name}"]' in text
    assert f'"SERVER_PORT": ["str", "{port}"]' in text
    assert f'"REMOTE_ADDR": ["str", "{connect}"]' in text
