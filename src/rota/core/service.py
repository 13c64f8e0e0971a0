"""The one object everybody calls: check, verb, tell the bus."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TypeVar

from rota.core.bus import Bus
from rota.core.catalog import Catalog
from rota.core.conditions import Conditions
from rota.core.dispatch import Dispatch
from rota.core.due import Due
from rota.core.events import Event, moved, stored
from rota.core.explain import Line, in_short
from rota.core.feeds import Feeds
from rota.core.files import Files
from rota.core.gather import Gather
from rota.core.history import Histories
from rota.core.intake import Intake
from rota.core.others import Others
from rota.core.programs import Programs
from rota.core.pulse import Pulses
from rota.core.queues import QueueInfo, all_queues
from rota.core.refusals import refusal
from rota.core.reports import Rules
from rota.core.series import Series
from rota.core.workers import Workers
from rota.engines.base import Engine
from rota.model.clock import Clock, SystemClock
from rota.model.errors import BadInput, Conflict, NotFound
from rota.model.job import ENDED, Applied, Job, Kept, LogLine, Match, Note, Page, Request, State
from rota.model.spec import NAME, NAME_RULE, Limits

T = TypeVar("T")

BATCH = 500
"""Jobs per transaction where many are meant, and on a page."""
LOG_LINES = 10_000
"""Log lines in an answer."""


class Service:
    """Jobs and queues. What workers do is in :attr:`workers`."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock | None = None,
        rules: Rules | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.engine = engine
        self.id = secrets.token_hex(4)
        """Tells this run of a server from any other on the store."""
        self.clock = clock or SystemClock()
        self.rules = rules or Rules()
        self.limits = limits or Limits()
        self.bus = Bus()
        self.dispatch = Dispatch(engine, self.clock, self.rules.lease)
        self.workers = Workers(engine, self.dispatch, self.bus, self.clock, self.rules)
        self.files = Files(engine, self.limits)
        self.feeds = Feeds(engine, self.clock)
        self.series = Series(engine, self.clock, self.workers.meter)
        self.histories = Histories(self.series)
        self.programs = Programs()
        self.others = Others()
        self.intake = Intake()
        self.catalog = Catalog(engine)
        self.pulses = Pulses(self)
        self.condition = Conditions(self)
        self.started_at = self.clock.now()
        self.endings: list[Callable[[float], Coroutine[None, None, None]]] = []
        """What else has to end when the server stops; each is told the grace in seconds."""
        self._enqueue: Gather[Request, list[Kept]] = Gather(self._write, refusal)
        self._due = Due(engine, self.clock)
        self.due, self.until_due = self._due.at, self._due.wait
        self.workers.due = self.due
        self._marking = 0
        self._marked = 0

    async def load(self) -> None:
        """Read what the store remembers of queues. Call once, before serving."""
        self.dispatch.paused.update(note.key for note in await self.engine.notes("paused"))
        await self._due.load()

    def enqueue(self, request: Request) -> asyncio.Future[list[Kept]]:
        """Store jobs; see :meth:`rota.engines.base.Engine.enqueue`. Raises Conflict when an idempotency key
        does not fit, StoreError when an upload is gone.
        """
        return self._enqueue(request)

    async def enqueue_and_wait(self, request: Request, seconds: float) -> tuple[Kept, Job | None]:
        """Store one job and wait for its end. The job is None when it is gone by then."""
        with self.bus.waiting(request.jobs[0].id) as ended:
            kept = (await self.enqueue(request))[0]
            if kept.id == request.jobs[0].id:
                await asyncio.wait([ended], timeout=seconds)
                return kept, next(iter(await self.engine.get([kept.id])), None)
        return kept, await self.wait(kept.id, seconds)

    async def wait(self, id: str, seconds: float) -> Job | None:
        """The job once it has ended, or as it is after ``seconds``; None when there is none."""
        with self.bus.waiting(id) as ended:
            job = next(iter(await self.engine.get([id])), None)
            if job is None or job.state in ENDED:
                return job
            await asyncio.wait([ended], timeout=seconds)
        return next(iter(await self.engine.get([id])), None)

    async def job(self, id: str) -> Job:
        """One job, whole. Raises NotFound."""
        jobs = await self.engine.get([id])
        if not jobs:
            raise NotFound(f"There is no job {id[:100]!r}.", code="job_not_found", field="id")
        return jobs[0]

    async def jobs(self, match: Match, limit: int, cursor: str | None) -> Page:
        """A page of jobs, newest first."""
        if not 1 <= limit <= BATCH:
            raise BadInput(f"limit must be 1 to {BATCH}.", code="invalid_limit", field="limit")
        return await self.engine.find(match, limit, cursor)

    async def logs(self, id: str, after: int, limit: int) -> list[tuple[int, LogLine]]:
        """Numbered log lines of a job. Raises NotFound."""
        await self.job(id)
        if not 1 <= limit <= LOG_LINES:
            raise BadInput(f"limit must be 1 to {LOG_LINES}.", code="invalid_limit", field="limit")
        return await self.engine.logs(id, after, limit)

    async def cancel(self, id: str) -> Job:
        """A waiting job ends as cancelled, a running one is asked to stop. Raises Conflict when it has
        ended.
        """
        applied = await self.cancel_all(Match(ids=(id,)), "cancelled")
        job = await self.job(id)
        if not applied and job.state in ENDED:
            raise Conflict(
                f"The job has ended as {job.state}; only a live job can be cancelled.",
                code="invalid_state",
                state=job.state.value,
            )
        return job

    async def cancel_all(self, match: Match, reason: str, limit: int = BATCH) -> list[Applied]:
        """Cancel up to ``limit`` jobs that match, oldest first."""
        applied = await self.engine.cancel(match, reason, self.clock.now(), limit)
        running = [one.id for one in applied if one.state is State.RUNNING]
        if running:
            self.workers.stop(await self.engine.get(running))
        self._count(applied)
        self.bus.tell(applied)
        self._publish("finished", [one for one in applied if one.state in ENDED], reason)
        self._publish("stopping", [one for one in applied if one.state is State.RUNNING], reason)
        return applied

    async def retry(self, id: str) -> Job:
        """An ended job becomes pending again. Raises Conflict when it has not ended or its unique key is
        taken.
        """
        job = await self.job(id)
        if job.state not in ENDED:
            raise Conflict(
                f"The job is {job.state}; only an ended job can be retried.",
                code="invalid_state",
                state=job.state.value,
            )
        return await self._again(id)

    async def run_now(self, id: str) -> Job:
        """A scheduled job becomes pending at once. Raises Conflict in any other state."""
        job = await self.job(id)
        if job.state is not State.SCHEDULED:
            raise Conflict(
                f"The job is {job.state}; only a scheduled job can be run now.",
                code="invalid_state",
                state=job.state.value,
            )
        return await self._again(id)

    async def delete(self, id: str) -> None:
        """Remove a job. Raises Conflict while it runs."""
        job = await self.job(id)
        if not await self.delete_all(Match(ids=(id,)), 1):
            raise Conflict(
                f"The job is {job.state}; cancel it first, a running job cannot be deleted.",
                code="invalid_state",
                state=job.state.value,
            )

    async def delete_all(self, match: Match, limit: int = BATCH) -> list[Applied]:
        """Delete up to ``limit`` jobs that match and do not run."""
        gone = await self.engine.delete(match, limit, self.clock.now())
        # Somebody may wait for one of these; for them a job that is gone has ended.
        self.bus.tell([Applied(one.id, one.lease, State.CANCELLED, one.queue, one.type) for one in gone])
        self._publish("deleted", gone)
        return gone

    async def queues(self) -> list[QueueInfo]:
        """All queues that hold jobs, are paused or are served, by name."""
        roster = self.workers.roster.everybody()
        return await all_queues(self.engine, roster, self.dispatch.paused, self.clock.now())

    async def queue(self, name: str) -> QueueInfo:
        """One queue, empty and unserved ones included. Raises BadInput for an impossible name."""
        check_queue(name)
        empty = QueueInfo(name, name in self.dispatch.paused, {}, None, 0, 0, [])
        return next((info for info in await self.queues() if info.name == name), empty)

    async def pause(self, name: str) -> QueueInfo:
        """Hand out no more jobs of a queue, restarts included. When this returns, no claim is made any
        more.
        """
        check_queue(name)
        self.dispatch.paused.add(name)
        await self._mark(Note("paused", name, b"{}"))
        self._publish_queue("paused", name)
        return await self.queue(name)

    async def resume(self, name: str) -> QueueInfo:
        """Hand out jobs of a queue again."""
        check_queue(name)
        await self._mark(Note("paused", name, None))
        self.dispatch.paused.discard(name)
        self._publish_queue("resumed", name)
        self.dispatch.wake([name])
        return await self.queue(name)

    async def read_paused(self) -> None:
        """What others may have paused or resumed meanwhile."""
        marked, marking = self._marked, self._marking
        names = {note.key for note in await self.engine.notes("paused")}
        # What we say ourselves meanwhile is newer than what was read.
        if not marking and not self._marking and marked == self._marked:
            resumed, self.dispatch.paused = self.dispatch.paused - names, names
            self.dispatch.wake(resumed)

    def waits_for(self, job: Job) -> str | None:
        """Why a pending job is not running, in words; None for any other job."""
        return in_short(job, self.line(job))

    def line(self, job: Job) -> Line:
        """What the server knows by heart of the line that a job stands in."""
        roster = self.workers.roster.everybody()
        return Line(job.queue in self.dispatch.paused, self.dispatch.stopped, roster, self.programs)

    def became_due(self, queue: str, jobs: int) -> None:
        """So many scheduled jobs of a queue have become pending."""
        if self.bus.events.active:
            detail = {"jobs": jobs}
            self.bus.events.publish([Event(event="due", at=self.clock.now(), queue=queue, detail=detail)])
        self.dispatch.wake([queue])
        self.others.wake([queue])

    def _write(self, requests: Sequence[Request]) -> asyncio.Future[list[list[Kept]]]:
        call = asyncio.ensure_future(self.engine.enqueue(requests, self.clock.now()))
        arrived: dict[str, dict[str, int]] = {}
        pending, queue, types = State.PENDING, None, {}
        for request in requests:
            for job in request.jobs:
                if job.state is pending:
                    if job.queue != queue:
                        queue = job.queue
                        types = arrived.setdefault(queue, {})
                    types[job.type] = types.get(job.type, 0) + 1
                else:
                    self.due(job.run_at)
        # On an embedded engine a claim made now shares the commit; on any other the one after it finds the
        # jobs.
        self._arrived(arrived)
        call.add_done_callback(lambda done: self._stored(done, requests, arrived))
        return call

    def _stored(
        self,
        call: asyncio.Future[list[list[Kept]]],
        requests: Sequence[Request],
        arrived: Mapping[str, Mapping[str, int]],
    ) -> None:
        if not call.cancelled() and call.exception() is None:
            new = [
                job
                for request, kept in zip(requests, call.result(), strict=True)
                for job, one in zip(request.jobs, kept, strict=True)
                if one.why is None and one.state is not None
            ]
            self.workers.meter.stored(Counter((job.queue, job.type) for job in new))
            # Before the jobs are handed out: an event of their start must not come first.
            self.bus.stored(new)
            if self.bus.events.active:
                self.bus.events.publish(stored(new))
            self.others.wake(arrived)
        self._arrived(arrived)

    def _arrived(self, arrived: Mapping[str, Mapping[str, int]]) -> None:
        for queue, types in arrived.items():
            self.dispatch.arrived(queue, types)

    async def _again(self, id: str) -> Job:
        applied = await self.retry_all(Match(ids=(id,)), 1)
        if applied and applied[0].state is None:
            raise Conflict(
                "Another live job holds this job's unique key.", code="duplicate_job", field="unique_key"
            )
        job = await self.job(id)
        if not applied:
            raise Conflict(f"The job is {job.state} by now.", code="invalid_state", state=job.state.value)
        return job

    async def retry_all(self, match: Match, limit: int = BATCH) -> list[Applied]:
        """Bring back up to ``limit`` ended or scheduled jobs that match, oldest first; state None: its unique
        key is taken.
        """
        applied = await self.engine.retry(match, self.clock.now(), limit)
        back = [one for one in applied if one.state is not None]
        self.bus.tell(back)
        self._publish("requeued", back, "retry")
        queues = {one.queue for one in back if one.queue is not None}
        self.dispatch.wake(queues)
        self.others.wake(queues)
        return applied

    async def _mark(self, note: Note) -> None:
        """Keep which queues are paused, and tell the others."""
        self._marking += 1
        try:
            await self.engine.save([note])
        finally:
            self._marking -= 1
            self._marked += 1
        self.others.marked()

    def _publish(self, event: str, jobs: Sequence[Applied], reason: str | None = None) -> None:
        if jobs and self.bus.events.active:
            self.bus.events.publish(moved(event, jobs, self.clock.now(), reason))

    def _publish_queue(self, event: str, name: str) -> None:
        if self.bus.events.active:
            self.bus.events.publish([Event(event=event, at=self.clock.now(), queue=name)])

    def _count(self, applied: Sequence[Applied]) -> None:
        for one in applied:
            if one.state in ENDED:
                self.workers.meter.finish(one.queue, one.type, one.state)

    def drain(self) -> None:
        """Hand out nothing more, and tell the workers inside this process to finish."""
        self.dispatch.stopped = True
        for worker in list(self.workers.roster.values()):
            if worker.transport == "inside":
                worker.drain()


def check_queue(name: str) -> None:
    """BadInput unless this can be a queue's name."""
    if NAME.fullmatch(name) is None:
        raise BadInput(f"A queue's name is {NAME_RULE}.", code="invalid_queue", field="queue")
