"""Every request of the REST interface, described once: what to send, how to read the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, Unpack
from urllib.parse import quote, urlencode

import msgspec

from rota.model import errors, protocol
from rota.model.job import State
from rota.model.spec import JobSpec
from rota.sdk.answers import (
    Blob,
    Bulk,
    Created,
    Explanation,
    FailurePage,
    FileInfo,
    JobInfo,
    JobPage,
    LogPage,
    QueueInfo,
    WorkerInfo,
)
from rota.sdk.filters import Filters, Which, as_asked
from rota.sdk.values import as_time

T = TypeVar("T")

_json = msgspec.json.Encoder()
_AS_IT_IS = {"Accept-Encoding": "identity"}
JSON = "application/json"
ZIP = "application/zip"
JOB_HEADER = "Rota-Job"
JOB_BYTES = 8 * 1024
"""The largest job, without its upload, that goes into a header."""


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, whichever client got it."""

    status: int
    content_type: str
    body: bytes
    retry_after: str | None = None
    file: FileInfo | None = None
    """The body, when it went into a file."""


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One request. ``again``: sending it twice does no more than sending it once."""

    method: str
    path: str
    read: Callable[[Answer], T]
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    again: bool = True
    wait: float = 0.0
    """Seconds that the server may hold the answer."""
    jobs: Sequence[JobSpec] = ()
    """What it stores."""
    file: Path | None = None
    """What it sends, instead of a body."""
    into: Path | None = None
    """A new file for what it brings."""
    progress: Callable[[int, int], object] | None = None
    """Told how many bytes of the file have gone, and how many there are."""


def enqueue(spec: JobSpec, key: str | None) -> Call[Created]:
    """Store one job. ``key`` is the Idempotency-Key, None when the spec carries its own."""
    body = _json.encode(spec)
    return Call("POST", "/v1/jobs", _reader(Created), body, _key(key), jobs=(spec,))


def enqueue_and_wait(spec: JobSpec, key: str | None, wait: float) -> Call[JobInfo]:
    """Store one job and wait up to ``wait`` seconds for its end."""
    path = "/v1/jobs" + _query({"wait": wait})
    body = _json.encode(spec)
    return Call("POST", path, _reader(JobInfo), body, _key(key), wait=wait, jobs=(spec,))


def enqueue_many(
    specs: Sequence[msgspec.Raw], key: str | None, jobs: Sequence[JobSpec]
) -> Call[list[Created]]:
    """Store up to 10,000 jobs, all or none."""
    body = b'{"jobs":[' + b",".join(bytes(spec) for spec in specs) + b"]}"
    return Call("POST", "/v1/jobs", _reader(list[Created], "jobs"), body, _key(key), jobs=jobs)


def upload(
    spec: JobSpec, key: str | None, file: Path, progress: Callable[[int, int], object] | None = None
) -> Call[Created]:
    """Store one job together with a file. BadInput for a job that is too large to go beside one."""
    # JSON in ASCII, as headers have to be.
    text = json.dumps(json.loads(_json.encode(spec)), separators=(",", ":"))
    if len(text) > JOB_BYTES:
        raise errors.BadInput(
            f"A job with an upload may have {JOB_BYTES} bytes of JSON beside it, not {len(text)}.",
            code="headers_too_large",
            status=431,
            field=JOB_HEADER,
        )
    headers = _key(key) | {JOB_HEADER: text, "Content-Type": ZIP}
    read = _reader(Created)
    return Call("POST", "/v1/jobs", read, headers=headers, jobs=(spec,), file=file, progress=progress)


def upload_of(id: str, into: Path) -> Call[FileInfo]:
    """What came with a job."""
    return Call("GET", _job(id, "/upload"), _file, headers=_AS_IT_IS, into=into)


def artifact(id: str, into: Path, progress: Callable[[int, int], object] | None = None) -> Call[FileInfo]:
    """What a job's handler left."""
    return Call("GET", _job(id, "/artifact"), _file, headers=_AS_IT_IS, into=into, progress=progress)


