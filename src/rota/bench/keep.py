"""A store that somebody named: what it holds before, and leaving it as it was."""

from __future__ import annotations

from rota.bench.site import ACROSS_QUEUE, PICKUP_QUEUE, QUEUE
from rota.engines.open import open_engine
from rota.model.clock import SystemClock
from rota.model.job import Match, Note, Outcome, State

_BATCH = 5000


async def held(url: str) -> int:
    """How many jobs a store holds. Raises BadInput and StoreError."""
    engine = await open_engine(url)
    try:
        return sum(row.jobs for row in await engine.count())
    finally:
        await engine.close()


async def remove_ours(url: str) -> None:
    """Delete the jobs of the measurement, and what was kept about its queues."""
    engine = await open_engine(url)
    try:
        for queue in (QUEUE, PICKUP_QUEUE, ACROSS_QUEUE):
            ours = Match(queues=(queue,))
            # A worker that was killed leaves running jobs, which nobody may delete.
            running = Match(queues=(queue,), states=(State.RUNNING,))
            while page := (await engine.find(running, _BATCH)).jobs:
                await engine.finish([_cancelled(job.id, job.lease) for job in page], SystemClock().now())
            while await engine.delete(ours, _BATCH):
                pass
        await engine.save([Note("paused", QUEUE, None)])
    finally:
        await engine.close()


def _cancelled(id: str, lease: int) -> Outcome:
    return Outcome(id=id, lease=lease, state=State.CANCELLED, end="cancelled", reason="cancelled")
