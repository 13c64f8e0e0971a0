"""Servers and workers over one store that are killed and frozen at random, and a judge at the end: what
``python -m bench.chaos`` and a test run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.crash.fleet import START, Fleet, sound
from tests.crash.judge import Verdict
from tests.crash.kit import until

FREEZE = 0.25
"""The part of all shots that freeze somebody."""


def chaos(
    folder: Path,
    store: str,
    *,
    seed: int,
    seconds: float,
    servers: int,
    workers: int,
    every: float = 2.0,
    rate: float = 60.0,
    told: Callable[[str], object] = lambda line: None,
) -> Verdict:
    """So long, on an empty store at this URL. ``every``: seconds between two shots; ``rate``: jobs a second
    that clients send; ``told`` hears how it goes, four times a minute.
    """
    with Fleet(folder, store, servers=servers, workers=workers, seed=seed, rate=rate) as fleet:
        began = time.monotonic()
        with fleet.under_fire(every, FREEZE):
            while (left := began + seconds - time.monotonic()) > 0:
                # Whoever does not go on by itself is found within a minute, not in the end.
                fleet.more(1, START)
                pause = time.monotonic() + min(left, 15.0)
                until(lambda pause=pause: time.monotonic() >= pause, "the next line", START)  # type: ignore[misc]
                told(f"{time.monotonic() - began:5.0f} s: {summary(fleet)}")
        fleet.fault("the last shot")
        fleet.more()
        verdict = fleet.verdict()
        told(f"seed {seed}: {summary(fleet)}")
    sound(store)
    told(str(verdict))
    return verdict


def summary(fleet: Fleet) -> str:
    """How often who was shot at."""
    killed = [sum(member.kills for member in kind) for kind in (fleet.servers, fleet.workers)]
    return (
        f"{killed[0]} servers and {killed[1]} workers killed, {fleet.freezes} frozen, "
        f"{fleet.load.acked} requests acknowledged"
    )
