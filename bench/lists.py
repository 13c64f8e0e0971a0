"""``python -m bench.lists``: how long lists, counts and single reads take over a full store.

Builds a store of a million ended and 100,000 pending jobs (``--keep FILE`` keeps it for next time), starts
a server on it and sends every request some times over one connection. All should answer within 100 ms.
``--postgres`` does so on a PostgreSQL of its own, ``--only TEXT`` asks just what has this in its name.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from rota.engines.open import open_engine
from rota.model.clock import SECOND, to_text
from rota.model.failure import cause
from rota.model.job import Ask, Match, NewJob, Outcome, Request, State
from rota.model.spec import JobSpec, Limits, new_job
from tests.postgres import Cluster

BATCH = 5000
START = 1_790_000_000 * SECOND
STEP = SECOND // 2
"""Between two jobs."""
GOAL = 100.0


class Query(NamedTuple):
    """A request by a name for people."""

    name: str
    method: str
    path: str
    body: dict[str, Any] | None = None


def made(number: int, now: int) -> NewJob:
    """Mostly the same few kinds, with some rare ones far back."""
    chance = random.Random(number)
    type, queue = chance.choice(("mail", "resize", "charge")), chance.choice(("default", "bulk"))
    if number % 20_000 == 7:
        type = "rare"
    if 3000 <= number < 3050:
        queue = "old"
    tags = [f"customer-{number % 5000}"] + (["hot"] if number % 2 else []) + (["vip"] * (number == 4321))
    payload = {
        "user": {"id": number % 100_000, "mail": f"somebody-{number % 5000}@example.com"},
        "trace": f"{chance.getrandbits(128):032x}",
        "items": [{"sku": f"s-{number % 777}", "price": 12.5, "note": "of no interest"}] * 2,
        "vip": number == 4321,
    }
    spec = JobSpec(
        type=type,
        queue=queue,
        tags=tuple(tags),
        retention=86400 * 3000,
        delay=None,
        payload=msgspec.Raw(json.dumps(payload).encode()),
    )
    return new_job(spec, now, Limits())


async def build(store: str, ended: int, pending: int) -> None:
    """A store in which one job in ten failed and one in twenty was cancelled."""
    engine = await open_engine(store)
    for first in range(0, ended + pending, BATCH):
        now = START + first * STEP
        jobs = tuple(made(first + n, now + n * STEP) for n in range(BATCH))
        await engine.enqueue([Request(jobs)], now)
        if first >= ended:
            continue
        gone = tuple(job.id for job in jobs[::20])
        await engine.cancel(Match(ids=gone), "cancelled", now, BATCH)
        worker = f"worker-{first // 100_000}"
        ask = Ask(worker, ("default", "bulk", "old"), None, BATCH)
        [claimed] = await engine.claim([ask], now + 60 * SECOND, now)
        outcomes = []
        for n, work in enumerate(claimed):
            if n % 10 == 3:
                error = json.dumps(failure(n, first)).encode()
                why = cause(work.type, error, "attempts_used_up")
                outcomes.append(
                    Outcome(
                        id=work.id,
                        lease=work.lease,
                        state=State.FAILED,
                        end="failed",
                        error=error,
                        cause=why,
                    )
                )
            else:
                outcomes.append(Outcome(id=work.id, lease=work.lease, state=State.DONE, end="done"))
        await engine.finish(outcomes, now + SECOND)
        if first % 100_000 == 0:
            print(f"building: {first:,} jobs", file=sys.stderr)
    await engine.close()


def failure(number: int, first: int) -> dict[str, str]:
    """Errors as programs make them; one of them was seen but once."""
    message = "the printer is on fire" if (number, first) == (13, 0) else f"it did not work, {number} times"
    frames = "".join(f'  File "app/part{n}.py", line {n}, in step\\n    call()\\n' for n in range(12))
    traceback = f"Traceback (most recent call last):\\n{frames}E: {message}"
    return {"type": f"E{number % 7}", "message": message, "traceback": traceback}


def queries(get: Any, total: int) -> Iterator[Query]:
    """Every filter alone, pairs of them, what is not there, deep pages, and everything else that reads."""
    newest = get("/v1/jobs?limit=1")["jobs"][0]["id"]
    prints = get("/v1/failures")["failures"]
    middle = to_text(START + total // 2 * STEP)
    single = {
        "all": {},
        "state done": {"state": "done"},
        "state failed": {"state": "failed"},
        "state cancelled": {"state": "cancelled"},
        "state pending": {"state": "pending"},
        "state running": {"state": "running"},
        "state scheduled": {"state": "scheduled"},
        "queue common": {"queue": "default"},
        "queue old": {"queue": "old"},
        "queue absent": {"queue": "none"},
        "type common": {"type": "mail"},
        "type rare": {"type": "rare"},
        "type absent": {"type": "none"},
        "tag common": {"tag": "hot"},
        "tag of 200": {"tag": "customer-77"},
        "tag of one": {"tag": "vip"},
        "tag absent": {"tag": "none"},
        "worker old": {"worker": "worker-0"},
        "worker absent": {"worker": "nobody"},
        "since middle": {"since": middle},
        "until middle": {"until": middle},
        "until early": {"until": to_text(START + 50 * STEP)},
        "since late": {"since": to_text(START + 2 * total * STEP)},
        "q type": {"q": "resi"},
        "q rare type": {"q": "rar"},
        "q tag": {"q": "vip"},
        "q tags": {"q": "customer-77"},
        "q id": {"q": newest[:30]},
        "q short id": {"q": newest[:3]},
        "q absent": {"q": "nothing like this"},
        "fingerprint": {"fingerprint": prints[0]["fingerprint"] if prints else "f"},
        "fingerprint absent": {"fingerprint": "000000000000"},
        "id": {"id": newest},
        "id short": {"id": newest[:7]},
        "id any": {"id": "0"},
        "id absent": {"id": "f"},
        "error common": {"error": "DID not"},
        "error once": {"error": "on fire"},
        "error absent": {"error": "nothing like this"},
        "payload of 11": {"payload": "user.id:77"},
        "payload common": {"payload": "items.0.price:12.5"},
        "payload once": {"payload": "vip:true"},
        "payload absent": {"payload": "user.id:77777777"},
        "payload text": {"payload": "user.mail:somebody-77@example.com"},
        "payload no such": {"payload": "nothing:here"},
    }
    many: dict[str, list[tuple[str, str]]] = {
        "queues": [("queue", "default"), ("queue", "old")],
        "types": [("type", "rare"), ("type", "mail"), ("type", "none")],
        "tags": [("tag", "hot"), ("tag", "customer-77")],
        "payloads": [("payload", "user.id:77"), ("payload", "items.1.sku:s-77")],
        "queues, types, tags, payload": [
            *(("queue", "default"), ("queue", "bulk"), ("type", "mail"), ("type", "charge")),
            *(("tag", "hot"), ("payload", "items.0.sku:s-77")),
        ],
    }
    for name, pairs in many.items():
        yield Query(name, "GET", "/v1/jobs?" + urlencode(pairs))
    for name, asked in single.items():
        yield Query(name, "GET", "/v1/jobs?" + urlencode(asked))
    names = [name for name in single if name != "all"]
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            both = single[one] | single[other]
            if not set(single[one]) & set(single[other]) and both.get("since", "") < both.get("until", "~"):
                yield Query(f"{one} + {other}", "GET", "/v1/jobs?" + urlencode(both))
    cursor = None
    for page in range(200):
        answer = get("/v1/jobs?limit=500" + (f"&cursor={cursor}" if cursor else ""))
        cursor = answer["cursor"]
        if page in (20, 199):
            for asked in ({}, {"state": "done"}, {"tag": "hot"}, {"queue": "bulk", "state": "failed"}):
                deep = urlencode({**asked, "cursor": cursor, "limit": 100})
                yield Query(f"page {page}: {asked or 'all'}", "GET", "/v1/jobs?" + deep)
    yield Query("one job", "GET", f"/v1/jobs/{newest}")
    for path in ("/v1/queues", "/v1/stats", "/v1/failures", "/v1/failures?queue=bulk", "/metrics"):
        yield Query(path, "GET", path)
    for name, asked in single.items():
        if asked.get("state") == "running":
            continue
        body = {"filter": asked, "dry_run": True} if asked else {"all": True, "dry_run": True}
        yield Query(f"count to delete: {name}", "POST", "/v1/jobs/delete", body)


def serve(store: str, python: str = sys.executable) -> tuple[subprocess.Popen[bytes], str, int]:
    command = [
        python,
        "-m",
        "rota",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        store,
    ]
    env = {**os.environ, "ROTA_LOG_FORMAT": "json", "ROTA_LOG_LEVEL": "info"}
    server = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
    assert server.stderr is not None
    for line in server.stderr:
        said = json.loads(line) if line.startswith(b"{") else {}
        if "url" in said:
            host, _, port = str(said["url"]).removeprefix("http://").partition(":")
            return server, host, int(port)
    raise RuntimeError("the server did not start")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.lists", description=__doc__)
    parser.add_argument("--ended", type=int, default=1_000_000)
    parser.add_argument("--pending", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--slow", type=float, default=0.0, help="show only what takes longer (p95, ms)")
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL instead of SQLite")
    parser.add_argument("--only", default="", help="only requests with this in their name")
    parser.add_argument("--keep", type=Path, help="the store, made if it is not there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgresql(options) as url:
        path = (options.keep or Path(folder) / "lists.db").resolve()
        store = url or f"sqlite:///{path}"
        if url or not path.exists():
            asyncio.run(build(store, options.ended, options.pending))
        server, host, port = serve(store)
        try:
            return measure(http.client.HTTPConnection(host, port), options)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


@contextlib.contextmanager
def postgresql(options: argparse.Namespace) -> Iterator[str | None]:
    """A cluster for this run, if it is asked for."""
    if not options.postgres:
        yield None
        return
    with Cluster() as cluster:
        yield cluster.url


def measure(connection: http.client.HTTPConnection, options: argparse.Namespace) -> int:
    def send(query: Query) -> Any:
        body = None if query.body is None else json.dumps(query.body)
        connection.request(query.method, query.path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (query, content)
        return json.loads(content) if not query.path.startswith("/metrics") else {}

    def get(path: str) -> Any:
        return send(Query("", "GET", path))

    asked = [one for one in queries(get, options.ended + options.pending) if options.only in one.name]
    over = 0
    print(f"{'request':56}{'p50 ms':>9}{'p95 ms':>9}  answer")
    for query in asked:
        times = []
        for _ in range(options.rounds):
            started = time.perf_counter()
            answer = send(query)
            times.append((time.perf_counter() - started) * 1000)
        times.sort()
        p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
        over += p95 > GOAL
        told = f"{answer['matched']:,}" if "matched" in answer else ""
        if "jobs" in answer:
            told = f"{len(answer['jobs'])} jobs"
        told += ", goes on" if answer.get("cursor") and len(answer.get("jobs", ())) < 50 else ""
        if p95 >= options.slow:
            print(f"{query.name:56}{p50:9.1f}{p95:9.1f}  {told}")
    print(f"{len(asked)} requests, {over} over {GOAL:g} ms")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
