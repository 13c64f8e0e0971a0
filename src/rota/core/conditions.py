"""Gathers what :mod:`rota.core.condition` judges: from counters, and not more often than it is worth."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from rota.core import drains
from rota.core.condition import Condition, Figures, judge
from rota.model.clock import MINUTE
from rota.model.errors import StoreError
from rota.model.job import State

if TYPE_CHECKING:
    from rota.core.service import Service

FRESH = 2.0
"""Seconds for which an answer stands: many pages ask, again and again."""
RECENT = 300.0
"""Seconds for which it is told that workers were lost."""
COMMITS = 5
"""Commits that make a mean."""
STEP = 10.0
"""Seconds between two looks at what only grows."""


class Conditions:
    """Of one server, about all that is on its store."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.room: Callable[[], tuple[int, int] | None] = lambda: None
        """Bytes free and in all on the disk of the store; None: it is somewhere else."""
        self.steady: Callable[[], float] = time.monotonic
        self._told: tuple[float, Condition] | None = None
        self._lock = asyncio.Lock()
        self._lost: deque[tuple[float, int]] = deque()
        self._commits: deque[tuple[float, float, float]] = deque()

    async def look(self, *, fresh: bool = False) -> Condition:
        """The condition, as of at most two seconds ago (``fresh``: as of now). A store that does not answer
        is a finding.
        """
        async with self._lock:
            if self._told is None or fresh or self.steady() - self._told[0] >= FRESH:
                condition = judge(await self._figures())
                # From when it is there: with a store that hangs the next one is not due at once.
                self._told = self.steady(), condition
            return self._told[1]

    async def _figures(self) -> Figures:
        service = self._service
        now = service.clock.now()
        meter = service.workers.meter
        everywhere = [drains.counted(service), *service.others.figures()]
        rates = {name: sum(one.rates.get(name, 0.0) for one in everywhere) for name in ("done", "failed")}
        figures = Figures(
            now=now,
            paused=frozenset(service.dispatch.paused),
            roster=service.workers.roster.everybody(),
            programs=service.programs,
            stopped=service.dispatch.stopped,
            stopping=sum(one.stopped for one in service.others.servers if one.id != service.id),
            rates=rates,
            # Others may have been there for longer.
            measured=60.0 if service.series.others else service.series.measured,
            lost=self._lately(sum(one.lost for one in everywhere)),
            jump=meter.jump,
            lag=meter.lag,
            commit=self._commit(),
            room=self.room(),
            feeds=service.feeds.figures(),
            stretches=service.intake.sorted(),
            away=service.intake.away,
        )
        try:
            figures.counts = await service.engine.count()
            pending = {row.queue for row in figures.counts if row.state is State.PENDING and row.jobs > 0}
            figures.oldest = await service.engine.oldest(sorted(pending))
            if rates["failed"]:
                page = await service.engine.failures(None, None, now, 1)
                last = page.groups[0] if page.groups else None
                # Of another time it would lead astray.
                figures.failure = last if last is not None and now - last.last_seen < 2 * MINUTE else None
        except StoreError as error:
            figures.counts, figures.store = (), error.detail
        return figures

    def _lately(self, lost: int) -> int:
        """How many more they are than some minutes ago. A server that left takes its count along."""
        now = self.steady()
        if not self._lost or lost < self._lost[-1][1]:
            self._lost.clear()
            self._lost.append((now, lost))
        elif now - self._lost[-1][0] >= STEP:
            self._lost.append((now, lost))
        while len(self._lost) > 1 and now - self._lost[0][0] > RECENT:
            self._lost.popleft()
        return lost - self._lost[0][1]

    def _commit(self) -> float | None:
        """Mean seconds of a commit, since a moment ago."""
        now, vitals = self.steady(), self._service.engine.vitals()
        commits, seconds = vitals["commits"], vitals["commit_seconds"]
        if not self._commits or now - self._commits[-1][0] >= STEP:
            self._commits.append((now, commits, seconds))
        while len(self._commits) > 1 and now - self._commits[1][0] >= STEP:
            self._commits.popleft()
        _, before, took = self._commits[0]
        return (seconds - took) / (commits - before) if commits - before >= COMMITS else None
