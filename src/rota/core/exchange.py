"""Clients that wait for as long as their job takes, and workers that know nothing of leases.

Such a worker takes one job at a time, is not heard of while it runs it, and names nothing but the job when it
is done. So the job's present state decides what a report does.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from rota.core import bulk
from rota.core.gather import Gather
from rota.core.reports import running_of
from rota.core.service import BATCH, Service
from rota.model import policy
from rota.model.errors import Conflict, NotFound, StoreError, Unavailable
from rota.model.job import ENDED, Applied, Ask, Claimed, Job, Match, Outcome, Request, State
from rota.model.protocol import Error, Fetch
from rota.model.spec import FRONT_TAG

TRIES = 5
"""A report meets a job that changes under its hands no more often than this."""

_encode = msgspec.json.Encoder().encode


class Exchange:
    """The jobs of one type in one queue: those of a front."""

    def __init__(self, service: Service, front: str, queue: str, type: str, lease: int) -> None:
        """``lease``: microseconds that a worker may take for a job."""
        self._service = service
        self._front = front
        self._queue = queue
        self._type = type
        self._lease = lease
        self._ours = Match(queues=(queue,), types=(type,))
        self._claims: Gather[str, Claimed | None] = Gather(self._claim)
        self._clients: dict[str, asyncio.Future[None]] = {}
        """By the id of the job that each waits for."""
        service.endings.append(self._end)

    async def put(self, asked: Request, gone: Callable[[], Awaitable[None]]) -> Job | None:
        """Store one job and wait until it has ended, or ``gone`` returns, or the server stops. Answers the
        job as it is then; None when it is no longer there.
        """
        if self._service.dispatch.stopped:
            raise Unavailable("The server is shutting down; nothing was stored.", code="draining")
        id = asked.jobs[0].id
        with self._service.bus.waiting(id) as ended:
            self._clients[id] = ended
            leaving: asyncio.Future[None] | None = None
            try:
                await self._service.enqueue(asked)
                # There may be thousands who wait: the body is in the store.
                del asked
                leaving = asyncio.ensure_future(gone())
                await asyncio.wait([ended, leaving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                del self._clients[id]
                if leaving is not None:
                    leaving.cancel()
        return next(iter(await self._service.engine.get([id])), None)

    async def claim(self, address: str) -> Claimed | None:
        """The next job for a worker at this address, if there is one."""
        worker = f"{self._front} {address}"
        ask = Fetch(worker, (self._queue,), types=(self._type,), name=worker)
        known = self._service.workers.heard(ask, self._lease)
        job = None if known.draining else await self._claims(worker)
        if job is not None:
            known.taken[job.id, job.lease] = (job.queue, job.type, self._service.clock.now())
            known.slots = max(known.slots, len(known.taken))
        return job

    async def release(self, job: Claimed) -> None:
        """Nobody got this job after all."""
        now = self._service.clock.now()
        await self._service.workers.write([policy.released(job.id, job.lease, now)], now)

    async def finish(self, id: str, result: bytes | None, content_type: str | None) -> None:
        """The first report on a job that was handed out counts, also when its lease has ended since; later
        ones change nothing. Raises NotFound, and Conflict where there is nothing to finish.
        """
        await self._report(
            id,
            lambda job, lease: Outcome(
                id=id, lease=lease, state=State.DONE, end="done", result=result, content_type=content_type
            ),
        )

    async def reject(self, id: str, why: str) -> None:
        """The worker's result cannot be kept: the job fails for good."""
        error = _encode(Error("ResultRejected", why))
        now = self._service.clock.now()
        await self._report(
            id, lambda job, lease: policy.failed(running_of(job, id, lease), error, now, retry=False)
        )

    async def next(self) -> Job | None:
        """The oldest job that waits."""
        match = msgspec.structs.replace(self._ours, states=(State.PENDING,))
        cursor = None
        while True:
            chosen = await self._service.engine.select(match, 1, cursor)
            for job in await self._service.engine.get(chosen.ids):
                if job.state is State.PENDING:
                    return job
            cursor = chosen.cursor
            if cursor is None:
                return None

    async def counts(self) -> Mapping[State, int]:
        """Jobs by state."""
        states: Counter[State] = Counter()
        for row in await self._service.engine.count():
            if (row.queue, row.type) == (self._queue, self._type):
                states[row.state] += row.jobs
        return states

    async def clear(self) -> None:
        """Remove all jobs that are there now, running ones included; their clients are told."""
        service, now = self._service, self._service.clock.now()
        ours = msgspec.structs.replace(self._ours, until=now + 1)
        async for _ in bulk.run(service, "delete", ours):
            pass
        running = msgspec.structs.replace(ours, states=(State.RUNNING,))
        cursor = None
        while True:
            page = await service.jobs(running, BATCH, cursor)
            service.workers.stop(page.jobs)
            await service.workers.write(
                [
                    Outcome(
                        id=job.id, lease=job.lease, state=State.CANCELLED, end="cancelled", reason="cancelled"
                    )
                    for job in page.jobs
                ],
                service.clock.now(),
            )
            cursor = page.cursor
            if cursor is None:
                break
        async for _ in bulk.run(service, "delete", ours):
            pass

    async def _claim(self, workers: Sequence[str]) -> list[Claimed | None]:
        """For all that ask in one moment."""
        dispatch = self._service.dispatch
        if dispatch.stopped or self._queue in dispatch.paused:
            return [None] * len(workers)
        asks = [
            Ask(worker, (self._queue,), (self._type,), slots) for worker, slots in Counter(workers).items()
        ]
        jobs = {ask.worker: deque(got) for ask, got in zip(asks, await self._take(asks), strict=True)}
        return [jobs[worker].popleft() if jobs[worker] else None for worker in workers]

    async def _take(self, asks: Sequence[Ask]) -> list[list[Claimed]]:
        service, now = self._service, self._service.clock.now()
        answers = await service.engine.claim(asks, now + self._lease, now)
        # Who enqueued these jobs in the same commit is to be told first.
        await asyncio.sleep(0)
        for ask, jobs in zip(asks, answers, strict=True):
            service.dispatch.started += len(jobs)
            if jobs:
                service.dispatch.on_started(ask.worker, jobs)
        return answers

    async def _report(self, id: str, outcome: Callable[[Job, int], Outcome]) -> None:
        workers, clock = self._service.workers, self._service.clock
        for _ in range(TRIES):
            job = await self._job(id)
            if job.state is State.DONE:
                return
            worker = self._handed_to(job)
            if worker is None:
                raise Conflict("The job was not handed out yet.", code="invalid_state")
            if job.state in ENDED or job.state is State.SCHEDULED:
                raise Conflict(f"The job is {job.state}; nobody waits for a result.", code="invalid_state")
            lease: int | None = job.lease
            if job.state is State.PENDING:
                # The lease ended and nobody else has the job yet: whoever did the work takes it once more.
                ask = Ask(worker, (job.queue,), (job.type,), 1, ids=(id,))
                lease = next((one.lease for one in (await self._take([ask]))[0]), None)
            if lease is None:
                continue
            now = clock.now()
            applied: list[Applied] = await workers.write([outcome(job, lease)], now)
            if applied[0].state is not None:
                workers.meter.ran([(job.queue, job.type, job.started_at or now)], now)
                return
        raise Conflict("The job changes hands; try again.", code="invalid_state")

    async def _job(self, id: str) -> Job:
        job = await self._service.job(id)
        if job.type != self._type or (job.queue != self._queue and FRONT_TAG + self._front not in job.tags):
            raise NotFound(f"There is no job {id[:100]!r}.", code="job_not_found", field="id")
        return job

    def _handed_to(self, job: Job) -> str | None:
        """The last worker of ours that had it."""
        ours = (one.worker for one in reversed(job.attempts) if one.worker is not None)
        return next((worker for worker in ours if worker.startswith(f"{self._front} ")), None)

    async def _end(self, grace: float) -> None:
        """The server stops. Clients whose job nobody has in hand hear it now, the others when it has ended,
        or when the grace is over and everybody does.
        """
        running: set[str] = set()
        ids = list(self._clients)
        try:
            for at in range(0, len(ids), BATCH):
                match = Match(ids=tuple(ids[at : at + BATCH]), states=(State.RUNNING,))
                cursor = None
                while True:
                    page = await self._service.engine.find(match, BATCH, cursor)
                    running.update(job.id for job in page.jobs)
                    cursor = page.cursor
                    if cursor is None:
                        break
        except StoreError:
            # Nothing can end any more.
            return
        in_hand = [ended for id, ended in self._clients.items() if id in running]
        for id, ended in self._clients.items():
            if id not in running and not ended.done():
                ended.set_result(None)
        if in_hand:
            await asyncio.wait(in_hand, timeout=grace)
