"""One job on a page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rota.commands import output
from rota.commands.output import Cell, Column
from rota.sdk.answers import Failure, JobInfo, Progress

MAX_VALUE = 4000
"""Characters of a payload, a result or a traceback that are shown; ``--json`` has all of it."""


def show_job(job: JobInfo) -> None:
    """Everything there is to know, in the order in which one asks."""
    output.pairs(_facts(job))
    if job.attempts:
        output.say()
        columns = [
            Column("TRY", right=True, whole=True),
            Column("END", whole=True),
            Column("STARTED", whole=True),
            Column("TOOK", right=True, whole=True),
            Column("WORKER"),
            Column("ERROR"),
        ]
        rows: list[tuple[Cell, ...]] = [
            (
                str(one.attempt),
                output.state(one.end or "running"),
                f"{one.started_at:%Y-%m-%d %H:%M:%S}Z" if one.started_at else "",
                _took(one.started_at, one.finished_at),
                one.worker or "",
                "" if one.error is None else f"{one.error.type}: {one.error.message}",
            )
            for one in job.attempts
        ]
        output.table(columns, rows)


def value_text(value: Any, encoded: str | None, content_type: str | None) -> str:
    """A payload or a result in a form for people, cut where it is long."""
    import msgspec

    if encoded is not None:
        data = base64.b64decode(encoded)
        if not (content_type or "").startswith("text/"):
            return f"{len(data)} bytes of {content_type}"
        text = data.decode("utf-8", "replace")
    else:
        text = msgspec.json.encode(value).decode()
        if len(text) > output.width() - 20:
            text = msgspec.json.format(text, indent=2)
    return _cut(text)


def error_text(error: Failure) -> str:
    """Type, message and traceback."""
    head = f"{error.type}: {error.message}"
    return _cut(f"{head}\n{error.traceback.rstrip()}" if error.traceback else head, keep_end=True)


def details_text(error: Failure) -> str | None:
    """What a handler added for programs."""
    return None if error.details is None else value_text(error.details, None, None)


def progress_text(progress: Progress) -> str:
    """How far a job is."""
    return f"{progress.value:.0%} {progress.message or ''}".rstrip()


def _facts(job: JobInfo) -> Iterator[tuple[str, Cell]]:
    """Names and values, in the order in which one asks; those that say nothing are left out."""
    live = not job.ended
    progress = job.progress
    lost = f", {job.losses} of them lost with their worker" if job.losses else ""
    took = _took(job.started_at, job.finished_at)
    states = ", ".join(job.unique_states or ())
    facts: list[tuple[str, Cell | None]] = [
        ("id", job.id),
        ("type", job.type),
        ("queue", job.queue + (f", priority {job.priority}" if job.priority else "")),
        ("state", output.state(job.state)),
        ("waits", job.waiting_because),
        ("cancel", "asked to stop" if job.cancel_requested and live else None),
        ("reason", job.reason),
        ("progress", progress_text(progress) if progress and live else None),
        ("attempt", f"{job.attempt} of {job.max_attempts}{lost}"),
        ("worker", job.worker),
        ("made", output.moment(job.created_at)),
        ("due", output.moment(job.run_at) if job.state == "scheduled" else None),
        ("started", output.moment(job.started_at) if job.started_at else None),
        (
            "ended",
            output.moment(job.finished_at) + (f", took {took}" if took else "") if job.finished_at else None,
        ),
        ("expires", output.moment(job.expires_at) if job.expires_at else None),
        ("timeout", None if job.timeout is None else output.span(job.timeout)),
        ("kept", None if job.retention is None else f"{output.span(job.retention)} after its end"),
        ("retry", None if job.retry is None else value_text(job.retry, None, None)),
        ("tags", ", ".join(job.tags)),
        ("unique", f"{job.unique_key} (while {states})" if job.unique_key else None),
        *(("header", f"{name}: {value}") for name, value in (job.headers or {}).items()),
        ("payload", value_text(job.payload, job.payload_base64, job.content_type)),
        (
            "result",
            value_text(job.result, job.result_base64, job.result_type) if job.state == "done" else None,
        ),
        ("error", None if job.error is None else error_text(job.error)),
        ("details", None if job.error is None else details_text(job.error)),
    ]
    return ((name, value) for name, value in facts if value)


def _took(start: datetime | None, end: datetime | None) -> str:
    return "" if start is None or end is None else output.span((end - start).total_seconds())


def _cut(text: str, *, keep_end: bool = False) -> str:
    if len(text) <= MAX_VALUE:
        return text
    told = f"({len(text)} characters; --json has all of them)"
    return f"{told} ...{text[-MAX_VALUE:]}" if keep_end else f"{text[:MAX_VALUE]}... {told}"
