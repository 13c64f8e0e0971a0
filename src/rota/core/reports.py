"""Between workers' reports and what the engine is told: pure, one report at a time."""

from __future__ import annotations

import base64
import binascii

import msgspec

from rota.core.telling import check_about
from rota.model import policy, protocol
from rota.model.clock import SECOND, seconds
from rota.model.errors import BadInput, StaleLease
from rota.model.job import Applied, Claimed, Job, Outcome, State
from rota.model.protocol import MAX_LAYERS, MAX_QUEUES, MAX_REASON, MAX_SLOTS, MAX_TYPES, Answer, Ending, Work
from rota.model.spec import NAME_RULE, is_content_type, is_name

STALE = "The lease is no longer this job's; the report changed nothing."
_encode = msgspec.json.Encoder().encode


class Rules(msgspec.Struct, frozen=True):
    """Times in microseconds, sizes in bytes."""

    lease: int = 15 * SECOND
    beat: int = 5 * SECOND
    socket_grace: int = 3 * SECOND
    result_bytes: int = 1024 * 1024
    error_bytes: int = 64 * 1024
    log_lines: int = 10_000
    line_bytes: int = 8 * 1024
    chance: float | None = None
    """Where in its jitter a backoff lies, 0 to 1; None leaves that to chance."""


def outcome(ending: Ending, job: Job | None, rules: Rules, now: int) -> Outcome:
    """What becomes of a job by its worker's word. ``job``: as the store knows it; needed for failures."""
    delay = None if ending.delay is None else seconds(min(max(ending.delay, 0.0), 1e9))
    match ending.end:
        case "done":
            return _done(ending, job, rules, now)
        case "snoozed":
            return policy.snoozed(ending.id, ending.lease, delay or 0, now)
        case "released":
            return policy.released(ending.id, ending.lease, now)
        case "cancelled":
            return Outcome(
                id=ending.id,
                lease=ending.lease,
                state=State.CANCELLED,
                end="cancelled",
                reason="cancelled",
            )
        case _:
            error = _encode(_cut(ending.error or protocol.Error("Error", "The worker gave no error."), rules))
            running = running_of(job, ending.id, ending.lease)
            return policy.failed(
                running,
                error,
                now,
                end=ending.end,
                retry=ending.retry,
                delay=delay,
                chance=rules.chance,
            )


def answer(one: Applied) -> Answer:
    """What a worker is told of its report."""
    if one.state is not None:
        return Answer(one.id, one.lease, True, one.state)
    return Answer(one.id, one.lease, False, None, StaleLease.code, STALE)


def to_work(job: Claimed) -> Work:
    """A claimed job as a worker sees it."""
    json = job.content_type is None
    return Work(
        job.id,
        job.lease,
        job.type,
        job.queue,
        job.attempt,
        job.max_attempts,
        msgspec.Raw(job.payload) if json else msgspec.UNSET,
        None if json else base64.b64encode(job.payload).decode(),
        job.content_type,
        job.headers,
        None if job.timeout is None else job.timeout / SECOND,
    )


def running_of(job: Job | None, id: str, lease: int) -> policy.Running:
    """What the rules need. Where the job is unknown or has moved on, the lease guard will refuse the outcome
    anyway.
    """
    if job is None:
        return policy.Running(id, lease, 1, 1, 0, None, False)
    return policy.Running(
        id, lease, job.attempt, job.max_attempts, job.losses, job.retry, job.cancel_requested, job.type
    )


def check_id(worker: str, field: str = "worker") -> None:
    """BadInput unless this can be the id of a worker."""
    if not 1 <= len(worker) <= 200 or not worker.isprintable():
        raise BadInput(
            f"{field} must have 1 to 200 printable characters.", code="invalid_worker", field=field
        )


