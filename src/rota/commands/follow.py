"""Waiting for a job: asking again and again, a little less often each time, until it has ended."""

from __future__ import annotations

import random
import time

from rota.commands import output
from rota.commands.common import DONE, FAILED, GOES_ON
from rota.commands.details import error_text
from rota.model.errors import NotFound, Unavailable
from rota.sdk.answers import JobInfo
from rota.sdk.client import Client

QUICK, SLOW = 0.05, 1.0
"""Seconds between two questions: at first, and in the long run."""


def until_ended(client: Client, id: str, timeout: float | None) -> JobInfo:
    """The job once it has ended, or as it is after ``timeout`` seconds. A server that left is waited for."""
    end = None if timeout is None else time.monotonic() + timeout
    pause, seen = QUICK, False
    job: JobInfo | None = None
    while True:
        try:
            before, job, seen = job, client.job(id), True
            pause = QUICK if job != before else min(pause * 1.5, SLOW)
            if job.ended:
                return job
        except Unavailable:
            if not seen:
                raise
            pause = SLOW
        except NotFound:
            if seen:
                raise NotFound(f"The job {id} was deleted meanwhile.", code="job_not_found") from None
            raise
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0 and job is not None:
            return job
        nap = pause * random.uniform(0.8, 1.2)
        time.sleep(nap if left is None else min(nap, max(left, 0)))


def explain(job: JobInfo) -> None:
    """Why there is no result, on standard error."""
    if not job.ended:
        why = f": {job.waiting_because}" if job.waiting_because else "."
        output.note(output.inert(f"The job {job.id} is {job.state}{why}"))
        return
    told = error_text(job.error) if job.error else job.reason or "no reason is known"
    output.note(output.inert(f"The job {job.id} {_ENDS[job.state]}: {told}", lines=True))


def status_of(job: JobInfo) -> int:
    """The exit status that stands for a job's state."""
    if not job.ended:
        return GOES_ON
    return DONE if job.state == "done" else FAILED


_ENDS = {"failed": "failed", "cancelled": "was cancelled", "done": "is done"}
