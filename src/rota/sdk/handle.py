"""A job that this program has handed over: ask how it is, wait for it, stop it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from rota.model.errors import Conflict, JobCancelled, JobError, JobFailed, WaitTimeout
from rota.model.job import State
from rota.sdk import calls
from rota.sdk.answers import Blob, Created, JobInfo
from rota.sdk.signature import Signature

if TYPE_CHECKING:
    from rota.sdk.app import App

R = TypeVar("R")

ROUND = 20.0
"""Seconds for which the server is asked to hold one answer."""


class Handle(Generic[R]):
    """A job by its id."""

    def __init__(self, app: App, created: Created, signature: Signature | None = None) -> None:
        self.id = created.id
        self.created = created.created
        """False when a unique or idempotency key led to a job that was there already."""
        self.why = created.why
        self._app = app
        self._signature = signature

    def result(self, timeout: float | None = None) -> R:
        """Wait for the job and return its result, converted to the task's return annotation.

        Raises JobFailed (``extra['error']`` holds its last error), JobCancelled, NotFound when the job is
        gone, or WaitTimeout when ``timeout`` seconds (None: no limit) have passed; the job goes on then.
        """
        client = self._app.client
        waiting = _Waiting(self.id, timeout, client.uptime)
        while True:
            try:
                blob = client.result(self.id, waiting.round())
            except Conflict as conflict:
                waiting.ended(client.job(self.id), conflict)
                continue
            if blob.state is None:
                return self._read(blob)
            time.sleep(waiting.pause())

    async def aresult(self, timeout: float | None = None) -> R:
        """As :meth:`result`, awaited."""
        client = self._app.aclient
        waiting = _Waiting(self.id, timeout, client.uptime)
        while True:
            try:
                blob = await client.result(self.id, waiting.round())
            except Conflict as conflict:
                waiting.ended(await client.job(self.id), conflict)
                continue
            if blob.state is None:
                return self._read(blob)
            await asyncio.sleep(waiting.pause())

    def status(self) -> JobInfo:
        """Everything the server knows of the job."""
        return self._app.client.job(self.id)

    async def astatus(self) -> JobInfo:
        """As :meth:`status`, awaited."""
        return await self._app.aclient.job(self.id)

    def cancel(self) -> JobInfo:
        """End the job if it waits, ask it to stop if it runs. Raises Conflict when it has ended."""
        return self._app.client.cancel(self.id)

    async def acancel(self) -> JobInfo:
        """As :meth:`cancel`, awaited."""
        return await self._app.aclient.cancel(self.id)

    def _read(self, blob: Blob) -> R:
        if not blob.content_type.startswith(calls.JSON):
            return blob.data  # type: ignore[return-value]  # the handler returned bytes
        value: R = msgspec.json.decode(blob.data or b"null")
        if self._signature is None:
            return value
        try:
            checked: R = self._signature.decode_result(value)
            return checked
        except msgspec.ValidationError as error:
            raise JobError(
                f"The result of job {self.id} does not fit the task's return annotation: {error}.",
                code="bad_result",
            ) from None

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"


class _Waiting:
    """The timetable of a wait, and the errors it may end with."""

    def __init__(self, id: str, timeout: float | None, uptime: Callable[[], float]) -> None:
        self._id = id
        self._timeout = timeout
        self._uptime = uptime
        self._until = None if timeout is None else uptime() + timeout
        self._pause = 0.01
        self._asked = 0.0
        self._since = 0.0

    def round(self) -> float:
        """Seconds to ask the server to wait; WaitTimeout when the time is up (after one look at least)."""
        left = ROUND if self._until is None else min(ROUND, self._until - self._uptime())
        if left <= 0:
            if self._since:
                raise WaitTimeout(f"Job {self._id} has not ended within {self._timeout:g} s; it goes on.")
            left = 0.0
        self._since = self._uptime()
        self._asked = left
        return left

    def pause(self) -> float:
        """Seconds before asking again; none when the server held the answer as long as it was asked to."""
        now = self._uptime()
        if now - self._since >= self._asked * 0.9:
            return 0.0
        self._pause = min(self._pause * 1.5, 0.5)
        return self._pause if self._until is None else max(0.0, min(self._pause, self._until - now))

    def ended(self, job: JobInfo, conflict: Conflict) -> None:
        """Raise what the end of the job means for who waits; return when it was brought back meanwhile."""
        error = None if job.error is None else msgspec.to_builtins(job.error)
        if job.state is State.FAILED:
            told = f"{job.error.type}: {job.error.message}" if job.error else job.reason or "no error given"
            raise JobFailed(
                f"Job {job.id} ({job.type}) failed: {told}", job=job.id, reason=job.reason, error=error
            )
        if job.state is State.CANCELLED:
            raise JobCancelled(
                f"Job {job.id} ({job.type}) was cancelled ({job.reason or 'no reason given'}).",
                job=job.id,
                reason=job.reason,
            )
        if job.ended:
            raise conflict
