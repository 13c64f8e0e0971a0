"""Lines from a file or a pipe as they come, and a bar that shows how far it is."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator
from typing import Any

import click

from rota.commands import output

MAX_LINE = 16 * 1024 * 1024
CHUNK = 256 * 1024
IDLE = 0.25
"""Seconds without news after which what has come so far is to be sent."""


class Unreadable(click.ClickException):
    """There may be more, but it cannot be read."""


class Feed:
    """The lines of a file, ``-`` being standard input. Use as a context manager."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = -1
        self._idle = False
        self.total: int | None = None
        """Bytes in all, where that is known."""
        self.position = 0
        """Bytes read."""

    def __enter__(self) -> Feed:
        try:
            if self._name != "-":
                self._number = os.open(self._name, os.O_RDONLY)
            elif sys.stdin is None:
                raise click.ClickException("Standard input is closed.")
            else:
                self._number = sys.stdin.fileno()
            kind = os.fstat(self._number)
        except OSError as error:
            raise click.UsageError(f"{self._name!r} cannot be read: {error.strerror}.") from None
        if stat.S_ISDIR(kind.st_mode):
            raise click.UsageError(f"{self._name!r} is a folder.")
        if stat.S_ISREG(kind.st_mode):
            self.total = kind.st_size
        elif os.isatty(self._number):
            output.note("Reading jobs from the terminal, one a line; Ctrl-D ends.")
        return self

    def __exit__(self, *error: object) -> None:
        if self._name != "-" and self._number >= 0:
            os.close(self._number)

    def lines(self) -> Iterator[tuple[int, bytes] | None]:
        """Numbered lines without their ends; None when no more comes for a moment. Unreadable
        for a line that no server would take, or when reading fails.
        """
        number, rest = 0, b""
        while True:
            if number and not self._ready():
                yield None
            try:
                chunk = os.read(self._number, CHUNK)
            except OSError as error:
                raise Unreadable(f"{self._name!r} cannot be read: {error.strerror}.") from None
            if self.position == 0:
                chunk = chunk.removeprefix(b"\xef\xbb\xbf")
            self.position += len(chunk)
            *full, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
            for line in full:
                number += 1
                yield number, line
            if not chunk:
                if rest:
                    yield number + 1, rest
                return
            if len(rest) > MAX_LINE:
                raise Unreadable(
                    f"line {number + 1} has more than {MAX_LINE} bytes; every job goes on a line of its own."
                )

    def _ready(self) -> bool:
        """Whether there is something to read within a moment (in a file always)."""
        if self.total is not None:
            return True
        poll = select.poll()
        poll.register(self._number, select.POLLIN | select.POLLHUP)
        return bool(poll.poll(IDLE * 1000))


class Bar:
    """A progress bar on standard error if that is a terminal, from the second batch on."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._batches = 0
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def jobs(self, stored: int) -> None:
        """A batch is stored; so many jobs are by now."""
        self._batches += 1
        if self._batches == 2 and sys.stderr is not None and sys.stderr.isatty():
            self._open()
        if self._progress is not None:
            self._progress.update(self._task, completed=self._feed.position, jobs=f"{stored:,} jobs")

    def say(self, text: str) -> None:
        """A line on standard error, above the bar."""
        if self._progress is None:
            output.note(text)
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        known = self._feed.total is not None
        self._progress = Progress(
            TextColumn("{task.fields[jobs]}"),
            BarColumn(),
            *((TaskProgressColumn(), TimeRemainingColumn()) if known else ()),
            console=Console(stderr=True, width=output.width(), highlight=False),
        )
        self._task = self._progress.add_task("", total=self._feed.total, jobs="")
        self._progress.start()
