"""Figures of points that are over, kept as they were read: a chart is asked for again and again, and all but
its last minute is what it was.

A strip has the points of one length, cut one way: by queue, by type, both or not at all. What is kept of a
point is small; sums and quantiles are made when they are first asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec

from rota.core.meter import Tally
from rota.core.quantiles import Buckets, merged, pack, quantiles, unpack
from rota.core.series import KEPT, REPEAT, Busy, Depth, Interval, Row, add, add_depth, opened
from rota.model.clock import MINUTE
from rota.model.job import Note

SETTLED = MINUTE
"""So long after the end of a point nothing of it is written any more, or its writer says that it was."""
BLOCK = 32
"""Points that are summed together once."""
MAX_CELLS = 250_000
"""Kept of all strips together: a day of minutes of 170 queues, some 100 MB at worst."""
PERCENTS = {"p50": 50, "p95": 95, "p99": 99}
"""The quantiles that are told, by name."""

Name = tuple[str | None, str | None]
Picture = dict[str, Depth]
Breathe = Callable[[int], Awaitable[None]]
"""Called with the work done, in rows, so that others have their turn."""
Read = Callable[[int, int, int], Awaitable[list[Note]]]
"""Gives the documents with the points of a length from one time to before another, and some more."""
_PERCENTS = list(PERCENTS.values())
_told_at = attrgetter("at")
_busy = msgspec.json.Decoder(Busy).decode
_rows = msgspec.json.Decoder(dict[str, Row | None]).decode


class Cut(NamedTuple):
    """How points are cut: what is left out, and what is told apart."""

    length: int
    queue: str | None
    type: str | None
    by_queue: bool
    by_type: bool


class Cell(msgspec.Struct, gc=False):
    """What happened to the jobs of a name in a point. ``waits`` and ``runs`` as quantiles.pack makes them."""

    enqueued: int
    done: int
    failed: int
    cancelled: int
    requeued: int
    waits: list[int]
    runs: list[int]
    started: int
    wait: list[float | None] | None = None
    run: list[float | None] | None = None

    @property
    def activity(self) -> int:
        return self.enqueued + self.started + self.done + self.failed + self.cancelled + self.requeued

    def quantiles(self) -> tuple[list[float | None], list[float | None]]:
        """Of waits and of runs, in seconds, for :data:`PERCENTS`."""
        if self.wait is None or self.run is None:
            self.wait, self.run = _quantiles(self.waits), _quantiles(self.runs)
        return self.wait, self.run


EMPTY = Cell(0, 0, 0, 0, 0, [], [], 0)


class Seen(NamedTuple):
    """The depths that a document tells: as of ``at``, in the point that begins at ``start``."""

    at: int
    start: int
    picture: Picture
    total: Depth


class Strip:
    """Points by their start."""

    def __init__(self, cut: Cut, since: int) -> None:
        self.cut = cut
        self.since = self.until = since
        self.cells: dict[int, dict[Name, Cell]] = {}
        self.seen: list[Seen] = []
        self.fresh: dict[int, dict[Name, Cell]] = {}
        """Points that may still change; read anew each time."""
        self.fresh_seen: list[Seen] = []
        self.print = 0
        """Another one when anything was read that was not there, or was another, the time before."""
        self.made: dict[object, object] = {}
        """What its reader made of it and is still right."""
        self._sums: dict[tuple[int, Name], Tally] = {}
        self._activity: dict[int, dict[Name, int]] = {}
        self._rest_of: frozenset[Name] = frozenset()
        self._rest: dict[int, Cell] = {}
        self._rest_depths: dict[tuple[int, int], Depth] = {}

    @property
    def size(self) -> int:
        """How much room it takes, in cells."""
        return sum(map(len, self.cells.values())) + sum(len(one.picture) for one in self.seen) // 4

    def at(self, start: int) -> Mapping[Name, Cell]:
        """What happened in a point."""
        return (self.cells if start < self.until else self.fresh).get(start, {})

    def has(self, start: int) -> bool:
        """Whether somebody told of this point, be it that nothing happened."""
        return start in (self.cells if start < self.until else self.fresh)

    def told(self, since: int) -> list[Seen]:
        """Depths that were told in points from then on, in the order in which they were looked up."""
        return sorted((one for one in (*self.seen, *self.fresh_seen) if one.start >= since), key=_told_at)

    def add(self, interval: Interval, start: int, settled: int) -> int:
        """Count what an interval says of the point that begins at ``start``; answers the work that was."""
        cut = self.cut
        fresh = start >= settled
        if not cut.by_type and cut.type is None:
            total = Depth()
            for depth in interval.depth.values():
                add_depth(total, depth)
            seen = self.fresh_seen if fresh else self.seen
            seen.append(Seen(interval.at, start, interval.depth, total))
        cells = (self.fresh if fresh else self.cells).setdefault(start, {})
        found: dict[Name, list[Cell]] = {name: [cell] for name, cell in cells.items()}
        work = 8
        for name, row in self._rows(interval):
            found.setdefault(name, []).append(_cell(row))
            work += 1
        # All of one name at once: adding them up one by one would take many times as long.
        cells.update((name, _together(some)) for name, some in found.items())
        return work

    def trim(self, since: int) -> None:
        """Forget what lies before."""
        self.since = max(self.since, since)
        for start in [start for start in self.cells if start < since]:
            del self.cells[start]
            self._rest.pop(start, None)
        self.seen = [one for one in self.seen if one.start >= since]
        first = since // (BLOCK * self.cut.length)
        for block in [block for block in self._activity if block < first]:
            del self._activity[block]
        for key in [key for key in self._sums if key[0] < first]:
            del self._sums[key]

    def activity(self, starts: Sequence[int]) -> dict[Name, int]:
        """How much happened in these neighbouring points, by name."""
        total: dict[Name, int] = {}
        for block, points in self._blocks(starts):
            part = self._activity.get(block) if block is not None else None
            if part is None:
                part = {}
                for start in points:
                    for name, cell in self.at(start).items():
                        part[name] = part.get(name, 0) + cell.activity
                if block is not None:
                    self._activity[block] = part
            for name, number in part.items():
                total[name] = total.get(name, 0) + number
        return total

    async def sum(self, name: Name, starts: Sequence[int], breathe: Breathe) -> Tally:
        """What happened under a name in these neighbouring points, added up."""
        total = Tally(waits={}, runs={})
        for block, points in self._blocks(starts):
            part = self._sums.get((block, name)) if block is not None else None
            if part is None:
                await breathe(len(points) // 2)
                part = _tally(cell for start in points if (cell := self.at(start).get(name)))
                if block is not None:
                    self._sums[block, name] = part
            add(total, part)
        return total

    async def rest(self, shown: frozenset[Name], starts: Sequence[int], breathe: Breathe) -> list[Cell]:
        """All names but the shown ones as one, for each point."""
        self._leave_out(shown)
        found = []
        for start in starts:
            cell = self._rest.get(start)
            if cell is None:
                others = [one for name, one in self.at(start).items() if name not in shown]
                await breathe(len(others))
                cell = _together(others)
                if start < self.until:
                    self._rest[start] = cell
            found.append(cell)
        return found

    def rest_depth(self, one: Seen, shown: frozenset[Name]) -> Depth:
        """The depth of all queues but the shown ones."""
        self._leave_out(shown)
        depth = self._rest_depths.get((one.at, id(one.picture)))
        if depth is None:
            depth = Depth()
            queues = {name[0] for name in shown}
            for queue, here in one.picture.items():
                if queue not in queues:
                    add_depth(depth, here)
            if one.start < self.until:
                self._rest_depths[one.at, id(one.picture)] = depth
        return depth

    def _leave_out(self, shown: frozenset[Name]) -> None:
        if shown != self._rest_of or len(self._rest_depths) > 2 * len(self.seen) + 100:
            self._rest_of, self._rest, self._rest_depths = shown, {}, {}

    def _blocks(self, starts: Sequence[int]) -> Iterator[tuple[int | None, Sequence[int]]]:
        """Points in blocks; None: those of a part of a block, or of one that may still change."""
        length, at = self.cut.length, 0
        while at < len(starts):
            block = starts[at] // (BLOCK * length)
            end = min(len(starts), at + BLOCK - starts[at] // length % BLOCK)
            whole = end - at == BLOCK and starts[end - 1] < self.until and starts[at] >= self.since
            yield (block if whole else None), starts[at:end]
            at = end

    def _rows(self, interval: Interval) -> Iterator[tuple[Name, Row]]:
        cut = self.cut
        for queue, raw in interval.queues.items():
            if cut.queue is not None and queue != cut.queue:
                continue
            busy, name = _busy(raw), queue if cut.by_queue else None
            if cut.type is None and not cut.by_type:
                yield (name, None), busy.total
                continue
            for type, row in _rows(busy.types).items():
                if cut.type is None or type == cut.type:
                    yield (name, type if cut.by_type else None), row or busy.total


class Strips:
    """Those of a server. To be used by one at a time."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._kept: dict[Cut, Strip] = {}
        self._late = 0

    async def read(self, cut: Cut, since: int, until: int, now: int, late: int, breathe: Breathe) -> Strip:
        """A strip with the points from ``since`` to before ``until``, good until the next one is read.
        ``late``: how often documents were late, by the word of all who write them.
        """
        if late != self._late:
            self._late = late
            self._kept.clear()
        # Depths are told when they change, or that often.
        first = since - REPEAT - cut.length
        settled = now - SETTLED - MINUTE
        settled = min(until, settled - settled % MINUTE)
        strip = self._kept.pop(cut, None)
        if strip is None or strip.since > first or strip.until > now - SETTLED:
            strip = Strip(cut, first)
        strip.fresh, strip.fresh_seen, print = {}, [], strip.until
        for note in await self._read(cut.length, strip.until, until):
            print = zlib.crc32(note.body or b"", print)
            for interval in opened(note):
                start = interval.start - interval.start % cut.length
                if strip.until <= start < until:
                    await breathe(strip.add(interval, start, settled))
        if print != strip.print:
            strip.print = print
            strip.made.clear()
        strip.until = max(strip.until, settled)
        strip.trim(now - KEPT - REPEAT - cut.length - MINUTE)
        self._keep(cut, strip)
        return strip

    def _keep(self, cut: Cut, strip: Strip) -> None:
        self._kept[cut] = strip
        sizes = {one: kept.size for one, kept in self._kept.items()}
        for oldest in list(self._kept):
            if sum(sizes.values()) <= MAX_CELLS:
                return
            del self._kept[oldest], sizes[oldest]


