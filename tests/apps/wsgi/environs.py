"""What an application is told of a request."""
import json

from helpers import TEXT, say


def show(environ, start_response):
    """All of it, with the exact types."""
    start_response("200 OK", TEXT[:])
    told = {k: [type(v).__name__, v if isinstance(v, (str, bool)) else repr(v)]
            for k, v in environ.items()}
    told["environ"] = [type(environ).__name__, len(environ)]
    return [json.dumps(told).encode()]


def spoil(environ, start_response):
    """Nothing that an application does to its environ is seen by the next."""
    body = say(start_response, "spoiled")
    environ["left.behind"] = "x"
    environ["wsgi.version"] = "spoiled"
    environ["SERVER_NAME"] = "spoiled"
    environ["HTTP_HOST"] = "spoiled"
    return body
