"""What JobQueueGo's clients and workers send and are sent. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from rota.model.errors import BadInput
from rota.model.job import ENDED, Fixed, Job, State
from rota.model.protocol import Ending, Error, Lease, Work
from rota.model.spec import MAX_ATTEMPTS, JobSpec, is_name
from rota.web import gojson

NAME = "jqgo"
OTHER = "jqgo"
"""The type of a job whose own is none that a job can have here, such as ``""``."""
TRIES = 3
"""Of a job, those included that its client says it had."""
SURE = 8_000
"""Characters that the message of an error has room for in any case; a longer text goes into its details."""
RESULTS = ("done", "failed", "timeout")
"""How a try ends that has a result; one whose worker was lost has none."""

_encode = msgspec.json.Encoder().encode


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job. ``duration`` in seconds; ``attempts``: tries that have ended."""

    id: str
    type: str
    duration: int = 0
    input: str = ""
    attempts: int


class Result(msgspec.Struct, frozen=True):
    """What came of a job's last try. ``duration`` in milliseconds."""

    job: Shown
    result: str
    duration: int
    success: bool


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job as it is kept. ``type`` as the client wrote it."""

    type: str | None = None
    duration: int = 0
    input: str = ""
    attempts: int = 0


class Report(NamedTuple):
    """What a worker says of a job. ``duration`` in milliseconds."""

    id: str
    text: str
    success: bool
    duration: int


class Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of a job as it is kept: the text, and the milliseconds that the worker counted."""

    result: str
    duration: int


class Failed(msgspec.Struct, frozen=True):
    """The details of a failure as they are kept."""

    result: str


class _Whole(msgspec.Struct, frozen=True):
    details: Failed


def to_job(body: bytes, queue: str) -> JobSpec:
    """BadInput for what is no job."""
    try:
        given = Payload(**{"type": "", **_fields(_utf8(body), _JOB)})
    except (ValueError, msgspec.MsgspecError):
        raise BadInput("Invalid JSON", status=400) from None
    type = given.type or ""
    if "\0" in type + given.input:
        # Half the world's programs cannot hold it.
        raise BadInput("Invalid JSON", status=400)
    return JobSpec(
        type=type if len(type) <= 200 and is_name(type) else OTHER,
        queue=queue,
        payload=msgspec.Raw(_encode(given)),
        max_attempts=min(max(1, TRIES - given.attempts), MAX_ATTEMPTS),
        retry=Fixed(0, back=True),
    )


def from_job(job: Job) -> Shown:
    """A job as it is now."""
    in_base64 = None if job.content_type is None else base64.b64encode(job.payload).decode()
    tries = job.attempt - (job.state is State.RUNNING)
    return _shown(job.id, job.type, job.payload, in_base64, job.content_type, tries)


def to_worker(work: Work) -> str:
    """A job for a worker, whoever made it; a payload that is no job of this kind is its input."""
    payload = b"" if isinstance(work.payload, msgspec.UnsetType) else bytes(work.payload)
    shown = _shown(work.id, work.type, payload, work.payload_base64, work.content_type, work.attempt - 1)
    return _encode(shown).decode() + "\n"


def to_result(job: Job) -> Result:
    """Of a job that has ended, or of which a try has."""
    last = next((one for one in reversed(job.attempts) if job.state in ENDED or one.end in RESULTS), None)
    if last is None:
        return Result(from_job(job), job.reason or "", 0, False)
    took = max(0, (last.finished_at or last.started_at) - last.started_at) // 1000
    if last.end == "done":
        said = _done(job)
        if said is not None:
            return Result(from_job(job), said.result, said.duration, True)
        return Result(from_job(job), _text(job), took, True)
    return Result(from_job(job), _why(last.error) or job.reason or "", took, False)


def waits(job: Job) -> bool:
    """Whether it is in the queue."""
    return job.state in (State.PENDING, State.SCHEDULED)


def told(job: Job) -> bool:
    """Whether it has a result to show."""
    return job.state in ENDED or job.attempt > (job.state is State.RUNNING)


