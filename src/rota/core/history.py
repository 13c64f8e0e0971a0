"""Reads the figures over time: points of equal length, by queue and type or summed, with quantiles that are
taken after everything was added up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from rota.core.meter import Tally
from rota.core.quantiles import merged, quantiles, unpack
from rota.core.series import (
    COUNTED,
    KEPT,
    REPEAT,
    Busy,
    Depth,
    Interval,
    Row,
    Series,
    Up,
    add,
    add_depth,
    opened,
    started,
)
from rota.model.clock import SECOND, to_text
from rota.model.errors import BadInput

MAX_POINTS = 1500
"""Points in an answer: a day of minutes, or two hours of five seconds each."""
MAX_GROUPS = 50
PERCENTS = {"p50": 50, "p95": 95, "p99": 99}
_SLICE = 200
"""Rows read or points made before others have their turn."""

Group = Literal["none", "queue", "type", "queue,type"]
GROUPS: tuple[Group, ...] = ("none", "queue", "type", "queue,type")
Name = tuple[str | None, str | None]
Picture = dict[str, Depth]
_busy = msgspec.json.Decoder(Busy).decode
_rows = msgspec.json.Decoder(dict[str, Row | None]).decode


class Wish(msgspec.Struct, frozen=True):
    """What to read. Times in microseconds; ``length`` is that of a point."""

    length: int
    since: int
    until: int
    queue: str | None = None
    type: str | None = None
    group: Group = "none"
    limit: int = 20


class Figures(msgspec.Struct, omit_defaults=True):
    """One line of figures per name: a number per point, None where no server was up.

    ``wait`` and ``run`` are quantiles in seconds by name, None where nothing was measured. ``others``: so
    many groups are summed here. Without a type there are depths as of the end of each point.
    """

    queue: str | None
    type: str | None
    totals: dict[str, object]
    enqueued: list[int | None]
    started: list[int | None]
    done: list[int | None]
    failed: list[int | None]
    cancelled: list[int | None]
    requeued: list[int | None]
    wait: dict[str, list[float | None]]
    run: dict[str, list[float | None]]
    others: int | None = None
    pending: list[int | None] | None = None
    scheduled: list[int | None] | None = None
    running: list[int | None] | None = None
    oldest_age: list[float | None] | None = None


class History(msgspec.Struct):
    """What was asked for; the first point begins at ``since``, the last one ends at ``until``."""

    since: int
    until: int
    up: list[Up]
    series: list[Figures]


async def history(series: Series, wish: Wish, now: int) -> History:
    """Read it. Only whole points that are over are told: the range is widened to whole ones, and cut to what
    is kept. Raises BadInput for too many points.
    """
    length = wish.length
    since = max(wish.since, now - KEPT)
    until = min(-(-wish.until // length) * length, series.whole - series.whole % length)
    since = min(since - since % length, until)
    points = (until - since) // length
    if points > MAX_POINTS:
        raise BadInput(
            f"{to_text(since)} to {to_text(until)} are {points} points of {length // SECOND} seconds; an "
            f"answer has at most {MAX_POINTS}. Ask for at most {MAX_POINTS * length // SECOND} seconds at "
            "once, or for resolution=1m.",
            code="too_many_points",
            field="since",
        )
    async with series.reading:
        notes = await series.read(length, since - REPEAT - length, until)
        runs = [run for run in await series.runs() if run.until > since and run.since < until]
        gathered = _Gathered(wish, since, points)
        for run in runs:
            gathered.was_up(run)
        for note in notes:
            for interval in opened(note):
                gathered.add(interval)
                await gathered.breathe()
        return History(since, until, _joined(runs, since, until), await gathered.figures())


class _Gathered:
    """Intervals, sorted into groups and points."""

    def __init__(self, wish: Wish, since: int, points: int) -> None:
        self._wish = wish
        self._since = since
        self._points = points
        self._up = [False] * points
        self._groups: dict[Name, dict[int, Tally]] = {}
        self._depths: list[tuple[int, int, Picture]] = []
        self._by_queue = "queue" in wish.group
        self._by_type = "type" in wish.group
        self._has_depth = wish.type is None and not self._by_type
        self._work = 0

    async def breathe(self) -> None:
        """Let others have their turn, now and then."""
        if self._work >= _SLICE:
            self._work = 0
            await asyncio.sleep(0)

    def was_up(self, run: Up) -> None:
        """Points in which a server ran hold zeros where nothing happened."""
        length = self._wish.length
        first = max(0, (run.since - self._since) // length)
        last = min(self._points - 1, (run.until - 1 - self._since) // length)
        for point in range(first, last + 1):
            self._up[point] = True

    def add(self, interval: Interval) -> None:
        """Count what an interval says."""
        point = (interval.start - self._since) // self._wish.length
        self._work += 8
        if self._has_depth:
            self._depths.append((interval.at, point, interval.depth))
        if not 0 <= point < self._points:
            return
        self._up[point] = True
        wish = self._wish
        chosen: Iterable[tuple[str, msgspec.Raw]] = interval.queues.items()
        if wish.queue is not None:
            chosen = [(wish.queue, interval.queues[wish.queue])] if wish.queue in interval.queues else []
        for queue, raw in chosen:
            for type, row in self._rows(_busy(raw)):
                name = (queue if self._by_queue else None, type if self._by_type else None)
                tally = self._groups.setdefault(name, {}).setdefault(point, Tally())
                tally.enqueued += row.enqueued
                tally.done += row.done
                tally.failed += row.failed
                tally.cancelled += row.cancelled
                tally.requeued += row.requeued
                unpack(tally.waits, row.waits)
                unpack(tally.runs, row.runs)
                self._work += 1

    def _rows(self, busy: Busy) -> Iterator[tuple[str | None, Row]]:
        wanted = self._wish.type
        if wanted is None and not self._by_type:
            yield None, busy.total
            return
        for type, row in _rows(busy.types).items():
            if wanted is None or type == wanted:
                yield type, row or busy.total

    async def figures(self) -> list[Figures]:
        """The busiest groups, and the rest as one."""
        pictures = self._pictures() if self._has_depth else None
        sums: dict[Name, Tally] = {}
        for name, tallies in self._groups.items():
            sums[name] = await self._sum(tallies.values())
        if self._by_queue and pictures is not None:
            for queue in {queue for picture in pictures for queue in picture}:
                if self._wish.queue in (None, queue):
                    sums.setdefault((queue, None), Tally())
        if self._wish.group == "none":
            sums.setdefault((None, None), Tally())
        names = sorted(sums, key=lambda name: (-_activity(sums[name]), name[0] or "", name[1] or ""))
        shown, rest = names[: self._wish.limit], names[self._wish.limit :]
        lines = []
        for name in shown:
            line = await self._line(name, self._groups.get(name, {}), sums[name])
            if pictures is not None:
                self._add_depths(line, pictures, _only(name[0] or self._wish.queue))
            lines.append(line)
        if rest:
            named = {name[0] for name in shown}
            lines.append(await self._rest(rest, sums))
            if pictures is not None:
                self._add_depths(lines[-1], pictures, lambda queue: queue not in named)
        return lines

    async def _sum(self, tallies: Collection[Tally]) -> Tally:
        self._work += len(tallies) // 2
        await self.breathe()
        return Tally(
            sum(tally.enqueued for tally in tallies),
            sum(tally.done for tally in tallies),
            sum(tally.failed for tally in tallies),
            sum(tally.cancelled for tally in tallies),
            sum(tally.requeued for tally in tallies),
            merged(tally.waits for tally in tallies),
            merged(tally.runs for tally in tallies),
        )

    async def _rest(self, names: Sequence[Name], sums: dict[Name, Tally]) -> Figures:
        """Groups that are not shown one by one, as one."""
        together: dict[int, Tally] = {}
        total = Tally()
        for name in names:
            add(total, sums[name])
            for point, tally in self._groups.get(name, {}).items():
                add(together.setdefault(point, Tally()), tally)
                self._work += 1
                await self.breathe()
        line = await self._line((None, None), together, total)
        line.others = len(names)
        return line

    async def _line(self, name: Name, tallies: dict[int, Tally], total: Tally) -> Figures:
        empty = Tally()
        cells = [tallies.get(point, empty) if self._up[point] else None for point in range(self._points)]
        waits, runs = [], []
        for cell in cells:
            waits.append(_NOTHING if cell is None else quantiles(cell.waits, _PERCENTS))
            runs.append(_NOTHING if cell is None else quantiles(cell.runs, _PERCENTS))
            self._work += 2
            await self.breathe()
        return Figures(
            queue=name[0] or self._wish.queue,
            type=name[1] or self._wish.type,
            totals={
                **{one: started(total) if one == "started" else getattr(total, one) for one in COUNTED},
                "wait": dict(zip(PERCENTS, quantiles(total.waits, _PERCENTS), strict=True)),
                "run": dict(zip(PERCENTS, quantiles(total.runs, _PERCENTS), strict=True)),
            },
            enqueued=[None if cell is None else cell.enqueued for cell in cells],
            started=[None if cell is None else started(cell) for cell in cells],
            done=[None if cell is None else cell.done for cell in cells],
            failed=[None if cell is None else cell.failed for cell in cells],
            cancelled=[None if cell is None else cell.cancelled for cell in cells],
            requeued=[None if cell is None else cell.requeued for cell in cells],
            wait={share: [cell[n] for cell in waits] for n, share in enumerate(PERCENTS)},
            run={share: [cell[n] for cell in runs] for n, share in enumerate(PERCENTS)},
        )

    def _add_depths(self, line: Figures, pictures: Sequence[Picture], counts: Callable[[str], bool]) -> None:
        pending: list[int | None] = []
        scheduled: list[int | None] = []
        running: list[int | None] = []
        ages: list[float | None] = []
        end = self._since
        before: Picture | None = None
        depth = Depth()
        for point, picture in enumerate(pictures):
            end += self._wish.length
            if picture is not before:
                before, depth = picture, Depth()
                for queue, one in picture.items():
                    if counts(queue):
                        add_depth(depth, one)
            up = self._up[point]
            pending.append(depth.pending if up else None)
            scheduled.append(depth.scheduled if up else None)
            running.append(depth.running if up else None)
            since = depth.since if up else None
            ages.append(None if since is None else round(max(0, end - since) / SECOND, 3))
        line.pending, line.scheduled, line.running, line.oldest_age = pending, scheduled, running, ages

    def _pictures(self) -> list[Picture]:
        """The depths at the end of every point: as the last document up to then told them."""
        told = sorted(self._depths, key=lambda one: one[0])
        pictures: list[Picture] = []
        current: Picture = {}
        at = 0
        for point in range(self._points):
            while at < len(told) and told[at][1] <= point:
                current = told[at][2]
                at += 1
            pictures.append(current)
        return pictures


def _only(queue: str | None) -> Callable[[str], bool]:
    return lambda name: queue is None or name == queue


def _activity(tally: Tally) -> int:
    ended = tally.done + tally.failed + tally.cancelled
    return tally.enqueued + started(tally) + ended + tally.requeued


def _joined(runs: Sequence[Up], since: int, until: int) -> list[Up]:
    """Overlapping runs as one, cut to the range."""
    joined: list[Up] = []
    for run in sorted(runs, key=lambda one: one.since):
        start, end = max(since, run.since), min(until, run.until)
        if joined and start <= joined[-1].until:
            joined[-1].until = max(joined[-1].until, end)
        else:
            joined.append(Up(start, end))
    return joined


_PERCENTS = list(PERCENTS.values())
_NOTHING: list[float | None] = [None] * len(PERCENTS)
