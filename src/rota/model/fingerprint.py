"""What tells one job under an idempotency key from another: the same wherever the job is handed in.

The SQL function ``rota.enqueue`` computes it, too, so it is made of plain facts: numbers of microseconds and
texts, each with its length, in a fixed order. What a job leaves open is no part of it, nor is the trace that
it belongs to.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rota.model import trace
from rota.model.clock import seconds
from rota.model.job import Delays, Exponential, Fixed, NewJob, NoRetry, Retry

if TYPE_CHECKING:
    from rota.model.spec import JobSpec


def fingerprint(spec: JobSpec, job: NewJob) -> bytes:
    """16 bytes. ``job`` is what became of ``spec``."""
    facts: list[str | bytes] = [
        *("type", job.type),
        *("queue", job.queue),
        *("priority", str(job.priority)),
        *("payload", job.payload),
    ]
    optional = (
        ("content_type", job.content_type),
        ("delay", None if spec.delay is None else seconds(spec.delay)),
        ("run_at", None if spec.run_at is None else job.run_at),
        ("expires_at", job.expires_at),
        ("timeout", job.timeout),
        ("max_attempts", spec.max_attempts),
        ("retention", None if spec.retention is None else job.retention),
        ("retry", None if job.retry is None else _retry(job.retry)),
        ("unique_key", job.unique_key),
        ("unique_states", ",".join(job.unique_states) or None),
    )
    for name, value in optional:
        if value is not None:
            facts += (name, str(value))
    for tag in dict.fromkeys(spec.tags):
        facts += ("tag", tag)
    for name in sorted(job.headers or ()):
        if name.lower() not in trace.NAMES:
            facts += ("header", name, (job.headers or {})[name])
    digest = hashlib.sha256()
    for fact in facts:
        data = fact if isinstance(fact, bytes) else fact.encode()
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()[:16]


def _retry(retry: Retry) -> str:
    match retry:
        case Exponential(base, factor, longest, jitter):
            numbers = [seconds(one) for one in (base, factor, longest, jitter)]
            return " ".join(("exponential", *map(str, numbers)))
        case Fixed(delay, back):
            return f"fixed {seconds(delay)} {int(back)}"
        case Delays(delays):
            return " ".join(("list", *(str(seconds(delay)) for delay in delays)))
        case NoRetry():
            return "none"
