"""Reads the figures over time: points of equal length, by queue and type or summed, with quantiles that are
taken after everything was added up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast

import msgspec

from rota.core.meter import Tally
from rota.core.quantiles import quantiles
from rota.core.series import COARSE, COUNTED, KEPT, REPEAT, Depth, Series, Up, add, started
from rota.core.strip import EMPTY, PERCENTS, Breathe, Cell, Cut, Name, Seen, Strip, Strips
from rota.model.clock import SECOND, to_text
from rota.model.errors import BadInput

MAX_POINTS = 1500
"""Points in an answer: a day of minutes, or two hours of five seconds each."""
MAX_GROUPS = 50
_MADE = 30
"""Answers that are kept of a strip."""
_REST = 0.05
"""Seconds for which reading ahead rests at most."""
_SLICE = 200
"""Rows read or points made before others have their turn."""

Group = Literal["none", "queue", "type", "queue,type"]
GROUPS: tuple[Group, ...] = ("none", "queue", "type", "queue,type")


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


class Histories:
    """Reads them from what a server and others write. What it has read of points that are over it keeps."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self.strips = Strips(series.read)
        self._reading = asyncio.Lock()
        """One at a time is enough."""
        self.waiting = 0
        """How many want one: what is read ahead must not keep them."""

    async def read(self, wish: Wish, now: int) -> History:
        """Only whole points that are over are told: the range is widened to whole ones, and cut to what is
        kept. Raises BadInput for too many points, StoreError.
        """
        length = wish.length
        since = max(wish.since, now - KEPT)
        whole = self._series.whole
        until = min(-(-wish.until // length) * length, whole - whole % length)
        since = min(since - since % length, until)
        points = (until - since) // length
        if points > MAX_POINTS:
            raise BadInput(
                f"{to_text(since)} to {to_text(until)} are {points} points of {length // SECOND} seconds; "
                f"an answer has at most {MAX_POINTS}. Ask for at most {MAX_POINTS * length // SECOND} "
                "seconds at once, or for resolution=1m.",
                code="too_many_points",
                field="since",
            )
        self.waiting += 1
        try:
            await self._reading.acquire()
        finally:
            self.waiting -= 1
        try:
            return await self._read(wish, range(since, until, length), now)
        finally:
            self._reading.release()

    async def warm(self, now: int, *, by_queue: bool) -> None:
        """Read a day ahead, so that whoever opens the dashboard first after a start need not wait for it.
        Takes a small part of the processor's time for as long as nobody waits. Raises StoreError.
        """
        since = now - KEPT
        since -= since % COARSE
        async with self._reading:
            late = sum(run.late for run in await self._series.runs())
            until = self._series.whole - self._series.whole % COARSE
            cut = Cut(COARSE, None, None, by_queue, False)
            await self.strips.read(cut, since, until, now, late, _Slow(self).breathe)

    async def _read(self, wish: Wish, starts: range, now: int) -> History:
        since, until, length = starts.start, starts.stop, starts.step
        points = len(starts)
        runs = await self._series.runs()
        late = sum(run.late for run in runs)
        runs = [run for run in runs if run.until > since and run.since < until]
        # A chart of one queue is one of all queues, cut out of what is there for those.
        alone = wish.type is None and wish.queue is not None and "type" not in wish.group
        by_queue = "queue" in wish.group or alone
        cut = Cut(length, None if alone else wish.queue, wish.type, by_queue, "type" in wish.group)
        turns = _Turns()
        strip = await self.strips.read(cut, since, until, now, late, turns.breathe)
        up = [strip.has(start) for start in starts]
        for run in runs:
            first, last = max(0, (run.since - since) // length), (run.until - 1 - since) // length
            up[first : last + 1] = [True] * (min(points - 1, last) + 1 - first)
        # Of the same points, and with the same gaps, it is the same again.
        about = (since, until, wish.queue, wish.group, wish.limit, tuple(up))
        lines = cast("list[Figures] | None", strip.made.get(about))
        if len(strip.made) > _MADE:
            strip.made.clear()
        if lines is None:
            lines = strip.made[about] = await _Picked(wish, strip, starts, up, turns.breathe).figures()
        return History(since, until, _joined(runs, since, until), lines)


class _Turns:
    """Lets others have their turn, now and then."""

    def __init__(self) -> None:
        self._work = 0

    async def breathe(self, work: int) -> None:
        self._work += work
        if self._work >= _SLICE:
            self._work = 0
            await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(0)


class _Slow(_Turns):
    """Works for a fifth of the time, and hears soon of somebody who waits."""

    def __init__(self, histories: Histories) -> None:
        super().__init__()
        self._histories = histories
        self._began = time.monotonic()

    async def _pause(self) -> None:
        spent = time.monotonic() - self._began
        await asyncio.sleep(0 if self._histories.waiting else min(_REST, 4 * spent))
        self._began = time.monotonic()


class _Picked:
    """What of a strip was asked for, in lines."""

    def __init__(self, wish: Wish, strip: Strip, starts: range, up: Sequence[bool], breathe: Breathe) -> None:
        self._wish = wish
        self._strip = strip
        self._starts = starts
        self._up = up
        self._breathe = breathe
        self._has_depth = wish.type is None and "type" not in wish.group
        self._seen = self._pictures() if self._has_depth else []

    async def figures(self) -> list[Figures]:
        """The busiest groups, and the rest as one."""
        wish, strip = self._wish, self._strip
        activity = strip.activity(self._starts)
        if wish.queue is not None and strip.cut.queue is None:
            activity = {(wish.queue, None): activity.get((wish.queue, None), 0)}
            if wish.group == "queue" and not await self._there((wish.queue, None)):
                return []
        elif strip.cut.by_queue and self._has_depth:
            for queue in {queue for one in self._seen if one is not None for queue in one.picture}:
                activity.setdefault((queue, None), 0)
        if wish.group == "none" and not activity:
            activity[None, None] = 0
        names = sorted(activity, key=lambda name: (-activity[name], name[0] or "", name[1] or ""))
        shown, rest = names[: wish.limit], names[wish.limit :]
        lines = []
        for name in shown:
            cells = [strip.at(start).get(name, EMPTY) for start in self._starts]
            lines.append(await self._line(name, cells, await strip.sum(name, self._starts, self._breathe)))
            if self._has_depth:
                self._add_depths(lines[-1], partial(_depth_of, name[0]))
        if rest:
            left_out = frozenset(shown)
            cells = await strip.rest(left_out, self._starts, self._breathe)
            total = Tally(waits={}, runs={})
            for name in rest:
                add(total, await strip.sum(name, self._starts, self._breathe))
            lines.append(await self._line((None, None), cells, total))
            lines[-1].others = len(rest)
            if self._has_depth:
                self._add_depths(lines[-1], lambda one: strip.rest_depth(one, left_out))
        return lines

    async def _there(self, name: Name) -> bool:
        """Whether there is anything to tell of a queue that a line of its own was asked for."""
        return any(name in self._strip.at(start) for start in self._starts) or any(
            one is not None and name[0] in one.picture for one in self._seen
        )

    async def _line(self, name: Name, found: Sequence[Cell], total: Tally) -> Figures:
        cells = [cell if up else None for cell, up in zip(found, self._up, strict=True)]
        waits, runs = [], []
        for cell in cells:
            wait, run = (_NOTHING, _NOTHING) if cell is None else cell.quantiles()
            waits.append(wait)
            runs.append(run)
        await self._breathe(len(cells))
        return Figures(
            queue=name[0] or self._wish.queue,
            type=name[1] or self._wish.type,
            totals={
                **{one: started(total) if one == "started" else getattr(total, one) for one in COUNTED},
                "wait": dict(zip(PERCENTS, quantiles(total.waits, _PERCENTS), strict=True)),
                "run": dict(zip(PERCENTS, quantiles(total.runs, _PERCENTS), strict=True)),
            },
            enqueued=[None if cell is None else cell.enqueued for cell in cells],
            started=[None if cell is None else cell.started for cell in cells],
            done=[None if cell is None else cell.done for cell in cells],
            failed=[None if cell is None else cell.failed for cell in cells],
            cancelled=[None if cell is None else cell.cancelled for cell in cells],
            requeued=[None if cell is None else cell.requeued for cell in cells],
            wait={share: [cell[n] for cell in waits] for n, share in enumerate(PERCENTS)},
            run={share: [cell[n] for cell in runs] for n, share in enumerate(PERCENTS)},
        )

    def _add_depths(self, line: Figures, depth_of: Callable[[Seen], Depth]) -> None:
        pending: list[int | None] = []
        scheduled: list[int | None] = []
        running: list[int | None] = []
        ages: list[float | None] = []
        before: Seen | None = None
        depth = Depth()
        for start, one, up in zip(self._starts, self._seen, self._up, strict=True):
            if one is not before:
                before, depth = one, Depth() if one is None else depth_of(one)
            pending.append(depth.pending if up else None)
            scheduled.append(depth.scheduled if up else None)
            running.append(depth.running if up else None)
            since = depth.since if up else None
            age = None if since is None else round(max(0, start + self._wish.length - since) / SECOND, 3)
            ages.append(age)
        line.pending, line.scheduled, line.running, line.oldest_age = pending, scheduled, running, ages

    def _pictures(self) -> list[Seen | None]:
        """The depths at the end of every point: as the last document up to then told them."""
        length = self._wish.length
        told = self._strip.told(self._starts.start - REPEAT - length)
        found: list[Seen | None] = []
        current: Seen | None = None
        at = 0
        for start in self._starts:
            while at < len(told) and told[at].start <= start:
                current = told[at]
                at += 1
            found.append(current)
        return found


def _depth_of(queue: str | None, one: Seen) -> Depth:
    return one.total if queue is None else one.picture.get(queue, _NO_DEPTH)


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
_NO_DEPTH = Depth()
_NOTHING: list[float | None] = [None] * len(PERCENTS)
