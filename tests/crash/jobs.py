"""Tasks that write down what happens to them, for worker processes that are killed, frozen and drained."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import rota
from tests.crash.history import History

app = rota.App()
history = History(Path(os.environ["TEST_HISTORY"]))
folder = history.folder


def began(ctx: rota.Context, key: int, **more: Any) -> dict[str, Any]:
    """Note the beginning; the result that goes with this attempt."""
    history.note("began", id=ctx.id, key=key, attempt=ctx.attempt, **more)
    return {"key": key, "attempt": ctx.attempt}


def ended(ctx: rota.Context, key: int) -> None:
    history.note("ended", id=ctx.id, key=key, attempt=ctx.attempt)


@app.task
async def quick(ctx: rota.Context, key: int) -> dict[str, Any]:
    """Done at once."""
    result = began(ctx, key)
    ended(ctx, key)
    return result


@app.task
def hold(ctx: rota.Context, key: int, gate: str) -> dict[str, Any]:
    """Runs, in a thread that cannot be stopped, until there is a file named ``gate``."""
    result = began(ctx, key)
    while not (folder / gate).exists():
        time.sleep(0.01)
    ended(ctx, key)
    return result


@app.task
async def poison(ctx: rota.Context, key: int) -> None:
    """Takes its worker down with it."""
    began(ctx, key)
    os.kill(os.getpid(), signal.SIGKILL)
