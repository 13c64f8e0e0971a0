"""What ``/v1/pulse`` answers, as a type and as an example."""

from __future__ import annotations

from typing import Annotated

import msgspec

from rota.core.pulse import MAX_CHANGED, MAX_QUEUES, PulseQueue, PulseWorkers
from rota.model.job import State
from rota.model.schema import Time, says


class PulseRates(msgspec.Struct, frozen=True):
    """What happened per second in the last 5 seconds, at all servers on this store."""

    enqueued: float
    started: float
    done: float
    failed: float


class Changes(msgspec.Struct, frozen=True):
    """What is worth reading again since the pulse before; all of it in an answer to this request."""

    jobs: bool
    queues: Annotated[list[str], says(maxItems=MAX_CHANGED)]
    workers: bool
    failures: bool


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by state, the fullest queues (`queues_more`: how many are not told), and all workers; `running`:
    jobs in their hands. `watchers`: how many listen to the pulse at this server.
    """

    at: Time
    jobs: dict[State, int]
    rates: PulseRates
    queues: Annotated[list[PulseQueue], says(maxItems=MAX_QUEUES)]
    queues_more: int
    workers: PulseWorkers
    watchers: int
    changed: Changes


PULSE = Pulse(
    at="2026-01-31T08:30:00.000000Z",
    jobs={
        State.SCHEDULED: 1,
        State.PENDING: 3,
        State.RUNNING: 2,
        State.DONE: 1740,
        State.FAILED: 1,
        State.CANCELLED: 0,
    },
    rates=PulseRates(0.5, 0.4, 0.4, 0.0),
    queues=[PulseQueue("default", False, 3, 1, 2, 1, 0.25)],
    queues_more=0,
    workers=PulseWorkers(3, 2, 0, 10, 2),
    watchers=1,
    changed=Changes(True, ["default"], True, True),
)
