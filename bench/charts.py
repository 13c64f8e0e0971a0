"""``python -m bench.charts``: how long figures over time take, with a full day of them.

Writes a day of documents for 50 queues of 5 types each, as a server writes them, starts a server on that
store and asks for charts over one connection: the first time, and then again and again. Each should answer
within 100 ms. ``--peer FOLDER`` asks the server of another checkout for the same.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import random
import signal
import sys
import tempfile
import time
import zlib
from pathlib import Path

from bench.lists import GOAL, serve
from rota.core.meter import Tally
from rota.core.series import COARSE, FINE, Depth, add, written
from rota.engines.open import open_engine
from rota.model.clock import HOUR, MINUTE, SECOND
from rota.model.job import Note

QUEUES, TYPES, DAY = 50, 5, 24 * 60
CHARTS = {
    "5 minutes, all": "resolution=5s&last=300",
    "5 minutes, each queue": "resolution=5s&last=300&group=queue",
    "5 minutes, one queue": "resolution=5s&last=300&queue=queue-7",
    "1 hour, all": "last=3600",
    "1 hour, all, 5 s": "resolution=5s&last=3600",
    "1 hour, each queue": "last=3600&group=queue",
    "1 hour, one queue": "last=3600&queue=queue-7",
    "1 hour, each type": "last=3600&group=type",
    "24 hours, all": "last=86400",
    "24 hours, each queue": "last=86400&group=queue",
    "24 hours, one queue": "last=86400&queue=queue-7",
    "24 hours, each type": "last=86400&group=type",
    "24 hours, one type": "last=86400&type=type-3",
}


def tally(chance: random.Random) -> Tally:
    """What a busy minute of one kind of job may have been: times over some 20 buckets."""
    jobs = chance.randint(20, 200)
    waits, runs = ({}, {})  # type: dict[int, int], dict[int, int]
    for buckets, middle in ((waits, 75), (runs, 110)):
        for _ in range(jobs):
            number = int(chance.gauss(middle, 6))
            buckets[number] = buckets.get(number, 0) + 1
    failed = chance.randint(0, 2)
    return Tally(jobs, jobs - failed, failed, 0, chance.randint(0, 3), waits, runs)


def depths(chance: random.Random, at: int) -> dict[str, Depth]:
    return {
        f"queue-{number}": Depth(chance.randint(0, 500), 3, 10, at - chance.randint(0, HOUR))
        for number in range(QUEUES)
    }


async def build(path: Path) -> None:
    """The documents of a day up to now; those of the last hour with their intervals of 5 seconds."""
    engine = await open_engine(f"sqlite:///{path}")
    chance = random.Random(7)
    some = [tally(chance) for _ in range(200)]
    now = time.time_ns() // 1000
    first = now - now % MINUTE - DAY * MINUTE
    kinds = [(f"queue-{n}", f"type-{t}") for n in range(QUEUES) for t in range(TYPES)]
    for minute in range(first, now - now % MINUTE, MINUTE):
        depth = depths(chance, minute)
        key = f"{minute // SECOND:012d}-bench-000001"
        notes = []
        total: dict[tuple[str, str], Tally] = {kind: chance.choice(some) for kind in kinds}
        if minute >= now - 2 * HOUR:
            fine = []
            total = {kind: Tally(waits={}, runs={}) for kind in kinds}
            for start in range(minute, minute + MINUTE, FINE):
                tallies = {kind: chance.choice(some) for kind in chance.sample(kinds, 100)}
                for kind, one in tallies.items():
                    add(total[kind], one)
                fine.append(written(start, start + FINE, depth, tallies))
            notes.append(Note("series-5s", key, zlib.compress(b"[" + b",".join(fine) + b"]")))
        body = b"[" + written(minute, minute + COARSE, depth, total) + b"]"
        await engine.save([*notes, Note("series-1m", key, body)])
    up = b'{"since":%d,"until":%d}' % (first, now)
    await engine.save([Note("series-up", f"{first // SECOND:012d}-bench", up)])
    await engine.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.charts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--peer", type=Path, help="another checkout, whose server is asked")
    options = parser.parse_args()
    python = sys.executable if options.peer is None else str(options.peer.resolve() / ".venv/bin/python")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "charts.db"
        asyncio.run(build(path))
        server, host, port = serve(f"sqlite:///{path}", python)
        try:
            return measure(http.client.HTTPConnection(host, port), options.rounds)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def measure(connection: http.client.HTTPConnection, rounds: int) -> int:
    over = 0
    print(f"{'chart':28}{'first ms':>10}{'p50 ms':>10}{'p95 ms':>10}{'kB':>8}")
    for name, query in CHARTS.items():
        times, size = [], 0
        for _ in range(rounds + 1):
            started = time.perf_counter()
            connection.request("GET", "/v1/stats?" + query)
            answer = connection.getresponse()
            size = len(answer.read())
            assert answer.status == 200, (query, answer.status)
            times.append((time.perf_counter() - started) * 1000)
        again = sorted(times[1:])
        p50, p95 = again[len(again) // 2], again[int((len(again) - 1) * 0.95)]
        over += p95 > GOAL
        print(f"{name:28}{times[0]:10.1f}{p50:10.1f}{p95:10.1f}{size / 1000:8.0f}", flush=True)
    print(f"{len(CHARTS)} charts, {over} over {GOAL:g} ms")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
