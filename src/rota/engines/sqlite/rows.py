"""Between rows and values."""

from __future__ import annotations

from typing import Any

import msgspec

from rota.model.job import Claimed, Job, NewJob, Retry, State

_encode = msgspec.json.Encoder().encode
_retry = msgspec.json.Decoder(Retry).decode
_headers = msgspec.json.Decoder(dict[str, str]).decode
_tags = msgspec.json.Decoder(tuple[str, ...]).decode

JOB_COLUMNS = (
    "seq, id, type, queue, state, priority, attempt, max_attempts, lease, losses, created_at, run_at, "
    "started_at, finished_at, expires_at, lease_until, timeout, retention, retry, tags, unique_key, "
    "unique_states, worker, cancel_requested, reason, progress, fingerprint"
)


def new_job(job: NewJob, held: bool) -> tuple[Any, ...]:
    """The columns of ``enqueue.sql``'s job."""
    return (
        job.id,
        job.queue,
        job.type,
        job.state,
        job.priority,
        job.max_attempts,
        job.created_at,
        job.run_at,
        job.expires_at,
        job.timeout,
        job.retention,
        None if job.retry is None else _encode(job.retry),
        _encode(job.tags).decode() if job.tags else None,
        job.unique_key,
        ",".join(job.unique_states) if job.unique_key is not None else None,
        job.unique_key if held else None,
    )


def body(job: NewJob) -> tuple[Any, ...]:
    """The columns of ``enqueue.sql``'s body, without seq."""
    return job.payload, job.content_type, None if job.headers is None else _encode(job.headers)


def headers(raw: bytes | None) -> dict[str, str] | None:
    return None if raw is None else _headers(raw)


def claimed(row: tuple[Any, ...]) -> Claimed:
    """A claimed job from the columns of ``claim.sql``'s best."""
    return Claimed(
        row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], headers(row[9]), row[10], row[11]
    )


def job(row: tuple[Any, ...], **more: Any) -> Job:
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
        tags=() if row[19] is None else _tags(row[19]),
        unique_key=row[20],
        unique_states=tuple(State(s) for s in row[21].split(",")) if row[21] else (),
        worker=row[22],
        cancel_requested=bool(row[23]),
        reason=row[24],
        progress=row[25],
        fingerprint=row[26],
        **more,
    )
