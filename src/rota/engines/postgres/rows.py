"""Between rows and values."""

from __future__ import annotations

from typing import Any

import msgspec

from rota.model.job import Attempt, Claimed, Job, Retry, State

encode = msgspec.json.Encoder().encode
_retry = msgspec.json.Decoder(Retry).decode
_headers = msgspec.json.Decoder(dict[str, str]).decode

JOB_COLUMNS = (
    "jobs.seq, jobs.id, jobs.type, jobs.queue, jobs.state, jobs.priority, jobs.attempt, jobs.max_attempts, "
    "jobs.lease, jobs.losses, jobs.created_at, jobs.run_at, jobs.started_at, jobs.finished_at, "
    "jobs.expires_at, jobs.lease_until, jobs.timeout, jobs.retention, jobs.retry, jobs.tags, "
    "jobs.unique_key, jobs.unique_states, jobs.worker, jobs.cancel_requested, jobs.reason, jobs.progress, "
    "jobs.fingerprint"
)


def plain(text: str) -> str:
    """A text without NUL, which PostgreSQL cannot keep."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def plain_or_none(text: str | None) -> str | None:
    return None if text is None else plain(text)


def headers(raw: bytes | None) -> dict[str, str] | None:
    return None if raw is None else _headers(raw)


def claimed(row: Any) -> Claimed:
    """A claimed job from what ``claim.sql`` gives."""
    return Claimed(
        row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], headers(row[9]), row[10], row[11]
    )


def job(row: Any, **more: Any) -> Job:
    """A job from ``JOB_COLUMNS``."""
    return Job(
        id=row[1],
        type=row[2],
        queue=row[3],
        state=State(row[4]),
        priority=row[5],
        attempt=row[6],
        max_attempts=row[7],
        lease=row[8],
        losses=row[9],
        created_at=row[10],
        run_at=row[11],
        started_at=row[12],
        finished_at=row[13],
        expires_at=row[14],
        lease_until=row[15],
        timeout=row[16],
        retention=row[17],
        retry=None if row[18] is None else _retry(row[18]),
        tags=tuple(row[19] or ()),
        unique_key=row[20],
        unique_states=tuple(State(s) for s in row[21].split(",")) if row[21] else (),
        worker=row[22],
        cancel_requested=row[23],
        reason=row[24],
        progress=row[25],
        fingerprint=row[26],
        **more,
    )


def whole_job(row: Any) -> Job:
    """A job with payload, result and attempts from ``find.sql``'s jobs."""
    attempts = [Attempt(*one) for one in zip(*row[32:39], strict=True)] if row[32] else []
    last = next((one.error for one in reversed(attempts) if one.error is not None), None)
    state = State(row[4])
    if state in (State.RUNNING, State.DONE) and row[12] is not None:
        end = "done" if state is State.DONE else None
        attempts.append(Attempt(row[6], row[8], row[22], row[12], row[13], end, None))
    return job(
        row,
        payload=row[27],
        content_type=row[28],
        headers=headers(row[29]),
        result=row[30],
        result_type=row[31],
        error=None if state is State.DONE else last,
        attempts=tuple(attempts),
    )
