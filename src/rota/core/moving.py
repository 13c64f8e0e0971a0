"""Workers that go from one server to another: those that poll may report elsewhere than they were given a
job, and who loses its connection may be at another server before the first one has noticed.
"""

from __future__ import annotations

from rota.core.service import BATCH, Service
from rota.core.worker import Worker
from rota.model.job import Match, State


async def look(service: Service) -> None:
    """What such a worker has in hand here, as far as it still has it. Raises StoreError."""
    polling = [one for one in service.workers.roster.values() if one.transport == "poll" and one.taken]
    held = [(worker, key) for worker in polling for key in worker.taken]
    for at in range(0, len(held), BATCH):
        piece = held[at : at + BATCH]
        match = Match(ids=tuple({id for _, (id, _) in piece}), states=(State.RUNNING,))
        running: set[tuple[str, int]] = set()
        cursor = None
        while True:
            page = await service.engine.find(match, BATCH, cursor)
            running.update((job.id, job.lease) for job in page.jobs)
            cursor = page.cursor
            if cursor is None:
                break
        for worker, key in piece:
            if key not in running:
                worker.taken.pop(key, None)


async def left_by(service: Service, worker: Worker) -> list[tuple[str, int]]:
    """Leases of a worker that has left, without those that were extended by another server since this one
    heard of it last. Raises StoreError.
    """
    jobs = {job.id: job for job in await service.engine.get([id for id, _ in worker.taken])}
    left: list[tuple[str, int]] = []
    for (id, lease), (_, _, since) in worker.taken.items():
        job = jobs.get(id)
        ours = max(since, worker.last_beat) + service.rules.lease
        if job is not None and job.lease == lease and (job.lease_until or 0) <= ours:
            left.append((id, lease))
    return left
