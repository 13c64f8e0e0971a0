"""Figures over time, kept for a day and over restarts: small documents, written when something happened.

What the meter counted in 5 seconds is an interval. The store gets two documents a minute, one with the
minute's intervals and one with their sum; both are written anew with each interval, so that no more than the
last one can be lost. Their keys say when and by whom they were written: those of several servers, or of
several runs of one, add up. Where no document tells of an interval nothing happened, as long as somebody was
up; that stands in a mark of its own for every run of a server. :mod:`rota.core.history` reads all this back.
"""

from __future__ import annotations

import logging
import secrets
import zlib
from collections import Counter, deque
from collections.abc import Mapping

import msgspec

from rota.core.meter import Kind, Meter, Tally
from rota.core.quantiles import merge, pack
from rota.engines.base import Engine
from rota.model.clock import DAY, MINUTE, SECOND, Clock
from rota.model.errors import StoreError
from rota.model.job import Note, State

log = logging.getLogger("rota.series")

FINE, COARSE = 5 * SECOND, MINUTE
"""Lengths of intervals."""
KEPT = DAY
REPEAT = 10 * MINUTE
"""While jobs wait and nothing happens, a document says so that often: readers look back no further."""
MAX_QUEUES = 200
"""Queues whose depth is told apart; those with the fewest jobs are counted together as ``other``."""
OTHER = "other"
_KINDS = {FINE: "series-5s", COARSE: "series-1m"}
_UP = "series-up"
LATE = COARSE + COARSE // 2
"""A document that is written so long after the beginning of its minute is late: others may have read that."""
_UNWRITTEN = 240
"""Documents that wait for a store which cannot be written."""
_DROP = 60
"""Documents removed at a time."""


class Row(msgspec.Struct, array_like=True, gc=False):
    """What happened to the jobs of one queue and type; waits and runs as quantiles.pack makes them."""

    enqueued: int
    done: int
    failed: int
    cancelled: int
    requeued: int
    waits: list[int]
    runs: list[int]


class Depth(msgspec.Struct, array_like=True, gc=False):
    """Jobs of a queue, and since when its oldest pending one waits."""

    pending: int = 0
    scheduled: int = 0
    running: int = 0
    since: int | None = None


class Busy(msgspec.Struct, array_like=True, gc=False):
    """What happened in one queue: in all, and by type (rows; null where all of it was of one type)."""

    total: Row
    types: msgspec.Raw


class Interval(msgspec.Struct, array_like=True):
    """What happened from ``start`` on. ``depth`` is that of all queues with such jobs at the time ``at``;
    ``queues`` has a :class:`Busy` for each queue.
    """

    start: int
    at: int
    depth: dict[str, Depth]
    queues: dict[str, msgspec.Raw]


class Up(msgspec.Struct, omit_defaults=True):
    """A server ran. ``late``: how often it wrote documents of minutes that were long over."""

    since: int
    until: int
    late: int = 0


_encode = msgspec.json.Encoder().encode
_intervals = msgspec.json.Decoder(list[Interval]).decode
_up = msgspec.json.Decoder(Up).decode


