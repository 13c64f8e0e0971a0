"""Gathers what :mod:`rota.core.explain` needs to know of one job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rota.core.explain import Explanation, Facts, Serving, able, explain
from rota.core.service import Service
from rota.model.job import Job, Match, State

LIMIT = 10_000
"""Jobs ahead that are counted exactly; beyond that the answer is *more than*."""


async def explain_job(service: Service, id: str) -> Explanation:
    """Why this job is not running, and when it will. Raises NotFound."""
    return explain(await gather(service, id))


async def gather(service: Service, id: str) -> Facts:
    """The facts about one job. Raises NotFound."""
    job = await service.job(id)
    now = service.clock.now()
    around = service.line(job)
    ahead = None
    if job.state is State.PENDING:
        # Jobs that only other workers know do not stand in its way.
        types = _known(able(job, around))
        counted = await service.engine.ahead([id], types, now, LIMIT + 1)
        if id in counted:
            ahead = counted[id]
        else:
            # It has moved on since it was read.
            job = await service.job(id)
    kinds = {job.type, *(ahead or ())}
    kinds |= {
        type for worker in around.roster for queue, type, _ in worker.taken.values() if queue == job.queue
    }
    return Facts(
        now=now,
        job=job,
        line=around,
        ahead=ahead,
        limit=LIMIT,
        runs=_runs(service, job.queue, kinds),
        holder=await _holder(service, job),
        jump=service.workers.meter.jump,
    )


def _known(workers: Sequence[Serving]) -> list[str] | None:
    types: dict[str, None] = {}
    for worker in workers:
        if worker.types is None:
            return None
        types |= dict.fromkeys(worker.types)
    return list(types)


def _runs(service: Service, queue: str, types: set[str]) -> Mapping[str, float]:
    means = {type: _mean_run(service, queue, type) for type in types}
    return {type: mean for type, mean in means.items() if mean is not None}


def _mean_run(service: Service, queue: str, type: str) -> float | None:
    runs, seconds = service.others.mean_run(queue, type)
    own = service.workers.meter.run_total(queue, type)
    runs, seconds = runs + own[0], seconds + own[1]
    return seconds / runs if runs else None


async def _holder(service: Service, job: Job) -> Job | None:
    if job.unique_key is None:
        return None
    page = await service.engine.find(Match(holds=job.unique_key), 1)
    return page.jobs[0] if page.jobs else None
