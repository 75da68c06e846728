"""Responses that are made while they are sent."""
import csv
import io

import flask
from flask import current_app, request, stream_with_context

from . import db

blueprint = flask.Blueprint("streams", __name__)


@blueprint.get("/export.csv")
def export():
    """Needs the request and the database until its last line."""
    def lines():
        text = io.StringIO()
        writer = csv.writer(text)
        for row in db.products():
            writer.writerow([row[c] for c in request.args.getlist("column")])
            yield text.getvalue()
            text.seek(text.truncate(0))
    return stream_with_context(lines()), {"Content-Type": "text/csv"}


def on_order(pipe):
    """A line for every byte that somebody writes to the pipe; "x" is the end,
    "!" an accident."""
    number = 0
    with open(pipe, "rb", buffering=0) as orders:
        try:
            yield "ready\n"
            while (order := orders.read(1)) != b"x":
                if order == b"!":
                    raise RuntimeError(f"no tick after {number}")
                number += 1
                yield f"tick {number}\n"
        finally:
            current_app.logger.info("ticks end after %d", number)


@blueprint.get("/ticks/<pipe>")
def ticks(pipe):
    return stream_with_context(on_order(current_app.config["DATA"] / pipe))