def keep_artifact(worker: str, lease: protocol.Lease, file: Path) -> Call[FileInfo]:
    """Leave a file with a job that a worker has in hand."""
    path = _job(lease.id, "/artifact") + _query({"worker": worker, "lease": lease.lease})
    return Call("PUT", path, _reader(FileInfo), headers={"Content-Type": ZIP}, file=file)


def job(id: str) -> Call[JobInfo]:
    return Call("GET", _job(id), _reader(JobInfo))


def jobs(**filters: Unpack[Filters]) -> Call[JobPage]:
    return Call("GET", "/v1/jobs" + _query(as_asked(filters)), _reader(JobPage))


def export(
    into: Path, format: str, columns: Sequence[str], whole: bool, limit: int | None, which: Mapping[str, Any]
) -> Call[FileInfo]:
    """All jobs of a filter, into a file."""
    how = {"format": format, "columns": ",".join(columns) or None, "limit": limit}
    asked = {**as_asked(which), **how, "whole": "true" if whole else None}
    return Call("GET", "/v1/jobs/export" + _query(asked), _file, headers=_AS_IT_IS, into=into)


def bulk(
    act: Literal["cancel", "retry", "delete"],
    which: Which,
    *,
    all: bool = False,
    dry_run: bool = False,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Bulk]:
    """Act on the jobs of a filter, as far as the server gets in a few seconds."""
    given = {name: value for name, value in as_asked(which).items() if value is not None}
    said = {"all": all, "dry_run": dry_run, "limit": limit, "cursor": cursor}
    body = {"filter": given, **{name: value for name, value in said.items() if value}}
    again = dry_run or act == "cancel"
    return Call("POST", f"/v1/jobs/{act}", _reader(Bulk), _json.encode(body), again=again, wait=30.0)


def result(id: str, wait: float = 0.0) -> Call[Blob]:
    """The raw result; the server may wait up to ``wait`` seconds for the job to end."""

    def read(answer: Answer) -> Blob:
        if answer.status == 202:
            return Blob(b"", JSON, _reader(State, "state")(answer))
        return Blob(answer.body, answer.content_type)

    path = _job(id, "/result") + _query({"wait": wait or None})
    return Call("GET", path, read, wait=wait)


def logs(id: str, after: int = 0, limit: int | None = None) -> Call[LogPage]:
    return Call("GET", _job(id, "/logs") + _query({"after": after or None, "limit": limit}), _reader(LogPage))


def explain(id: str) -> Call[Explanation]:
    return Call("GET", _job(id, "/explain"), _reader(Explanation))


def cancel(id: str) -> Call[JobInfo]:
    return Call("POST", _job(id, "/cancel"), _reader(JobInfo))


def retry(id: str) -> Call[JobInfo]:
    return Call("POST", _job(id, "/retry"), _reader(JobInfo), again=False)


def run_now(id: str) -> Call[JobInfo]:
    return Call("POST", _job(id, "/run-now"), _reader(JobInfo), again=False)


def delete(id: str) -> Call[None]:
    return Call("DELETE", _job(id), _nothing, again=False)


