"""Every timer of the server on one page.

Each step is a guarded statement: a second server that runs it at the same time finds nothing left to do. A
step that fails is told to the log and tried again; one bad round stops no timer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection

from rota.core import bound
from rota.core.reports import running_of
from rota.core.series import FINE
from rota.core.service import BATCH, Service
from rota.core.worker import FRONT, server_of
from rota.model import policy
from rota.model.clock import SECOND
from rota.model.errors import RotaError
from rota.model.job import Beat, Job, Match, State

log = logging.getLogger("rota.upkeep")

JUMP = 2.0
"""Seconds by which the wall clock may differ from the steady one between two looks."""


async def run(service: Service) -> None:
    """All timers, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_each(lambda: promote(service), 0))
        group.create_task(_each(lambda: bound.hold(service), service.rules.beat / SECOND))
        group.create_task(_each(lambda: rescue(service), 0.5))
        group.create_task(_each(lambda: time_out(service), 1))
        group.create_task(_each(lambda: expire(service), 1))
        group.create_task(_each(lambda: prune(service), 5))
        group.create_task(_each(lambda: tidy(service), 5))
        group.create_task(_each(service.files.sweep, 5))
        group.create_task(_each(service.feeds.keep, 2))
        group.create_task(_each(lambda: keep_figures(service), 0))
        group.create_task(_each(lambda: look_at_the_clock(service), 0))
        group.create_task(_each(service.pulses.beat, 0))
        group.create_task(warm(service))


async def once(service: Service) -> None:
    """Every step that moves jobs, once and without waiting: what a clock that jumps (:mod:`rota.testing`) has
    to do wherever it stops.
    """
    while await promote_due(service):
        pass
    await rescue(service)
    await time_out(service)
    await expire(service)
    await prune(service, breath=0.0)
    await tidy(service)


async def promote(service: Service) -> None:
    """Scheduled jobs that are due become pending, at the moment they are due."""
    await service.until_due(1.0)
    await promote_due(service)


async def promote_due(service: Service) -> int:
    """One round of :func:`promote`, now; answers how many jobs became pending."""
    promoted = 0
    for queue, jobs in await service.engine.promote(service.clock.now(), 1000):
        service.became_due(queue, jobs)
        promoted += jobs
    return promoted


async def rescue(service: Service) -> None:
    """Jobs whose lease ended go to the next worker; after too many lost workers they fail."""
    cursor = None
    while True:
        now = service.clock.now()
        page = await service.engine.find(Match(lease_before=now), BATCH, cursor)
        await _lose(service, page.jobs, now)
        cursor = page.cursor
        if cursor is None:
            return


async def rescue_inside(service: Service, servers: Collection[str] = (), *, others: bool = False) -> None:
    """At start: what workers inside an earlier server on this store held is lost for certain, but for those
    inside ``servers``, which are or may be there. Workers elsewhere could not beat while there was no server
    (``others``: there was one); they have a whole lease to come back.
    """
    now = service.clock.now()
    until = now + service.rules.lease
    cursor = None
    while True:
        page = await service.engine.find(Match(states=(State.RUNNING,)), BATCH, cursor)
        inside: list[Job] = []
        outside: list[Beat] = []
        for job in page.jobs:
            if (server := server_of(job.worker)) is not None:
                if server not in servers:
                    inside.append(job)
            elif (job.lease_until or 0) < until and not others:
                outside.append(Beat(job.id, job.lease))
        await _lose(service, inside, now)
        await service.engine.extend(outside, until, now)
        cursor = page.cursor
        if cursor is None:
            return


async def take_back(service: Service, server: str) -> None:
    """A server is gone, and with it the workers inside of it."""
    cursor = None
    while True:
        page = await service.engine.find(Match(states=(State.RUNNING,)), BATCH, cursor)
        inside = [job for job in page.jobs if server_of(job.worker) == server]
        await _lose(service, inside, service.clock.now())
        cursor = page.cursor
        if cursor is None:
            return


