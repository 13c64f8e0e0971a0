"""Workers that are started again whenever the source of their program changes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from watchfiles import awatch

from rota import supervise
from rota.commands import sources
from rota.commands.sources import Root

log = logging.getLogger("rota.reload")

QUIET_MS, LONGEST_MS = 100, 1_000
"""A restart comes when nothing has changed any more for the first, or something goes on changing for the
second.
"""
SHOWN = 3
"""Names of changed files in the log."""


async def run(commands: Sequence[Sequence[str]], stop: asyncio.Event, grace: float) -> None:
    """Keep the commands running until ``stop``, as :func:`rota.supervise.run` does, but drain them and start
    anew when a file of the program changes. A program that cannot be run waits for that.
    """
    reading, writing = os.pipe()
    # Compiled files tell versions of a source apart by its size and by whole seconds: too coarse here.
    env = {sources.FD: str(writing), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        async with asyncio.TaskGroup() as group:
            watch = _Watch(group)
            # Before the program starts: what changes meanwhile has to be noticed.
            watch.folders([sources.here()])
            watch.reports(reading)
            await asyncio.sleep(0)
            log.info("watching", extra={"folder": str(Path.cwd())})
            while not stop.is_set():
                watch.begin()
                end = asyncio.Event()
                program = asyncio.create_task(supervise.run(commands, env, end, grace, pass_fds=[writing]))
                try:
                    await _until_changed(program, watch, stop)
                finally:
                    end.set()
                    await asyncio.wait([program])
                _raise_bugs(program)
            watch.close()
    finally:
        os.close(writing)


async def _until_changed(program: asyncio.Task[None], watch: _Watch, stop: asyncio.Event) -> None:
    stopping, changed = asyncio.create_task(stop.wait()), asyncio.create_task(watch.changed.wait())
    try:
        await asyncio.wait([program, stopping, changed], return_when=asyncio.FIRST_COMPLETED)
        if program.done():
            _raise_bugs(program)
            # The program has said itself what is wrong with it.
            log.warning("the program cannot be run; waiting for a change")
            await asyncio.wait([stopping, changed], return_when=asyncio.FIRST_COMPLETED)
        if changed.done() and not stopping.done():
            log.info("reloading", extra={"changed": watch.names()})
    finally:
        stopping.cancel()
        changed.cancel()


def _raise_bugs(program: asyncio.Task[None]) -> None:
    if not isinstance(program.exception(), supervise.Unusable):
        program.result()


class _Watch:
    """What has changed since :meth:`begin`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.changed = asyncio.Event()
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        self._roots: list[Root] = []
        self._files: set[str] = set()
        self._since = 0.0

    def begin(self) -> None:
        """The program is about to be started."""
        self.changed.clear()
        self._files.clear()
        self._since = time.time()

    def names(self) -> str:
        """The changed files, for people."""
        here = Path.cwd()
        paths = map(Path, self._files)
        names = sorted(str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths)
        return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

    def folders(self, roots: Sequence[Root]) -> None:
        """Notice changes in these folders from the next turn of the loop on."""
        self._roots += roots
        for deep in (True, False):
            if same := [root for root in roots if root.deep is deep]:
                self._tasks.append(self._group.create_task(self._watch(same, deep, None)))

    def reports(self, reading: int) -> None:
        """Listen to what the program says of its files."""
        self._tasks.append(self._group.create_task(self._listen(reading)))

    def close(self) -> None:
        """Look no longer."""
        for task in self._tasks:
            task.cancel()

    async def _watch(self, roots: Sequence[Root], deep: bool, polling: bool | None) -> None:
        try:
            async for changes in awatch(
                *(root.folder for root in roots),
                watch_filter=sources.concerns(roots),
                debounce=LONGEST_MS,
                step=QUIET_MS,
                recursive=deep,
                ignore_permission_denied=True,
                force_polling=polling,
            ):
                self._note(name for _, name in changes)
        except OSError as error:
            if polling:
                raise
            # More folders than the system lets anybody watch, or a file system that tells nobody.
            log.warning("looking for changes again and again", extra={"why": str(error)})
            await self._watch(roots, deep, True)

    async def _listen(self, reading: int) -> None:
        """Modules may come from outside of the working folder: watch where they are, too."""
        stream = asyncio.StreamReader(limit=2**24)
        pipe = os.fdopen(reading, "rb")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), pipe
        )
        try:
            while line := await stream.readline():
                files = [Path(file) for file in json.loads(line)]
                new = [file for file in files if not any(root.covers(file) for root in self._roots)]
                self.folders(sorted(sources.roots_of(new)))
                await asyncio.sleep(0)
                # What was changed after it was imported and before it was watched.
                self._note(str(file) for file in new if _modified(file) > self._since)
        finally:
            transport.close()

    def _note(self, files: Iterable[str]) -> None:
        self._files.update(files)
        if self._files:
            self.changed.set()


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
