"""The client that is awaited; in everything else as :mod:`rota.sdk.client`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, Unpack

import httpx2

from rota.model.spec import JobSpec
from rota.sdk import calls, trace, transactions
from rota.sdk.answers import (
    Blob,
    Bulk,
    Created,
    Explanation,
    FailurePage,
    FileInfo,
    JobInfo,
    JobPage,
    LogPage,
    QueueInfo,
    WorkerInfo,
)
from rota.sdk.bulk import BulkWork
from rota.sdk.calls import Call
from rota.sdk.events import Event, follow_async
from rota.sdk.filters import Common, Filters, Which
from rota.sdk.standin import stand_ins
from rota.sdk.transfer import Progress, exchange_async
from rota.sdk.transport import RETRIES, Transport, answer_of, key_for, read, split

T = TypeVar("T")


class AsyncClient:
    """The REST interface, awaited. Belongs to the event loop it was first used on."""

    def __init__(self, url: str | None = None, token: str | None = None, *, retries: int = RETRIES) -> None:
        self._transport = Transport(url, token, retries=retries)
        self._http = httpx2.AsyncClient(**self._transport.options())
        self._pid = os.getpid()

    @property
    def url(self) -> str:
        """The server's address; of several, that of the one that is asked now."""
        return self._transport.url

    def uptime(self) -> float:
        """As :meth:`Client.uptime`."""
        stand_in = stand_ins.get(self._transport.url)
        return time.monotonic() if stand_in is None else stand_in.uptime()

    async def send(self, call: Call[T]) -> T:
        """Carry out a call and read its answer."""
        if not call.jobs:
            return await self._send(call)
        with trace.sending(call.jobs, self.url) as stored:
            answer = await self._send(call)
            stored(answer)
            return answer

    async def _send(self, call: Call[T]) -> T:
        stand_in = stand_ins.get(self._transport.url)
        if stand_in is not None:
            return read(call, await stand_in.asend(call))
        tries = 1
        while True:
            url = self._transport.url
            try:
                if call.file is None and call.into is None:
                    answer = answer_of(await self._connections().request(**self._transport.request(call)))
                else:
                    answer = await exchange_async(self._connections(), self._transport, call)
                if answer.status < 400:
                    return call.read(answer)
                pause = self._transport.pause(call, url, tries, answer)
            except httpx2.TransportError as error:
                pause = self._transport.pause(call, url, tries, error)
            await asyncio.sleep(pause)
            tries += 1

    async def enqueue(
        self, job: JobSpec, *, idempotency_key: str | None = None, connection: Any = None
    ) -> Created:
        """As :meth:`Client.enqueue`; ``connection`` is one that is awaited."""
        if connection is not None:
            kept = await transactions.aenqueue(connection, [transactions.keyed(job, idempotency_key)])
            return kept[0]
        return await self.send(calls.enqueue(job, key_for(job, idempotency_key)))

    async def enqueue_many(
        self, jobs: Iterable[JobSpec], *, idempotency_key: str | None = None, connection: Any = None
    ) -> list[Created]:
        """As :meth:`Client.enqueue_many`: more than 10,000 jobs go in several requests."""
        if connection is not None:
            transactions.no_key(idempotency_key)
            return await transactions.aenqueue(connection, jobs)
        kept: list[Created] = []
        for call in split(jobs, idempotency_key):
            part: list[Created] = await self.send(call)
            kept += part
        return kept

    async def run(self, job: JobSpec, wait: float = 30.0, *, idempotency_key: str | None = None) -> JobInfo:
        """As :meth:`Client.run`."""
        return await self.send(calls.enqueue_and_wait(job, key_for(job, idempotency_key), wait))

    async def upload(
        self,
        job: JobSpec,
        path: str | os.PathLike[str],
        progress: Progress | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Created:
        """As :meth:`Client.upload`."""
        return await self.send(calls.upload(job, key_for(job, idempotency_key), Path(path), progress))

    async def artifact(
        self, id: str, path: str | os.PathLike[str], progress: Progress | None = None
    ) -> FileInfo:
        """As :meth:`Client.artifact`."""
        return await self.send(calls.artifact(id, Path(path), progress))

    async def job(self, id: str) -> JobInfo:
        """As :meth:`Client.job`."""
        return await self.send(calls.job(id))

    async def jobs(self, **filters: Unpack[Filters]) -> JobPage:
        """As :meth:`Client.jobs`."""
        return await self.send(calls.jobs(**filters))

    async def all_jobs(self, **filters: Unpack[Filters]) -> AsyncIterator[JobInfo]:
        """As :meth:`Client.all_jobs`."""
        page = await self.jobs(**filters)
        for job in page.jobs:
            yield job
        while page.cursor is not None:
            page = await self.jobs(**(filters | {"cursor": page.cursor}))
            for job in page.jobs:
                yield job

    async def export(
        self,
        path: str | os.PathLike[str],
        format: Literal["ndjson", "csv"] = "ndjson",
        *,
        columns: Sequence[str] = (),
        whole: bool = False,
        limit: int | None = None,
        **which: Unpack[Common],
    ) -> FileInfo:
        """As :meth:`Client.export`."""
        return await self.send(calls.export(Path(path), format, columns, whole, limit, which))

    async def result(self, id: str, wait: float = 0.0) -> Blob:
        """As :meth:`Client.result`."""
        return await self.send(calls.result(id, wait))

    async def logs(self, id: str, after: int = 0, limit: int | None = None) -> LogPage:
        """As :meth:`Client.logs`."""
        return await self.send(calls.logs(id, after, limit))

    async def explain(self, id: str) -> Explanation:
        """As :meth:`Client.explain`."""
        return await self.send(calls.explain(id))

    async def cancel(self, id: str) -> JobInfo:
        """As :meth:`Client.cancel`."""
        return await self.send(calls.cancel(id))

    async def retry(self, id: str) -> JobInfo:
        """As :meth:`Client.retry`."""
        return await self.send(calls.retry(id))

    async def run_now(self, id: str) -> JobInfo:
        """As :meth:`Client.run_now`."""
        return await self.send(calls.run_now(id))

    async def delete(self, id: str) -> None:
        """As :meth:`Client.delete`."""
        await self.send(calls.delete(id))

    async def cancel_all(
        self, *, all: bool = False, dry_run: bool = False, limit: int | None = None, **which: Unpack[Which]
    ) -> Bulk:
        """As :meth:`Client.cancel_all`."""
        work = BulkWork("cancel", which, all, dry_run, limit)
        while work.goes_on:
            work.add(await self.send(work.call()))
        return work.total

    async def retry_all(
        self, *, all: bool = False, dry_run: bool = False, limit: int | None = None, **which: Unpack[Which]
    ) -> Bulk:
        """As :meth:`Client.retry_all`."""
        work = BulkWork("retry", which, all, dry_run, limit)
        while work.goes_on:
            work.add(await self.send(work.call()))
        return work.total

    async def delete_all(
        self, *, all: bool = False, dry_run: bool = False, limit: int | None = None, **which: Unpack[Which]
    ) -> Bulk:
        """As :meth:`Client.delete_all`."""
        work = BulkWork("delete", which, all, dry_run, limit)
        while work.goes_on:
            work.add(await self.send(work.call()))
        return work.total

    async def failures(
        self,
        queue: str | None = None,
        type: str | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> FailurePage:
        """As :meth:`Client.failures`."""
        return await self.send(calls.failures(queue, type, limit, cursor))

    async def queues(self) -> list[QueueInfo]:
        """As :meth:`Client.queues`."""
        return await self.send(calls.queues())

    async def pause(self, queue: str) -> QueueInfo:
        """As :meth:`Client.pause`."""
        return await self.send(calls.pause(queue))

    async def resume(self, queue: str) -> QueueInfo:
        """As :meth:`Client.resume`."""
        return await self.send(calls.resume(queue))

    async def clear(self, queue: str) -> int:
        """As :meth:`Client.clear`."""
        return await self.send(calls.clear(queue))

    async def workers(self) -> list[WorkerInfo]:
        """As :meth:`Client.workers`."""
        return await self.send(calls.workers())

    async def drain_worker(self, worker: str) -> WorkerInfo:
        """As :meth:`Client.drain_worker`."""
        return await self.send(calls.drain_worker(worker))

    async def stats(self, **wish: Any) -> dict[str, Any]:
        """As :meth:`Client.stats`."""
        return await self.send(calls.stats(**wish))

    def events(self, topics: Iterable[str] = ("*",), after: str | None = None) -> AsyncIterator[Event]:
        """As :meth:`Client.events`."""
        return follow_async(self._http, self._transport, topics, after)

    async def health(self) -> dict[str, Any]:
        """As :meth:`Client.health`."""
        return await self.send(calls.health())

    async def close(self) -> None:
        """Close the connections."""
        await self._connections().aclose()

    def _connections(self) -> httpx2.AsyncClient:
        if self._pid != os.getpid():
            self._http, self._pid = httpx2.AsyncClient(**self._transport.options()), os.getpid()
        return self._http

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
