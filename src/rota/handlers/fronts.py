"""What the server's own workers do with the jobs of the older interfaces while nobody else serves them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from rota.handlers.sleep import pause
from rota.sdk.app import App
from rota.sdk.context import Context


class JqgoPayload(msgspec.Struct, frozen=True):
    """A job as JobQueueGo's clients send it; ``duration`` in seconds."""

    type: str = ""
    duration: int = 0
    input: str = ""
    attempts: int = 0


class Timed(msgspec.Struct, frozen=True):
    """A task of the parallel queue; ``ms`` below 0 ends at once."""

    id: str
    ms: int


PROGRAMS = ("program_zip", "execurl")
"""Types of JobQueueGo that the stand-in leaves to workers that can run programs."""


def jqgo() -> App:
    """Sleeps, hashes, and knows no other type, with the texts that its own worker gives."""
    app = App(queue="jqgo")

    @app.task(name="sleep")
    async def sleep(ctx: Context, payload: JqgoPayload) -> str:
        await pause(ctx, payload.duration)
        return f"Slept for {payload.duration} seconds"

    @app.task(name="hash")
    async def fake_hash(payload: JqgoPayload) -> str:
        return f"fakehash({payload.input})"

    @app.fallback
    async def unknown(payload: Any) -> str:
        return "Unknown job type"

    return app


def jobq(seconds: float) -> App:
    """Works for so long."""
    app = App(queue="jobq")

    @app.task(name="jobq")
    async def work(ctx: Context, payload: Any) -> None:
        await pause(ctx, seconds)

    return app


def jobsapi(seconds: float, build: Callable[[], App]) -> App:
    """The built-in handlers for the types they know; any other takes so long. All say the same in the end."""
    # Imported where used: with this front switched off, nobody needs an SMTP client and all the rest.
    from rota.handlers import variants

    app = App(queue="jobsapi")
    known = build().tasks
    for name, kind in variants.KINDS.items():
        app.task(name=name)(variants.handler(kind, known.get(kind.type)))

    @app.fallback
    async def process(ctx: Context, payload: Any) -> str:
        await pause(ctx, seconds)
        return variants.processed(ctx)

    return app


def pqexec() -> App:
    """Sleeps. A second task of an id, which nobody gets but from somebody's hand, waits for the first."""
    app = App(queue="pqexec")
    active: dict[str, asyncio.Event] = {}

    @app.task(name="pqexec")
    async def work(ctx: Context, payload: Timed) -> None:
        while payload.id in active:
            await active[payload.id].wait()
        ended = active[payload.id] = asyncio.Event()
        try:
            await pause(ctx, max(0, payload.ms) / 1000)
        finally:
            del active[payload.id]
            ended.set()

    return app
