"""The child process in which handlers with ``process=True`` run: a loop over jobs, one at a time.

Started by :mod:`rota.sdk.processes`. It ends when the line to the worker closes, be it that the worker has no
more use for it or that the worker was killed; a handler that still runs then dies with everything it has
started.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import importlib.util
import os
import signal
import socket
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import msgspec

from rota.model.clock import SystemClock
from rota.model.protocol import Ending, Work
from rota.sdk import trace
from rota.sdk.app import App
from rota.sdk.endings import done, prepare, raised, stopped
from rota.sdk.pipe import (
    Drop,
    Ended,
    Fault,
    Halt,
    Move,
    Moved,
    Progress,
    Said,
    Start,
    Target,
    ToChild,
    ToWorker,
    encode_frame,
)
from rota.sdk.tasks import Task

SCRIPT = "__rota_main__"
"""The name under which a script is imported that was run itself, so that its ``__main__`` part does not run.
"""


def main(fd: int) -> None:
    """Serve jobs from the socket ``fd`` until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = Line(socket.socket(fileno=fd))
    threading.Thread(target=line.listen, name="rota-line", daemon=True).start()
    while True:
        job = line.jobs.get()
        ending = contextvars.copy_context().run(job.run)
        line.job = None
        line.send(Ended(ending))


class Line:
    """The child's end of the line. A thread listens, so that a handler learns at once that it should stop."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self.target = Target("")
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.job: Job | None = None

    def send(self, frame: ToWorker) -> None:
        with self._lock:
            self._sock.sendall(encode_frame(frame))

    def listen(self) -> None:
        decoder: msgspec.json.Decoder[ToChild] = msgspec.json.Decoder(ToChild)
        with self._sock.makefile("rb") as stream:
            while True:
                head = stream.read(4)
                body = stream.read(int.from_bytes(head, "big")) if len(head) == 4 else b""
                if not body:
                    self._leave()
                match decoder.decode(body):
                    case Target() as target:
                        self.target = target
                    case Start(work, module, trace):
                        self.job = Job(work, module, self, trace)
                        self.jobs.put(self.job)
                    case Halt(reason):
                        if self.job is not None:
                            self.job.halt(reason)
                    case Moved(number, error):
                        if self.job is not None:
                            self.job.moved(number, error)

    def _leave(self) -> None:
        if self.job is not None:
            # The worker is gone in the middle of a job: take along what the handler has started.
            os.killpg(0, signal.SIGKILL)
        trace.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


class Job:
    """A job in a child; the port of its context."""

    def __init__(self, work: Work, module: str, line: Line, trace: dict[str, str] | None) -> None:
        self.stop: str | None = None
        self._work = work
        self._module = module
        self._line = line
        self._trace = trace
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handler: asyncio.Task[Any] | None = None
        self._moves: dict[int, Future[Fault | None]] = {}
        self._number = 0

    def now(self) -> int:
        return SystemClock().now()

    def progress(self, value: float, message: str | None) -> None:
        self._line.send(Progress(value, message))

    def log(self, level: str, text: str) -> None:
        self._line.send(Said(level, text))

    async def read_upload(self, path: Path) -> None:
        await self._move("upload", path)

    async def keep_artifact(self, path: Path) -> None:
        await self._move("artifact", path)

    def moved(self, number: int, error: Fault | None) -> None:
        """Called by the listening thread."""
        move = self._moves.get(number)
        if move is not None and move.set_running_or_notify_cancel():
            move.set_result(error)

    async def _move(self, what: Literal["upload", "artifact"], path: Path) -> None:
        """The worker does it, which has the connection."""
        path = path.absolute()
        self._number += 1
        number = self._number
        move = self._moves[number] = Future()
        try:
            self._line.send(Move(number, what, str(path)))
            fault = await asyncio.wrap_future(move)
        except asyncio.CancelledError:
            self._line.send(Drop(number))
            raise
        finally:
            del self._moves[number]
        if fault is not None:
            raise fault.error(path)

    def halt(self, reason: str) -> None:
        """Called by the listening thread."""
        self.stop = reason
        if self._loop is not None and self._handler is not None:
            self._loop.call_soon_threadsafe(self._handler.cancel)

    def run(self) -> Ending | None:
        """Find the task, call its function, and tell how it went."""
        work = self._work
        try:
            task = find(self._line.target, self._module, work.type)
            if self._trace is not None:
                _go_on(self._trace)
            if self.stop is not None:
                return stopped(work.id, work.lease, self.stop, work.timeout)
            args, named = prepare(task, work, self)
            if task.is_async:
                value = asyncio.run(self._await(task, args, named))
            else:
                value = task.function(*args, **named)
            return done(work.id, work.lease, value)
        except BaseException as error:
            return raised(work.id, work.lease, error, self.stop, work.timeout)

    async def _await(self, task: Task[Any, Any], args: Any, named: Any) -> Any:
        self._handler, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        if self.stop is not None:
            raise asyncio.CancelledError
        try:
            return await task.function(*args, **named)
        finally:
            self._loop = None


def _go_on(carried: dict[str, str]) -> None:
    """The worker traces. The program's modules are loaded by now; if they did not set up OpenTelemetry, the
    environment may.
    """
    from rota.sdk.spans import go_on

    trace.setup("rota-worker")
    go_on(carried)


def find(target: Target, module: str, type: str) -> Task[Any, Any]:
    """The task of this type; LookupError when the program's modules do not declare it at their top level."""
    places = [_load(name, target) for name in dict.fromkeys((target.module, module)) if name]
    apps = [getattr(places[0], target.attribute)] if target.attribute is not None and places else []
    # An app that is no global of its module may still be one of the task's.
    apps += [value for place in places for value in vars(place).values()]
    for value in apps:
        found = value.tasks.get(type) if isinstance(value, App) else value
        if isinstance(found, Task) and found.name == type:
            return found
    raise LookupError(
        f"The child process found no task {type!r} in module {module!r}; with process=True a task must be "
        "declared at the top level of a module that can be imported."
    )


def _load(name: str, target: Target) -> Any:
    if name != "__main__":
        return importlib.import_module(name)
    if target.main is not None:
        return importlib.import_module(target.main)
    if SCRIPT in sys.modules:
        return sys.modules[SCRIPT]
    if target.file is None:
        raise LookupError("A program typed in by hand cannot have tasks with process=True.")
    spec = importlib.util.spec_from_file_location(SCRIPT, target.file)
    if spec is None or spec.loader is None:
        raise LookupError(f"{target.file} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT] = module
    spec.loader.exec_module(module)
    return module
