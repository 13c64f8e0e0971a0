"""A user's program: an app that is imported globally, tasks that enqueue others, functions that enqueue."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import rota

app = rota.App()
outbox: list[tuple[str, int]] = []
charged: list[tuple[str, str]] = []
broken: list[Exception] = []
"""What the next calls of the payment provider raise."""


@app.task(queue="mail", tags=["mail"])
def welcome(ctx: rota.Context, user: int) -> str:
    ctx.log(f"to user {user}")
    outbox.append(("welcome", user))
    remind.options(delay=timedelta(days=3), unique_key=f"remind:{user}").enqueue(user)
    return f"welcome {user}"


@app.task(queue="mail")
async def remind(user: int) -> None:
    outbox.append(("remind", user))


@app.task(retries=3, retry=rota.Delays((3600, 86400, 3 * 86400)))
async def charge(ctx: rota.Context, order: str, cents: int = 100) -> dict[str, int]:
    if broken:
        raise broken.pop(0)
    charged.append((ctx.id, order))
    return {"cents": cents}


@app.task(timeout=60, retries=2)
async def render(ctx: rota.Context, path: str) -> str:
    ctx.progress(0.25, "reading")
    await asyncio.Event().wait()
    return path


@app.task
def poll(ctx: rota.Context, until: str) -> str:
    if ctx.now.isoformat() < until:
        ctx.snooze(timedelta(hours=1))
    return ctx.now.isoformat()


@app.task
def report(orders: list[str]) -> int:
    """Asks another job for its result, as a remote call."""
    return sum(charge.enqueue(order).result(timeout=30)["cents"] for order in orders)


@app.task(process=True)
def heavy(number: int) -> int:
    return number * 2


@app.task(process=True)
def whereabouts() -> int:
    return os.getpid()


@app.task(process=True, timeout=60, retries=0)
def spins(ctx: rota.Context) -> None:
    ctx.progress(0.1)
    while True:
        pass


def sign_up(user: int) -> None:
    """What a web handler would do."""
    welcome.enqueue(user)


async def asign_up(user: int) -> None:
    await welcome.aenqueue(user)


def clear() -> None:
    outbox.clear()
    charged.clear()
    broken.clear()
