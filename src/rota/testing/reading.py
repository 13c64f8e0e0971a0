"""Jobs out of the store, for a test to look at: those that are gone by now included."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rota.model import job as model
from rota.model.clock import SECOND, to_datetime
from rota.sdk.answers import LogLine
from rota.testing.driver import Driver
from rota.testing.look import Job
from rota.web import wire

_decode = msgspec.json.Decoder(Job).decode
LINES = 10_000


def born(driver: Driver) -> list[str]:
    """The ids of all jobs that there ever were, in the order of their enqueue."""
    return list(driver.moments.born)


async def jobs_of(driver: Driver, ids: Sequence[str]) -> list[Job]:
    """These jobs as they are now; those that never were are missing."""
    service, gone = driver.service, driver.moments.gone
    if driver.hands.desk.talkative:
        # What running handlers have said since the last move is part of what is now.
        await driver.hands.say()
    stored = {job.id: job for job in await service.engine.get(ids)}
    found = []
    for id in ids:
        if id in stored:
            # One trip to the store per job is too much where there are thousands without a line.
            lines = await service.engine.logs(id, 0, LINES) if id in driver.moments.logged else []
            found.append(_job(driver, stored[id], lines, pruned=False))
        elif id in gone:
            found.append(_job(driver, *gone[id], pruned=True))
    return found


def _job(driver: Driver, job: model.Job, lines: Sequence[tuple[int, model.LogLine]], pruned: bool) -> Job:
    seen = _decode(wire.encode(wire.job(job, None if pruned else driver.service.waits_for(job))))
    logs = tuple(LogLine(n, to_datetime(line.at), line.level, line.text) for n, line in lines)
    error = driver.hands.losses.raised.get(job.id)
    new = driver.moments.born[job.id]
    delay = max(0, new.run_at - new.created_at) / SECOND
    return msgspec.structs.replace(seen, logs=logs, exception=error, pruned=pruned, delay=delay)
