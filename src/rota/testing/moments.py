"""The store, and what its clock has to stop for: every time that was written into it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from heapq import heappop, heappush
from typing import Any, TypeVar

from rota.engines.base import Engine
from rota.model.job import (
    ENDED,
    Applied,
    Ask,
    Beat,
    Claimed,
    Held,
    Job,
    Kept,
    LogLine,
    Match,
    NewJob,
    Outcome,
    Page,
    Request,
    State,
)
from rota.model.policy import grace

T = TypeVar("T")

WAITING = (State.SCHEDULED, State.PENDING)


class Moments:
    """An engine in front of another one. It changes nothing; it remembers when upkeep will have something to
    do, and the jobs that upkeep has removed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waits: list[tuple[int, str]] = []
        self._prunes: list[int] = []
        self._runs: dict[tuple[str, int], tuple[int, int | None]] = {}
        self.states: dict[str, State] = {}
        self.born: dict[str, NewJob] = {}
        """Every job there ever was, in the order of their enqueue."""
        self.gone: dict[str, tuple[Job, list[tuple[int, LogLine]]]] = {}
        """Jobs that were removed, as they last were, with their log lines."""
        self.logged: set[str] = set()
        """Jobs with log lines."""
        self.queues: dict[str, None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    # When

    def next(self, held: Container[tuple[str, int]], *, prune: bool = True) -> int | None:
        """When something will happen to a job by itself. ``held``: leases that somebody extends, so that they
        do not end. ``prune`` False: only to jobs that have not ended.
        """
        waits = self._waits
        while waits and self.states.get(waits[0][1]) not in WAITING:
            heappop(waits)
        times = [at for at, _ in waits[:1]]
        if prune:
            times += self._prunes[:1]
        for key, (lease_until, overdue) in self._runs.items():
            if key not in held:
                times.append(lease_until + 1)
            if overdue is not None:
                times.append(overdue)
        return min(times, default=None)

    def passed(self, now: int) -> None:
        """Upkeep has done what was due by now."""
        while self._waits and self._waits[0][0] <= now:
            heappop(self._waits)
        while self._prunes and self._prunes[0] <= now:
            heappop(self._prunes)

    # The verbs

    def enqueue(self, requests: Sequence[Request], now: int) -> Awaitable[list[list[Kept]]]:
        def note(answers: list[list[Kept]]) -> None:
            for request, kept in zip(requests, answers, strict=True):
                for job, one in zip(request.jobs, kept, strict=True):
                    if one.why is None and one.state is not None and one.id == job.id:
                        self._new(job)

        return self._then(self._engine.enqueue(requests, now), note)

    def claim(self, asks: Sequence[Ask], lease_until: int, now: int) -> Awaitable[list[list[Claimed]]]:
        def note(answers: list[list[Claimed]]) -> None:
            for job in (job for jobs in answers for job in jobs):
                self.states[job.id] = State.RUNNING
                overdue = None if job.timeout is None else now + job.timeout + grace(job.timeout) + 1
                self._runs[job.id, job.lease] = (lease_until, overdue)

        return self._then(self._engine.claim(asks, lease_until, now), note)

    def extend(self, beats: Sequence[Beat], until: int, now: int) -> Awaitable[list[Held]]:
        def note(held: list[Held]) -> None:
            for one in held:
                run = self._runs.get((one.id, one.lease))
                if run is not None:
                    self._runs[one.id, one.lease] = (until, run[1])

        return self._then(self._engine.extend(beats, until, now), note)

    def finish(self, outcomes: Sequence[Outcome], now: int) -> Awaitable[list[Applied]]:
        def note(applied: list[Applied]) -> None:
            for outcome, one in zip(outcomes, applied, strict=True):
                if one.state is not None:
                    self._runs.pop((one.id, one.lease), None)
                    self._moved(one.id, one.state, now, outcome.run_at)

        return self._then(self._engine.finish(outcomes, now), note)

    def cancel(self, match: Match, reason: str, now: int, limit: int) -> Awaitable[list[Applied]]:
        return self._then(
            self._engine.cancel(match, reason, now, limit), lambda applied: self._all(applied, now)
        )

    def retry(self, match: Match, now: int, limit: int) -> Awaitable[list[Applied]]:
        return self._then(self._engine.retry(match, now, limit), lambda applied: self._all(applied, now))

    def log(self, lines: Sequence[LogLine], cap: int) -> Awaitable[int]:
        self.logged.update(line.id for line in lines)
        return self._engine.log(lines, cap)

    async def find(self, match: Match, limit: int, cursor: str | None = None) -> Page:
        if not self._runs and (match.lease_before is not None or match.overdue_at is not None):
            # Upkeep asks at every stop of the clock; nothing runs, so nothing is late.
            return Page([], None)
        return await self._engine.find(match, limit, cursor)

    async def delete(self, match: Match, limit: int, now: int | None = None) -> list[Applied]:
        if match.delete_at is not None and (not self._prunes or self._prunes[0] > match.delete_at):
            return []
        found = [job.id for job in (await self._engine.find(match, min(limit, 500))).jobs]
        jobs = await self._engine.get(found) if found else []
        lines = {id: await self._engine.logs(id, 0, 10_000) for id in self.logged.intersection(found)}
        applied = await self._engine.delete(match, limit, now)
        removed = {one.id for one in applied}
        self.gone.update((job.id, (job, lines.get(job.id, []))) for job in jobs if job.id in removed)
        for id in removed:
            self.states.pop(id, None)
        return applied

    # Inside

    def _new(self, job: NewJob) -> None:
        self.born[job.id] = job
        self.states[job.id] = job.state
        self.queues[job.queue] = None
        if job.state is State.SCHEDULED:
            heappush(self._waits, (job.run_at, job.id))
        if job.expires_at is not None:
            heappush(self._waits, (job.expires_at, job.id))

    def _all(self, applied: Sequence[Applied], now: int) -> None:
        for one in applied:
            if one.state is not None:
                self._moved(one.id, one.state, now, None)

    def _moved(self, id: str, state: State, now: int, run_at: int | None) -> None:
        self.states[id] = state
        job = self.born.get(id)
        if state in ENDED:
            if job is not None:
                heappush(self._prunes, now + job.retention)
        elif state is not State.RUNNING:
            if run_at is not None and run_at > now:
                heappush(self._waits, (run_at, id))
            if job is not None and job.expires_at is not None and job.expires_at > now:
                heappush(self._waits, (job.expires_at, id))

    def _then(self, call: Awaitable[T], note: Callable[[T], None]) -> asyncio.Future[T]:
        """The call's future, with a first listener: who awaits it finds everything noted."""
        future = asyncio.ensure_future(call)

        def done(future: asyncio.Future[T]) -> None:
            if not future.cancelled() and future.exception() is None:
                note(future.result())

        future.add_done_callback(done)
        return future
