"""What the measured worker runs."""

from __future__ import annotations

import time
from typing import Any

import rota

app = rota.App(queue="bench")


@app.task
async def noop(payload: Any) -> None:
    """Nothing: what is left is the queue's own cost."""


@app.task
async def stamp(payload: float) -> float:
    """Seconds from the moment in the payload to the start of the handler."""
    return time.time() - payload
