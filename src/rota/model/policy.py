"""Backoff, defaults, and what an ending becomes: any ending, one Outcome."""

from __future__ import annotations

import random
from functools import partial

import msgspec

from rota.model.clock import DAY, SECOND, seconds
from rota.model.failure import cause
from rota.model.job import Delays, Exponential, Fixed, NoRetry, Outcome, Retry, State

DEFAULT_QUEUE = "default"
DEFAULT_MAX_ATTEMPTS = 10
DEFAULT_RETRY = Exponential()
DEFAULT_RETENTION = 7 * DAY
MAX_DELAY = 3650 * DAY
MAX_LOSSES = 3
"""A job whose worker was lost this often ends as ``failed`` with reason ``worker_lost``."""

_json = msgspec.json.Encoder()


class Running(msgspec.Struct, frozen=True, gc=False):
    """What the rules need to know of a running job."""

    id: str
    lease: int
    attempt: int
    max_attempts: int
    losses: int
    retry: Retry | None
    cancel_requested: bool
    type: str = ""


def backoff(retry: Retry | None, attempt: int, chance: float) -> int | None:
    """Microseconds to wait after failed attempt number ``attempt``; None: no further attempt.

    ``chance`` in [0, 1) spreads the exponential delay evenly over ±jitter.
    """
    match retry or DEFAULT_RETRY:
        case NoRetry():
            return None
        case Fixed(delay):
            wait = delay
        case Delays(delays):
            wait = delays[min(attempt, len(delays)) - 1]
        case Exponential(base, factor, longest, jitter):
            # The exponent is bounded so that no attempt number overflows a float.
            wait = min(longest, base * factor ** min(attempt - 1, 64))
            wait *= 1 + jitter * (2 * chance - 1)
    return min(seconds(wait), MAX_DELAY)


def failed(
    job: Running,
    error: bytes | None,
    now: int,
    *,
    end: str = "failed",
    retry: bool = True,
    delay: int | None = None,
    chance: float | None = None,
) -> Outcome:
    """A handler raised, or ran out of time: again later, or final. A requested cancel turns it into
    cancelled.
    """
    if job.cancel_requested:
        return Outcome(
            id=job.id, lease=job.lease, state=State.CANCELLED, end=end, error=error, reason="cancelled"
        )
    wait = None
    if retry and job.attempt < job.max_attempts:
        wait = backoff(job.retry, job.attempt, random.random() if chance is None else chance)
        if delay is not None and wait is not None:
            wait = min(max(delay, 0), MAX_DELAY)
    if wait is None:
        final = not retry or isinstance(job.retry, NoRetry)
        reason = "timeout" if end == "timeout" else "not_retryable" if final else "attempts_used_up"
        return Outcome(
            id=job.id,
            lease=job.lease,
            state=State.FAILED,
            end=end,
            error=error,
            reason=reason,
            cause=cause(job.type, error, reason),
        )
    state = State.SCHEDULED if wait > 0 else State.PENDING
    back = state is State.PENDING and isinstance(job.retry, Fixed) and job.retry.back
    return Outcome(
        id=job.id, lease=job.lease, state=state, end=end, error=error, run_at=now + wait, back=back
    )


def lost(job: Running, now: int, *, spent: bool = True) -> Outcome:
    """The worker is gone: to the next one at once, until that happened too often or the attempts are used
    up. ``spent`` False: it costs no attempt.
    """
    error = _json.encode(
        {"type": "WorkerLost", "message": "The worker stopped answering while it ran this job."}
    )
    outcome = partial(Outcome, id=job.id, lease=job.lease, end="lost", error=error, spent=spent)
    if job.cancel_requested:
        return outcome(state=State.CANCELLED, reason="cancelled")
    if job.losses + 1 >= MAX_LOSSES or (spent and job.attempt >= job.max_attempts):
        why = "worker_lost"
        return outcome(state=State.FAILED, reason=why, lost=True, cause=cause(job.type, error, why))
    return outcome(state=State.PENDING, run_at=now, lost=True)


def snoozed(id: str, lease: int, delay: int, now: int) -> Outcome:
    """The handler wants to be called later; the attempt is given back."""
    state = State.SCHEDULED if delay > 0 else State.PENDING
    wait = min(max(delay, 0), MAX_DELAY)
    return Outcome(id=id, lease=lease, state=state, end="snoozed", run_at=now + wait, spent=False)


def released(id: str, lease: int, now: int) -> Outcome:
    """A draining worker hands the job back untouched; the attempt is given back."""
    return Outcome(id=id, lease=lease, state=State.PENDING, end="released", run_at=now, spent=False)


def grace(timeout: int | None) -> int:
    """How long past its timeout the server leaves a job to a worker that should have stopped it
    (microseconds).
    """
    return 5 * SECOND if timeout is None else min(5 * SECOND, max(SECOND, timeout))
