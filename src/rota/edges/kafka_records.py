"""Events as records of Kafka: a job's id is the key, the value is JSON in the words of ``/v1``."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import msgspec

from rota.model.clock import to_text
from rota.model.event import LoggedEvent

VERSION = b"1"
"""Of the shape of these records; a field more is no new version."""
_encode = msgspec.json.Encoder().encode


class Record(NamedTuple):
    """What is written; ``at`` in milliseconds. ``cut``: something was too long and was left out."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    at: int
    cut: bool


def record(event: LoggedEvent, longest: int) -> Record:
    """``longest``: the bytes that a value may have. Of one that would be longer the result and the error are
    left out, and if need be all that is not needed to know what happened.
    """
    said = _essence(event)
    value = _encode(said | _try(event) | _values(event))
    cut = _was_cut(event)
    if len(value) > longest:
        cut = True
        value = _encode(said | _try(event) | _left_out(event))
        if len(value) > longest:
            value = _encode(said)
    headers = [
        ("event", event.event.encode()),
        ("type", event.type.encode()),
        ("queue", event.queue.encode()),
        ("content-type", b"application/json"),
        ("rota-version", VERSION),
    ]
    return Record(event.id.encode(), value, headers, event.at // 1000, cut)


def _essence(event: LoggedEvent) -> dict[str, Any]:
    return {
        "n": event.n,
        "event": event.event,
        "at": to_text(event.at),
        "id": event.id,
        "type": event.type,
        "queue": event.queue,
        "state": event.state,
    }


def _try(event: LoggedEvent) -> dict[str, Any]:
    told = {"attempt": event.attempt, "worker": event.worker, "end": event.end, "reason": event.reason}
    return {name: value for name, value in told.items() if value is not None}


def _values(event: LoggedEvent) -> dict[str, Any]:
    """Result and error, as they are in a job."""
    if _was_cut(event):
        return _left_out(event)
    said: dict[str, Any] = {}
    if event.state == "done" and event.event == "finished":
        said["result_type"] = event.result_type or "application/json"
        if event.result_type is None:
            said["result"] = msgspec.Raw(b"null" if event.result is None else event.result)
        else:
            said["result_base64"] = base64.b64encode(event.result or b"").decode()
    if event.error is not None:
        said["error"] = msgspec.Raw(event.error)
    return said


def _was_cut(event: LoggedEvent) -> bool:
    return (event.result is None and event.result_bytes is not None) or (
        event.error is None and event.error_bytes is not None
    )


def _left_out(event: LoggedEvent) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if event.result_bytes is not None:
        said["result_type"] = event.result_type or "application/json"
        said["result_left_out"] = {"bytes": event.result_bytes, "href": f"/v1/jobs/{event.id}/result"}
    if event.error_bytes is not None:
        said["error_left_out"] = {"bytes": event.error_bytes, "href": f"/v1/jobs/{event.id}"}
    return said
