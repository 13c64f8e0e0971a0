"""A job as clients write it (JSON), checked and turned into a :class:`~rota.model.job.NewJob`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated

import msgspec
import uuid_utils

from rota.model.clock import DAY, SECOND, seconds, to_micros
from rota.model.errors import BadInput
from rota.model.fingerprint import fingerprint
from rota.model.job import (
    Delays,
    Exponential,
    Fixed,
    Key,
    NewJob,
    NoRetry,
    Request,
    Retry,
    State,
)
from rota.model.policy import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_QUEUE,
    DEFAULT_RETENTION,
    MAX_DELAY,
)
from rota.model.schema import (
    NAME_PATTERN,
    Base64,
    Duration,
    MediaType,
    Name,
    Time,
    says,
)
from rota.model.schema import Key as KeyText

NAME = re.compile(NAME_PATTERN)
NAME_RULE = "1 to 200 of A-Z a-z 0-9 . _ : / -, starting with a letter, digit or _, without '..'"
MAX_JOBS = 10_000
MAX_TAGS = 32
MAX_HEADERS = 100
FRONT_TAG = "front:"
"""How the tag begins that says through which of the older interfaces a job came; nobody else may set one."""
FRONT_TYPE = "front-type"
"""The header that keeps, as JSON, the type that a job of an older interface has, where that is no name."""
HEADER_BYTES = 32 * 1024
LOW, HIGH = -100, 100
"""Priorities."""
MAX_ATTEMPTS = 1000
MAX_TIMEOUT = DAY * 30
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?: *;[ -~]*)?")
_LATEST = 253_402_300_800_000_000  # the year 10000 cannot be written as a datetime
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One job in a request. Durations are seconds, times RFC 3339 with a zone."""

    type: Name
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    payload_base64: Base64 | None = None
    content_type: MediaType | None = None
    headers: Annotated[dict[str, str], says(maxProperties=MAX_HEADERS)] | None = None
    queue: Name | None = None
    priority: Annotated[int, says(minimum=LOW, maximum=HIGH)] = 0
    run_at: Time | None = None
    delay: Duration | None = None
    expires_at: Time | None = None
    timeout: Annotated[float, says(exclusiveMinimum=0, maximum=MAX_TIMEOUT // SECOND)] | None = None
    max_attempts: Annotated[int, says(minimum=1, maximum=MAX_ATTEMPTS)] | None = None
    retry: Retry | None = None
    tags: tuple[Annotated[str, says(minLength=1, maxLength=64)], ...] = ()
    unique_key: KeyText | None = None
    unique_states: tuple[State, ...] | None = None
    idempotency_key: KeyText | None = None
    retention: Duration | None = None


class Limits(msgspec.Struct, frozen=True):
    """What one server accepts; bytes and microseconds."""

    payload_bytes: int = 1024 * 1024
    upload_bytes: int = 64 * 1024 * 1024
    artifact_bytes: int = 64 * 1024 * 1024
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    retention: int = DEFAULT_RETENTION


UNIQUE_STATES = (State.SCHEDULED, State.PENDING, State.RUNNING)


@lru_cache(4096)
def is_name(text: str) -> bool:
    """Whether this can be the name of a type or a queue. The same few are asked for again and again."""
    return NAME.fullmatch(text) is not None


def is_content_type(text: str) -> bool:
    """Whether this can stand in a Content-Type header."""
    return len(text) <= 200 and _CONTENT_TYPE.fullmatch(text) is not None


def new_id() -> str:
    """A UUIDv7; later ids of one process sort after earlier ones."""
    return str(uuid_utils.uuid7())


def request(
    specs: Sequence[JobSpec],
    now: int,
    limits: Limits,
    *,
    many: bool = True,
    key: str | None = None,
    body: bytes = b"",
    front: str | None = None,
) -> Request:
    """Check all specs; raise BadInput for the first fault, its field named as in the request
    (``jobs[3].priority``).

    ``key`` is an idempotency key for the whole request, ``body`` the bytes that it stands for. ``front``: the
    older interface that the jobs came through.
    """
    mark = () if front is None else (FRONT_TAG + front,)
    if not 1 <= len(specs) <= MAX_JOBS:
        raise BadInput(
            f"jobs must hold 1 to {MAX_JOBS} jobs, not {len(specs)}.", code="invalid_batch", field="jobs"
        )
    jobs: list[NewJob] = []
    keys: list[Key] = []
    for index, spec in enumerate(specs):
        try:
            jobs.append(new_job(spec, now, limits, mark))
            if spec.idempotency_key is not None:
                if key is not None:
                    raise BadInput(
                        "Give an Idempotency-Key header or idempotency_key in the job, not both.",
                        code="conflicting_fields",
                        field="idempotency_key",
                    )
                check_key("idempotency_key", spec.idempotency_key)
                keys.append(Key(spec.idempotency_key, fingerprint(spec, jobs[-1]), index, index + 1))
        except BadInput as error:
            if many and error.field is not None:
                error.field = f"jobs[{index}].{error.field}"
            raise
    if key is not None:
        check_key("Idempotency-Key", key)
        keys.append(Key(key, hashlib.blake2b(body, digest_size=16).digest(), 0, len(jobs)))
    return Request(tuple(jobs), tuple(keys))


def new_job(spec: JobSpec, now: int, limits: Limits, mark: tuple[str, ...] = ()) -> NewJob:
    """Check one spec and fill in the defaults. ``mark``: further tags."""
    if not is_name(spec.type):
        raise _bad("type", f"type must be {NAME_RULE}", spec.type)
    queue = DEFAULT_QUEUE if spec.queue is None else spec.queue
    if not is_name(queue):
        raise _bad("queue", f"queue must be {NAME_RULE}", queue)
    if not LOW <= spec.priority <= HIGH:
        raise _bad("priority", "priority must be an integer from -100 to 100", spec.priority)
    payload, content_type = _payload(spec)
    if len(payload) > limits.payload_bytes:
        raise BadInput(
            f"payload has {len(payload)} bytes; this server takes at most {limits.payload_bytes}.",
            code="payload_too_large",
            status=413,
            field="payload",
        )
    run_at = now
    if spec.run_at is not None:
        if spec.delay is not None:
            raise BadInput("Give run_at or delay, not both.", code="conflicting_fields", field="delay")
        run_at = parse_time("run_at", spec.run_at)
    elif spec.delay is not None:
        run_at = now + _duration("delay", spec.delay, MAX_DELAY)
    state = State.SCHEDULED if run_at > now else State.PENDING
    expires_at = None
    if spec.expires_at is not None:
        expires_at = parse_time("expires_at", spec.expires_at)
        if expires_at <= max(run_at, now):
            raise BadInput(
                "expires_at must be later than the time the job may start.",
                code="expires_before_start",
                field="expires_at",
            )
    max_attempts = limits.max_attempts if spec.max_attempts is None else spec.max_attempts
    if not 1 <= max_attempts <= MAX_ATTEMPTS:
        raise _bad("max_attempts", "max_attempts must be an integer from 1 to 1000", max_attempts)
    timeout = None if spec.timeout is None else _duration("timeout", spec.timeout, MAX_TIMEOUT, low=1000)
    unique_states: tuple[State, ...] = ()
    if spec.unique_key is not None:
        check_key("unique_key", spec.unique_key)
        unique_states = UNIQUE_STATES if spec.unique_states is None else spec.unique_states
        if not {State.SCHEDULED, State.PENDING} <= set(unique_states):
            raise _bad("unique_states", "unique_states must hold at least scheduled and pending", None)
    elif spec.unique_states is not None:
        raise _bad("unique_states", "unique_states needs a unique_key", None)
    return NewJob(
        id=new_id(),
        type=spec.type,
        queue=queue,
        state=state,
        payload=payload,
        content_type=content_type,
        headers=_headers(spec.headers) if spec.headers else None,
        priority=spec.priority,
        created_at=now,
        run_at=run_at,
        expires_at=expires_at,
        timeout=timeout,
        max_attempts=max_attempts,
        retry=None if spec.retry is None else _retry(spec.retry),
        tags=_tags(spec.tags) + mark if spec.tags else mark,
        unique_key=spec.unique_key,
        unique_states=unique_states,
        retention=limits.retention
        if spec.retention is None
        else _duration("retention", spec.retention, MAX_DELAY),
    )


def parse_time(field: str, text: str) -> int:
    """RFC 3339 with a zone, in microseconds; BadInput names ``field``."""
    try:
        moment = msgspec.convert(text, datetime)
        at = to_micros(moment) if moment.tzinfo is not None else -1
        if not 0 <= at < _LATEST:
            raise ValueError
        return at
    except (ValueError, OverflowError):
        raise BadInput(
            f"{field} must be RFC 3339 with a zone, from 1970 to 9999, "
            f"such as 2026-01-31T08:30:00Z, not {text[:100]!r}.",
            code="invalid_time",
            field=field,
        ) from None


def check_key(field: str, key: str) -> None:
    """Keys are 1 to 200 bytes without control characters."""
    if not 1 <= len(key.encode("utf-8", "replace")) <= 200 or _CONTROL.search(key):
        code = "invalid_unique_key" if field == "unique_key" else "invalid_idempotency_key"
        raise BadInput(f"{field} must have 1 to 200 bytes and no control characters.", code=code, field=field)


def _bad(field: str, rule: str, given: object) -> BadInput:
    told = "." if given is None else f", not {str(given)[:100]!r}."
    return BadInput(rule + told, code=f"invalid_{field}", field=field)


def _duration(field: str, value: float, longest: int, low: int = 0) -> int:
    micros = seconds(value) if abs(value) < 1e12 else -1
    if not low <= micros <= longest:
        at_least = "more than 0" if low else "from 0"
        code = "invalid_timeout" if field == "timeout" else "invalid_duration"
        raise BadInput(
            f"{field} must be {at_least} to {longest // 1_000_000} seconds, not {value}.",
            code=code,
            field=field,
        )
    return micros


def _payload(spec: JobSpec) -> tuple[bytes, str | None]:
    if spec.payload_base64 is None:
        if spec.content_type not in (None, "application/json"):
            raise BadInput(
                "content_type goes with payload_base64; a payload is always application/json.",
                code="conflicting_fields",
                field="content_type",
            )
        return (b"null" if isinstance(spec.payload, msgspec.UnsetType) else bytes(spec.payload)), None
    if not isinstance(spec.payload, msgspec.UnsetType):
        raise BadInput(
            "Give payload or payload_base64, not both.", code="conflicting_fields", field="payload_base64"
        )
    content_type = spec.content_type or "application/octet-stream"
    if not is_content_type(content_type):
        raise _bad("content_type", "content_type must be a media type such as image/png", content_type)
    try:
        return base64.b64decode(spec.payload_base64, validate=True), content_type
    except (binascii.Error, ValueError):
        raise BadInput(
            "payload_base64 is not base64.", code="invalid_base64", field="payload_base64"
        ) from None


def _headers(headers: dict[str, str]) -> dict[str, str]:
    size = sum(len(name) + len(value) for name, value in headers.items())
    if len(headers) > MAX_HEADERS or size > HEADER_BYTES:
        raise _bad(
            "headers", f"headers may hold at most {MAX_HEADERS} names and {HEADER_BYTES} characters", None
        )
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None or _CONTROL.search(value):
            raise _bad("headers", "header names are tokens, values have no control characters", name)
    return headers


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(tags))
    if len(unique) > MAX_TAGS:
        raise BadInput(f"At most {MAX_TAGS} tags, not {len(unique)}.", code="too_many_tags", field="tags")
    for tag in unique:
        if not 1 <= len(tag) <= 64 or _CONTROL.search(tag):
            raise BadInput(
                f"A tag has 1 to 64 characters and no control characters, not {tag[:100]!r}.",
                code="invalid_tags",
                field="tags",
            )
        if tag.startswith(FRONT_TAG):
            raise BadInput(
                f"Tags that begin with {FRONT_TAG!r} are Rota's own, not {tag[:100]!r}.",
                code="invalid_tags",
                field="tags",
            )
    return unique


def _retry(retry: Retry) -> Retry:
    match retry:
        case Exponential(base, factor, longest, jitter):
            good = 0 < base <= 1e8 and 1 <= factor <= 100 and 0 < longest <= 1e8 and 0 <= jitter <= 1
        case Fixed(delay):
            good = 0 <= delay <= 1e8
        case Delays(delays):
            good = 1 <= len(delays) <= 1000 and all(0 <= delay <= 1e8 for delay in delays)
        case NoRetry():
            good = True
    if not good:
        raise BadInput(
            "retry must be one of: none; fixed with delay from 0; list with 1 to 1000 delays from 0; "
            "exponential with base above 0, factor 1 to 100, max above 0, jitter 0 to 1 "
            "(seconds, at most 1e8).",
            code="invalid_backoff",
            field="retry",
        )
    return retry
