"""The PostgreSQL engine. What the verbs mean is said in :mod:`rota.engines.base`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from rota.engines.places import postgres
from rota.engines.postgres import acts, claim, enqueue, failures, files, finish, listen, read
from rota.engines.postgres.care import Care
from rota.engines.postgres.carry import refuse_while_moved
from rota.engines.postgres.errors import DRIVER, cannot_open, lost, refused
from rota.engines.postgres.events import Log
from rota.engines.postgres.floors import Floors
from rota.engines.postgres.guard import Guard
from rota.engines.postgres.link import Gate, Link, Readers, Session
from rota.engines.postgres.migrate import first, migrate
from rota.engines.postgres.voice import Voice
from rota.engines.postgres.writer import Verb, Writer
from rota.model.errors import StoreError
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

T = TypeVar("T")
READERS = 3
_TRIES = 3


def _always(one: Any, other: Any) -> bool:
    return True


_ENQUEUE = Verb(enqueue.enqueue, enqueue.joins, doubted=enqueue.stored)
_EXTEND = Verb(finish.extend, _always, again=True)
_PROMOTE = Verb(acts.promote, again=True)
_CANCEL = Verb(acts.cancel, doubted=acts.cancelled)
_RETRY = Verb(acts.retry, doubted=acts.retried)
_DELETE = Verb(acts.delete, doubted=acts.deleted)
_LOG = Verb(acts.log, doubted=acts.logged)
_PUT_PARTS = Verb(files.put_parts, again=True)
_ATTACH = Verb(files.attach, doubted=files.attached)
_DROP_FILES = Verb(files.drop, again=True)
_SWEEP_FILES = Verb(files.sweep, again=True)
_SAVE = Verb(acts.save, _always, again=True)


async def open_postgres(url: str, *, run: bool = True) -> PostgresEngine:
    """Connect, and create or migrate the schema (without ``run`` it has to be there). Raises BadInput for a
    URL with faults, StoreError when the store cannot be used.
    """
    gate = Gate(postgres(url), url)
    try:
        connection = await first(gate)
        try:
            await migrate(gate, connection, run=run)
            await refuse_while_moved(gate, connection)
        except BaseException:
            connection.terminate()
            raise
    except DRIVER as error:
        raise cannot_open(url, error) from error
    return PostgresEngine(gate, connection)


class PostgresEngine:
    """A database, for any number of servers."""

    def __init__(self, gate: Gate, connection: Any) -> None:
        """``connection``: one that is open already."""
        self._gate = gate
        self._name = secrets.token_hex(4)
        self._floors = Floors()
        claims, doubts = claim.Claims(self._floors), finish.Doubts()
        self._claim = Verb(claims.claim, claim.joins, doubted=claims.again)
        self._finish = Verb(doubts.finish, _always, doubted=doubts.again, unknown=doubts.unknown)
        self._writer = Writer(Link(gate, connection))
        self._writer.on_rollback = self._floors.forget
        self._readers = Readers(gate, READERS)
        self._voice = Voice(gate, self._name)
        self._care = Care(gate, self._floors)
        self._log = Log(gate)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._care.run()), loop.create_task(Guard(gate).run())]

    def enqueue(self, requests: Sequence[Request], now: int) -> Awaitable[list[list[Kept]]]:
        return self._writer.call(_ENQUEUE, (requests, now))

    def claim(self, asks: Sequence[Ask], lease_until: int, now: int) -> Awaitable[list[list[Claimed]]]:
        return self._writer.call(self._claim, (asks, lease_until, now))

    def finish(self, outcomes: Sequence[Outcome], now: int) -> Awaitable[list[Applied]]:
        return self._writer.call(self._finish, (outcomes, now))

    def extend(self, beats: Sequence[Beat], until: int, now: int) -> Awaitable[list[Held]]:
        return self._writer.call(_EXTEND, (beats, until))

    def promote(self, now: int, limit: int) -> Awaitable[list[tuple[str, int]]]:
        return self._writer.call(_PROMOTE, (now, limit))

    def cancel(self, match: Match, reason: str, now: int, limit: int) -> Awaitable[list[Applied]]:
        return self._writer.call(_CANCEL, (match, reason, now, limit))

    def retry(self, match: Match, now: int, limit: int) -> Awaitable[list[Applied]]:
        return self._writer.call(_RETRY, (match, now, limit))

    def delete(self, match: Match, limit: int, now: int | None = None) -> Awaitable[list[Applied]]:
        return self._writer.call(_DELETE, (match, limit, now))

    def log(self, lines: Sequence[LogLine], cap: int) -> Awaitable[int]:
        return self._writer.call(_LOG, (lines, cap))

    def save(self, notes: Sequence[Note]) -> Awaitable[None]:
        return self._writer.call(_SAVE, notes)

    async def read_events(self, feed: str, owner: str, until: int, limit: int, now: int) -> Reading:
        return await self._log.read(feed, owner, until, limit, now)

    async def drop_events(self, feed: str, owner: str, numbers: Sequence[int]) -> bool:
        return await self._log.drop(feed, owner, numbers)

    async def trim_events(self, limit: int, now: int) -> list[Trimmed]:
        return await self._log.trim(limit, now)

    async def backlog(self) -> list[Backlog]:
        return await self._log.backlog()

    def put_parts(self, parts: Sequence[Part]) -> Awaitable[list[bool]]:
        return self._writer.call(_PUT_PARTS, parts)

    def attach(self, attachments: Sequence[Attachment]) -> Awaitable[list[bool]]:
        return self._writer.call(_ATTACH, attachments)

    def drop_files(self, ids: Sequence[str]) -> Awaitable[list[str]]:
        return self._writer.call(_DROP_FILES, ids)

    def sweep_files(self, limit: int) -> Awaitable[int]:
        return self._writer.call(_SWEEP_FILES, limit)

    async def get(self, ids: Sequence[str]) -> list[Job]:
        return await self._read(lambda session: read.get(session, ids))

    async def find(self, match: Match, limit: int, cursor: str | None = None) -> Page:
        async def page(session: Session) -> Page:
            return await read.find(session, match, await self._slots(session), limit, cursor)

        return await self._read(page)

    async def select(self, match: Match, limit: int, cursor: str | None = None) -> Selection:
        async def selection(session: Session) -> Selection:
            return await read.select(session, match, await self._slots(session), limit, cursor)

        return await self._read(selection)

    async def tally(self, match: Match, cursor: str | None = None) -> Tally:
        async def counted(session: Session) -> Tally:
            return await read.tally(session, match, await self._slots(session), cursor)

        return await self._read(counted)

    async def logs(self, id: str, after: int, limit: int) -> list[tuple[int, LogLine]]:
        return await self._read(lambda session: read.logs(session, id, after, limit))

    async def count(self) -> list[Count]:
        return await self._read(lambda session: read.count(session, self._care.counted))

    async def failures(
        self, queue: str | None, type: str | None, now: int, limit: int, cursor: str | None = None
    ) -> FailurePage:
        return await self._read(lambda session: failures.page(session, queue, type, now, limit, cursor))

    async def tags(self, begins: str, names: int, jobs: int) -> dict[str, int]:
        return await self._read(lambda session: read.tags(session, begins, names, jobs))

    async def oldest(self, queues: Sequence[str]) -> dict[str, int]:
        return await self._read(lambda session: read.oldest(session, queues, self._floors))

    async def ahead(
        self, ids: Sequence[str], types: Sequence[str] | None, now: int, limit: int
    ) -> dict[str, dict[str, int]]:
        return await self._read(lambda session: read.ahead(session, ids, types, now, limit))

    async def notes(
        self, kind: str, since: str = "", until: str | None = None, limit: int | None = None
    ) -> list[Note]:
        return await self._read(lambda session: read.notes(session, kind, since, until, limit))

    async def files(self, jobs: Sequence[str], kind: Kind) -> dict[str, File]:
        return await self._read(lambda session: files.files(session, jobs, kind))

    async def read_parts(self, asked: Sequence[tuple[str, int]]) -> list[bytes | None]:
        return await self._read(lambda session: files.read_parts(session, asked))

    async def loose_files(self) -> list[Loose]:
        return await self._read(files.loose)

    async def next_due(self) -> int | None:
        return await self._read(read.next_due)

    @property
    def shared(self) -> bool:
        return True

    @property
    def product(self) -> tuple[str, str]:
        return "postgresql", self._gate.version

    async def time(self) -> int:
        return await self._read(read.time)

    async def announce(self, queues: Sequence[str], news: Sequence[bytes] = ()) -> None:
        """A transaction of its own: whoever commits jobs does not wait for it."""
        await self._voice.say(queues, news)

    async def changes(self) -> AsyncIterator[Change]:
        async for change in listen.changes(self._gate, self._readers, self._name):
            yield change

    def vitals(self) -> dict[str, float]:
        return {"commits": self._writer.commits, "commit_seconds": self._writer.seconds}

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._writer.close()
        await self._readers.close()
        await self._voice.close()
        await self._care.close()
        await self._log.close()

    async def _slots(self, session: Session) -> dict[tuple[str, str, str], int]:
        return await read.slots(session, self._care.counted)

    async def _read(self, query: Callable[[Session], Awaitable[T]]) -> T:
        """Run a query; where the connection is lost, on another one."""
        if self._readers.closed:
            raise StoreError("The store is closed.")
        tries = 0
        while True:
            try:
                async with self._readers.session() as session:
                    return await query(session)
            except Exception as error:
                tries += 1
                if isinstance(error, StoreError) or not lost(error) or tries >= _TRIES:
                    told = refused(error)
                    if told is error:
                        raise
                    raise told from error
