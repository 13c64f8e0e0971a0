"""Handlers in child processes: the worker's side. The child's side is :mod:`rota.sdk.child`.

A child runs one job at a time and is kept for the next one. It is a fresh interpreter (never a fork) that
imports the program's module, and the two talk JSON over a socket pair. It leads a process group of its own,
so that what the handler has started dies with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from rota.model.protocol import Ending
from rota.sdk.app import App
from rota.sdk.endings import process_died, stopped
from rota.sdk.pipe import (
    Drop,
    Ended,
    Fault,
    Halt,
    Move,
    Moved,
    Said,
    Start,
    Target,
    ToWorker,
    encode_frame,
    read_frame,
)
from rota.sdk.pipe import Progress as News
from rota.sdk.run import Ears, Run

log = logging.getLogger("rota.worker")

KILL_AFTER = 0.5
"""Seconds between telling a handler to stop and killing its process."""
WARM = max(2, os.cpu_count() or 1)
"""Idle children that are kept."""

_BOOT = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from rota.sdk.child import main
main(int(sys.argv[1]))
"""
_decoder = msgspec.json.Decoder(ToWorker)


class ProcessRunner:
    """Gives each run a child of its own for as long as it takes."""

    def __init__(self, ears: Ears, app: App) -> None:
        self._ears = ears
        self._app = app
        self._idle: list[Child] = []
        self._busy: dict[Run, Child] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, runs: list[Run]) -> None:
        for run in runs:
            task = asyncio.create_task(self._serve(run))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self, run: Run) -> None:
        child = self._busy.get(run)
        if child is not None:
            child.halt(run.stop or "cancelled")
            self.later(KILL_AFTER, self._kill, run, child)

    def later(self, seconds: float, function: Callable[..., object], *args: Any) -> None:
        """Call a function in so many seconds of the time that children live in."""
        asyncio.get_running_loop().call_later(seconds, function, *args)

    def where(self, run: Run) -> str | None:
        return None

    async def close(self) -> None:
        """End the children; those with work are killed."""
        self._closed = True
        for child in self._busy.values():
            child.kill()
        for child in self._idle:
            await child.end()
        self._idle.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, run: Run) -> None:
        ending: Ending | None
        try:
            ending = await self._run(run)
        except Exception as error:
            # Not the handler's doing: no process could be had, or it spoke nonsense.
            log.exception("a child process could not be used")
            ending = process_died(run.id, run.lease, f"could not be used: {error}")
        self._ears.post([(run, ending)])

    async def _run(self, run: Run) -> Ending | None:
        trace = self._trace(run)
        if run.stop is not None:
            return stopped(run.id, run.lease, run.stop, run.work.timeout)
        child = self._idle.pop() if self._idle else await Child.start(self._app)
        self._busy[run] = child
        try:
            if self._gone():
                child.kill()
            if (reason := _stop_of(run)) is not None:
                child.halt(reason)
            ending = await child.run(run, trace)
        finally:
            del self._busy[run]
        if ending is None:
            how = await child.end()
            if (reason := _stop_of(run)) is not None:
                return stopped(run.id, run.lease, reason, run.work.timeout)
            return process_died(run.id, run.lease, how)
        if _stop_of(run) is None and not self._gone() and len(self._idle) < WARM:
            self._idle.append(child)
        else:
            await child.end()
        return ending

    def _trace(self, run: Run) -> dict[str, str] | None:
        return None

    def _gone(self) -> bool:
        return self._closed

    def _kill(self, run: Run, child: Child) -> None:
        if self._busy.get(run) is child:
            child.kill()


class Child:
    """One child process."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, app: App) -> Child:
        """A fresh interpreter that knows where the app is."""
        ours, theirs = socket.socketpair()
        with theirs:
            path = msgspec.json.encode(sys.path).decode()
            process = await asyncio.to_thread(
                _spawn, [sys.executable, "-c", _BOOT, str(theirs.fileno()), path], theirs
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(encode_frame(Target.of(app)))
        return cls(process, reader, writer)

    async def run(self, run: Run, trace: dict[str, str] | None = None) -> Ending | None:
        """Have a job done; None when the child is gone. ``trace``: what the handler is part of."""
        self._writer.write(encode_frame(Start(run.work, run.task.function.__module__, trace)))
        moves: dict[int, asyncio.Task[None]] = {}
        try:
            while (frame := await read_frame(self._reader)) is not None:
                match _decoder.decode(frame):
                    case Ended(ending):
                        return ending
                    case News(value, message):
                        run.progress(value, message)
                    case Said(level, text):
                        run.log(level, text)
                    case Move() as move:
                        moves[move.number] = asyncio.create_task(self._move(run, move))
                    case Drop(number):
                        moves[number].cancel()
        finally:
            for task in moves.values():
                task.cancel()
            await asyncio.gather(*moves.values(), return_exceptions=True)
        return None

    async def _move(self, run: Run, move: Move) -> None:
        """Bring the job's upload, or take an artifact, in place of the handler."""
        fault: Fault | None = None
        try:
            path = Path(move.path)
            await (run.read_upload(path) if move.what == "upload" else run.keep_artifact(path))
        except Exception as error:
            fault = Fault.of(error)
        self._writer.write(encode_frame(Moved(move.number, fault)))

    def halt(self, reason: str) -> None:
        """Tell the handler to stop."""
        self._writer.write(encode_frame(Halt(reason)))

    def kill(self) -> None:
        """Kill the child and everything that it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self) -> str:
        """Close the line, which ends an idle child; make sure that it is gone and say how it went."""
        self._writer.close()
        code = await asyncio.to_thread(self._wait)
        if code < 0:
            with suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit status {code}"

    def _wait(self) -> int:
        try:
            code = self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()
        # What the handler has left behind in its process group.
        self.kill()
        return code


def _stop_of(run: Run) -> str | None:
    # A call, because type checkers do not expect it to change while we wait.
    return run.stop


def _spawn(command: list[str], theirs: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
    )