def check_labels(hello: protocol.Hello | protocol.Fetch) -> None:
    """BadInput unless what a worker calls itself, and says of its sandbox, can be shown."""
    for field, text in (("name", hello.name), ("version", hello.version)):
        if text:
            check_id(text, field)
    if isinstance(hello, protocol.Hello) and hello.about:
        check_about(hello.about)
    box = hello.sandbox
    if not box:
        return
    layers = box.layers
    texts = [box.missing or "", *(layer.why_not or "" for layer in layers)]
    if len(layers) > MAX_LAYERS or any(len(text) > MAX_REASON for text in texts):
        raise BadInput(
            f"sandbox may have {MAX_LAYERS} layers and reasons of {MAX_REASON} characters.",
            code="invalid_worker",
            field="sandbox",
        )
    for layer in layers:
        if not (1 <= len(layer.name) <= 100 and layer.name.isprintable()):
            raise BadInput(
                "The name of a layer must have 1 to 100 printable characters.",
                code="invalid_worker",
                field="sandbox",
            )


def check_worker(worker: str, queues: tuple[str, ...], types: tuple[str, ...] | None, slots: int) -> None:
    """BadInput unless a worker introduces itself properly."""
    check_id(worker)
    if not 1 <= len(queues) <= MAX_QUEUES:
        raise BadInput(f"queues must name 1 to {MAX_QUEUES} queues.", code="invalid_queues", field="queues")
    for queue in queues:
        if not is_name(queue):
            raise BadInput(
                f"A queue's name is {NAME_RULE}, not {queue[:100]!r}.", code="invalid_queues", field="queues"
            )
    if types is not None:
        if len(types) > MAX_TYPES:
            raise BadInput(f"types may name at most {MAX_TYPES} types.", code="invalid_types", field="types")
        for type in types:
            if not is_name(type):
                raise BadInput(
                    f"A type's name is {NAME_RULE}, not {type[:100]!r}.", code="invalid_types", field="types"
                )
    if not 1 <= slots <= MAX_SLOTS:
        raise BadInput(f"slots must be 1 to {MAX_SLOTS}.", code="invalid_slots", field="slots")


def progress(one: protocol.Progress) -> bytes:
    """Progress as it is kept; BadInput when it is out of bounds."""
    if not 0 <= one.value <= 1:
        raise BadInput("progress must be between 0 and 1.", code="invalid_progress", field="value")
    return _encode({"value": one.value, "message": one.message[:1000] if one.message else None})


def _done(ending: Ending, job: Job | None, rules: Rules, now: int) -> Outcome:
    result, content_type = None, None
    if ending.result_base64 is not None:
        content_type = ending.content_type or "application/octet-stream"
        if not is_content_type(content_type):
            # It becomes a header of the answer that carries the result.
            return _rejected(
                ending, job, f"content_type must be a media type, not {content_type[:100]!r}.", now
            )
        try:
            result = base64.b64decode(ending.result_base64, validate=True)
        except (binascii.Error, ValueError):
            return _rejected(ending, job, "The result is not base64.", now)
    elif not isinstance(ending.result, msgspec.UnsetType):
        result = bytes(ending.result)
        if result == b"null":
            result = None
    if result is not None and len(result) > rules.result_bytes:
        return _rejected(
            ending,
            job,
            f"The result has {len(result)} bytes; this server keeps at most {rules.result_bytes}.",
            now,
        )
    return Outcome(
        id=ending.id,
        lease=ending.lease,
        state=State.DONE,
        end="done",
        result=result,
        content_type=content_type,
    )


def _rejected(ending: Ending, job: Job | None, why: str, now: int) -> Outcome:
    error = _encode(protocol.Error("ResultRejected", why))
    return policy.failed(running_of(job, ending.id, ending.lease), error, now, retry=False)


def _cut(error: protocol.Error, rules: Rules) -> protocol.Error:
    most = rules.error_bytes
    message, details = error.message[: most // 4], error.details
    if isinstance(details, msgspec.Raw) and len(bytes(details)) > rules.result_bytes:
        # Half a JSON value is none.
        told = f"its details of {len(bytes(details))} bytes were not kept: at most {rules.result_bytes} are"
        message, details = f"{message} ({told})", msgspec.UNSET
    if isinstance(details, msgspec.Raw) and bytes(details) == b"null":
        details = msgspec.UNSET
    traceback = None if error.traceback is None else error.traceback[-most:]
    return protocol.Error(error.type[:200], message, traceback, details)
