"""What an engine does by itself, on a connection of its own: every step does nothing where another server
did it.

Changes of counters are folded into the counters; lanes are looked at below their floors; what names jobs
that are long gone is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from rota.engines.postgres import statements
from rota.engines.postgres.errors import lost
from rota.engines.postgres.floors import Floors
from rota.engines.postgres.link import Gate, Link, Session
from rota.engines.postgres.migrate import LOCK
from rota.engines.postgres.tally import Folded
from rota.engines.postgres.voice import FORGET_NEWS
from rota.model.clock import DAY, HOUR
from rota.model.failure import HOURS

log = logging.getLogger("rota.store")

FOLD, LOOK, NEWS, FORGET = 0.5, 1.0, 5.0, 60.0
"""Seconds between two rounds of each step."""
SHARE = 20
"""A step that takes long comes so much more rarely: this part of the time at most is spent on it."""
BEHIND = 1_000_000
"""Jobs that come in while a transaction lasts, with a good margin."""
UNUSED = 1000
"""Lanes without jobs that may stay; they cost next to nothing."""
_BATCH = 5000

_COUNT = statements.load("count")
_CLAIM = statements.load("claim")
_AGES = statements.load("ages")
_KINDS = statements.load("kinds")
_FAILURES = statements.load("failures")


class Care:
    """The steps, and what is known between them."""

    def __init__(self, gate: Gate, floors: Floors) -> None:
        self._link = Link(gate)
        self._floors = floors
        self._folded = Folded()
        self._oldest = 0
        self.wall: Callable[[], int] = lambda: time.time_ns() // 1000

    async def run(self) -> None:
        """All steps, until cancelled."""
        steps: list[tuple[Callable[[Session], Awaitable[None]], float]] = [
            (self.fold, FOLD),
            (self.look_below, LOOK),
            (self.forget_news, NEWS),
            (self.forget, FORGET),
        ]
        began = time.monotonic()
        due = {i: began + seconds for i, (_, seconds) in enumerate(steps)}
        while True:
            await asyncio.sleep(max(0.01, min(due.values()) - time.monotonic()))
            for i, (step, seconds) in enumerate(steps):
                began = time.monotonic()
                if began >= due[i]:
                    await self._try(step)
                    now = time.monotonic()
                    due[i] = now + max(seconds, SHARE * (now - began))

    async def close(self) -> None:
        await self._link.close()

    async def fold(self, session: Session) -> None:
        """Changes go into the counters."""
        begin = self._folded.begin(self._oldest)
        while True:
            row = (await session.fetch(_COUNT["fold"], LOCK, begin, _BATCH))[0]
            await session.commit()
            folded, last, self._oldest, next = row
            self._folded.note(last, self._oldest, next)
            if folded < _BATCH:
                return
            begin = last

    @property
    def counted(self) -> int:
        """Changes up to this one are in the counters for certain."""
        return self._folded.upto

    async def look_below(self, session: Session) -> None:
        """Jobs that came in late, behind claims that had gone on."""
        lanes, floors = self._floors.all()
        if not lanes:
            return
        queues, types, priorities = (list(column) for column in zip(*lanes, strict=True))
        for n, place in await session.fetch(_CLAIM["below"], queues, types, priorities, floors):
            if place is not None:
                self._floors.lower(lanes[n - 1], place)

    async def forget_news(self, session: Session) -> None:
        """What everybody has read by now."""
        await session.only(FORGET_NEWS)

    async def forget(self, session: Session) -> None:
        """What belongs to no job any more."""
        now = self.wall()
        for sql, values in (
            (_AGES["forget"], (BEHIND,)),
            (_KINDS["forget"], (BEHIND,)),
            (_COUNT["forget"], ()),
            (_FAILURES["forget"], (now - DAY,)),
            (_FAILURES["forget_hours"], (now // HOUR - HOURS,)),
        ):
            await session.fetch(sql, *values)
            await session.commit()
        await session.fetch(_KINDS["join_lanes"])
        await session.commit()
        if (await session.fetch(_KINDS["unused"]))[0][0] > UNUSED:
            await session.execute(_KINDS["hold_lanes"])
            await session.fetch(_KINDS["forget_lanes"])
            await session.commit()

    async def _try(self, step: Callable[[Session], Awaitable[None]]) -> None:
        session: Session | None = None
        try:
            session = await self._link.session()
            await step(session)
            await session.commit()
        except asyncio.CancelledError:
            self._link.drop()
            raise
        except Exception as error:
            # The next round does it; the verbs tell whoever waits for something.
            log.debug("care of the store failed", extra={"step": step.__name__, "detail": str(error)})
            if session is None or lost(error):
                self._link.drop()
                return
            try:
                await session.rollback()
            except Exception:
                self._link.drop()
