"""What a handler sees of the job it runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from types import MappingProxyType
from typing import NoReturn, Protocol

from rota.model.clock import SystemClock, to_datetime
from rota.sdk.control import JobStopped, Snooze
from rota.sdk.values import Duration, clean

MESSAGE_BYTES = 1_000
LINE_BYTES = 8_000
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


class Context:
    """The job in hand. Every method may be called from any thread.

    Without a port (as when a test calls a handler by hand) reports go nowhere and nothing ever stops.
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

    def snooze(self, delay: Duration) -> NoReturn:
        """End this try and be called again after ``delay`` (seconds or timedelta); costs no attempt."""
        raise Snooze(delay)

    def __repr__(self) -> str:
        return f"<Context {self.type} {self.id} attempt {self.attempt} of {self.max_attempts}>"


current_context: ContextVar[Context] = ContextVar("rota_context")


def current() -> Context:
    """The context of the handler that is running here; RuntimeError outside of one."""
    try:
        return current_context.get()
    except LookupError:
        raise RuntimeError("rota.current() works inside a running handler only.") from None
