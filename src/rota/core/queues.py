"""Queues as people see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from rota.core.explain import Serving, serving
from rota.engines.base import Engine
from rota.model.clock import SECOND
from rota.model.job import State


class QueueInfo(msgspec.Struct, frozen=True):
    """A queue as people see it. ``oldest_age`` in seconds, None when nothing is pending."""

    name: str
    paused: bool
    counts: Mapping[State, int]
    oldest_age: float | None
    workers: int
    slots: int
    types_without_worker: Sequence[str]


async def all_queues(
    engine: Engine, roster: Sequence[Serving], paused: Collection[str], now: int
) -> list[QueueInfo]:
    """All queues that hold jobs, are paused or are served by somebody of the roster, by name."""
    counts: dict[str, Counter[State]] = {}
    waiting: dict[str, set[str]] = {}
    for row in await engine.count():
        counts.setdefault(row.queue, Counter())[row.state] += row.jobs
        if row.state in (State.PENDING, State.SCHEDULED):
            waiting.setdefault(row.queue, set()).add(row.type)
    served = {queue for worker in roster for queue in worker.queues}
    names = {*counts, *paused, *served}
    pending = [name for name, states in counts.items() if states[State.PENDING]]
    oldest = await engine.oldest(pending)
    infos = []
    for name in sorted(names):
        here = serving(name, roster)
        wanted = waiting.get(name, set())
        infos.append(
            QueueInfo(
                name=name,
                paused=name in paused,
                counts=counts.get(name, {}),
                oldest_age=max(0.0, (now - oldest[name]) / SECOND) if name in oldest else None,
                workers=len(here),
                slots=sum(worker.slots for worker in here),
                types_without_worker=sorted(
                    type for type in wanted if not any(worker.knows(type) for worker in here)
                ),
            )
        )
    return infos
