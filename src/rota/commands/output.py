"""Printing: tables, key and value, JSON; colours on a terminal only.

Whatever comes from jobs is made inert first: no byte of a payload, an error or a log line can move the
cursor, forge a line or turn the writing direction.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from rich.console import OverflowMethod

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_STYLES = {
    "scheduled": "blue",
    "pending": "cyan",
    "running": "yellow",
    "done": "green",
    "failed": "red",
    "cancelled": "magenta",
}
MAX_WIDTH = 10_000


class Column(NamedTuple):
    """A column of a table. ``whole``: never cut, whatever the width of the terminal."""

    title: str
    right: bool = False
    whole: bool = False


class Styled(NamedTuple):
    """A cell with a colour."""

    text: str
    style: str


Cell = str | Styled


def inert(text: str, *, lines: bool = False) -> str:
    """``text`` with everything that a terminal would obey written out; ``lines`` keeps line ends and tabs."""

    def escape(found: re.Match[str]) -> str:
        return found[0] if lines and found[0] in "\n\t" else f"\\u{ord(found[0]):04x}"

    return _UNSAFE.sub(escape, text)


def say(text: str = "") -> None:
    """A line on standard output. The caller has made it inert."""
    try:
        click.echo(text, color=colours())
    except OSError as error:
        raise _unwritable(error) from None


def note(text: str) -> None:
    """A line on standard error, for people; not part of the output."""
    click.echo(text, err=True)


def write(data: bytes) -> None:
    """Bytes on standard output, as they are."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise _unwritable(error) from None


def document(body: bytes) -> None:
    """A JSON document: indented on a terminal, in one line elsewhere."""
    import msgspec

    _json_text(msgspec.json.format(body, indent=2 if terminal() else -1).decode())


def _json_text(text: str) -> None:
    ascii_only = sys.stdout is not None and not sys.stdout.encoding.lower().startswith("utf")
    unsafe = "[^\x00-\x7e]" if ascii_only else _UNSAFE.pattern.replace("\x00-\x1f", "")
    # Such characters can only be inside strings, where an escape means the same.
    say(re.sub(unsafe, lambda found: json.dumps(found[0])[1:-1] if found[0] != "\x7f" else "\\u007f", text))


def line(body: bytes) -> None:
    """A JSON document in one line, also on a terminal."""
    _json_text(body.decode())


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Aligned columns under their titles; on a terminal cut to its width and coloured."""
    shown = [[_clean(cell) for cell in row] for row in rows]
    if terminal():
        _rich_table(columns, shown)
        return
    widths = [len(column.title) for column in columns]
    for row in shown:
        widths = [max(width, len(cell.text)) for width, cell in zip(widths, row, strict=True)]
    for texts in [[column.title for column in columns], *([cell.text for cell in row] for row in shown)]:
        parts = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(texts, widths, columns, strict=True)
        ]
        say("  ".join(parts).rstrip())


def pairs(values: Iterable[tuple[str, Cell]]) -> None:
    """Names and values; further lines of a value are indented."""
    shown = list(values)
    width = max(len(name) for name, _ in shown)
    for name, cell in shown:
        text = cell if isinstance(cell, str) else cell.text
        safe = inert(text, lines=True).replace("\n", "\n" + " " * (width + 2))
        if isinstance(cell, Styled):
            safe = styled(safe, fg=cell.style)
        say(f"{styled(name.ljust(width), dim=True)}  {safe}".rstrip())


def state(name: str) -> Styled:
    """A job's state in its colour."""
    return Styled(name, _STYLES.get(name, ""))


def styled(text: str, *, fg: str = "", dim: bool = False, bold: bool = False) -> str:
    """Colours, where they are wanted."""
    return click.style(text, fg=fg or None, dim=dim or None, bold=bold or None) if colours() else text


def terminal() -> bool:
    """Whether people read standard output as it is written."""
    return sys.stdout is not None and sys.stdout.isatty()


def colours() -> bool:
    return terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def watched() -> bool:
    """Whether people read standard error as it is written."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextlib.contextmanager
def progress(total: int | None, of: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while something goes on, to be told how far it is; none for total None."""
    if total is None or not watched():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), TextColumn(of), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, width=width(), highlight=False)) as shown:
        task = shown.add_task("", total=total)
        yield lambda done: shown.update(task, completed=done)


def width() -> int:
    """Columns of the terminal; 80 when it does not say."""
    return min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH)


def moment(at: datetime | None) -> str:
    """A time for people, in UTC, with how long ago or ahead it is."""
    if at is None:
        return "-"
    away = (datetime.now(UTC) - at).total_seconds()
    far = f"{span(away)} ago" if away >= 0 else f"in {span(-away)}"
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z ({far})"


def age(at: datetime | None) -> str:
    """How long ago, short."""
    return "-" if at is None else span((datetime.now(UTC) - at).total_seconds())


def span(seconds: float) -> str:
    """A duration in one or two letters more than its number: ``3s``, ``12m``, ``5h``, ``9d``."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"


def _clean(cell: Cell) -> Styled:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return Styled(inert(text) or "-", style)


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[Styled]]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    widths = [
        max([len(column.title), *(cell_len(row[number].text) for row in rows)])
        for number, column in enumerate(columns)
    ]
    gaps = 2 * (len(columns) - 1)
    widths = _fitted(columns, widths, width() - gaps)
    cut: OverflowMethod = "ellipsis" if sys.stdout.encoding.lower().startswith("utf") else "crop"
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, wide in zip(columns, widths, strict=True):
        grid.add_column(
            column.title, justify="right" if column.right else "left", no_wrap=True, overflow=cut, width=wide
        )
    for row in rows:
        grid.add_row(*(Text(cell.text, cell.style, overflow=cut) for cell in row))
    # Wider than the terminal only when its lines would otherwise lose what one came for: then they wrap.
    # (Without a height a dumb terminal is taken to have 80 columns.)
    console = Console(
        highlight=False,
        markup=False,
        emoji=False,
        color_system="auto" if colours() else None,
        width=sum(widths) + gaps,
        height=25,
    )
    try:
        console.print(grid)
    except OSError as error:
        raise _unwritable(error) from None


def _fitted(columns: Sequence[Column], wanted: Sequence[int], room: int) -> list[int]:
    """Widths that fit: the last column gives way first, then the others that may be cut."""
    widths = list(wanted)
    for least in (24, 8):
        for number in reversed(range(len(columns))):
            over = sum(widths) - room
            if over > 0 and not columns[number].whole:
                widths[number] = max(min(least, widths[number]), widths[number] - over)
    return widths


def _unwritable(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    return click.ClickException(f"The output cannot be written: {error.strerror or error}.")
