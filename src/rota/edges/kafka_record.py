"""What a record of Kafka is as a job. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_from_bytes

import msgspec

from rota.model.errors import BadInput
from rota.model.job import NewJob
from rota.model.spec import JobSpec, Limits, is_content_type, new_job

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
# What a token may hold besides letters and digits; the sign of percent is left for what may not.
_TOKEN = "!#$&'*+^`|"
BASE64 = ".base64"
"""Behind the name of a header whose value is no text."""
_decode = msgspec.json.Decoder().decode

Strict = Callable[[bytes], None]
"""Raises BadInput for JSON that programs do not read alike."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A topic and what becomes of its records; one of ``type`` and ``type_from`` is there. ``payload``: auto,
    json or bytes. ``timeout`` in seconds, ``max_payload`` in bytes.
    """

    topic: str
    group: str
    type: str | None
    type_from: str | None
    queue: str
    priority: int
    priority_header: str
    delay_header: str
    timeout: float | None
    max_attempts: int | None
    max_payload: int | None
    payload: str
    dead_letter: str
    start: str


class Record(msgspec.Struct, frozen=True, gc=False):
    """As it came. ``timestamp``: milliseconds, None where it has none."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int | None


def job(record: Record, source: Source, now: int, limits: Limits, strict: Strict) -> NewJob:
    """The job that a record is. Raises BadInput with the code of what is wrong with it."""
    said = {name: value for name, value in record.headers if value is not None}
    most = limits.payload_bytes if source.max_payload is None else source.max_payload
    size = len(record.value or b"")
    if size > most:
        raise BadInput(
            f"The value has {size} bytes; at most {most} become a payload.",
            code="payload_too_large",
            status=413,
            field="payload",
        )
    payload, content_type, parsed = _payload(record, source, said, strict)
    spec = JobSpec(
        type=_type(record, source, said, parsed),
        queue=source.queue,
        priority=_priority(source, said),
        headers=_headers(record),
        timeout=source.timeout,
        max_attempts=source.max_attempts,
        **_when(source, said),
    )
    made = new_job(spec, now, limits)
    return msgspec.structs.replace(made, payload=payload, content_type=content_type)


def _payload(
    record: Record, source: Source, said: dict[str, bytes], strict: Strict
) -> tuple[bytes, str | None, Any]:
    """The payload, its type (None: JSON), and what it says, where it is JSON."""
    value = record.value
    if value is None:
        return b"null", None, None
    told = _text("content-type", said).strip() if "content-type" in said else None
    named = None if told is None else told.partition(";")[0].strip().lower()
    if told is not None and not is_content_type(told):
        raise BadInput(
            f"The header content-type must be a media type such as image/png, not {told[:100]!r}.",
            code="invalid_content_type",
            field="content_type",
        )
    must = named == "application/json" or source.payload == "json"
    if source.payload != "bytes" and (must or told is None):
        try:
            parsed = _decode(value)
            strict(value)
            return value, None, parsed
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if must:
                raise BadInput(
                    f"The value is not JSON: {error}.", code="invalid_json", field="payload"
                ) from None
        except BadInput:
            if must:
                raise
    return value, told or "application/octet-stream", None


def _type(record: Record, source: Source, said: dict[str, bytes], parsed: Any) -> str:
    if source.type is not None:
        return source.type
    kind, _, name = (source.type_from or "").partition(":")
    found: object = None
    if kind == "key":
        where = "The key"
        found = None if record.key is None else record.key.decode("utf-8", "replace")
    elif kind == "header":
        where = f"The header {name}"
        found = _text(name, said) if name in said else None
    else:
        where = f"The field {name} of the value"
        found = parsed.get(name) if isinstance(parsed, dict) else None
    if not isinstance(found, str):
        told = "is not there" if found is None else "is no text"
        raise BadInput(f"{where}, which names the type, {told}.", code="invalid_type", field="type")
    return found


def _priority(source: Source, said: dict[str, bytes]) -> int:
    name = source.priority_header
    if name not in said:
        return source.priority
    text = _text(name, said).strip()
    if _NUMBER.fullmatch(text) is None:
        raise BadInput(
            f"The header {name} must be an integer from -100 to 100, not {text[:100]!r}.",
            code="invalid_priority",
            field="priority",
        )
    return int(text)


def _when(source: Source, said: dict[str, bytes]) -> dict[str, Any]:
    """A number of seconds, or a time."""
    name = source.delay_header
    if name not in said:
        return {}
    text = _text(name, said).strip()
    if _SECONDS.fullmatch(text):
        return {"delay": float(text)}
    return {"run_at": text}


def _headers(record: Record) -> dict[str, str]:
    """Those of the record, of the same name the last one; and where it came from."""
    headers: dict[str, str] = {}
    for name, value in record.headers:
        _put(headers, quote_from_bytes(name.encode(), _TOKEN), b"" if value is None else value)
    if record.key is not None:
        _put(headers, "kafka-key", record.key)
    headers["kafka-topic"] = record.topic
    headers["kafka-partition"] = str(record.partition)
    headers["kafka-offset"] = str(record.offset)
    if record.timestamp is not None and 0 <= record.timestamp < 253_402_300_800_000:
        moment = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        headers["kafka-timestamp"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if record.value is None:
        headers["kafka-tombstone"] = "true"
    return headers


def _put(headers: dict[str, str], name: str, value: bytes) -> None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if _CONTROL.search(text):
        headers[name + BASE64] = base64.b64encode(value).decode()
    else:
        headers[name] = text


def _text(name: str, said: dict[str, bytes]) -> str:
    return said[name].decode("utf-8", "replace")
