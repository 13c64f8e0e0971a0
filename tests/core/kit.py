"""Short words for the tests of the core: jobs, workers attached in process, waiting for conditions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from rota.core.service import Service
from rota.core.worker import Worker
from rota.engines.base import Engine
from rota.engines.sqlite.engine import SqliteEngine
from rota.model.job import Ask, Claimed, Job, Kept, Request, State
from rota.model.protocol import Answer, End, Ending, Error, Hello, Lease, Stop, Work
from rota.model.spec import JobSpec, request

PATIENCE = 10.0
"""Seconds after which a condition that did not come counts as a failure."""


async def until(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Return once ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE:g} seconds"
        await asyncio.sleep(0.002)


async def quiet(engine: Engine) -> None:
    """Let everything that was set in motion end: write after write, each behind all calls before it."""
    for _ in range(8):
        await engine.save([])
        await asyncio.sleep(0)


def asked(service: Service, *specs: JobSpec, **options: Any) -> Request:
    """A checked request."""
    return request(list(specs), service.clock.now(), service.limits, **options)


async def put(service: Service, type: str = "work", *, payload: object = msgspec.UNSET, **fields: Any) -> str:
    """Enqueue one job; its id."""
    raw = payload if payload is msgspec.UNSET else msgspec.Raw(msgspec.json.encode(payload))
    [kept] = await service.enqueue(asked(service, JobSpec(type=type, payload=raw, **fields)))
    return kept.id


async def put_many(service: Service, count: int, type: str = "work", **fields: Any) -> list[str]:
    """Enqueue equal jobs in one request; their ids."""
    kept: list[Kept] = await service.enqueue(asked(service, *[JobSpec(type=type, **fields)] * count))
    return [one.id for one in kept]


async def state(service: Service, id: str) -> State:
    return (await service.job(id)).state


async def ends(service: Service, id: str) -> list[str | None]:
    """How the attempts of a job ended, oldest first."""
    return [attempt.end for attempt in (await service.job(id)).attempts]


class Hand:
    """A worker attached in process: what it was given, what it was told, and its reports."""

    def __init__(self, service: Service, id: str) -> None:
        self.id = id
        self.jobs: list[Work] = []
        self.stops: list[Stop] = []
        self.drains = 0
        self.worker: Worker
        self._service = service

    @property
    def ids(self) -> list[str]:
        return [job.id for job in self.jobs]

    async def until(self, jobs: int) -> list[Work]:
        """Wait until that many jobs were given in all."""
        await until(lambda: len(self.jobs) >= jobs, f"job {jobs} for worker {self.id}")
        return self.jobs

    async def next(self) -> Work:
        """The oldest job in hand, which is taken off the list."""
        await self.until(1)
        return self.jobs.pop(0)

    async def end(self, job: Work | Lease, end: End = "done", **fields: Any) -> Answer:
        [answer] = await self._service.workers.finish(self.id, [Ending(job.id, job.lease, end, **fields)])
        return answer

    async def beat(self, *jobs: Work | Lease) -> list[Stop]:
        return await self._service.workers.extend(self.id, [Lease(job.id, job.lease) for job in jobs], ())

    async def leave(self) -> None:
        await self._service.workers.leave(self.worker)

    def drained(self) -> None:
        self.drains += 1


async def attach(
    service: Service,
    id: str = "w1",
    *,
    slots: int = 1,
    queues: Sequence[str] = ("default",),
    types: Sequence[str] | None = None,
    held: Sequence[Work | Lease] = (),
    **more: Any,
) -> Hand:
    """A worker that jobs are pushed to. ``more`` is what its hello says besides."""
    hand = Hand(service, id)
    leases = tuple(Lease(job.id, job.lease) for job in held)
    hello = Hello(id, tuple(queues), slots, None if types is None else tuple(types), held=leases, **more)
    hand.worker = await service.workers.attach(
        hello, "socket", hand.jobs.extend, hand.stops.extend, hand.drained
    )
    return hand


async def taken(service: Service, **fields: Any) -> tuple[Hand, Work]:
    """A job in a worker's hand."""
    await put(service, **fields)
    hand = await attach(service)
    return hand, await hand.next()


async def error_of(service: Service, id: str) -> Error:
    job = await service.job(id)
    assert job.error is not None
    return msgspec.json.decode(job.error, type=Error)


class Watch:
    """Looks over an engine's shoulder: every ask of every claim, and what it gave."""

    def __init__(self, engine: Engine, monkeypatch: Any) -> None:
        self.asks: list[Ask] = []
        self.given: list[Claimed] = []
        self.calls = 0
        claim = engine.claim

        def watched(asks: Sequence[Ask], lease_until: int, now: int) -> Any:
            self.calls += 1
            self.asks += asks
            call = asyncio.ensure_future(claim(asks, lease_until, now))
            call.add_done_callback(self._note)
            return call

        monkeypatch.setattr(engine, "claim", watched)

    def _note(self, call: asyncio.Future[list[list[Claimed]]]) -> None:
        if call.exception() is None:
            self.given += [job for jobs in call.result() for job in jobs]


def embedded(engine: Engine) -> bool:
    """Whether the engine writes at once, within a turn of the loop."""
    return isinstance(engine, SqliteEngine)


async def moment(engine: Engine, turns: int) -> None:
    """So many turns of the loop; where a store far away is waited for, so many quarters of a millisecond."""
    for _ in range(turns):
        await asyncio.sleep(0 if embedded(engine) else 0.00025)


def by_id(jobs: Sequence[Job]) -> dict[str, Job]:
    return {job.id: job for job in jobs}
