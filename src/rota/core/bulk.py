"""Acting on all jobs that match, in small batches with room for everybody else in between.

What matches is looked for on the reader; each batch is one short transaction over the ids that were found,
which looks again whether they still match. Jobs stored after the start are left alone, and no job is met
twice, so what a retry brings back is not retried again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from rota.core.service import Service, check_queue
from rota.model.errors import BadInput
from rota.model.job import ENDED, LIVE, Applied, Match, State

Act = Literal["cancel", "retry", "delete"]

STEP = 200
"""Jobs in one transaction: others wait for it."""
STATES: dict[Act, frozenset[State]] = {
    "cancel": LIVE,
    "retry": ENDED,
    "delete": frozenset(State) - {State.RUNNING},
}
"""The states that an act is for."""


class Progress(msgspec.Struct, frozen=True):
    """How far it is. ``matched`` = ``changed`` + ``skipped``; ``cursor``: where to go on, None at the end.
    Skipped are those that the act passed over: running ones of a delete, those asked to stop before of a
    cancel, those whose unique key another job holds of a retry, and what changed in the meantime.
    """

    matched: int
    changed: int
    skipped: int
    cursor: str | None


def check(act: Act, match: Match) -> Match:
    """The jobs that match and are of interest to the act. BadInput when it is for no job in a state named."""
    allowed = STATES[act]
    for state in match.states or ():
        if state not in allowed:
            names = ", ".join(one for one in State if one in allowed)
            raise BadInput(
                f"{act} is for jobs that are {names}, not {state}.", code="invalid_filter", field="state"
            )
    if match.states is not None or act == "delete":
        return match
    return msgspec.structs.replace(match, states=tuple(one for one in State if one in allowed))


async def run(
    service: Service, act: Act, match: Match, limit: int | None = None, cursor: str | None = None
) -> AsyncIterator[Progress]:
    """Do it to at most ``limit`` jobs, oldest first, and tell after every step how far it is."""
    match = check(act, match)
    matched = changed = 0
    while True:
        most = STEP if limit is None else min(STEP, limit - matched)
        chosen = await service.engine.select(match, most, cursor)
        if chosen.ids:
            applied = await _step(service, act, msgspec.structs.replace(match, ids=tuple(chosen.ids)))
            changed += sum(one.state is not None for one in applied)
        matched, cursor = matched + len(chosen.ids), chosen.cursor
        yield Progress(matched, changed, matched - changed, cursor)
        if cursor is None or matched == limit:
            return


async def count(
    service: Service, act: Act, match: Match, limit: int | None = None, cursor: str | None = None
) -> AsyncIterator[Progress]:
    """How many jobs :func:`run` would meet: from the counters where they can tell, else counted piece by
    piece.
    """
    match = check(act, match)
    rest = msgspec.structs.replace(match, states=None, queues=None, types=None)
    if cursor is None and rest == Match():
        tally = sum(
            row.jobs
            for row in await service.engine.count()
            if (match.states is None or row.state in match.states)
            and (match.queues is None or row.queue in match.queues)
            and (match.types is None or row.type in match.types)
        )
        yield _counted(tally, limit, None)
        return
    jobs = 0
    while True:
        got = await service.engine.tally(match, cursor)
        jobs, cursor = jobs + got.jobs, got.cursor
        yield _counted(jobs, limit, cursor)
        if cursor is None or (limit is not None and jobs >= limit):
            return


async def clear(service: Service, queue: str) -> int:
    """Delete the pending and scheduled jobs of a queue; answers how many."""
    check_queue(queue)
    deleted = 0
    async for progress in run(
        service, "delete", Match(queues=(queue,), states=(State.PENDING, State.SCHEDULED))
    ):
        deleted = progress.changed
    return deleted


def _counted(jobs: int, limit: int | None, cursor: str | None) -> Progress:
    if limit is not None and jobs >= limit:
        return Progress(limit, 0, 0, None)
    return Progress(jobs, 0, 0, cursor)


async def _step(service: Service, act: Act, match: Match) -> list[Applied]:
    match act:
        case "cancel":
            return await service.cancel_all(match, "cancelled", STEP)
        case "retry":
            return await service.retry_all(match, STEP)
        case "delete":
            return await service.delete_all(match, STEP)
