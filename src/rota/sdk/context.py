"""What a handler sees of the job it runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

from rota.model.clock import SystemClock, to_datetime
from rota.sdk.control import JobStopped, Snooze
from rota.sdk.values import Duration, clean

MESSAGE_BYTES = 1_000
LINE_BYTES = 8_000
LOOK = 0.2
"""Seconds after which a blocking transfer looks whether its job should stop."""
LEVELS = ("debug", "info", "warning", "error", "critical")

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Port(Protocol):
    """Where a context's news go, and where it hears that the job should stop."""

    @property
    def stop(self) -> str | None:
        """Why the handler should stop: cancelled, timeout, stale_lease or released. None: it should not."""
        ...

    def now(self) -> int:
        """The time, in microseconds since 1970-01-01 UTC."""
        ...

    def progress(self, value: float, message: str | None) -> None: ...

    def log(self, level: str, text: str) -> None: ...

    async def read_upload(self, path: Path) -> None:
        """See :meth:`Context.read_upload`; may be awaited on any event loop."""
        ...

    async def keep_artifact(self, path: Path) -> None:
        """See :meth:`Context.keep_artifact`; may be awaited on any event loop."""
        ...


class Context:
    """The job in hand. Every method may be called from any thread; coroutines may be awaited on any loop.

    Without a port (as when a test calls a handler by hand) reports go nowhere, nothing ever stops, and there
    are no files.
    """

    __slots__ = ("_port", "attempt", "content_type", "headers", "id", "max_attempts", "queue", "type")

    def __init__(
        self,
        id: str = "",
        type: str = "",
        queue: str = "default",
        attempt: int = 1,
        max_attempts: int = 1,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        port: Port | None = None,
    ) -> None:
        self.id = id
        self.type = type
        self.queue = queue
        self.attempt = attempt
        """This try, counted from 1."""
        self.max_attempts = max_attempts
        self.headers = headers or _NO_HEADERS
        self.content_type = content_type
        """Media type of the payload; None for JSON."""
        self._port = port

    def progress(self, value: float, message: str | None = None) -> None:
        """Say how far the job is, 0 to 1. Cheap: only the latest news are sent, a few times a second."""
        if not 0 <= value <= 1:
            raise ValueError(f"progress must be a number from 0 to 1, not {value}.")
        if self._port is not None:
            self._port.progress(float(value), None if message is None else clean(str(message), MESSAGE_BYTES))

    def log(self, text: str, level: str = "info") -> None:
        """Keep a line with the job; lines over 8 kB are cut. ``level``: debug, info, warning, error,
        critical.
        """
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {level!r}.")
        if self._port is not None:
            self._port.log(level, clean(str(text), LINE_BYTES))

    @property
    def now(self) -> datetime:
        """The time, in UTC. In a test with :mod:`rota.testing` it is the virtual one."""
        return to_datetime(SystemClock().now() if self._port is None else self._port.now())

    @property
    def cancelled(self) -> bool:
        """Whether to stop: somebody cancelled the job, its lease was lost, its timeout passed, the worker
        ends.
        """
        return self._port is not None and self._port.stop is not None

    def raise_if_cancelled(self) -> None:
        """Raise :class:`rota.JobStopped` when the job should stop; for loops in sync handlers."""
        if self._port is not None and self._port.stop is not None:
            raise JobStopped(self._port.stop)

    async def read_upload(self, path: str | os.PathLike[str]) -> None:
        """Write the file that came with the job to ``path``, which must not exist; readable for its owner.

        It arrives whole and unchanged (checked against its SHA-256) or not at all: whatever is raised, there
        is no file. A server that is away is waited for, a minute at most. Raises NotFound (``no_upload``)
        when the job has none, Unavailable, OSError when the disk does not take it.
        """
        await self._files.read_upload(Path(path))

    async def keep_artifact(self, path: str | os.PathLike[str]) -> None:
        """Keep a copy of this file, a zip archive, with the job, for whoever wants its result.

        A further call takes the place of the one before, and so does that of a later attempt. A server that
        is away is waited for, a minute at most. Raises BadInput (``payload_too_large``), StaleLease when
        the job is not ours any more, Unavailable, OSError when the file cannot be read.
        """
        await self._files.keep_artifact(Path(path))

    def read_upload_sync(self, path: str | os.PathLike[str]) -> None:
        """As :meth:`read_upload`, blocking, for plain functions. Raises JobStopped when the job should
        stop.
        """
        self._wait(self._files.read_upload(Path(path)))

    def keep_artifact_sync(self, path: str | os.PathLike[str]) -> None:
        """As :meth:`keep_artifact`, blocking, for plain functions. Raises JobStopped when the job should
        stop.
        """
        self._wait(self._files.keep_artifact(Path(path)))

    def snooze(self, delay: Duration) -> NoReturn:
        """End this try and be called again after ``delay`` (seconds or timedelta); costs no attempt."""
        raise Snooze(delay)

    @property
    def _files(self) -> Port:
        if self._port is None:
            raise RuntimeError("A context without a server has no files; in a test, rota.testing has them.")
        return self._port

    def _wait(self, transfer: Coroutine[Any, Any, None]) -> None:
        # Not on this thread: a test may run plain handlers on its event loop.
        with ThreadPoolExecutor(1, "rota-transfer") as pool:
            pool.submit(asyncio.run, self._stoppable(transfer)).result()

    async def _stoppable(self, transfer: Coroutine[Any, Any, None]) -> None:
        """Nobody cancels a thread: it has to look for itself."""
        task = asyncio.ensure_future(transfer)
        while not (await asyncio.wait({task}, timeout=LOOK))[0]:
            if self.cancelled:
                task.cancel()
        if task.cancelled():
            self.raise_if_cancelled()
        await task

    def __repr__(self) -> str:
        return f"<Context {self.type} {self.id} attempt {self.attempt} of {self.max_attempts}>"


current_context: ContextVar[Context] = ContextVar("rota_context")


def current() -> Context:
    """The context of the handler that is running here; RuntimeError outside of one."""
    try:
        return current_context.get()
    except LookupError:
        raise RuntimeError("rota.current() works inside a running handler only.") from None
