"""Reads the whole body, as tests/modules/mod_bigbody.c does: its length."""


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % len(body)]
