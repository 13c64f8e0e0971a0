"""``python -m bench.old_transaction``: what it costs that somebody keeps an old transaction open.

Nothing that died since can be cleaned away then. On a PostgreSQL of its own, as durable as it comes, two
databases are served by turns of a hundred jobs each (stored, claimed, finished, at full speed), so that
whatever else goes on on this machine meets both: one of them with a REPEATABLE READ transaction that has
read something and stays open for the whole run, one without. With ``--server`` the whole of it, one run after
the other: ``rota bench``, jobs stored and run at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from typing import Any

import asyncpg
import msgspec

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import SECOND
from rota.model.job import Ask, Outcome, Request, State
from rota.model.spec import JobSpec, Limits, new_job
from tests import postgres

BATCH = 100
AHEAD = 1000
"""Jobs that wait at any time."""
BLOCK = 20
"""Turns that are put together."""
_LIMITS, _SPEC = Limits(), JobSpec(type="work", payload=msgspec.Raw(b'{"n":1}'), delay=None)


async def empty(url: str) -> None:
    """Begin with nothing: no rows, dead ones neither."""
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA IF EXISTS rota CASCADE")
    await connection.close()


async def hold(url: str) -> asyncpg.Connection:
    """An old transaction."""
    connection = await asyncpg.connect(url)
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await connection.fetch("SELECT count(*) FROM rota.migrations")
    return connection


class Side:
    """One of the two databases."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.spent: dict[str, float] = defaultdict(float)
        self.blocks: list[float] = []
        """Seconds for each block of turns."""

    async def store(self, jobs: int) -> None:
        at = time.time_ns() // 1000
        new = tuple(new_job(_SPEC, at, _LIMITS) for _ in range(jobs))
        await self._timed("enqueue", self.engine.enqueue([Request(new)], at))

    async def turn(self) -> None:
        """A hundred jobs."""
        await self.store(BATCH)
        at = time.time_ns() // 1000
        ask = Ask("w", ("default",), None, BATCH)
        [works] = await self._timed("claim", self.engine.claim([ask], at + 15 * SECOND, at))
        assert len(works) == BATCH
        ends = [
            Outcome(id=one.id, lease=one.lease, state=State.DONE, end="done", result=b"1") for one in works
        ]
        await self._timed("finish", self.engine.finish(ends, at))

    async def _timed(self, name: str, call: Any) -> Any:
        started = time.perf_counter()
        answer = await call
        took = time.perf_counter() - started
        self.spent[name] += took
        if self.blocks:
            self.blocks[-1] += took
        return answer


async def alone(urls: tuple[str, str], seconds: float) -> list[Side]:
    """Both by turns; the second one with an old transaction."""
    sides = []
    for url in urls:
        await empty(url)
        sides.append(Side(await open_engine(url)))
    old = await hold(urls[1])
    for side in sides:
        await side.store(AHEAD)
        side.spent.clear()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for side in sides:
            side.blocks.append(0.0)
        for n in range(BLOCK):
            for side in sides if n % 2 else sides[::-1]:
                await side.turn()
    for side in sides:
        await side.engine.close()
    await old.close()
    return sides


def whole(url: str, scale: float, held: bool) -> float:
    """Jobs per second of a server, stored and run at once."""
    asyncio.run(empty(url))
    command = [sys.executable, "-m", "rota"]
    subprocess.run([*command, "migrate", "--store", url], check=True, capture_output=True)

    async def run() -> float:
        old = await hold(url) if held else None
        flags = ["--store", url, "--only", "both", "--scale", str(scale), "--json"]
        process = await asyncio.create_subprocess_exec(
            *command, "bench", *flags, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        said, _ = await process.communicate()
        if old is not None:
            await old.close()
        figures = json.loads(said)["figures"]
        return float(figures["both_rate"]["value"])

    return asyncio.run(run())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.old_transaction", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the engine alone")
    parser.add_argument("--server", type=int, default=0, metavar="PAIRS", help="measure a server, too")
    parser.add_argument("--scale", type=float, default=3.0, help="so many times the work of rota bench")
    options = parser.parse_args()
    with postgres.Cluster(durable=True, shared_buffers="128MB") as cluster:
        urls = cluster.database("free"), cluster.database("held")
        free, held = asyncio.run(alone(urls, options.seconds))
        jobs = BLOCK * BATCH
        for name, side in (("without", free), ("with", held)):
            verbs = ", ".join(
                f"{verb} {took / jobs / len(side.blocks) * 1e6:.1f}" for verb, took in side.spent.items()
            )
            print(f"{name:8}{jobs * len(side.blocks) / sum(side.blocks):8.0f} jobs/s; µs per job: {verbs}")
        ratios = [a / b for a, b in zip(free.blocks, held.blocks, strict=True)]
        part = max(1, len(ratios) // 6)
        steps = " ".join(
            f"{sum(free.blocks[n : n + part]) / sum(held.blocks[n : n + part]):.2f}"
            for n in range(0, len(ratios), part)
        )
        print(
            f"with / without: {sum(free.blocks) / sum(held.blocks):.3f}, "
            f"median of all stretches {statistics.median(ratios):.3f}"
        )
        print(f"{len(ratios) * jobs:,} jobs each; as the run went on: {steps}")
        served = []
        for turn in range(options.server):
            order = (False, True) if turn % 2 == 0 else (True, False)
            each = {held: whole(urls[0], options.scale, held) for held in order}
            print(f"server: without {each[False]:.0f}, with {each[True]:.0f} jobs/s", flush=True)
            served.append(each[True] / each[False])
        if served:
            print(f"server, with / without: {statistics.median(served):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
