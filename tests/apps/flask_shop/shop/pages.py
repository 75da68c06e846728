"""What people see, with a cart in the session."""
import flask
from flask import redirect, render_template, request, session, url_for

from . import db

blueprint = flask.Blueprint("pages", __name__)


@blueprint.get("/")
def shelf():
    return render_template("shelf.html", products=db.products())


@blueprint.post("/cart")
def put_in_cart():
    product = db.product(request.form.get("product", type=int))
    cart = session.setdefault("cart", {})
    cart[str(product["id"])] = cart.get(str(product["id"]), 0) + 1
    session.modified = True
    flask.flash(f"{product['name']} is in your cart")
    return redirect(url_for(".cart"), 303)


@blueprint.get("/cart")
def cart():
    lines = [(db.product(int(number)), count)
             for number, count in session.get("cart", {}).items()]
    total = sum(product["cents"] * count for product, count in lines)
    return render_template("cart.html", lines=lines, total=total)


@blueprint.get("/crash")
def crash():
    flask.current_app.logger.warning("about to crash: ☠")
    raise RuntimeError("the shelf fell down")
