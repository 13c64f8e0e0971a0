"""One try at a job in this worker's hands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol

from rota.model.protocol import Ending, Lease, Progress, Work
from rota.sdk.tasks import Task


class Ears(Protocol):
    """Who listens to runs. All methods may be called from any thread."""

    def now(self) -> int:
        """The time, in microseconds since 1970-01-01 UTC."""
        ...

    def nudge(self) -> None:
        """There is news of progress."""
        ...

    def say(self, run: Run, level: str, text: str) -> None:
        """A log line."""
        ...

    def post(self, ended: list[tuple[Run, Ending | None]]) -> None:
        """Handlers have returned. None: nothing is to be reported."""
        ...

    async def read_upload(self, run: Run, path: Path) -> None:
        """A handler wants the file that came with its job."""
        ...

    async def keep_artifact(self, run: Run, path: Path) -> None:
        """A handler leaves a file."""
        ...


class Runner(Protocol):
    """Runs the handlers of one kind, and posts each run to its ears once the handler has returned."""

    def start(self, runs: list[Run]) -> None: ...

    def stop(self, run: Run) -> None:
        """Make the handler end as far as that is possible; ``run.stop`` says why."""
        ...

    def where(self, run: Run) -> str | None:
        """Where the handler is just now, as a traceback, if that can be told."""
        ...

    async def close(self) -> None: ...


class Run:
    """From the moment a job is received until its handler has returned. The port of its context.

    ``stop`` is None or why to stop; ``silent`` once its end has been reported, or must not be; ``since`` is
    when it was received. The rest belongs to the runner.
    """

    __slots__ = (
        "begun",
        "ears",
        "handle",
        "id",
        "lease",
        "news",
        "sent",
        "silent",
        "since",
        "stop",
        "task",
        "work",
    )

    def __init__(self, work: Work, task: Task[Any, Any], ears: Ears, since: float) -> None:
        self.work = work
        self.id = work.id
        self.lease = work.lease
        self.task = task
        self.ears = ears
        self.since = since
        self.stop: str | None = None
        self.silent = False
        self.news: Progress | None = None
        self.sent: Progress | None = None
        self.begun = False
        self.handle: asyncio.Task[None] | int | None = None

    def hold(self) -> Lease:
        """The lease, as beats and hellos name it."""
        return Lease(self.id, self.lease)

    def now(self) -> int:
        return self.ears.now()

    def progress(self, value: float, message: str | None) -> None:
        self.news = Progress(self.id, self.lease, value, message)
        self.ears.nudge()

    def log(self, level: str, text: str) -> None:
        self.ears.say(self, level, text)

    async def read_upload(self, path: Path) -> None:
        await self.ears.read_upload(self, path)

    async def keep_artifact(self, path: Path) -> None:
        await self.ears.keep_artifact(self, path)
