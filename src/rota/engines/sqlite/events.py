"""The event log: what the open transaction adds to it, and how it is read, shortened and emptied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import apsw
import msgspec

from rota.engines.feeding import BYTES, EXACT, still_held
from rota.engines.sqlite import statements
from rota.engines.sqlite.statements import Row, run, run_many
from rota.model.event import FEEDS, Backlog, EventKind, Feed, LoggedEvent, Trimmed
from rota.model.job import Claimed, NewJob, Note, Outcome, State

_EVENTS = statements.load("events")
_NOTES = statements.load("notes")
_READ = statements.load("read_events")
_DROP = statements.load("drop_events")
_TRIM = statements.load("trim_events")
_BACKLOG = statements.load("backlog")

_feed = msgspec.json.Decoder(Feed).decode
_encode = msgspec.json.Encoder().encode
_NINE, _SEVEN = (None,) * 9, (None,) * 7
WAITING = (State.SCHEDULED, State.PENDING)


class Told(NamedTuple):
    """What became of a job."""

    id: str
    type: str
    queue: str
    state: str
    attempt: int | None = None
    worker: str | None = None
    end: str | None = None
    reason: str | None = None
    result: bytes | None = None
    result_type: str | None = None
    error: bytes | None = None

    @classmethod
    def by(
        cls,
        outcome: Outcome,
        queue: str,
        type: str,
        state: State,
        reason: str | None,
        attempt: int,
        worker: str | None,
    ) -> Told:
        """What an outcome made of a job."""
        kept = state not in WAITING
        result, result_type = (outcome.result, outcome.content_type) if kept else (None, None)
        tried = (attempt, worker, outcome.end, reason, result, result_type, outcome.error)
        return cls(outcome.id, type, queue, state.value, *tried)


class Events:
    """Events of the open transaction, written just before its commit. Without a feed nothing is done."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] | None = None
        self._new: list[Row] = []

    def enqueued(self, db: apsw.Connection, jobs: Iterable[NewJob]) -> None:
        for name, _ in self._wanted(db, "enqueued"):
            self._new += [
                (name, job.created_at, "enqueued", job.id, job.type, job.queue, job.state.value, *_NINE)
                for job in jobs
            ]

    def started(self, db: apsw.Connection, jobs: Sequence[Claimed], worker: str, now: int) -> None:
        for name, _ in self._wanted(db, "started"):
            self._new += [
                (name, now, "started", job.id, job.type, job.queue, "running", job.attempt, worker, *_SEVEN)
                for job in jobs
            ]

    def told(self, db: apsw.Connection, event: EventKind, all: Iterable[Told], now: int) -> None:
        """``all`` is looked at only if somebody wants to know."""
        wanted = self._wanted(db, event)
        if wanted:
            for told in all:
                self._new += [_row(name, now, event, told, feed.result_bytes) for name, feed in wanted]

    def changed(self, db: apsw.Connection, note: Note) -> None:
        """A note is written."""
        if note.kind == FEEDS:
            self._feeds = None
            if note.body is not None:
                run(db, _NOTES["feed"], (note.key,))

    def write(self, db: apsw.Connection) -> None:
        if self._new:
            run_many(db, _EVENTS["keep"], self._new)
            self._new = []

    def rollback(self) -> None:
        self._new = []
        self._feeds = None

    def _wanted(self, db: apsw.Connection, event: EventKind) -> list[tuple[str, Feed]]:
        if self._feeds is None:
            self._feeds = {key: _feed(body) for _, key, body in run(db, _NOTES["read"], (FEEDS,))}
        if not self._feeds:
            return []
        return [(name, feed) for name, feed in self._feeds.items() if event in feed.events]


def kind_of(state: State) -> EventKind:
    """The event of a job that does not run any more."""
    return "requeued" if state in WAITING else "finished"


