"""``python -m bench.old_transaction``: what it costs that somebody keeps an old transaction open.

Nothing that died since can be cleaned away then. A PostgreSQL of its own is used, as durable as it comes; on
it, by turns, each time on an empty schema: the engine alone, at full speed (stored, claimed and finished in
hundreds), without and with a REPEATABLE READ transaction that has read something and stays open for the whole
run. With ``--server`` the whole of it: ``rota bench``, jobs stored and run at once.
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

from rota.engines.open import open_engine
from rota.model.clock import SECOND
from rota.model.job import Ask, Outcome, Request, State
from rota.model.spec import JobSpec, Limits, new_job
from tests import postgres

BATCH = 100
AHEAD = 1000
"""Jobs that wait at any time."""
BLOCKS = 12


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


async def alone(url: str, seconds: float, held: bool) -> tuple[list[float], dict[str, float]]:
    """Jobs per second of the engine, for each twelfth of the time; seconds in each verb."""
    await empty(url)
    engine = await open_engine(url)
    old = await hold(url) if held else None
    spent: dict[str, float] = defaultdict(float)
    limits, spec = Limits(), JobSpec(type="work", payload=msgspec.Raw(b'{"n":1}'), delay=None)

    def now() -> int:
        return time.time_ns() // 1000

    async def timed(name: str, call: Any) -> Any:
        started = time.perf_counter()
        try:
            return await call
        finally:
            spent[name] += time.perf_counter() - started

    async def store(jobs: int) -> None:
        at = now()
        await engine.enqueue([Request(tuple(new_job(spec, at, limits) for _ in range(jobs)))], at)

    await store(AHEAD)
    rates: list[float] = []
    began = time.perf_counter()
    for block in range(1, BLOCKS + 1):
        jobs, from_here = 0, time.perf_counter()
        while time.perf_counter() - began < seconds * block / BLOCKS:
            await timed("enqueue", store(BATCH))
            at = now()
            [works] = await timed(
                "claim", engine.claim([Ask("w", ("default",), None, BATCH)], at + 15 * SECOND, at)
            )
            ends = [
                Outcome(id=one.id, lease=one.lease, state=State.DONE, end="done", result=b"1")
                for one in works
            ]
            await timed("finish", engine.finish(ends, now()))
            jobs += len(works)
        rates.append(jobs / (time.perf_counter() - from_here))
    await engine.close()
    if old is not None:
        await old.close()
    return rates, spent


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
        return float(next(one["value"] for one in figures if one["name"] == "both"))

    return asyncio.run(run())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.old_transaction", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run of the engine alone")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs")
    parser.add_argument("--server", action="store_true", help="measure a server, too")
    parser.add_argument("--scale", type=float, default=3.0, help="so many times the work of rota bench")
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {"engine alone": [], "last third": [], "server": []}
    with postgres.Cluster(durable=True, shared_buffers="128MB") as cluster:
        url = cluster.database("old")
        for turn in range(options.rounds):
            order = (False, True) if turn % 2 == 0 else (True, False)
            rates: dict[bool, list[float]] = {}
            for held in order:
                rates[held], spent = asyncio.run(alone(url, options.seconds, held))
                shown = " ".join(f"{rate:.0f}" for rate in rates[held])
                each = statistics.fmean(rates[held]) * options.seconds
                verbs = ", ".join(f"{name} {took / each * 1e6:.1f}" for name, took in spent.items())
                print(f"{'with' if held else 'without':8}{shown} jobs/s; µs per job: {verbs}", flush=True)
            mean = {held: statistics.fmean(rates[held]) for held in rates}
            late = {held: statistics.fmean(rates[held][-BLOCKS // 3 :]) for held in rates}
            ratios["engine alone"].append(mean[True] / mean[False])
            ratios["last third"].append(late[True] / late[False])
            if options.server:
                served = {held: whole(url, options.scale, held) for held in order}
                print(f"server: without {served[False]:.0f}, with {served[True]:.0f} jobs/s", flush=True)
                ratios["server"].append(served[True] / served[False])
    for name, values in ratios.items():
        if values:
            each = " ".join(f"{value:.2f}" for value in values)
            print(f"{name:14}with / without: {statistics.median(values):.2f}  ({each})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
