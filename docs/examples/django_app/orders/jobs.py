"""The tasks; shop/worker.py makes them a worker."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections

import rota
from orders.models import Order

P = ParamSpec("P")
R = TypeVar("R")

app = rota.App(settings.ROTA_URL, token=settings.ROTA_TOKEN)


def with_database(function: Callable[P, R]) -> Callable[P, R]:
    """What Django does around each request: a connection that broke, or is too old, is not used again."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return call


@app.task(retries=5, timeout=60)
@with_database
def send_receipt(ctx: rota.Context, order: int) -> str:
    """Takes the number of the order, not the order: the worker reads what is true when it runs."""
    found = Order.objects.get(pk=order)
    ctx.progress(0.5, f"writing to {found.email}")
    Order.objects.filter(pk=order).update(receipt=f"sent to {found.email} by job {ctx.id}")
    return found.email


@app.task(process=True)
@with_database
def count_orders() -> int:
    """In a process of its own, for what keeps a processor busy."""
    return Order.objects.count()
