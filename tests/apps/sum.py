"""Reads the whole body, as tests/modules/mod_bigbody.c does: its length."""


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    length = b"%d" % len(body)
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("Content-Length", str(len(length)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [length]