async def time_out(service: Service) -> None:
    """A worker that did not stop a job in time loses it. Well-behaved workers stop it themselves, sooner."""
    now = service.clock.now()
    page = await service.engine.find(Match(overdue_at=now - SECOND), BATCH)
    late = [
        job
        for job in page.jobs
        if now > (job.started_at or now) + (job.timeout or 0) + policy.grace(job.timeout)
    ]
    error = (
        b'{"type":"Timeout","message":"The job ran longer than its timeout and its worker did not stop it."}'
    )
    await service.workers.write(
        [
            policy.failed(
                running_of(job, job.id, job.lease), error, now, end="timeout", chance=service.rules.chance
            )
            for job in late
        ],
        now,
    )


async def expire(service: Service) -> None:
    """Waiting jobs past their expires_at end as cancelled, reason ``expired``."""
    await service.cancel_all(Match(expired_at=service.clock.now()), "expired")


async def prune(service: Service, breath: float = 0.01) -> None:
    """Ended jobs past their retention are removed, in small batches with room for others in between: twice
    the time that each took, and ``breath`` seconds at least (none at all with 0). So a million of them that
    are due at once leave time to others, and there is time enough for as many as are stored.
    """
    gone = BATCH
    while gone == BATCH:
        began = time.monotonic()
        gone = len(await service.engine.delete(Match(delete_at=service.clock.now()), BATCH))
        # Where time stands still (:mod:`rota.testing`), nobody would wake up again.
        await asyncio.sleep(max(breath, 2 * (time.monotonic() - began)) if breath else 0)


async def tidy(service: Service) -> None:
    """Forget silent pollers; ask again for everybody with free slots, should a hint have been lost."""
    service.workers.forget_silent(service.clock.now())
    service.dispatch.wake({row.queue for row in await service.engine.count() if row.state is State.PENDING})


async def keep_figures(service: Service) -> None:
    """What happened in an interval is written when it is over."""
    left = (service.series.next_at() - service.clock.now()) / SECOND
    await asyncio.sleep(min(max(left, 0.0), FINE / SECOND))
    await service.series.tick()


async def warm(service: Service) -> None:
    """Once: the figures of a day are there when somebody asks for them; those of each queue, which take more
    room, when the first one has begun to watch.
    """
    try:
        await service.histories.warm(service.clock.now(), by_queue=False)
        await service.pulses.wanted.wait()
        await service.histories.warm(service.clock.now(), by_queue=True)
    except RotaError as error:
        log.info("figures were not read ahead", extra={"detail": error.detail})


async def look_at_the_clock(service: Service) -> None:
    """How late timers come: what everybody who is served here waits for besides the work itself. And whether
    the wall clock was set, which moves every lease and every time that was told before.
    """
    loop = asyncio.get_running_loop()
    meter = service.workers.meter
    began, wall = loop.time(), service.clock.now()
    await asyncio.sleep(0.5)
    passed = loop.time() - began
    meter.lag = max(0.0, passed - 0.5)
    now = service.clock.now()
    jump = (now - wall) / SECOND - passed
    if abs(jump) > JUMP:
        meter.jump = (now, jump)
        log.warning("the clock was set", extra={"seconds": round(jump, 3)})


async def _lose(service: Service, jobs: list[Job], now: int) -> None:
    if jobs:
        applied = await service.workers.write(
            [
                policy.lost(
                    running_of(job, job.id, job.lease),
                    now,
                    spent=not (job.worker or "").startswith(FRONT),
                )
                for job in jobs
            ],
            now,
        )
        # Another server may have been quicker, or the worker itself.
        lost = [job for job, one in zip(jobs, applied, strict=True) if one.state is not None]
        if lost:
            service.workers.meter.expired_leases += len(lost)
            told = {"jobs": len(lost), "workers": sorted({job.worker or "" for job in lost})}
            log.warning("workers lost", extra=told)


async def _each(step: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await step()
        except RotaError as error:
            log.error("upkeep step failed", extra={"detail": error.detail, "code": error.code})
            await asyncio.sleep(1)
        except Exception:
            log.exception("upkeep step failed")
            await asyncio.sleep(1)
        await asyncio.sleep(seconds)
