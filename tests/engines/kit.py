"""Short words for the tests of the engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from rota.engines.base import Engine
from rota.model.clock import DAY, SECOND
from rota.model.event import FEEDS, Feed
from rota.model.job import Ask, Claimed, Job, Kept, Key, Match, NewJob, Note, Outcome, Request, State
from rota.model.spec import UNIQUE_STATES, new_id
from tests import postgres

ENGINES = ["sqlite", "postgres"]
"""Every test that uses a store runs on each of them."""

NOW = 1_800_000_000 * SECOND
LEASE = 30 * SECOND
ANY = Match()
NOBODY = "00000000-0000-7000-8000-000000000000"
"""A well-formed id that no job has."""


def job(type: str = "work", *, now: int = NOW, delay: int = 0, **fields: Any) -> NewJob:
    """A job made at ``now`` that is due ``delay`` microseconds later."""
    given: dict[str, Any] = {
        "id": new_id(),
        "queue": "default",
        "state": State.SCHEDULED if delay > 0 else State.PENDING,
        "payload": b"null",
        "content_type": None,
        "headers": None,
        "priority": 0,
        "created_at": now,
        "run_at": now + delay,
        "expires_at": None,
        "timeout": None,
        "max_attempts": 10,
        "retry": None,
        "tags": (),
        "unique_key": None,
        "unique_states": UNIQUE_STATES if "unique_key" in fields else (),
        "retention": 7 * DAY,
    }
    return NewJob(type=type, **(given | fields))


def fresh(engine: str, folder: str | Path) -> str:
    """The URL of an empty store; ``folder`` is the test's own. A further engine adds its way here."""
    match engine:
        case "sqlite":
            return f"sqlite:///{folder}/rota.db"
        case "postgres":
            return postgres.fresh()
        case _:
            raise AssertionError(f"No way to a fresh {engine} store is known.")


def done_with(url: str) -> None:
    """Nobody needs this store any more."""
    if url.startswith("postgresql:"):
        postgres.give_back(url)


async def put(engine: Engine, *jobs: NewJob, now: int = NOW) -> list[Kept]:
    """Enqueue the jobs as one request."""
    [kept] = await engine.enqueue([Request(jobs)], now)
    return kept


async def put_keyed(engine: Engine, key: str, body: bytes, *jobs: NewJob, now: int = NOW) -> list[Kept]:
    """Enqueue the jobs as one request under an idempotency key."""
    [kept] = await engine.enqueue([Request(jobs, (Key(key, body, 0, len(jobs)),))], now)
    return kept


async def take(
    engine: Engine,
    slots: int = 1,
    *queues: str,
    types: tuple[str, ...] | None = None,
    worker: str = "w1",
    now: int = NOW,
) -> list[Claimed]:
    """One ask for up to ``slots`` jobs."""
    [claimed] = await engine.claim([Ask(worker, queues or ("default",), types, slots)], now + LEASE, now)
    return claimed


async def run(engine: Engine, new: NewJob, now: int = NOW) -> Claimed:
    """Enqueue one job and claim just it."""
    await put(engine, new, now=now)
    [claimed] = await take(engine, 1, new.queue, types=(new.type,), now=now)
    assert claimed.id == new.id
    return claimed


def done(work: Claimed, result: bytes | None = None, content_type: str | None = None) -> Outcome:
    return Outcome(
        id=work.id, lease=work.lease, state=State.DONE, end="done", result=result, content_type=content_type
    )


def failed(work: Claimed, **fields: Any) -> Outcome:
    """A final failure."""
    given: dict[str, Any] = {"state": State.FAILED, "end": "failed", "error": b'{"type":"E"}', "reason": "no"}
    return Outcome(id=work.id, lease=work.lease, **(given | fields))


def again(work: Claimed, run_at: int = NOW, **fields: Any) -> Outcome:
    """A failure that is tried again at ``run_at``."""
    given: dict[str, Any] = {
        "state": State.SCHEDULED if run_at > NOW else State.PENDING,
        "end": "failed",
        "error": b'{"type":"E"}',
        "run_at": run_at,
    }
    return Outcome(id=work.id, lease=work.lease, **(given | fields))


def released(work: Claimed, run_at: int = NOW) -> Outcome:
    return again(work, run_at, end="released", error=None, spent=False)


async def ended(engine: Engine, state: State, *, now: int = NOW, **fields: Any) -> NewJob:
    """A job that has come to its end in ``state``."""
    new = job(type=f"to-{state}", now=now, **fields)
    if state is State.CANCELLED:
        await put(engine, new, now=now)
        await engine.cancel(Match(ids=(new.id,)), "cancelled", now, 1)
    else:
        work = await run(engine, new, now)
        await engine.finish([done(work) if state is State.DONE else failed(work)], now)
    return new


async def turn_on(engine: Engine, feed: str, **wants: Any) -> None:
    """From now on events are kept for this feed."""
    body = msgspec.json.encode(Feed(token=feed, **wants))
    await engine.save([Note(FEEDS, feed, body)])


async def one(engine: Engine, id: str) -> Job:
    [found] = await engine.get([id])
    return found


async def state_of(engine: Engine, *ids: str) -> list[State | None]:
    """The states of jobs, None for those that are not there."""
    found = {job.id: job.state for job in await engine.get(ids)}
    return [found.get(id) for id in ids]


async def found(engine: Engine, match: Match = ANY, limit: int = 500) -> list[str]:
    """All matching ids, newest first, page by page."""
    ids: list[str] = []
    cursor = None
    while True:
        page = await engine.find(match, limit, cursor)
        ids += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            return ids


async def counts(engine: Engine) -> dict[tuple[str, str, State], int]:
    """The counters, without the empty ones."""
    rows = await engine.count()
    assert all(row.jobs >= 0 for row in rows)
    assert len({(row.queue, row.type, row.state) for row in rows}) == len(rows)
    return {(row.queue, row.type, row.state): row.jobs for row in rows if row.jobs}


async def recount(engine: Engine) -> dict[tuple[str, str, State], int]:
    """What the counters ought to say."""
    jobs: list[Job] = []
    cursor = None
    while True:
        page = await engine.find(ANY, 500, cursor)
        jobs += page.jobs
        cursor = page.cursor
        if cursor is None:
            return dict(Counter((job.queue, job.type, job.state) for job in jobs))


async def check_counts(engine: Engine) -> None:
    assert await counts(engine) == await recount(engine)


def ids(jobs: Sequence[Any]) -> list[str]:
    """The ids of anything that has them."""
    return [job.id for job in jobs]
