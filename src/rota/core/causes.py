"""What is to be known of a job that runs or has ended; and how times and errors read in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rota.model import policy
from rota.model.clock import SECOND, to_text
from rota.model.job import Job, State

MAX_TOLD = 300
"""Characters of a foreign text (an error, a progress) in a sentence."""


class Cause(msgspec.Struct, frozen=True):
    """One thing that is to be known: a stable code, a sentence, when it passes, what it rests on."""

    code: str
    sentence: str
    at: int | None = None
    numbers: Mapping[str, Any] = {}


def running(job: Job, connected: Mapping[str, str], now: int) -> list[Cause]:
    """Of a running job. ``connected``: names of the workers that are here, by id."""
    worker = job.worker or ""
    name = connected.get(worker, worker)
    since = job.started_at or now
    numbers: dict[str, Any] = {
        "worker": worker,
        "name": name,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "started_at": since,
        "lease_until_at": job.lease_until,
        "seconds": (now - since) / SECOND,
    }
    found = []
    lease = job.lease_until
    if lease is not None and lease < now:
        over = job.losses + 1 >= policy.MAX_LOSSES or job.attempt >= job.max_attempts
        then = "ends as failed" if over else "goes to the next worker"
        told = (
            f"Worker {name} is lost: its lease ended at {when(lease, now)}. The job {then} within a second."
        )
        found.append(Cause("lease_overdue", told, lease, {"losses": job.losses, "lease_until_at": lease}))
    elif lease is not None and worker not in connected:
        told = (
            f"Worker {name} is not connected; without its return the job is taken back at {when(lease, now)}."
        )
        found.append(Cause("worker_away", told, lease, {"worker": worker, "lease_until_at": lease}))
    limit = None if job.timeout is None else since + job.timeout
    if limit is not None and limit < now:
        back = limit + policy.grace(job.timeout)
        told = f"Its timeout passed at {when(limit, now)}; the server takes it back at {when(back, now)}."
        found.append(Cause("timeout_overdue", told, back, {"timeout_at": limit, "taken_back_at": back}))
    if job.cancel_requested:
        told = "It was asked to stop; it ends as cancelled unless its handler finishes first."
        found.append(Cause("cancel_requested", told))
    told = (
        f"It has run on worker {name} since {when(since, now)}, attempt {job.attempt} of {job.max_attempts}"
    )
    if job.progress is not None:
        progress = msgspec.json.decode(job.progress, type=dict[str, Any])
        numbers["progress"] = progress.get("value")
        told += f", {progress.get('value') or 0:.0%} done"
        if progress.get("message"):
            told += f" ({str(progress['message'])[:MAX_TOLD]})"
    if limit is not None and limit >= now:
        numbers["timeout_at"] = limit
        told += f"; it times out at {when(limit, now)}"
    found.append(Cause("running", told + ".", numbers=numbers))
    return found


def ended(job: Job, now: int) -> Cause:
    """Of a job that has ended."""
    at = job.finished_at or now
    removed = at + job.retention
    tries = f"{job.attempt} of {job.max_attempts} attempts"
    error = failure(job.error)
    why = f" The last error: {error}." if error and job.state is State.FAILED else ""
    match job.state, job.reason:
        case State.DONE, _:
            code, told = "done", f"It was done at {when(at, now)}, in attempt {job.attempt}."
        case State.FAILED, "attempts_used_up":
            code, told = "attempts_used_up", f"It failed at {when(at, now)} with {tries} used up.{why}"
        case State.FAILED, "not_retryable":
            code = "not_retryable"
            told = f"It failed at {when(at, now)} after {tries}, and is not to be tried again.{why}"
        case State.FAILED, "timeout":
            code, told = "timed_out", f"It ran into its timeout at {when(at, now)}, after {tries}.{why}"
        case State.FAILED, "worker_lost":
            code = "worker_lost"
            told = (
                f"It failed at {when(at, now)}: {job.losses} workers were lost while they ran it ({tries})."
            )
        case State.CANCELLED, "expired":
            expired = "" if job.expires_at is None else f" (expires_at was {to_text(job.expires_at)[:19]}Z)"
            code, told = "expired", f"It expired before it ran and was cancelled at {when(at, now)}{expired}."
        case State.CANCELLED, "cancelled" | None:
            code, told = "cancelled", f"It was cancelled at {when(at, now)}."
        case state, reason:
            code, told = (
                state.value,
                f"It ended as {state} at {when(at, now)}: {str(reason)[:MAX_TOLD]}.{why}",
            )
    numbers = {
        "finished_at": at,
        "reason": job.reason,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "losses": job.losses,
        "error": error,
        "removed_at": removed,
    }
    return Cause(code, f"{told} It is kept until {when(removed, now)}.", None, numbers)


def failure(error: bytes | None) -> str | None:
    """Type and message of an error, cut; None for none, or one of another form."""
    if error is None:
        return None
    try:
        known = msgspec.json.decode(error, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    told = f"{known.get('type') or 'Error'}: {known.get('message') or ''}".rstrip(": .")
    return told if len(told) <= MAX_TOLD else told[:MAX_TOLD] + "..."


def span(seconds: float) -> str:
    """A duration for people: ``250ms``, ``3.2s``, ``90s``, ``12m``, ``5h``, ``9d``."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"


def when(at: int, now: int) -> str:
    """A time for people, with how far it is: ``2026-01-31T08:30:00Z (in 5m)``."""
    away = (at - now) / SECOND
    far = f"in {span(away)}" if away > 0 else f"{span(-away)} ago"
    return f"{to_text(at)[:19]}Z ({far})"
