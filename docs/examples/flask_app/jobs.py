"""The tasks. Their worker: rota work jobs:app"""

import time
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from flask import Flask, current_app

import rota

P = ParamSpec("P")
R = TypeVar("R")

app = rota.App()  # ROTA_URL and ROTA_TOKEN, or http://127.0.0.1:8080


@cache
def web() -> Flask:
    """The Flask application, in a worker: made when the first job needs it."""
    from shop import create_app

    return create_app()


def in_context(function: Callable[P, R]) -> Callable[P, R]:
    """For tasks that use current_app, or extensions such as Flask-SQLAlchemy: a context for each job."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with web().app_context():
            return function(*args, **kwargs)

    return call


@app.task(timeout=60)
@in_context
def invoice(ctx: rota.Context, item: str) -> str:
    for page in range(1, 4):
        ctx.progress(page / 3, f"page {page}")
        time.sleep(0.05)  # the real work
    # Named after the job: if it has to run again, it writes the same file.
    path = Path(current_app.config["INVOICES"]) / f"{ctx.id}.txt"
    path.write_text(f"1 {item}\n")
    return str(path)


@app.task
def price(item: str) -> int:
    return 100 * len(item)