class Series:
    """Writes the documents. :meth:`tick` is called when :meth:`next_at` has come, or a little later."""

    def __init__(self, engine: Engine, clock: Clock, meter: Meter) -> None:
        self._engine = engine
        self._clock = clock
        self._meter = meter
        self._id = secrets.token_hex(4)
        now = clock.now()
        self._since = now
        self._open = now - now % FINE
        self._minute = -1
        self._number = 0
        self._intervals: list[msgspec.Raw] = []
        self._sum: dict[Kind, Tally] = {}
        self._depth: dict[str, Depth] | None = None
        self._told_at = 0
        self._marked_at = 0
        self._late = 0
        self._unwritten: dict[tuple[str, str], bytes] = {}
        self._recent: deque[tuple[int, Counter[str]]] = deque(maxlen=COARSE // FINE)
        self._closed_at = now
        self.told = self._open
        """What happened before this is written."""
        self.others = False
        """Whether other servers write documents, too."""

    def next_at(self) -> int:
        """When the open interval is over."""
        return self._open + FINE

    async def tick(self) -> None:
        """Write the open interval if it is over."""
        now = self._clock.now()
        # A clock that was set back ends it too.
        if not self._open <= now < self._open + FINE:
            await self._close(now)

    async def stop(self) -> None:
        """Write what there is."""
        try:
            await self._close(self._clock.now(), last=True)
        except StoreError as error:
            log.warning("the last figures are not stored", extra={"detail": error.detail})

    @property
    def whole(self) -> int:
        """What happened before this is written by everybody; others may be an interval behind."""
        return self.told - FINE if self.others else self.told

    @property
    def measured(self) -> float:
        """Seconds over which :meth:`rates` are taken: a minute, or less after the start."""
        return sum(span for span, _ in self._recent) / SECOND

    def rates(self) -> dict[str, float]:
        """What happened per second in the last minute or since the start, by what it was."""
        length = self.measured
        total: Counter[str] = Counter()
        for _, counts in self._recent:
            total.update(counts)
        return {name: round(total[name] / length, 3) if length else 0.0 for name in COUNTED}

    async def read(self, length: int, since: int, until: int) -> list[Note]:
        """Documents with the intervals of this length from ``since`` to before ``until`` (and some more), for
        :func:`opened`.
        """
        return await self._engine.notes(_KINDS[length], _key(since - since % COARSE), _key(until))

    async def runs(self) -> list[Up]:
        """When servers on this store were up, this one included."""
        runs = [_up(note.body or b"") for note in await self._engine.notes(_UP)]
        return [*runs, Up(self._since, self._clock.now())]

    async def _close(self, now: int, last: bool = False) -> None:
        depth = await self._depths()
        # From here to the documents nothing is awaited: no count can be lost on the way.
        tallies = self._meter.take()
        start, self._open = self._open, now - now % FINE
        self._remember(tallies, now)
        repeat = bool(depth) and now - self._told_at >= REPEAT
        if tallies or repeat or depth != self._depth:
            self._depth, self._told_at = depth, now
            self._tell(start, tallies, depth, now)
        mark = last or self._unwritten or now - self._marked_at >= MINUTE
        if mark:
            self._marked_at = now
            self._late += any(kind != _UP and _minute(key) < now - LATE for kind, key in self._unwritten)
            up = Up(self._since, now, self._late)
            self._unwritten[_UP, f"{_key(self._since)}-{self._id}"] = _encode(up)
            await self._write(now)
        self.told = self._open

    def _tell(self, start: int, tallies: dict[Kind, Tally], depth: dict[str, Depth], now: int) -> None:
        """Put the documents of the interval's minute among those to be written."""
        minute = start - start % COARSE
        if minute != self._minute:
            # The number keeps this minute apart from one of the same time, should the clock be set back.
            self._number += 1
            self._minute, self._intervals, self._sum = minute, [], {}
        self._intervals.append(msgspec.Raw(written(start, now, depth, tallies)))
        for kind, tally in tallies.items():
            add(self._sum.setdefault(kind, Tally()), tally)
        key = f"{_key(minute)}-{self._id}-{self._number:06d}"
        self._unwritten[_KINDS[FINE], key] = zlib.compress(_encode(self._intervals))
        # Not compressed: a day of these is read at once.
        self._unwritten[_KINDS[COARSE], key] = _encode([msgspec.Raw(written(minute, now, depth, self._sum))])

    async def _write(self, now: int) -> None:
        while len(self._unwritten) > _UNWRITTEN:
            del self._unwritten[next(iter(self._unwritten))]
        notes = [Note(kind, key, body) for (kind, key), body in self._unwritten.items()]
        gone = [
            Note(old.kind, old.key, None)
            for kind in _KINDS.values()
            for old in await self._engine.notes(kind, "", _key(now - KEPT), _DROP)
        ]
        gone += [
            Note(old.kind, old.key, None)
            for old in await self._engine.notes(_UP, "", _key(now - KEPT))
            if _up(old.body or b"").until < now - KEPT
        ]
        await self._engine.save(notes + gone)
        for note in notes:
            if self._unwritten.get((note.kind, note.key)) is note.body:
                del self._unwritten[note.kind, note.key]

    def _remember(self, tallies: Mapping[Kind, Tally], now: int) -> None:
        counts: Counter[str] = Counter()
        for tally in tallies.values():
            for name in COUNTED:
                counts[name] += started(tally) if name == "started" else getattr(tally, name)
        if now > self._closed_at:
            self._recent.append((now - self._closed_at, counts))
        self._closed_at = now

    async def _depths(self) -> dict[str, Depth]:
        """Queues with jobs that have not ended; the fullest ones, and the rest as one."""
        found: dict[str, Depth] = {}
        for row in await self._engine.count():
            if row.jobs and row.state in (State.PENDING, State.SCHEDULED, State.RUNNING):
                depth = found.setdefault(row.queue, Depth())
                setattr(depth, row.state.value, getattr(depth, row.state.value) + row.jobs)
        if len(found) > MAX_QUEUES:
            found = _fullest(found)
        oldest = await self._engine.oldest([name for name, depth in found.items() if depth.pending])
        for name, at in oldest.items():
            found[name].since = at
        return found


COUNTED = ("enqueued", "started", "done", "failed", "cancelled", "requeued")


def started(tally: Tally) -> int:
    """Every start has its wait."""
    return sum(tally.waits.values())


def opened(note: Note) -> list[Interval]:
    """The intervals of a document."""
    body = note.body or b""
    return _intervals(body if body[:1] == b"[" else zlib.decompress(body))


def add(into: Tally, other: Tally) -> None:
    """Add one while to another."""
    into.enqueued += other.enqueued
    into.done += other.done
    into.failed += other.failed
    into.cancelled += other.cancelled
    into.requeued += other.requeued
    merge(into.waits, other.waits)
    merge(into.runs, other.runs)


def add_depth(into: Depth, other: Depth) -> None:
    """Add the jobs of one queue to another; the oldest is the older one."""
    into.pending += other.pending
    into.scheduled += other.scheduled
    into.running += other.running
    if other.since is not None and (into.since is None or other.since < into.since):
        into.since = other.since


def _fullest(found: dict[str, Depth]) -> dict[str, Depth]:
    names = sorted(found, key=lambda name: found[name].pending + found[name].running, reverse=True)
    kept = {name: found[name] for name in names[: MAX_QUEUES - 1]}
    rest = kept.setdefault(OTHER, Depth())
    for name in names[MAX_QUEUES - 1 :]:
        add_depth(rest, found[name])
    return kept


def written(start: int, now: int, depth: dict[str, Depth], tallies: Mapping[Kind, Tally]) -> bytes:
    """An interval as it stands in a document."""
    queues: dict[str, dict[str, Tally]] = {}
    for (queue, type), tally in tallies.items():
        queues.setdefault(queue, {})[type] = tally
    busy = {queue: msgspec.Raw(_encode(_busy(types))) for queue, types in queues.items()}
    return _encode(Interval(start, now, depth, busy))


def _busy(types: Mapping[str, Tally]) -> Busy:
    if len(types) == 1:
        [(type, tally)] = types.items()
        return Busy(_row(tally), msgspec.Raw(_encode({type: None})))
    total = Tally()
    for tally in types.values():
        add(total, tally)
    return Busy(_row(total), msgspec.Raw(_encode({type: _row(tally) for type, tally in types.items()})))


def _row(tally: Tally) -> Row:
    return Row(
        tally.enqueued,
        tally.done,
        tally.failed,
        tally.cancelled,
        tally.requeued,
        pack(tally.waits),
        pack(tally.runs),
    )


def _minute(key: str) -> int:
    """When the minute of a document began."""
    return int(key.partition("-")[0]) * SECOND


def _key(at: int) -> str:
    """Whole seconds, so that the order of keys is that of time."""
    return f"{max(0, at) // SECOND:012d}"
