"""Tasks and a worker that write everything down for :mod:`tests.crash.judge`: ``rota work
tests.crash.noted:app``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec

import rota
from rota.model.protocol import Answer, Ending
from rota.sdk.poll import PollSource
from rota.sdk.socket import SocketSource
from tests.crash.history import History

app = rota.App()
history = History(Path(os.environ["TEST_HISTORY"]))
by = os.environ["TEST_NAME"]


class Flop(Exception):
    """What a handler fails with; its text is the run."""


def began(ctx: rota.Context, key: str) -> dict[str, Any]:
    """Note the beginning; the result that goes with this run."""
    run = os.urandom(6).hex()
    history.note("began", id=ctx.id, key=key, attempt=ctx.attempt, run=run, by=by)
    return {"key": key, "attempt": ctx.attempt, "run": run}


def ended(ctx: rota.Context, result: dict[str, Any]) -> dict[str, Any]:
    history.note("ended", id=ctx.id, **result, by=by)
    return result


@app.task
async def quick(ctx: rota.Context, key: str, later: bool = False) -> dict[str, Any]:
    """Done at once."""
    return ended(ctx, began(ctx, key))


@app.task
async def pause(ctx: rota.Context, key: str, ms: int) -> dict[str, Any]:
    """Takes a while, as whoever waits for a network."""
    result = began(ctx, key)
    await asyncio.sleep(ms / 1000)
    return ended(ctx, result)


@app.task
def block(ctx: rota.Context, key: str, ms: int) -> dict[str, Any]:
    """The same in a thread, which nobody can stop."""
    result = began(ctx, key)
    time.sleep(ms / 1000)
    return ended(ctx, result)


@app.task
async def flop(ctx: rota.Context, key: str, later: bool) -> dict[str, Any]:
    """Fails the first time."""
    result = began(ctx, key)
    if ctx.attempt == 1:
        raise Flop(result["run"])
    return ended(ctx, result)


def _run(ending: Ending) -> str | None:
    """Whose report this is, if it says."""
    if ending.end == "done" and isinstance(ending.result, msgspec.Raw):
        return str(json.loads(bytes(ending.result))["run"])
    if ending.end == "failed" and ending.error is not None:
        return ending.error.message
    return None


def _noting(source: Any) -> None:
    """Reports of this kind of source are written down before they go out, and once they are answered."""
    finish = source.finish

    async def noted(self: Any, outcomes: list[Ending]) -> list[Answer]:
        for one in outcomes:
            history.note("reported", id=one.id, lease=one.lease, end=one.end, run=_run(one), by=by)
        answers: list[Answer] = await finish(self, outcomes)
        for answer in answers:
            history.note("answered", id=answer.id, lease=answer.lease, applied=answer.applied, by=by)
        return answers

    source.finish = noted


_noting(SocketSource)
_noting(PollSource)
