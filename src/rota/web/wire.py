"""JSON shapes: requests in, jobs and problems out."""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import inspect

from rota.core.causes import Cause
from rota.core.explain import Explanation
from rota.core.programs import Programs
from rota.core.queues import QueueInfo
from rota.core.servers import Remote
from rota.core.worker import Worker
from rota.model.clock import SECOND, to_text
from rota.model.errors import BadInput, Conflict, RotaError
from rota.model.failure import FailureGroup, FailurePage
from rota.model.job import Attempt, Job, Kept, LogLine, NewJob, State
from rota.model.schema import Uuid, says
from rota.model.spec import NAME_RULE, JobSpec
from rota.web import strict

T = TypeVar("T")

encode = msgspec.json.Encoder().encode

LEVELS = 3
"""A payload in a list of jobs, or a result in a list of outcomes, is the value of a member of an item."""

_MANY = re.compile(rb'\s*\{\s*"jobs"\s*:')
_AT = re.compile(r" \(byte (\d+)\)$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_BOUND = re.compile(r"^Expected `int` [<>]=|^Integer value out of range")
_PATH = re.compile(r" - at `(?:key in )?\$(.*?)`$", re.DOTALL)
_RULES = {
    "type": ("invalid_type", f"type must be {NAME_RULE}"),
    "queue": ("invalid_queue", f"queue must be {NAME_RULE}"),
    "priority": ("invalid_priority", "priority must be an integer from -100 to 100"),
    "run_at": ("invalid_time", "run_at must be RFC 3339 with a zone, such as 2026-01-31T08:30:00Z"),
    "expires_at": ("invalid_time", "expires_at must be RFC 3339 with a zone, such as 2026-01-31T08:30:00Z"),
    "delay": ("invalid_duration", "delay must be a number of seconds"),
    "retention": ("invalid_duration", "retention must be a number of seconds"),
    "timeout": ("invalid_timeout", "timeout must be a number of seconds"),
    "max_attempts": ("invalid_max_attempts", "max_attempts must be an integer from 1 to 1000"),
    "retry": (
        "invalid_backoff",
        "retry must be an object whose kind is none, fixed, list or exponential, with numbers of seconds",
    ),
    "tags": ("invalid_tags", "tags must be a list of texts"),
    "headers": ("invalid_headers", "headers must be an object of texts"),
    "content_type": ("invalid_content_type", "content_type must be a media type such as image/png"),
    "payload_base64": ("invalid_base64", "payload_base64 must be a text in base64"),
    "unique_key": ("invalid_unique_key", "unique_key must be a text of 1 to 200 bytes"),
    "unique_states": ("invalid_unique_states", f"unique_states must be a list of {', '.join(State)}"),
    "idempotency_key": ("invalid_idempotency_key", "idempotency_key must be a text of 1 to 200 bytes"),
    "jobs": ("wrong_type", "jobs must be a list of objects"),
}
"""Code and rule by field, for values of a wrong type."""


class Many(msgspec.Struct, forbid_unknown_fields=True):
    """``{"jobs": [...]}``."""

    jobs: list[JobSpec]


_anything = msgspec.json.Decoder().decode
_one = msgspec.json.Decoder(JobSpec)
_many = msgspec.json.Decoder(Many)


def specs(body: bytes) -> tuple[list[JobSpec], bool]:
    """The jobs of an enqueue request, and whether it was written as a list. Their payloads have not been
    looked at: that is :func:`rota.web.strict.check`.
    """
    if _MANY.match(body):
        return shape(_many, body).jobs, True
    return [shape(_one, body)], False


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a request; BadInput says where the fault is and what is allowed."""
    request = shape(decoder, body)
    strict.check(body, LEVELS)
    return request


def shape(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a request without looking into its payloads."""
    if not body:
        raise BadInput("The body is empty; send a JSON object.", code="invalid_json", status=400)
    try:
        if not body.isascii():
            body.decode()
        strict.check_escapes(body)
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _explain(str(error), decoder.type) from None
    except UnicodeDecodeError as error:
        raise BadInput(
            f"The body is not UTF-8 (byte {error.start}).", code="invalid_utf8", status=400
        ) from None
    except msgspec.DecodeError as error:
        raise _not_json(str(error), body) from None
    except RecursionError:
        raise BadInput(
            f"The body is nested too deeply; values may have {strict.MAX_DEPTH} levels.",
            code="too_deep",
            status=400,
        ) from None


def problem(error: RotaError) -> bytes:
    """RFC 9457 ``application/problem+json``."""
    shape: dict[str, Any] = {
        "type": f"urn:rota:problem:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if error.field is not None:
        shape["field"] = error.field
    return encode(shape | error.extra)


class Stored(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One job of an enqueue. `created` false: it was there already; `why` says by which key."""

    id: Uuid
    type: str
    queue: str
    state: State | None
    created: bool
    why: Annotated[str, says(enum=("unique", "idempotency"))] | None = None


def kept(one: Kept, job: NewJob) -> Stored:
    """The short answer to an enqueue."""
    created = one.why is None and one.id == job.id
    return Stored(one.id, job.type, job.queue, one.state, created, one.why)


def job(job: Job, waits_for: str | None = None, *, whole: bool = True) -> dict[str, Any]:
    """A job as the API shows it; ``whole`` adds payload, result and attempts."""
    shape: dict[str, Any] = {
        "id": job.id,
        "type": job.type,
        "queue": job.queue,
        "state": job.state,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "created_at": to_text(job.created_at),
        "run_at": to_text(job.run_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "expires_at": _time(job.expires_at),
        "timeout": _seconds(job.timeout),
        "retention": _seconds(job.retention),
        "retry": job.retry,
        "tags": job.tags,
        "unique_key": job.unique_key,
        "unique_states": job.unique_states,
        "worker": job.worker,
        "lease": job.lease,
        "lease_until": _time(job.lease_until),
        "losses": job.losses,
        "cancel_requested": job.cancel_requested,
        "reason": job.reason,
        "fingerprint": job.fingerprint,
        "progress": _raw(job.progress),
        "waiting_because": waits_for,
    }
    if not whole:
        return shape
    shape["headers"] = job.headers or {}
    shape["content_type"] = job.content_type or "application/json"
    _value(shape, "payload", job.payload, job.content_type)
    shape["result_type"] = job.result_type or "application/json"
    _value(shape, "result", b"null" if job.result is None else job.result, job.result_type)
    shape["error"] = _raw(job.error)
    shape["attempts"] = [_attempt(one) for one in job.attempts]
    return shape


def no_result(job: Job) -> Conflict:
    """Why a job that has ended without a result has none."""
    return Conflict(
        f"The job ended as {job.state}; it has no result.",
        code=f"job_{job.state}",
        error=_raw(job.error),
        reason=job.reason,
    )


def log_page(lines: Sequence[tuple[int, LogLine]], after: int) -> dict[str, Any]:
    """Log lines of a job, and what to give as ``after`` for those behind them."""
    shapes = [{"n": n, "at": to_text(one.at), "level": one.level, "text": one.text} for n, one in lines]
    return {"lines": shapes, "next": lines[-1][0] if lines else after}


def queue(info: QueueInfo) -> dict[str, Any]:
    """A queue as the API shows it."""
    return {
        "name": info.name,
        "paused": info.paused,
        **{state.value: info.counts.get(state, 0) for state in State},
        "oldest_age": info.oldest_age,
        "workers": info.workers,
        "slots": info.slots,
        "types_without_worker": info.types_without_worker,
    }


def worker(one: Worker | Remote) -> dict[str, Any]:
    """A worker as the API shows it."""
    return {
        "worker": one.id,
        "name": one.name,
        "version": one.version,
        "transport": one.transport,
        "queues": one.queues,
        "types": one.types,
        "slots": one.slots,
        "running": one.in_hand,
        "connected_at": to_text(one.connected_at),
        "last_beat": to_text(one.last_beat),
        "draining": one.draining,
        "sandbox": one.sandbox,
        "server": one.server if isinstance(one, Remote) else None,
    }


def programs(one: Programs) -> dict[str, Any]:
    """Whether the server runs programs, as the API shows it."""
    return {"state": one.state, "reason": one.reason, "sandbox": one.sandbox}


def explanation(told: Explanation) -> dict[str, Any]:
    """The headline first, then all causes in the order of their importance."""
    job = told.job
    return {
        "id": job.id,
        "type": job.type,
        "queue": job.queue,
        "state": job.state,
        "now": to_text(told.now),
        "cause": told.causes[0].code,
        "sentence": told.causes[0].sentence,
        "at": _time(told.at),
        "certainty": told.certainty,
        "causes": [_cause(one) for one in told.causes],
    }


def failures(page: FailurePage) -> dict[str, Any]:
    """A page of groups of failed jobs."""
    return {"failures": [_group(one) for one in page.groups], "cursor": page.cursor}


def _cause(one: Cause) -> dict[str, Any]:
    return {
        "cause": one.code,
        "sentence": one.sentence,
        "at": _time(one.at),
        "numbers": _numbers(one.numbers),
    }


def _numbers(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _time(value) if name.endswith("_at") else value for name, value in numbers.items()}


def _group(one: FailureGroup) -> dict[str, Any]:
    return {
        "fingerprint": one.fingerprint,
        "type": one.type,
        "error": one.error,
        "frame": one.frame,
        "message": one.message,
        "job": one.job,
        "jobs": one.jobs,
        "first_seen": to_text(one.first_seen),
        "last_seen": to_text(one.last_seen),
        "hours": one.hours,
    }


def _attempt(one: Attempt) -> dict[str, Any]:
    return {
        "attempt": one.attempt,
        "lease": one.lease,
        "worker": one.worker,
        "started_at": to_text(one.started_at),
        "finished_at": _time(one.finished_at),
        "end": one.end,
        "error": _raw(one.error),
    }


def _value(shape: dict[str, Any], name: str, value: bytes, content_type: str | None) -> None:
    if content_type is None:
        shape[name] = msgspec.Raw(value)
    else:
        shape[name + "_base64"] = base64.b64encode(value).decode()


def _raw(value: bytes | None) -> msgspec.Raw | None:
    return None if value is None else msgspec.Raw(value)


def _time(at: int | None) -> str | None:
    return None if at is None else to_text(at)


def _seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / SECOND


def _not_json(message: str, body: bytes) -> BadInput:
    """From msgspec's words to ours: the line and the column, and what is often the reason."""
    plain = strict.with_numbers(body)
    if plain is not body:
        try:
            _anything(plain)
        except msgspec.ValidationError:
            return strict.fault(plain)
        except (msgspec.DecodeError, RecursionError):
            pass
    if body.startswith(b"\xef\xbb\xbf"):
        told = "it begins with a byte order mark"
    elif found := _AT.search(message):
        before = body[: int(found[1]) - ("trailing characters" in message)]
        column = len(before) - before.rfind(b"\n")
        told = f"{message[: found.start()]} (line {before.count(10) + 1}, column {column})"
    else:
        told = message
    return BadInput(f"The body is not JSON: {told}.", code="invalid_json", status=400)


def _explain(message: str, type: Any) -> BadInput:
    """From msgspec's words to ours: which field, what is wrong, what was perhaps meant."""
    found = _PATH.search(message)
    path = found[1].removeprefix(".") if found else ""
    told = message[: found.start()] if found else message
    unknown = _UNKNOWN.fullmatch(told)
    if unknown:
        name = unknown[1][:100]
        field = f"{path}.{name}".removeprefix(".")
        known = _fields(type, path)
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]}?" if near else f" Known are: {', '.join(known)}."
        return BadInput(f"Unknown field {name!r}.{hint}", code="unknown_field", field=field)
    if "missing required field" in told:
        missing = re.search(r"`(.*)`", told)
        field = f"{path}.{missing[1]}".removeprefix(".") if missing else path
        return BadInput(f"{field} is missing.", code="missing_field", field=field)
    given = f"{told[:1].lower()}{told[1:]}"
    if _BOUND.search(told):
        return BadInput(f"{path} is out of range: {given}.", code="out_of_range", field=path)
    # The rules are those of a job; other requests have fields of the same names and another meaning.
    rules = _RULES if type in (JobSpec, Many) else {}
    names = [name for name in re.split(r"[.\[\]]+", path) if name in rules and name != "jobs"]
    if not path:
        return BadInput(f"The body must be an object: {given}.", code="wrong_type")
    code, rule = rules.get(names[0] if names else path, ("wrong_type", path))
    return BadInput(f"{rule}: {given}.", code=code, field=path)


def _fields(type: Any, path: str) -> list[str]:
    """Names that the object at this place of a request may have."""
    inside: list[Any] = [inspect.type_info(type)]
    for step in [*re.findall(r"\[\d*|\w+", path), None]:
        places = [part for one in inside for part in getattr(one, "types", (one,))]
        inside = [
            one.item_type
            for one in places
            if str(step).startswith("[") and isinstance(one, inspect.ListType | inspect.VarTupleType)
        ]
        structs = [one for one in places if isinstance(one, inspect.StructType)]
        inside += [field.type for one in structs for field in one.fields if field.encode_name == step]
    return list(dict.fromkeys(field.encode_name for one in structs for field in one.fields))
