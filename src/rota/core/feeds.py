"""Feeds of events: which of them this server passes on, how far behind they are, and what has to go.

Who passes events on (:mod:`rota.edges`) says here how it fares; ``/metrics`` and ``/v1/stats`` tell it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from typing import Literal, get_args

import msgspec

from rota.engines.base import Engine
from rota.model.clock import DAY, MINUTE, Clock
from rota.model.event import FEEDS, Backlog, EventKind, Feed
from rota.model.job import Note

log = logging.getLogger("rota.feeds")

LIFE = DAY
"""A feed that nobody passes on for so long is switched off."""
_STEP = 2000
"""Events dropped in one transaction."""

State = Literal["publishing", "standby", "away", "refused"]
STATES: tuple[State, ...] = get_args(State)
_feed = msgspec.json.Decoder(Feed).decode
_encode = msgspec.json.Encoder().encode


class FeedFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A feed of events: `waiting` (beyond 10,000 an estimate), the oldest for `oldest_age` seconds; `dropped`
    since the feed is on. `state`: of this server, null where another passes them on; `detail`: what keeps it
    from publishing. `passed` and `cut` (a result or an error was too long) by this server since it started.
    """

    feed: str
    state: State | None
    detail: str | None
    waiting: int
    oldest_age: float
    dropped: int
    passed: int
    cut: int


class Feeds:
    """What this server knows of feeds."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._wanted: dict[str, Feed] = {}
        self._backlogs: list[Backlog] = []
        self._states: dict[str, tuple[State, str | None]] = {}
        self._seen: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._told = 0
        self.passed: Counter[str] = Counter()
        """Events that have arrived, by feed."""
        self.cut: Counter[str] = Counter()
        """Results and errors left out because they were too long, by feed."""

    async def want(self, name: str, events: tuple[EventKind, ...], backlog: int, longest: int) -> Feed:
        """From now on events are kept for this feed, and this server passes them on. ``longest``: bytes of a
        result that are kept.
        """
        kept = {note.key: _feed(note.body or b"") for note in await self._engine.notes(FEEDS)}.get(name)
        token = secrets.token_hex(8) if kept is None else kept.token
        feed = Feed(token=token, events=events, backlog=backlog, result_bytes=longest)
        if feed != kept:
            await self._engine.save([Note(FEEDS, name, _encode(feed))])
        self._wanted[name] = feed
        return feed

    async def settle(self) -> None:
        """At start: where no other server can have the store open, a feed that this one does not want is off.
        Elsewhere it is another's, or comes to its end in time.
        """
        if not self._engine.shared:
            gone = [note for note in await self._engine.notes(FEEDS) if note.key not in self._wanted]
            await self._switch_off([note.key for note in gone])

    def fares(self, name: str, state: State, detail: str | None = None) -> None:
        """How passing on goes; what is new is told to the log."""
        before = self._states.get(name)
        self._states[name] = (state, detail)
        if before is not None and before[0] == state:
            return
        extra = {"feed": name} if detail is None else {"feed": name, "detail": detail}
        if state in ("away", "refused"):
            log.warning("events wait", extra=extra)
        elif state == "publishing":
            log.info("events are passed on", extra=extra)

    def figures(self) -> list[FeedFigures]:
        """All feeds, as of a moment ago."""
        now = self._clock.now()
        found = []
        for row in self._backlogs:
            state, detail = self._states.get(row.feed, (None, None))
            age = 0.0 if row.oldest is None else max(0, now - row.oldest) / 1_000_000
            if row.on or row.waiting:
                found.append(
                    FeedFigures(
                        feed=row.feed,
                        state=state,
                        detail=detail,
                        waiting=row.waiting,
                        oldest_age=age,
                        dropped=row.dropped,
                        passed=self.passed[row.feed],
                        cut=self.cut[row.feed],
                    )
                )
        return found

    async def keep(self) -> None:
        """One round: what is too much is dropped, a feed that is off is emptied, one that nobody passes on
        any more is switched off.
        """
        now = self._clock.now()
        self._backlogs = await self._engine.backlog()
        on = {row.feed for row in self._backlogs if row.on}
        for name, feed in self._wanted.items():
            if name not in on:
                await self._engine.save([Note(FEEDS, name, _encode(feed))])
        since = {row.feed: max(row.until, self._seen.setdefault(row.feed, now)) for row in self._backlogs}
        alone = [name for name in on if name not in self._wanted and now - since[name] > LIFE]
        await self._switch_off(alone)
        if all(row.on for row in self._backlogs) and not self._too_long():
            return
        more = True
        while more:
            more = any(one.events == _STEP for one in await self._engine.trim_events(_STEP, now))
            await asyncio.sleep(0.01)
        self._backlogs = await self._engine.backlog()
        self._tell_dropped(now)

    def _too_long(self) -> bool:
        # What others may have set is known to the store only, which is asked where it could matter.
        return any(row.waiting >= 1000 for row in self._backlogs)

    async def _switch_off(self, names: list[str]) -> None:
        if names:
            log.warning("feeds are switched off", extra={"feeds": names})
            await self._engine.save([Note(FEEDS, name, None) for name in names])

    def _tell_dropped(self, now: int) -> None:
        dropped = {row.feed: row.dropped for row in self._backlogs}
        news = sum(dropped.values()) - sum(self._dropped.values())
        if news > 0 and now - self._told >= MINUTE:
            log.error(
                "events were dropped: the backlog is full",
                extra={"events": news, "in_all": sum(dropped.values())},
            )
            self._dropped, self._told = dropped, now
