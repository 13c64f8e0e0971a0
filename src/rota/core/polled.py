"""Workers that poll may report to another server than the one that gave them a job."""

from __future__ import annotations

from rota.core.service import BATCH, Service
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
