"""What make bench-wsgi serves: a bare WSGI application and one in Flask."""
import time

import flask

TEXT = [("Content-Type", "text/plain")]


def hello(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(0.05)
    if environ["PATH_INFO"] == "/long":
        time.sleep(2)
    start_response("200 OK", TEXT)
    return [b"Hello, World!"]


shop = flask.Flask(__name__)


@shop.get("/")
def index():
    return "Hello, World!"


@shop.get("/fibonacci")
def fibonacci():
    numbers, a, b = [], 0, 1
    for _ in range(1000):
        numbers.append(a)
        a, b = b, a + b
    return flask.jsonify(numbers)
