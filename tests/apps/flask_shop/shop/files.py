"""Photos of products: uploaded as a form, downloaded as they are; and a body
that is read while it is counted."""
import hashlib

import flask
from flask import current_app, jsonify, request
from werkzeug.utils import secure_filename

from . import db

blueprint = flask.Blueprint("files", __name__)
BLOCK = 65536


@blueprint.post("/photos/<int:number>")
def upload(number):
    db.product(number)
    photo = request.files["photo"]
    name = secure_filename(photo.filename)
    photo.save(current_app.config["DATA"] / name)
    with db.get() as transaction:
        transaction.execute("UPDATE product SET photo = ? WHERE id = ?",
                            (name, number))
    return jsonify(name=name, title=request.form["title"],
                   type=photo.mimetype), 201


@blueprint.get("/photos/<int:number>")
def download(number):
    name = db.product(number)["photo"] or flask.abort(404)
    return flask.send_file(current_app.config["DATA"] / name,
                           as_attachment="save" in request.args)


@blueprint.put("/digest")
def digest():
    found, size = hashlib.sha256(), 0
    while block := request.stream.read(BLOCK):
        found.update(block)
        size += len(block)
    return jsonify(sha256=found.hexdigest(), size=size,
                   length=request.content_length,
                   coding=request.headers.get("Transfer-Encoding"))
