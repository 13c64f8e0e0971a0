"""The SQLite engine. What the verbs mean is said in :mod:`rota.engines.base`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence

from rota.engines.sqlite import events, failures, files, logs, read, write
from rota.engines.sqlite.counters import Counters
from rota.engines.sqlite.paused import KIND, Paused
from rota.engines.sqlite.store import Store
from rota.model.event import Backlog, Reading, Trimmed
from rota.model.failure import FailurePage
from rota.model.file import Attachment, File, Kind, Loose, Part
from rota.model.job import (
    Applied,
    Ask,
    Beat,
    Change,
    Claimed,
    Count,
    Held,
    Job,
    Kept,
    LogLine,
    Match,
    Note,
    Outcome,
    Page,
    Request,
    Selection,
    Tally,
)


class SqliteEngine:
    """One file, one server process."""

    def __init__(self, path: str, vfs: str | None = None, *, migrate: bool = True) -> None:
        """Open, create or migrate ``path``. Raises StoreError when it cannot be used."""
        self._store = store = Store(path, vfs, run=migrate)
        # Whoever wrote these had the file open, and nobody has but us.
        files.drop_loose(store.db)
        events.free(store.db)
        self._counts = counts = Counters(read.counts(store.db))
        store.before_commit = lambda: write.counts(store.db, counts)
        self._paused = paused = Paused(note.key for note in read.notes(store.db, KIND))

        def commit() -> None:
            counts.commit()
            paused.commit()

        def rollback() -> None:
            counts.rollback()
            paused.rollback()

        store.after_commit, store.after_rollback = commit, rollback

    def enqueue(self, requests: Sequence[Request], now: int) -> Awaitable[list[list[Kept]]]:
        return self._store.write(lambda: write.enqueue(self._store.db, self._counts, requests, now))

    def claim(self, asks: Sequence[Ask], lease_until: int, now: int) -> Awaitable[list[list[Claimed]]]:
        def best() -> list[list[Claimed]]:
            open_ones = self._paused.pass_over(asks)
            return write.claim(self._store.db, self._counts, open_ones, lease_until, now)

        return self._store.write(best)

    def finish(self, outcomes: Sequence[Outcome], now: int) -> Awaitable[list[Applied]]:
        return self._store.write(lambda: write.finish(self._store.db, self._counts, outcomes, now))

    def extend(self, beats: Sequence[Beat], until: int, now: int) -> Awaitable[list[Held]]:
        return self._store.write(lambda: write.extend(self._store.db, beats, until))

    def promote(self, now: int, limit: int) -> Awaitable[list[tuple[str, int]]]:
        return self._store.write(lambda: write.promote(self._store.db, self._counts, now, limit))

    def cancel(self, match: Match, reason: str, now: int, limit: int) -> Awaitable[list[Applied]]:
        return self._store.write(
            lambda: write.cancel(self._store.db, self._counts, match, reason, now, limit)
        )

    def retry(self, match: Match, now: int, limit: int) -> Awaitable[list[Applied]]:
        return self._store.write(lambda: write.retry(self._store.db, self._counts, match, now, limit))

    def delete(self, match: Match, limit: int, now: int | None = None) -> Awaitable[list[Applied]]:
        return self._store.write(lambda: write.delete(self._store.db, self._counts, match, limit, now))

    def log(self, lines: Sequence[LogLine], cap: int) -> Awaitable[int]:
        return self._store.write(lambda: logs.log(self._store.db, lines, cap))

    def save(self, notes: Sequence[Note]) -> Awaitable[None]:
        def store() -> None:
            write.save(self._store.db, self._counts, notes)
            self._paused.save(notes)

        return self._store.write(store)

    async def read_events(self, feed: str, owner: str, until: int, limit: int, now: int) -> Reading:
        held = self._store.near(lambda db: events.held(db, feed, owner, until, now))
        if held is None:
            got = await self._store.write(lambda: events.hold(self._store.db, feed, owner, until, now))
            held = until if got and until > now else None
        if held is None or limit < 1:
            return Reading(held, [])
        return Reading(held, await self._store.read(lambda db: events.read(db, feed, limit), slow=True))

    async def drop_events(self, feed: str, owner: str, numbers: Sequence[int]) -> bool:
        return await self._store.write(lambda: events.drop(self._store.db, feed, owner, numbers))

    async def trim_events(self, limit: int, now: int) -> list[Trimmed]:
        over = await self._store.read(events.too_many, slow=True)
        if not over:
            return []
        return await self._store.write(lambda: events.trim(self._store.db, over, limit, now))

    async def backlog(self) -> list[Backlog]:
        return await self._store.read(events.backlog, slow=True)

    def put_parts(self, parts: Sequence[Part]) -> Awaitable[list[bool]]:
        return self._store.write(lambda: files.put_parts(self._store.db, parts))

    def attach(self, attachments: Sequence[Attachment]) -> Awaitable[list[bool]]:
        return self._store.write(lambda: files.attach(self._store.db, attachments))

    def drop_files(self, ids: Sequence[str]) -> Awaitable[list[str]]:
        return self._store.write(lambda: files.drop(self._store.db, ids))

    def sweep_files(self, limit: int) -> Awaitable[int]:
        return self._store.write(lambda: files.sweep(self._store.db, limit))

    async def get(self, ids: Sequence[str]) -> list[Job]:
        if len(ids) <= 16:
            return self._store.near(lambda db: read.get(db, ids))
        return await self._store.read(lambda db: read.get(db, ids))

    async def find(self, match: Match, limit: int, cursor: str | None = None) -> Page:
        slots = self._counts.slots()
        return await self._store.read(lambda db: read.find(db, match, slots, limit, cursor), slow=True)

    async def select(self, match: Match, limit: int, cursor: str | None = None) -> Selection:
        slots = self._counts.slots()
        return await self._store.read(lambda db: read.select(db, match, slots, limit, cursor), slow=True)

    async def tally(self, match: Match, cursor: str | None = None) -> Tally:
        slots = self._counts.slots()
        return await self._store.read(lambda db: read.tally(db, match, slots, cursor), slow=True)

    async def logs(self, id: str, after: int, limit: int) -> list[tuple[int, LogLine]]:
        return await self._store.read(lambda db: read.logs(db, id, after, limit))

    async def files(self, jobs: Sequence[str], kind: Kind) -> dict[str, File]:
        return await self._store.read(lambda db: files.files(db, jobs, kind))

    async def read_parts(self, asked: Sequence[tuple[str, int]]) -> list[bytes | None]:
        return await self._store.read(lambda db: files.read_parts(db, asked))

    async def loose_files(self) -> list[Loose]:
        return await self._store.read(files.loose)

    async def count(self) -> list[Count]:
        return self._counts.rows()

    async def failures(
        self, queue: str | None, type: str | None, now: int, limit: int, cursor: str | None = None
    ) -> FailurePage:
        return await self._store.read(lambda db: failures.page(db, queue, type, now, limit, cursor))

    async def tags(self, begins: str, names: int, jobs: int) -> dict[str, int]:
        return await self._store.read(lambda db: read.tags(db, begins, names, jobs), slow=True)

    async def oldest(self, queues: Sequence[str]) -> dict[str, int]:
        types = {queue: self._counts.waiting(queue) for queue in queues}
        return await self._store.read(lambda db: read.oldest(db, types))

    async def ahead(
        self, ids: Sequence[str], types: Sequence[str] | None, now: int, limit: int
    ) -> dict[str, dict[str, int]]:
        asked = self._store.near(lambda db: read.places(db, ids))
        waiting = {queue: self._counts.waiting(queue) for queue in {one[2] for one in asked}}
        if types is not None:
            wanted = frozenset(types)
            waiting = {queue: [type for type in here if type in wanted] for queue, here in waiting.items()}
        return await self._store.read(lambda db: read.ahead(db, asked, waiting, now, limit))

    async def notes(
        self, kind: str, since: str = "", until: str | None = None, limit: int | None = None
    ) -> list[Note]:
        if not since and until is None and limit is None:
            return self._store.near(lambda db: read.notes(db, kind))
        return await self._store.read(lambda db: read.some_notes(db, kind, since, until, limit))

    async def next_due(self) -> int | None:
        return self._store.near(read.next_due)

    @property
    def shared(self) -> bool:
        return False

    @property
    def product(self) -> tuple[str, str]:
        return "sqlite", self._store.version

    async def time(self) -> int:
        return time.time_ns() // 1000

    async def announce(self, queues: Sequence[str], news: Sequence[bytes] = ()) -> None:
        """Nobody else serves this file."""

    async def changes(self) -> AsyncIterator[Change]:
        await asyncio.Future()
        yield Change()

    def vitals(self) -> dict[str, float]:
        return {"commits": self._store.commits, "commit_seconds": self._store.commit_seconds}

    async def close(self) -> None:
        await self._store.close()