def report(message: bytes) -> Report | None:
    """What a worker says; None for a message that is nothing of that kind."""
    try:
        said = _fields(_utf8(message), _ENVELOPE).get("res", {})
    except (ValueError, msgspec.MsgspecError):
        return None
    # A program may print anything.
    text = said.get("result", "").replace("\0", "\ufffd")
    id = said.get("job", {}).get("id", "")
    return Report(id, text, said.get("success", False), said.get("duration", 0))


def ending(report: Report, lease: Lease) -> Ending:
    """In Rota's words."""
    if report.success:
        kept = _encode(Done(report.text, report.duration))
        return Ending(lease.id, lease.lease, "done", result=msgspec.Raw(kept))
    error = Error("JobFailed", report.text)
    if len(report.text) > SURE:
        error = Error("JobFailed", report.text, details=msgspec.Raw(_encode(Failed(report.text))))
    return Ending(lease.id, lease.lease, "failed", error=error)


def _shown(
    id: str, type: str, payload: bytes, in_base64: str | None, content_type: str | None, tries: int
) -> Shown:
    given = None
    if in_base64 is None:
        try:
            given = msgspec.json.decode(payload, type=Payload)
        except msgspec.MsgspecError:
            given = Payload(input=_plain(payload))
    elif (content_type or "").startswith("text/"):
        given = Payload(input=base64.b64decode(in_base64).decode("utf-8", "replace"))
    else:
        given = Payload(input=in_base64)
    return Shown(
        id=id,
        type=type if given.type is None else given.type,
        duration=given.duration,
        input=given.input,
        attempts=given.attempts + tries,
    )


def _done(job: Job) -> Done | None:
    """What a worker of this interface said; None where it was another one."""
    if job.result is None or job.result_type is not None:
        return None
    try:
        return msgspec.json.decode(job.result, type=Done)
    except msgspec.MsgspecError:
        return None


def _text(job: Job) -> str:
    """A text as what it says, other JSON as JSON, bytes in base64 unless they are a text."""
    if job.result is None:
        return ""
    if job.result_type is None:
        return _plain(job.result)
    if job.result_type.startswith("text/"):
        return job.result.decode("utf-8", "replace")
    return base64.b64encode(job.result).decode()


def _why(error: bytes | None) -> str:
    """What a worker said of a failure: all of it where it is in the details."""
    if error is None:
        return ""
    try:
        return msgspec.json.decode(error, type=_Whole).details.result
    except msgspec.MsgspecError:
        return str(msgspec.json.decode(error, type=dict[str, Any]).get("message", ""))


def _plain(json: bytes) -> str:
    """JSON as a text: null is none, a text itself."""
    if json == b"null":
        return ""
    return gojson.text(json) if json.startswith(b'"') else json.decode()


def _utf8(body: bytes) -> bytes:
    """With U+FFFD for what is none."""
    return body if body.isascii() else body.decode("utf-8", "replace").encode()


Readers = Mapping[str, Callable[[bytes], Any]]


def _fields(body: bytes, readers: Readers) -> dict[str, Any]:
    """The members of an object that are asked for, names in lower case; null is as good as none."""
    members = gojson.members(body)
    return {name: readers[name](value) for name, value in members if name in readers and value != b"null"}


def _whole(value: bytes) -> int:
    number = msgspec.json.decode(value, type=int)
    if not -(2**63) <= number < 2**63:
        raise ValueError("It is too large.")
    return number


def _any_text(value: bytes) -> None:
    """For what is not looked at."""
    if not value.startswith(b'"'):
        raise ValueError("It is no text.")


def _truth(value: bytes) -> bool:
    return msgspec.json.decode(value, type=bool)


_JOB: Readers = {"type": gojson.text, "duration": _whole, "input": gojson.text, "attempts": _whole}
_ECHO: Readers = {
    "id": gojson.text,
    "type": _any_text,
    "duration": _whole,
    "input": _any_text,
    "attempts": _whole,
}
_RESULT: Readers = {
    "job": lambda value: _fields(value, _ECHO),
    "result": gojson.text,
    "duration": _whole,
    "success": _truth,
}
_ENVELOPE: Readers = {"resptype": _any_text, "res": lambda value: _fields(value, _RESULT)}
