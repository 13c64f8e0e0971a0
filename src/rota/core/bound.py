"""Workers that are as good as their connection: they say nothing while they work, cannot be asked to give a
job up, and never come back. The workers of older interfaces that hold a socket are of this kind.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable

from rota.core.reports import running_of
from rota.core.service import Service
from rota.core.worker import FRONT, Worker
from rota.model import policy
from rota.model.errors import StoreError
from rota.model.job import Beat
from rota.model.protocol import Ending, Hello, Lease, Work

log = logging.getLogger("rota.bound")

_PAUSE = 0.05


class Bound:
    """One worker with one slot, from the moment it connects to the end of its connection."""

    def __init__(self, service: Service, worker: Worker) -> None:
        self._service = service
        self._worker = worker

    def lease_of(self, id: str) -> Lease | None:
        """Of a job in its hand."""
        return next((Lease(*one) for one in self._worker.taken if one[0] == id), None)

    @property
    def idle(self) -> bool:
        return not self._worker.taken

    async def finish(self, ending: Ending) -> None:
        """What became of a job. While the store does not take it this waits: nobody would say it again."""
        while True:
            try:
                await self._service.workers.finish(self._worker.id, [ending])
                return
            except StoreError as error:
                log.error("a result waits for the store", extra={"id": ending.id, "detail": error.detail})
                await asyncio.sleep(1)

    async def leave(self, *, untouched: bool) -> None:
        """The connection is gone. What was in its hand goes to the next worker at once; ``untouched``: it
        never got there.
        """
        service, worker = self._service, self._worker
        taken = list(worker.taken)
        worker.taken.clear()
        await service.workers.leave(worker)
        if not taken:
            return
        now = service.clock.now()
        if untouched or service.dispatch.stopped:
            outcomes = [policy.released(id, lease, now) for id, lease in taken]
        else:
            log.warning("workers lost", extra={"jobs": len(taken), "workers": [worker.id]})
            jobs = {job.id: job for job in await service.engine.get([id for id, _ in taken])}
            outcomes = [
                policy.lost(running_of(jobs.get(id), id, lease), now, spent=False) for id, lease in taken
            ]
        await service.workers.write(outcomes, now)


async def join(
    service: Service,
    front: str,
    queue: str,
    name: str,
    give: Callable[[list[Work]], None],
    drain: Callable[[], None],
) -> Bound:
    """A worker of an older interface that takes every type of a queue. ``give`` gets one job at a time;
    ``drain``: it is to leave once it is idle.
    """
    id = f"{FRONT}{service.id}-{front}-{uuid.uuid4().hex}"
    hello = Hello(id, (queue,), 1, None, name)
    worker = await service.workers.attach(hello, "front", give, lambda stops: None, drain)
    return Bound(service, worker)


async def hold(service: Service) -> None:
    """Keep what all such workers have in hand: their connections are the only signs of life. A job that was
    taken away still counts as in hand, as its worker is busy until it has answered.
    """
    now = service.clock.now()
    beats: list[Beat] = []
    for one in service.workers.roster.values():
        if one.transport == "front":
            one.last_beat = now
            beats += [Beat(id, lease) for id, lease in one.taken]
    if beats:
        await service.engine.extend(beats, now + service.rules.lease, now)


async def at_rest(service: Service, seconds: float) -> None:
    """Return when no such worker has a job in its hand, or after so many seconds."""
    end = asyncio.get_running_loop().time() + seconds
    while any(one.transport == "front" and one.taken for one in service.workers.roster.values()):
        if asyncio.get_running_loop().time() > end:
            return
        await asyncio.sleep(_PAUSE)
