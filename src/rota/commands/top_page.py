"""The page of ``rota top``: figures in, lines out; what does not fit goes, the least important first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.console import Console, Group
from rich.text import Text

from rota.commands import output
from rota.commands.top_source import Figures, Line
from rota.sdk.answers import JobInfo, QueueInfo, WorkerInfo

BLOCKS = "▁▂▃▄▅▆▇█"
CURVE = 20
GAP = 2


class View:
    """How somebody wants to see it."""

    def __init__(self, sort: str = "busy") -> None:
        self.sort = sort
        self.turned = False
        self.held = False


class Column(NamedTuple):
    """A column of a section; those with a high ``rank`` are the first to go. ``wide``: takes what is left."""

    title: str
    rank: int = 0
    right: bool = True
    wide: bool = False


def page(figures: Figures, view: View, url: str, width: int, height: int) -> Group:
    """As many lines as fit."""
    head = _head(figures, view, url, width)
    foot = [_keys(view, width)]
    room = max(0, height - len(head) - len(foot) - 6)
    queues, workers, failures = _queues(figures, view), _workers(figures), _failures(figures)
    # Failures and workers have their share, queues what is left.
    wanted = [len(queues), len(workers), len(failures)]
    given = _shares(wanted, room)
    lines = [*head]
    for section, rows, most in (
        (_QUEUES, queues, given[0]),
        (_WORKERS, workers, given[1]),
        (_FAILURES, failures, given[2]),
    ):
        if len(lines) + 3 <= height - len(foot):
            lines += [Text(), *_section(section, rows, most, width)]
    lines = lines[: max(1, height - len(foot))]
    lines += [Text()] * (height - len(foot) - len(lines))
    for line in [*lines, *foot]:
        line.truncate(width, overflow="crop")
        line.no_wrap = True
        if figures.away is not None and line is not head[0]:
            line.stylize("dim")
    return Group(*lines, *foot) if height > len(foot) else Group(*lines)


def printed(figures: Figures, view: View, url: str) -> None:
    """The whole page on standard output, plain in a pipe."""
    width = output.width() if output.terminal() else output.MAX_WIDTH
    lines = _head(figures, view, url, width)
    for section, rows in (
        (_QUEUES, _queues(figures, view)),
        (_WORKERS, _workers(figures)),
        (_FAILURES, _failures(figures)),
    ):
        if rows:
            lines += [Text(), *_section(section, rows, len(rows), width if output.terminal() else None)]
    console = Console(color_system="auto" if output.colours() else None, width=width, highlight=False)
    for line in lines:
        with console.capture() as captured:
            console.print(line, end="", no_wrap=True, overflow="crop", soft_wrap=not output.terminal())
        output.say(captured.get().rstrip())


def curve(points: Sequence[int | None], width: int) -> str:
    """A little curve; a gap where no server was up."""
    if not points:
        return ""
    step = max(1, -(-len(points) // width))
    sums: list[int | None] = []
    for at in range(len(points) % step, len(points), step):
        known = [value for value in points[at : at + step] if value is not None]
        sums.append(sum(known) if known else None)
    top = max((value for value in sums if value is not None), default=0)
    return "".join(" " if value is None else _block(value, top) for value in sums[-width:])


def _block(value: int, top: int) -> str:
    if not value:
        return BLOCKS[0] if _unicode() else "."
    if not _unicode():
        return ":" if 2 * value < top else "|"
    return BLOCKS[1 + (len(BLOCKS) - 2) * value // top]


def _bar(taken: int, slots: int, width: int) -> str:
    full = min(width, -(-width * taken // slots)) if slots else 0
    return ("█" * full + "░" * (width - full)) if _unicode() else ("#" * full + "-" * (width - full))


def _head(figures: Figures, view: View, url: str, width: int) -> list[Text]:
    stats = figures.stats
    rates, states = stats.get("rates", {}), stats["states"]
    first = Text()
    if figures.away is not None:
        first.append(f" {output.inert(figures.away)} ", "bold white on red")
    elif view.held:
        first.append(" held ", "black on yellow")
    else:
        dot = "●" if _unicode() else "*"
        first.append(f"{dot} live" if figures.live else dot, "green")
    first.append(f"  rota {output.inert(str(stats['version']))}", "bold")
    first.append(f"  up {output.span(stats['uptime'])}  {output.inert(url)}")
    clock = f"{datetime.now(UTC):%H:%M:%S}Z"
    if output.terminal() and width - first.cell_len > len(clock) + 2:
        first.append(" " * (width - first.cell_len - len(clock)) + clock, "dim")
    second = Text("per second  ", "dim")
    for name, word in (("enqueued", "in"), ("done", "done"), ("failed", "failed"), ("requeued", "again")):
        rate = rates.get(name, 0.0)
        second.append(f"{word} ")
        second.append(rate_text(rate), "bold red" if name == "failed" and rate else "bold")
        second.append("   ")
    second.append(curve(figures.curve, 60), "cyan")
    third = Text("jobs        ", "dim")
    for state in ("pending", "running", "failed", "scheduled", "done", "cancelled"):
        count = states[state]
        third.append(f"{state} ")
        third.append(f"{count:,}   ", output.state(state).style if count else "dim")
    taken, slots = stats["running"], stats["slots"]
    fourth = Text("slots       ", "dim")
    fourth.append(_bar(taken, slots, 20), "yellow" if slots and taken >= slots else "green")
    fourth.append(f" {taken:,} of {slots:,} in {_many(stats['workers'], 'worker')}")
    return [first, second, third, fourth]


_QUEUES = (
    Column("QUEUE", right=False),
    Column("PENDING"),
    Column("SCHED", 4),
    Column("RUN", 1),
    Column("OLDEST", 1),
    Column("IN/S", 3),
    Column("OUT/S", 2),
    Column("FAIL/S", 3),
    Column("WAIT95", 4),
    Column("RUN95", 4),
    Column("WORKERS", 6),
    Column("SLOTS", 5),
    Column("5 MIN", 7, right=False),
    Column("NOTE", 1, right=False, wide=True),
)
_WORKERS = (
    Column("WORKER", right=False),
    Column("VIA", 3, right=False),
    Column("IN HAND", 1, right=False),
    Column("UP", 2),
    Column("BEAT", 1),
    Column("QUEUES", 2, right=False, wide=True),
)
_FAILURES = (
    Column("FAILED"),
    Column("TYPE", 0, right=False),
    Column("QUEUE", 3, right=False),
    Column("TRY", 4),
    Column("ID", 2, right=False),
    Column("ERROR", 1, right=False, wide=True),
)


def _queues(figures: Figures, view: View) -> list[list[Text]]:
    order: dict[str, Callable[[QueueInfo, Line], float]] = {
        "busy": lambda queue, line: line.enqueued + line.ended + queue.running,
        "pending": lambda queue, line: queue.pending,
        "oldest": lambda queue, line: queue.oldest_age or 0.0,
        "failed": lambda queue, line: line.failed + queue.failed / 1e9,
        "name": lambda queue, line: 0.0,
    }
    known = [(queue, figures.lines.get(queue.name, Line())) for queue in figures.queues]
    known.sort(key=lambda one: (-order[view.sort](*one), one[0].name), reverse=view.turned)
    rows = []
    for queue, line in known:
        note = Text()
        if queue.paused:
            note.append("paused", "black on yellow")
        missing = ", ".join(queue.types_without_worker)
        if queue.pending and not queue.workers:
            note.append(" no worker" if note else "no worker", "red")
        elif missing:
            note.append(
                f" no worker for {missing}" if note else f"no worker for {output.inert(missing)}", "red"
            )
        rows.append(
            [
                Text(output.inert(queue.name), "bold"),
                _count(queue.pending, "cyan"),
                _count(queue.scheduled, "blue"),
                _count(queue.running, "yellow"),
                Text("" if queue.oldest_age is None else output.span(queue.oldest_age)),
                _rate(line.enqueued),
                _rate(line.ended),
                _rate(line.failed, "red"),
                _seconds(line.wait),
                _seconds(line.run),
                _count(queue.workers, ""),
                Text(f"{queue.running}/{queue.slots}" if queue.slots else "-", "" if queue.slots else "dim"),
                Text(curve(line.curve, CURVE), "cyan"),
                note,
            ]
        )
    return rows


def _workers(figures: Figures) -> list[list[Text]]:
    def row(one: WorkerInfo) -> list[Text]:
        hand = Text(_bar(one.running, one.slots, 8), "yellow" if one.running >= one.slots else "green")
        hand.append(f" {one.running}/{one.slots}", "default")
        name = Text(output.inert(one.name or one.worker))
        if one.draining:
            name.append(" draining", "yellow")
        if one.sandbox is not None:
            unsafe = one.sandbox.profile == "none"
            name.append(" unsafe" if unsafe else f" {one.sandbox.profile}", "red" if unsafe else "dim")
        return [
            name,
            Text(output.inert(one.transport), "dim"),
            hand,
            Text(output.age(one.connected_at)),
            Text(output.age(one.last_beat)),
            Text(output.inert(", ".join(one.queues))),
        ]

    busiest = sorted(figures.workers, key=lambda one: (-one.running, one.name, one.worker))
    return [row(one) for one in busiest]


def _failures(figures: Figures) -> list[list[Text]]:
    def row(job: JobInfo) -> list[Text]:
        told = job.reason or ""
        if job.error is not None:
            told = f"{job.error.type}: {job.error.message}"
        return [
            Text(f"{output.age(job.finished_at)} ago"),
            Text(output.inert(job.type), "bold"),
            Text(output.inert(job.queue)),
            Text(f"{job.attempt}/{job.max_attempts}"),
            Text(job.id, "dim"),
            Text(output.inert(told.split("\n", 1)[0]), "red"),
        ]

    return [row(job) for job in figures.failures]


def _section(columns: Sequence[Column], rows: list[list[Text]], most: int, width: int | None) -> list[Text]:
    """A title line and up to ``most`` rows, in columns that fit."""
    shown = rows[:most]
    widths = [
        max([len(column.title), *(row[number].cell_len for row in shown)])
        for number, column in enumerate(columns)
    ]
    chosen = [number for number in range(len(columns)) if not columns[number].wide]
    wide = [number for number in range(len(columns)) if columns[number].wide]
    if width is not None:
        widths[0] = min(widths[0], max(8, width // 3))
        # A wide column is worth having from 12 characters on, if it says anything.
        needed = 12 if any(row[number].cell_len for row in shown for number in wide) else 0
        while len(chosen) > 1 and sum(widths[n] + GAP for n in chosen) + needed > width + GAP:
            chosen.remove(max(chosen, key=lambda number: (columns[number].rank, number)))
        left = width - sum(widths[n] + GAP for n in chosen)
        for number in wide:
            if left >= min(12, widths[number]):
                widths[number] = left
                chosen.append(number)
    else:
        chosen += wide
    lines = [_joined([Text(column.title, "bold dim") for column in columns], columns, chosen, widths)]
    lines += [_joined(row, columns, chosen, widths) for row in shown]
    if len(rows) > len(shown) > 1:
        lines[-1] = Text(f"and {len(rows) - len(shown) + 1} more", "dim")
    return lines


def _joined(cells: Sequence[Text], columns: Sequence[Column], chosen: list[int], widths: list[int]) -> Text:
    line = Text()
    for number in sorted(chosen):
        cell = cells[number].copy()
        if line:
            line.append(" " * GAP)
        # The last one needs no filling up.
        cell.truncate(widths[number], overflow="ellipsis" if _unicode() else "crop")
        space = " " * (widths[number] - cell.cell_len)
        if columns[number].right:
            line.append(space)
        line.append_text(cell)
        if not columns[number].right and not columns[number].wide:
            line.append(space)
    return line


def _shares(wanted: list[int], room: int) -> list[int]:
    """Rows for each section: small ones get all, the rest is shared, and queues come first."""
    given = [0] * len(wanted)
    while room > 0 and given != wanted:
        for number, more in enumerate(wanted):
            if given[number] < more and room > 0:
                given[number] += 1
                room -= 1
    return given


def _keys(view: View, width: int) -> Text:
    line = Text()
    for key, does in (
        ("q", "quit"),
        ("s", f"sort: {view.sort}"),
        ("r", "turned" if view.turned else "turn"),
        ("space", "go on" if view.held else "hold"),
    ):
        line.append(f" {key} ", "reverse")
        line.append(f" {does}   ")
    return line


def rate_text(rate: float) -> str:
    """So many a second, in at most five characters."""
    if rate >= 9950:
        return f"{rate / 1000:.0f}k"
    if rate >= 995:
        return f"{rate / 1000:.1f}k"
    if rate >= 9.95:
        return f"{rate:.0f}"
    return f"{rate:.1f}" if rate >= 0.05 else "0" if not rate else f"{rate:.2f}"


def _rate(rate: float, style: str = "") -> Text:
    return Text(rate_text(rate), style if rate else "dim")


def _count(count: int, style: str) -> Text:
    return Text(f"{count:,}", style if count else "dim")


def _seconds(value: float | None) -> Text:
    if value is None:
        return Text("-", "dim")
    return Text("<1ms" if value < 0.0005 else output.span(value))


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _unicode() -> bool:
    return sys.stdout is not None and sys.stdout.encoding.lower().startswith("utf")