def done_events(rows: Iterable[Row], outcomes: Sequence[Outcome]) -> Iterator[Told]:
    """Of jobs that are done: the rows of ``finish.sql``, and what was asked for."""
    by_lease = {(outcome.id, outcome.lease): outcome for outcome in reversed(outcomes)}
    for _, id, lease, queue, type, attempt, worker in rows:
        yield Told.by(by_lease[id, lease], queue, type, State.DONE, None, attempt, worker)


def _row(feed: str, at: int, event: str, told: Told, most: int) -> Row:
    """``most``: the bytes of a result or an error that are kept."""
    id, type, queue, state, attempt, worker, end, reason, result, result_type, error = told
    return (
        *(feed, at, event, id, type, queue, state, attempt, worker, end, reason),
        None if result is None or len(result) > most else result,
        None if result is None else result_type,
        None if result is None else len(result),
        None if error is None or len(error) > most else error,
        None if error is None else len(error),
    )


def free(db: apsw.Connection) -> None:
    """Nobody has any feed."""
    run(db, _READ["free"])


def held(db: apsw.Connection, feed: str, owner: str, until: int, now: int) -> int | None:
    """Until when it is held, where there is no need to write that down anew."""
    got = run(db, _READ["owner"], (feed, owner))
    return got[0][0] if got and still_held(got[0][0], until, now) else None


def hold(db: apsw.Connection, feed: str, owner: str, until: int, now: int) -> bool:
    return bool(run(db, _READ["hold"], (feed, owner, until, now)))


def read(db: apsw.Connection, feed: str, limit: int) -> list[LoggedEvent]:
    events: list[LoggedEvent] = []
    size = 0
    for row in db.execute(_READ["oldest"], (feed, limit)):
        event = LoggedEvent(*row)
        size += len(event.result or b"") + len(event.error or b"")
        if events and size > BYTES:
            break
        events.append(event)
    return events


def drop(db: apsw.Connection, feed: str, owner: str, numbers: Sequence[int]) -> bool:
    if not run(db, _READ["owner"], (feed, owner)):
        return False
    numbers = sorted(set(numbers))
    if numbers and len(numbers) == numbers[-1] - numbers[0] + 1:
        run(db, _DROP["range"], (feed, numbers[0], numbers[-1]))
    else:
        run(db, _DROP["drop"], (feed, _encode(numbers).decode()))
    return True


def backlog(db: apsw.Connection) -> list[Backlog]:
    rows = []
    for feed, on, dropped, owner, until, first, last in run(db, _BACKLOG["feeds"]):
        waiting = 0 if first is None else last - first + 1
        if 1 < waiting <= EXACT:
            [(waiting,)] = run(db, _BACKLOG["count"], (feed,))
        oldest = None if first is None else run(db, _BACKLOG["at"], (first,))[0][0]
        rows.append(Backlog(feed, bool(on), waiting, oldest, dropped, owner, until))
    return rows


def too_many(db: apsw.Connection) -> list[tuple[str, int | None]]:
    """Feeds that have more than they may, and up to which number; those that are off (None: all)."""
    limits = {key: _feed(body).backlog for _, key, body in run(db, _NOTES["read"], (FEEDS,))}
    found: list[tuple[str, int | None]] = []
    for row in backlog(db):
        if not row.on:
            found.append((row.feed, None))
        elif row.waiting > limits[row.feed]:
            cut = run(db, _BACKLOG["cut"], (row.feed, limits[row.feed]))
            found += [(row.feed, cut[0][0])] if cut else []
    return found


def trim(db: apsw.Connection, over: Sequence[tuple[str, int | None]], limit: int, now: int) -> list[Trimmed]:
    trimmed: list[Trimmed] = []
    for feed, cut in over:
        run(db, _TRIM["oldest"], (feed, cut, limit))
        gone = db.changes()
        if cut is None:
            run(db, _TRIM["forget"], (feed,))
        else:
            run(db, _TRIM["dropped"], (feed, now, gone))
        trimmed.append(Trimmed(feed, gone, cut is None))
    return trimmed
