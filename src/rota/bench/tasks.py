"""The program that the measured worker runs: copied beside the store, so that any Rota can run it."""

from __future__ import annotations

import time
from typing import Any

import rota

app = rota.App(queue="rota-bench")


@app.task
async def noop(payload: Any) -> None:
    """Nothing: what is left is the queue's own cost."""


@app.task(queue="rota-bench-pickup")
async def stamp(payload: float) -> float:
    """Seconds from the moment in the payload to the start of the handler."""
    return time.time() - payload
