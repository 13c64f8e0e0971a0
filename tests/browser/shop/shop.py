"""A small shop's jobs: something of everything that the dashboard shows."""

from __future__ import annotations

import random
import time

import rota

app = rota.App()


@app.task(queue="orders", retries=3)
def charge_card(ctx: rota.Context, order: int, amount: float) -> dict[str, object]:
    """Take the money of an order."""
    ctx.log(f"order {order}: {amount:.2f} EUR")
    time.sleep(random.uniform(0.02, 0.12))
    return {"order": order, "authorisation": f"A{order:08d}", "amount": amount}


@app.task(queue="orders", retries=0)
def print_label(order: int, address: dict[str, str]) -> str:
    """A label for the parcel of an order."""
    time.sleep(0.03)
    return f"{order}: {address['street']}, {address['postcode']} {address['city']}"


@app.task(queue="emails", retries=0)
def order_mail(order: int, to: str) -> str:
    """Tell a customer about an order."""
    time.sleep(random.uniform(0.01, 0.06))
    if "@" not in to:
        raise ValueError(f"{to!r} is no address")
    return f"sent to {to}"


@app.task(queue="reports", timeout=600)
def sales_report(ctx: rota.Context, year: int, days: int = 365) -> dict[str, int]:
    """All sales of a year, day by day."""
    for day in range(days):
        if day % 15 == 0:
            ctx.log(f"day {day + 1} of {days}")
            ctx.progress(day / days, f"day {day + 1} of {days}")
        time.sleep(0.06)
    return {"year": year, "days": days}