def failures(
    queue: str | None = None, type: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[FailurePage]:
    """Failed jobs by what they failed of."""
    asked = {"queue": queue, "type": type, "limit": limit, "cursor": cursor}
    return Call("GET", "/v1/failures" + _query(asked), _reader(FailurePage))


def queues() -> Call[list[QueueInfo]]:
    return Call("GET", "/v1/queues", _reader(list[QueueInfo], "queues"))


def pause(queue: str) -> Call[QueueInfo]:
    return Call("POST", _queue(queue, "/pause"), _reader(QueueInfo))


def resume(queue: str) -> Call[QueueInfo]:
    return Call("POST", _queue(queue, "/resume"), _reader(QueueInfo))


def clear(queue: str) -> Call[int]:
    """Delete the pending and scheduled jobs of a queue; how many they were."""
    return Call("DELETE", _queue(queue, "/jobs"), _reader(int, "deleted"), again=False)


def workers() -> Call[list[WorkerInfo]]:
    return Call("GET", "/v1/workers", _reader(list[WorkerInfo], "workers"))


def drain_worker(worker: str) -> Call[WorkerInfo]:
    """Ask a worker to finish what it has and leave."""
    return Call("POST", f"/v1/workers/{quote(worker, safe='')}/drain", _reader(WorkerInfo))


def stats(**wish: Any) -> Call[dict[str, Any]]:
    for name in ("since", "until"):
        if wish.get(name) is not None:
            wish[name] = as_time(name, wish[name])
    return Call("GET", "/v1/stats" + _query(wish), _reader(dict[str, Any]))


def health() -> Call[dict[str, Any]]:
    return Call("GET", "/health", _reader(dict[str, Any]))


def fetch(ask: protocol.Fetch) -> Call[protocol.Fetched]:
    return Call("POST", "/v1/fetch", _reader(protocol.Fetched), _json.encode(ask), again=False, wait=ask.wait)


def finish(report: protocol.FinishBody) -> Call[list[protocol.Answer]]:
    return Call("POST", "/v1/finish", _reader(list[protocol.Answer], "answers"), _json.encode(report))


def beat(signs: protocol.BeatBody) -> Call[protocol.Beaten]:
    return Call("POST", "/v1/beat", _reader(protocol.Beaten), _json.encode(signs))


class _Problem(msgspec.Struct):
    detail: str = ""
    title: str = ""
    code: str = ""
    field: str | None = None


def error_of(answer: Answer) -> errors.RotaError:
    """A problem+json answer (or whatever a proxy said instead) as the error it stands for."""
    try:
        problem = msgspec.json.decode(answer.body, type=_Problem)
        members = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = answer.body[:200].decode("utf-8", "replace").strip()
        problem, members = (
            _Problem(f"The server answered {answer.status}" + (f": {text}" if text else ".")),
            {},
        )
    extra = {
        name: value
        for name, value in members.items()
        if name not in ("type", "title", "status", "detail", "code", "field")
    }
    kind = _kind(answer.status, problem.code)
    return kind(
        problem.detail or problem.title or f"The server answered {answer.status}.",
        code=problem.code or None,
        status=answer.status,
        field=problem.field,
        **extra,
    )


def _kind(status: int, code: str) -> type[errors.RotaError]:
    match status:
        case 401:
            return errors.Unauthorized
        case 403:
            return errors.Forbidden
        case 404:
            return errors.NotFound
        case 409:
            return errors.StaleLease if code == errors.StaleLease.code else errors.Conflict
        case 429 | 502 | 503 | 504:
            return errors.StoreError if code == errors.StoreError.code else errors.Unavailable
        case _:
            return errors.BadInput if 400 <= status < 500 else errors.RotaError


@cache
def _reader(kind: Any, member: str | None = None) -> Callable[[Answer], Any]:
    """Reads an answer, or one member of it, as ``kind``."""
    shape = kind if member is None else msgspec.defstruct("Answer", [(member, kind)])
    decoder = msgspec.json.Decoder(shape)

    def read(answer: Answer) -> Any:
        try:
            value = decoder.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.RotaError(
                f"The answer is not what a Rota server says ({error}); is the URL right?", code="bad_answer"
            ) from None
        return value if member is None else getattr(value, member)

    return read


def _nothing(answer: Answer) -> None:
    return None


def _file(answer: Answer) -> FileInfo:
    assert answer.file is not None
    return answer.file


def _key(key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    if not (key.isascii() and key.isprintable()):
        raise errors.BadInput(
            f"An idempotency key that travels as a header must be printable ASCII, not {key[:100]!r}; "
            "give another one in idempotency_key of the job.",
            code="invalid_idempotency_key",
            field="Idempotency-Key",
        )
    return {"Idempotency-Key": key}


def _job(id: str, tail: str = "") -> str:
    return f"/v1/jobs/{quote(id, safe='')}{tail}"


def _queue(name: str, tail: str) -> str:
    return f"/v1/queues/{quote(name, safe='')}{tail}"


def _query(values: Mapping[str, str | float | Sequence[str] | None]) -> str:
    given = {name: value for name, value in values.items() if value is not None}
    return "?" + urlencode(given, doseq=True) if given else ""
