"""A page with the first 1000 Fibonacci numbers."""
import flask

app = flask.Flask(__name__)


def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        yield a
        a, b = b, a + b


@app.get("/")
def page():
    return flask.render_template_string(
        "<!doctype html><title>Fibonacci</title><ol>"
        "{% for n in numbers %}<li>{{ n }}{% endfor %}</ol>",
        numbers=fibonacci(1000))