def _cell(row: Row) -> Cell:
    started = sum(count for count in row.waits[1:] if count > 0)
    return Cell(row.enqueued, row.done, row.failed, row.cancelled, row.requeued, row.waits, row.runs, started)


def _together(cells: Sequence[Cell]) -> Cell:
    if len(cells) <= 1:
        return cells[0] if cells else EMPTY
    tally = _tally(cells)
    waits, runs = pack(tally.waits), pack(tally.runs)
    started = sum(cell.started for cell in cells)
    return Cell(
        tally.enqueued, tally.done, tally.failed, tally.cancelled, tally.requeued, waits, runs, started
    )


def _tally(cells: Iterable[Cell]) -> Tally:
    cells = list(cells)
    return Tally(
        sum(cell.enqueued for cell in cells),
        sum(cell.done for cell in cells),
        sum(cell.failed for cell in cells),
        sum(cell.cancelled for cell in cells),
        sum(cell.requeued for cell in cells),
        merged(_buckets(cell.waits) for cell in cells),
        merged(_buckets(cell.runs) for cell in cells),
    )


def _buckets(packed: list[int]) -> Buckets:
    buckets: Buckets = {}
    unpack(buckets, packed)
    return buckets


def _quantiles(packed: list[int]) -> list[float | None]:
    return quantiles(_buckets(packed), _PERCENTS)
