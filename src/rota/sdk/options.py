"""How a job should be kept and run: options in Python's own types, and the request they become."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from rota.model.job import Delays, Exponential, Fixed, NoRetry, State
from rota.model.spec import JobSpec
from rota.sdk.values import Duration, as_seconds, as_time, encode, why_not_json

RetryPolicy = Exponential | Fixed | Delays | NoRetry
OCTETS = "application/octet-stream"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a job but its type and payload. None leaves the choice to the task, then to the
    server.
    """

    queue: str | None = None
    priority: int | None = None
    delay: Duration | None = None
    run_at: datetime | str | None = None
    expires_at: datetime | str | None = None
    timeout: Duration | None = None
    retries: int | None = None
    """Attempts after the first one."""
    retry: RetryPolicy | None = None
    tags: tuple[str, ...] | None = None
    headers: Mapping[str, str] | None = None
    unique_key: str | None = None
    unique_states: tuple[State, ...] | None = None
    idempotency_key: str | None = None
    retention: Duration | None = None
    content_type: str | None = None
    """Media type of a payload that is bytes."""

    def over(self, base: Options) -> Options:
        """These options, with what they leave open taken from ``base``."""
        mine = {name: value for name, value in _items(self) if value is not None}
        if "run_at" in mine or "delay" in mine:
            base = msgspec.structs.replace(base, run_at=None, delay=None)
        return msgspec.structs.replace(base, **mine) if mine else base

    def spec(self, type: str, payload: bytes | msgspec.Raw) -> JobSpec:
        """A job of this type; ValueError or TypeError names an option that cannot be meant."""
        content_type, text = self.content_type, None
        # To type checkers, Raw is a kind of bytes; it is none.
        raw = payload if isinstance(payload, msgspec.Raw) else None
        if raw is None:
            text = base64.b64encode(payload).decode()
            content_type = content_type or OCTETS
        elif content_type not in (None, "application/json"):
            raise TypeError(f"content_type {content_type!r} needs a payload of bytes.")
        return JobSpec(
            type=type,
            payload=msgspec.UNSET if raw is None else raw,
            payload_base64=text,
            content_type=content_type,
            headers=dict(self.headers) if self.headers else None,
            queue=self.queue,
            priority=self.priority or 0,
            run_at=None if self.run_at is None else as_time("run_at", self.run_at),
            delay=None if self.delay is None else as_seconds("delay", self.delay),
            expires_at=None if self.expires_at is None else as_time("expires_at", self.expires_at),
            timeout=None if self.timeout is None else as_seconds("timeout", self.timeout),
            max_attempts=None if self.retries is None else _attempts(self.retries),
            retry=self.retry,
            tags=self.tags or (),
            unique_key=self.unique_key,
            unique_states=self.unique_states,
            idempotency_key=self.idempotency_key,
            retention=None if self.retention is None else as_seconds("retention", self.retention),
        )


def job(
    type: str,
    payload: Any = None,
    *,
    queue: str | None = None,
    priority: int | None = None,
    delay: Duration | None = None,
    run_at: datetime | str | None = None,
    expires_at: datetime | str | None = None,
    timeout: Duration | None = None,
    retries: int | None = None,
    retry: RetryPolicy | None = None,
    tags: Iterable[str] | None = None,
    headers: Mapping[str, str] | None = None,
    unique_key: str | None = None,
    unique_states: Iterable[State | str] | None = None,
    idempotency_key: str | None = None,
    retention: Duration | None = None,
    content_type: str | None = None,
) -> JobSpec:
    """A job by the name of its type, for handlers that this program does not declare itself.

    ``payload`` is any JSON-able value, or bytes (with ``content_type``, by default application/octet-stream).
    Durations are seconds or timedeltas. TypeError names the part of the payload that cannot be written as
    JSON.
    """
    options = Options(
        queue=queue,
        priority=priority,
        delay=delay,
        run_at=run_at,
        expires_at=expires_at,
        timeout=timeout,
        retries=retries,
        retry=retry,
        tags=as_tags(tags),
        headers=headers,
        unique_key=unique_key,
        unique_states=as_states(unique_states),
        idempotency_key=idempotency_key,
        retention=retention,
        content_type=content_type,
    )
    if isinstance(payload, bytes | bytearray | memoryview):
        return options.spec(type, bytes(payload))
    try:
        return options.spec(type, msgspec.Raw(encode(payload)))
    except (TypeError, ValueError, OverflowError, RecursionError):
        fault = why_not_json(payload, "payload")
        if fault.endswith(": None"):
            raise
        raise TypeError(fault) from None


def as_tags(tags: Iterable[str] | None) -> tuple[str, ...] | None:
    """A tuple of tags; TypeError for a bare string, which would become a tag per letter."""
    if isinstance(tags, str):
        raise TypeError(f"tags must be a list of strings, not the string {tags!r}.")
    return None if tags is None else tuple(tags)


def as_states(states: Iterable[State | str] | None) -> tuple[State, ...] | None:
    """States from their names; ValueError names an unknown one."""
    return None if states is None else tuple(State(state) for state in states)


def _attempts(retries: object) -> int:
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ValueError(f"retries must be an integer from 0, not {retries!r}.")
    return retries + 1


def _items(options: Options) -> Iterable[tuple[str, Any]]:
    return zip(options.__struct_fields__, msgspec.structs.astuple(options), strict=True)
