"""The least a WSGI application can be: what a server itself costs.  uWSGI keeps
a connection only for an answer that says its length."""


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("Content-Length", "13")])
    return [b"Hello, World!"]
