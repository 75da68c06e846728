"""A shop in Flask: pages, a JSON API, a cart in the session, photos that are
uploaded and downloaded, exports that stream.  Its data lives in SHOP_DATA."""
import os
import pathlib

import flask

from . import api, db, files, pages, streams

EDITION = "first"  # the tests change it on disk


def create_app():
    app = flask.Flask(__name__)
    app.config.from_prefixed_env("SHOP")
    app.config["DATA"] = pathlib.Path(app.config["DATA"])
    app.logger.setLevel("INFO")
    app.teardown_appcontext(db.close)
    for part in api, files, pages, streams:
        app.register_blueprint(part.blueprint)
    db.create(app)

    @app.context_processor
    def for_all_pages():
        return {"edition": EDITION, "pid": os.getpid()}
    return app
