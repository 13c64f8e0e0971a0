"""The web side. Its server: flask --app shop run, or gunicorn 'shop:create_app()'"""

import os
import uuid
from pathlib import Path

import jobs
from flask import Flask, redirect, render_template_string, request

import rota

FORM = """
<form method="post" action="/orders">
  <input type="hidden" name="once" value="{{ once }}">
  <input name="item"> <button>Order</button>
</form>
"""
ORDER = """
{% if job.state == "running" or job.state == "pending" %}<meta http-equiv="refresh" content="1">{% endif %}
<p>Your invoice is {{ job.state }}.</p>
{% if job.progress %}<progress value="{{ job.progress.value }}"></progress>{% endif %}
{% if job.state == "done" %}<p>It is in {{ job.value }}.</p>{% endif %}
"""


def create_app() -> Flask:
    web = Flask(__name__)
    web.config["INVOICES"] = os.environ.get("INVOICES", "invoices")
    Path(web.config["INVOICES"]).mkdir(exist_ok=True)

    @web.get("/")
    def form() -> str:
        """The key is made with the form: however often the button is pressed, there is one order."""
        return render_template_string(FORM, once=uuid.uuid4())

    @web.post("/orders")
    def order() -> object:
        once = jobs.invoice.options(idempotency_key=f"order:{request.form['once']}", tags=["invoices"])
        return redirect(f"/orders/{once.enqueue(request.form['item']).id}", 303)

    @web.get("/orders/<job>")
    def show(job: str) -> str:
        return render_template_string(ORDER, job=jobs.app.handle(job).status())

    @web.get("/prices/<item>")
    def price(item: str) -> dict[str, int]:
        """Waiting keeps a thread of the web server busy: only for what takes a moment, and not for long."""
        return {"cents": jobs.price.enqueue(item).result(timeout=5)}

    @web.errorhandler(rota.RotaError)
    def told(error: rota.RotaError) -> tuple[str, int]:
        return error.detail, error.status

    return web
