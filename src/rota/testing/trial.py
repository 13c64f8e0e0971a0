"""One handler, called as a worker would call it: its arguments and its result go through JSON and back."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from rota.model.clock import Clock, SystemClock
from rota.model.errors import NotFound
from rota.model.policy import DEFAULT_MAX_ATTEMPTS
from rota.model.protocol import Ending, Work
from rota.model.spec import new_id
from rota.sdk.endings import done, prepare
from rota.sdk.tasks import Task
from rota.sdk.transfer import Arriving

P = ParamSpec("P")
R = TypeVar("R")

OCTETS = "application/octet-stream"


class Trial:
    """One try at a job that no server knows, and what its handler said. The port of its context.

    ``stop``: None, or why ``ctx.cancelled`` is true from the beginning (``"cancelled"``, ``"timeout"``).
    ``upload``: what ``ctx.read_upload`` gives the handler; None: the job has none.
    """

    def __init__(
        self,
        *,
        id: str | None = None,
        attempt: int = 1,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        queue: str | None = None,
        headers: Mapping[str, str] | None = None,
        stop: str | None = None,
        clock: Clock | None = None,
        upload: bytes | None = None,
    ) -> None:
        self.id = id or new_id()
        self.stop = stop
        self.steps: list[tuple[float, str | None]] = []
        """Progress that was told: (value, message)."""
        self.logs: list[str] = []
        """Lines that were written with ``ctx.log``."""
        self.artifact: bytes | None = None
        """What was kept with ``ctx.keep_artifact``."""
        self._upload = upload
        self._attempt = attempt
        self._max_attempts = max_attempts
        self._queue = queue
        self._headers = headers
        self._clock = clock or SystemClock()

    def perform(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the handler in this thread and return its result as :meth:`rota.Handle.result` would.

        What the handler raises is raised here, ``rota.Retry``, ``rota.Snooze`` and ``rota.Fail`` included.
        TypeError for arguments or a result that cannot travel as JSON.
        """
        value: R = contextvars.copy_context().run(self._perform, task, args, kwargs)
        return value

    async def aperform(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As :meth:`perform`, awaited: a coroutine function runs on this loop."""

        async def call() -> Any:
            given, named = self._prepare(task, args, kwargs)
            value = task.function(*given, **named)
            return await value if task.is_async else value

        # A task of its own has context variables of its own.
        return cast(R, self._read(task, await asyncio.create_task(call())))

    def now(self) -> int:
        return self._clock.now()

    def progress(self, value: float, message: str | None) -> None:
        self.steps.append((value, message))

    def log(self, level: str, text: str) -> None:
        self.logs.append(text)

    async def read_upload(self, path: Path) -> None:
        if self._upload is None:
            raise NotFound(f"The job {self.id} came without an upload.", code="no_upload")
        with Arriving(path) as file:
            file.write(self._upload)

    async def keep_artifact(self, path: Path) -> None:
        self.artifact = path.read_bytes()

    def _perform(self, task: Task[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given, named = self._prepare(task, args, kwargs)
        if not task.is_async:
            return self._read(task, task.function(*given, **named))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._read(task, asyncio.run(task.function(*given, **named)))
        raise RuntimeError(f"{task.name} is a coroutine function; in a coroutine, await aperform(...).")

    def _prepare(self, task: Task[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        payload = task.signature.encode(args, kwargs)
        raw = isinstance(payload, msgspec.Raw)
        spec = task.defaults.spec(task.name, payload)
        work = Work(
            self.id,
            1,
            task.name,
            self._queue or spec.queue or task.app.queue,
            self._attempt,
            self._max_attempts,
            spec.payload if raw else msgspec.UNSET,
            spec.payload_base64,
            None if raw else spec.content_type,
            dict(self._headers) if self._headers is not None else spec.headers,
            spec.timeout,
        )
        return prepare(task, work, self)

    def _read(self, task: Task[Any, Any], value: Any) -> Any:
        ending: Ending = done(self.id, 1, value)
        if ending.error is not None:
            raise TypeError(f"{task.name}: {ending.error.message}")
        if isinstance(ending.result, msgspec.UnsetType):
            return bytes(value)
        return task.signature.decode_result(msgspec.json.decode(ending.result))


def perform(task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """One handler, called as a worker would call it; see :meth:`Trial.perform`. What it enqueues goes where
    its app sends it: to a :func:`rota.testing.run` around, else to a real server.
    """
    return Trial().perform(task, *args, **kwargs)


async def aperform(task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """As :func:`perform`, awaited."""
    return await Trial().aperform(task, *args, **kwargs)
