"""Products as JSON."""
import sqlite3

import flask
from flask import jsonify, request
from werkzeug.exceptions import HTTPException

from . import db

blueprint = flask.Blueprint("api", __name__, url_prefix="/api")


@blueprint.errorhandler(HTTPException)
def error(e):
    return jsonify(error=e.description), e.code


@blueprint.get("/products")
def every():
    return jsonify([dict(row) for row in db.products()])


@blueprint.get("/products/<int:number>")
def one(number):
    return jsonify(dict(db.product(number)))


@blueprint.post("/products")
def add():
    try:
        with db.get() as transaction:
            number = transaction.execute(
                "INSERT INTO product (name, cents) VALUES (:name, :cents)",
                request.get_json()).lastrowid
    except sqlite3.Error as e:
        flask.abort(409, str(e))
    answer = jsonify(dict(db.product(number)))
    answer.status_code = 201
    answer.location = flask.url_for(".one", number=number, _external=True)
    return answer


@blueprint.delete("/products/<int:number>")
def remove(number):
    db.product(number)
    with db.get() as transaction:
        transaction.execute("DELETE FROM product WHERE id = ?", (number,))
    return "", 204
