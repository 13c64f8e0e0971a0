"""The blocking client, over the descriptions of :mod:`rota.sdk.calls`.

Connections are kept open and shared; a :class:`Client` may be used from many threads, and a process that was
forked off makes connections of its own. Failures are :mod:`rota.model.errors`. Requests that can safely be
repeated are, a few times with growing pauses, when the connection breaks or the server answers 503; an
enqueue carries an idempotency key to that end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
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
from rota.sdk.events import Event, follow
from rota.sdk.filters import Common, Filters, Which
from rota.sdk.standin import stand_ins
from rota.sdk.transfer import Progress, exchange
from rota.sdk.transport import RETRIES, Transport, answer_of, key_for, read, split

T = TypeVar("T")


class Client:
    """The REST interface, blocking."""

    def __init__(self, url: str | None = None, token: str | None = None, *, retries: int = RETRIES) -> None:
        self._transport = Transport(url, token, retries=retries)
        self._http = httpx2.Client(**self._transport.options())
        self._pid = os.getpid()

    @property
    def url(self) -> str:
        """The server's address; of several, that of the one that is asked now."""
        return self._transport.url

    def uptime(self) -> float:
        """Seconds, by the clock that waits for this client's server are counted on."""
        stand_in = stand_ins.get(self._transport.url)
        return time.monotonic() if stand_in is None else stand_in.uptime()

    def send(self, call: Call[T]) -> T:
        """Carry out a call and read its answer."""
        if not call.jobs:
            return self._send(call)
        with trace.sending(call.jobs, self.url) as stored:
            answer = self._send(call)
            stored(answer)
            return answer

    def _send(self, call: Call[T]) -> T:
        stand_in = stand_ins.get(self._transport.url)
        if stand_in is not None:
            return read(call, stand_in.send(call))
        tries = 1
        while True:
            url = self._transport.url
            try:
                if call.file is None and call.into is None:
                    answer = answer_of(self._connections().request(**self._transport.request(call)))
                else:
                    answer = exchange(self._connections(), self._transport, call)
                if answer.status < 400:
                    return call.read(answer)
                pause = self._transport.pause(call, url, tries, answer)
            except httpx2.TransportError as error:
                pause = self._transport.pause(call, url, tries, error)
            time.sleep(pause)
            tries += 1

    def enqueue(self, job: JobSpec, *, idempotency_key: str | None = None, connection: Any = None) -> Created:
        """Store a job (see :func:`rota.job`). When this returns, the job is on stable storage.

        ``connection``: one to the PostgreSQL of the store; the job becomes part of its transaction instead
        (:mod:`rota.sdk.transactions`).
        """
        if connection is not None:
            return transactions.enqueue(connection, [transactions.keyed(job, idempotency_key)])[0]
        return self.send(calls.enqueue(job, key_for(job, idempotency_key)))

    def enqueue_many(
        self, jobs: Iterable[JobSpec], *, idempotency_key: str | None = None, connection: Any = None
    ) -> list[Created]:
        """Store jobs, in order. Up to 10,000 (and 16 MB) go in one request, which is stored wholly or not at
        all; more are split into several requests, sent one after the other, and a failure leaves the earlier
        ones stored. ``connection``: all in its transaction.
        """
        if connection is not None:
            transactions.no_key(idempotency_key)
            return transactions.enqueue(connection, jobs)
        return [kept for call in split(jobs, idempotency_key) for kept in self.send(call)]

    def run(self, job: JobSpec, wait: float = 30.0, *, idempotency_key: str | None = None) -> JobInfo:
        """Store a job and wait up to ``wait`` seconds for its end; look at ``state`` of what comes back."""
        return self.send(calls.enqueue_and_wait(job, key_for(job, idempotency_key), wait))

    def upload(
        self,
        job: JobSpec,
        path: str | os.PathLike[str],
        progress: Progress | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Created:
        """Store a job together with a file, a zip archive, which its handler gets with ``ctx.read_upload``.

        The file is streamed; ``progress`` is called with bytes sent and bytes in all. When this returns, both
        are on stable storage. OSError when the file cannot be read.
        """
        return self.send(calls.upload(job, key_for(job, idempotency_key), Path(path), progress))

    def artifact(self, id: str, path: str | os.PathLike[str], progress: Progress | None = None) -> FileInfo:
        """Write what the job's handler left with ``ctx.keep_artifact`` to ``path``, which must not exist.

        It arrives whole or not at all. NotFound (``no_artifact``) when there is none; OSError when it cannot
        be written.
        """
        return self.send(calls.artifact(id, Path(path), progress))

    def job(self, id: str) -> JobInfo:
        """One job, whole, with its attempts."""
        return self.send(calls.job(id))

    def jobs(self, **filters: Unpack[Filters]) -> JobPage:
        """A page of jobs, newest first; see :class:`rota.sdk.filters.Filters`."""
        return self.send(calls.jobs(**filters))

    def all_jobs(self, **filters: Unpack[Filters]) -> Iterator[JobInfo]:
        """All jobs that match, page by page."""
        page = self.jobs(**filters)
        yield from page.jobs
        while page.cursor is not None:
            page = self.jobs(**(filters | {"cursor": page.cursor}))
            yield from page.jobs

    def export(
        self,
        path: str | os.PathLike[str],
        format: Literal["ndjson", "csv"] = "ndjson",
        *,
        columns: Sequence[str] = (),
        whole: bool = False,
        limit: int | None = None,
        **which: Unpack[Common],
    ) -> FileInfo:
        """Write all jobs of a filter, newest first, to ``path``, which must not exist: a line of JSON each,
        or CSV. ``whole``: with payload, result and attempts. It arrives whole or not at all.
        """
        return self.send(calls.export(Path(path), format, columns, whole, limit, which))

    def result(self, id: str, wait: float = 0.0) -> Blob:
        """The raw result. ``state`` is given when the job has not ended within ``wait`` seconds."""
        return self.send(calls.result(id, wait))

    def logs(self, id: str, after: int = 0, limit: int | None = None) -> LogPage:
        """Lines that the job's handler wrote, from number ``after`` + 1."""
        return self.send(calls.logs(id, after, limit))

    def explain(self, id: str) -> Explanation:
        """Why the job is not running, and when it will."""
        return self.send(calls.explain(id))

    def cancel(self, id: str) -> JobInfo:
        """End a waiting job, ask a running one to stop."""
        return self.send(calls.cancel(id))

    def retry(self, id: str) -> JobInfo:
        """Run an ended job again."""
        return self.send(calls.retry(id))

    def run_now(self, id: str) -> JobInfo:
        """Make a scheduled job pending."""
        return self.send(calls.run_now(id))

    def delete(self, id: str) -> None:
        """Remove a job that is not running."""
        self.send(calls.delete(id))

    def cancel_all(
        self, *, all: bool = False, dry_run: bool = False, limit: int | None = None, **which: Unpack[Which]
    ) -> Bulk:
        """End all waiting jobs of a filter (:class:`rota.sdk.filters.Which`), ask its running ones to stop.
        ``all`` takes the place of an empty filter, ``limit`` bounds the jobs, ``dry_run`` counts them only.
        """
        work = BulkWork("cancel", which, all, dry_run, limit)
        while work.goes_on:
            work.add(self.send(work.call()))
        return work.total

    def retry_all(
        self, *, all: bool = False, dry_run: bool = False, limit: int | None = None, **which: Unpack[Which]
    ) -> Bulk:
        """Run all ended jobs of a filter again; as :meth:`cancel_all`."""
        work = BulkWork("retry", which, all, dry_run, limit)
        while work.goes_on:
            work.add(self.send(work.call()))
        return work.total

    def delete_all(
        self, *, all: bool = False, dry_run: bool = False, limit: int | None = None, **which: Unpack[Which]
    ) -> Bulk:
        """Remove all jobs of a filter that do not run; as :meth:`cancel_all`."""
        work = BulkWork("delete", which, all, dry_run, limit)
        while work.goes_on:
            work.add(self.send(work.call()))
        return work.total

    def failures(
        self,
        queue: str | None = None,
        type: str | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> FailurePage:
        """Failed jobs by what they failed of, last seen first."""
        return self.send(calls.failures(queue, type, limit, cursor))

    def queues(self) -> list[QueueInfo]:
        """All queues with their depths."""
        return self.send(calls.queues())

    def pause(self, queue: str) -> QueueInfo:
        """Hand out no more jobs of a queue."""
        return self.send(calls.pause(queue))

    def resume(self, queue: str) -> QueueInfo:
        """Hand out its jobs again."""
        return self.send(calls.resume(queue))

    def clear(self, queue: str) -> int:
        """Delete a queue's pending and scheduled jobs; how many they were."""
        return self.send(calls.clear(queue))

    def workers(self) -> list[WorkerInfo]:
        """Connected workers."""
        return self.send(calls.workers())

    def drain_worker(self, worker: str) -> WorkerInfo:
        """Ask a worker to finish what it has and leave."""
        return self.send(calls.drain_worker(worker))

    def stats(self, **wish: Any) -> dict[str, Any]:
        """Counters of the server; with parameters (``resolution="5s"``, ``last=600``, ``group="queue"``,
        see docs/api.md) figures over time.
        """
        return self.send(calls.stats(**wish))

    def events(self, topics: Iterable[str] = ("*",), after: str | None = None) -> Iterator[Event]:
        """Events as they happen, for ever; topics are ``*``, ``queue:NAME`` and ``job:ID``.

        ``after`` is the ``cursor`` of an earlier event. A connection that breaks is made again;
        :mod:`rota.sdk.events` says how that is told.
        """
        return follow(self._http, self._transport, topics, after)

    def health(self) -> dict[str, Any]:
        """How the server is."""
        return self.send(calls.health())

    def close(self) -> None:
        """Close the connections."""
        self._connections().close()

    def _connections(self) -> httpx2.Client:
        # Two processes must not share a connection. The inherited ones are dropped, not closed: that could
        # wait for a thread which this process does not have.
        if self._pid != os.getpid():
            self._http, self._pid = httpx2.Client(**self._transport.options()), os.getpid()
        return self._http

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
