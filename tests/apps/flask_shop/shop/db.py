"""SQLite: a connection a request."""
import contextlib
import sqlite3

import flask

SCHEMA = """
CREATE TABLE IF NOT EXISTS product (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,
    cents INTEGER NOT NULL CHECK (cents >= 0), photo TEXT);
INSERT OR IGNORE INTO product VALUES
    (1, 'teapot', 4180, NULL), (2, 'Tässchen ☕', 950, NULL);
"""


def open_file(app):
    connection = sqlite3.connect(app.config["DATA"] / "shop.db", timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


def create(app):
    with contextlib.closing(open_file(app)) as connection:
        connection.executescript(SCHEMA)


def get():
    if "db" not in flask.g:
        flask.g.db = open_file(flask.current_app)
    return flask.g.db


def close(_exception):
    connection = flask.g.pop("db", None)
    if connection is not None:
        connection.close()


def products():
    return get().execute("SELECT * FROM product ORDER BY id")


def product(number):
    row = get().execute(
        "SELECT * FROM product WHERE id = ?", (number,)).fetchone()
    return row or flask.abort(404, f"there is no product {number}")
