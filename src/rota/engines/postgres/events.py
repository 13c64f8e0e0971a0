"""The event log: how it is read, shortened and emptied. The statements that change jobs write it.

All on a connection of its own, so that nobody whose jobs wait has to wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from rota.engines.feeding import BYTES, EXACT, still_held
from rota.engines.postgres import statements
from rota.engines.postgres.errors import lost, refused, transient
from rota.engines.postgres.link import Gate, Link, Session
from rota.model.clock import MINUTE
from rota.model.errors import StoreError
from rota.model.event import Backlog, Feed, LoggedEvent, Reading, Trimmed

T = TypeVar("T")
_EVENTS = statements.load("events")
_READ = statements.load("read_events")
_DROP = statements.load("drop_events")
_TRIM = statements.load("trim_events")
_BACKLOG = statements.load("backlog")
_TRIES = 3
_LOOK = 0.5
"""Seconds between two looks at who writes."""
_feed = msgspec.json.Decoder(Feed).decode


class _Floor:
    """Up to which number a feed is empty for ever.

    Numbers are given before the commit, so one that is lower than all that are there may still come. It was
    given to a transaction that was at it then: once all of those are over, nothing more comes below.
    """

    def __init__(self) -> None:
        self.number = 0
        self._safe = 0
        self._next: tuple[int, frozenset[str]] | None = None
        self._looked = float("-inf")

    async def look(self, session: Session) -> None:
        """Find out what is over. To be called before the reading that :meth:`read` is told of."""
        if time.monotonic() - self._looked < _LOOK:
            return
        # In this order: whoever took a number before it was asked for is seen to be writing after.
        [(given,)] = await session.fetch(_EVENTS["given"])
        writing = frozenset(row[0] for row in await session.fetch(_EVENTS["writing"]))
        if self._next is not None and not self._next[1] & writing:
            self._safe = self._next[0]
            self._next = None
        if self._next is None:
            self._next = (given, writing)
        self._looked = time.monotonic()

    def read(self, first: int | None) -> None:
        """The oldest event that a reading showed."""
        empty = self._safe if first is None else min(self._safe, first - 1)
        self.number = max(self.number, empty)


class Log:
    """The verbs of the log."""

    def __init__(self, gate: Gate) -> None:
        self._link = Link(gate)
        self._turn = asyncio.Lock()
        self._floors: dict[str, _Floor] = {}
        self._closed = False

    async def read(self, feed: str, owner: str, until: int, limit: int, now: int) -> Reading:
        return await self._run(lambda session: self._read(session, feed, owner, until, limit, now))

    async def drop(self, feed: str, owner: str, numbers: Sequence[int]) -> bool:
        async def dropped(session: Session) -> bool:
            if not await session.fetch(_DROP["owner"], feed, owner):
                return False
            await session.fetch(_DROP["drop"], feed, list(numbers))
            return True

        return await self._run(dropped)

    async def trim(self, limit: int, now: int) -> list[Trimmed]:
        return await self._run(lambda session: _trim(session, limit, now))

    async def backlog(self) -> list[Backlog]:
        return await self._run(_backlog)

    async def close(self) -> None:
        self._closed = True
        await self._link.close()

    async def _read(
        self, session: Session, feed: str, owner: str, until: int, limit: int, now: int
    ) -> Reading:
        floor = self._floors.setdefault(feed, _Floor())
        held = None
        for kept_by, kept, number in await session.fetch(_READ["owner"], feed):
            floor.number = max(floor.number, number)
            if kept_by == owner and still_held(kept, until, now):
                held = kept
        if held is None:
            if not await session.fetch(_READ["hold"], feed, owner, until, now, floor.number):
                return Reading(None, [])
            if until <= now:
                return Reading(None, [])
            held = until
            # From here on it is ours, whatever becomes of the rest.
            await session.commit()
        if limit < 1:
            return Reading(held, [])
        await floor.look(session)
        rows = await session.fetch(_READ["oldest"], feed, floor.number, limit, BYTES)
        floor.read(rows[0][0] if rows else None)
        return Reading(held, [LoggedEvent(*row) for row in rows])

    async def _run(self, call: Callable[[Session], Awaitable[T]]) -> T:
        """One call at a time; where the connection is lost, on another one."""
        tries = 0
        while True:
            if self._closed:
                raise StoreError("The store is closed.")
            try:
                async with self._turn:
                    return await self._alone(call)
            except Exception as error:
                tries += 1
                if isinstance(error, StoreError) or not (lost(error) or transient(error)) or tries >= _TRIES:
                    told = refused(error)
                    if told is error:
                        raise
                    raise told from error

    async def _alone(self, call: Callable[[Session], Awaitable[T]]) -> T:
        session: Session | None = None
        try:
            session = await self._link.session()
            answer = await call(session)
            await session.commit()
        except BaseException as error:
            if session is None or lost(error) or isinstance(error, asyncio.CancelledError):
                self._link.drop()
            else:
                try:
                    await session.rollback()
                except Exception:
                    self._link.drop()
            raise
        return answer


async def _backlog(session: Session) -> list[Backlog]:
    found = []
    for feed, body, dropped, owner, until, floor, first, at, last in await session.fetch(_BACKLOG["feeds"]):
        waiting = 0 if first is None else last - first + 1
        if 1 < waiting <= EXACT:
            [(waiting,)] = await session.fetch(_BACKLOG["count"], feed, floor)
        found.append(Backlog(feed, body is not None, waiting, at, dropped, owner, until))
    return found


async def _trim(session: Session, limit: int, now: int) -> list[Trimmed]:
    trimmed: list[Trimmed] = []
    for feed, body, _, _, _, floor, first, _, last in await session.fetch(_BACKLOG["feeds"]):
        if body is None:
            await session.fetch(_TRIM["lock"], feed)
            await session.fetch(_TRIM["off"], feed, now)
            [(gone,)] = await session.fetch(_TRIM["oldest"], feed, floor, None, limit)
            await session.fetch(_TRIM["forget"], feed, now - MINUTE)
            trimmed.append(Trimmed(feed, gone, True))
            continue
        most = _feed(body).backlog
        if first is None or last - first < most:
            continue
        cut = await session.fetch(_BACKLOG["cut"], feed, floor, most)
        if cut:
            await session.fetch(_TRIM["lock"], feed)
            [(gone,)] = await session.fetch(_TRIM["oldest"], feed, floor, cut[0][0], limit)
            await session.fetch(_TRIM["dropped"], feed, gone)
            trimmed.append(Trimmed(feed, gone, False))
    return trimmed
