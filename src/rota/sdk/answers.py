"""What the server answers, as values. Fields that a newer server adds are passed over."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import msgspec

from rota.model.job import ENDED, Retry, State
from rota.model.protocol import Sandbox


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was stored, or (``created`` False) the one that was there already and ``why``."""

    id: str
    state: State | None = None
    type: str = ""
    queue: str = ""
    created: bool = True
    why: str | None = None


class FileInfo(msgspec.Struct, frozen=True):
    """A file of a job: its size, and the SHA-256 of its content in hexadecimal."""

    bytes: int
    sha256: str


class Failure(msgspec.Struct, frozen=True):
    """The error that a try ended with; ``details`` is any JSON value that its handler gave."""

    type: str
    message: str
    traceback: str | None = None
    details: Any = None


class Progress(msgspec.Struct, frozen=True):
    """How far a running job is, 0 to 1."""

    value: float
    message: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try; ``end`` None while it runs."""

    attempt: int
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    end: str | None = None
    error: Failure | None = None


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the server knows it. In lists ``payload``, ``result`` and ``attempts`` are left out."""

    id: str
    type: str
    queue: str
    state: State
    priority: int = 0
    attempt: int = 0
    max_attempts: int = 1
    created_at: datetime | None = None
    run_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    timeout: float | None = None
    retry: Retry | None = None
    retention: float | None = None
    tags: tuple[str, ...] = ()
    headers: dict[str, str] | None = None
    unique_key: str | None = None
    unique_states: tuple[State, ...] | None = None
    worker: str | None = None
    lease: int = 0
    lease_until: datetime | None = None
    losses: int = 0
    cancel_requested: bool = False
    reason: str | None = None
    fingerprint: str | None = None
    waiting_because: str | None = None
    progress: Progress | None = None
    error: Failure | None = None
    payload: Any = None
    payload_base64: str | None = None
    content_type: str | None = None
    result: Any = None
    result_base64: str | None = None
    result_type: str | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the job is done, failed or cancelled."""
        return self.state in ENDED

    @property
    def value(self) -> Any:
        """The result: bytes where the handler gave bytes, else the JSON value."""
        return self.result if self.result_base64 is None else base64.b64decode(self.result_base64)


class JobPage(msgspec.Struct, frozen=True):
    """Jobs, newest first; ``cursor`` asks for the next page, None when this is the last."""

    jobs: tuple[JobInfo, ...]
    cursor: str | None = None


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be known of a job; ``at`` is when it passes, ``numbers`` what it rests on."""

    cause: str
    sentence: str
    at: datetime | None = None
    numbers: dict[str, Any] = {}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job is not running and when it will: causes by importance, the first is the headline.

    ``certainty`` of ``at``: known, estimate, not_before, never (then there is no ``at``), or None.
    """

    id: str
    state: State
    cause: str
    sentence: str
    at: datetime | None = None
    certainty: str | None = None
    causes: tuple[Cause, ...] = ()


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Failed jobs that failed alike: same type, class of ``error`` and ``frame`` (``file:function``).
    ``jobs`` are kept now, ``job`` is one of them, ``message`` the latest error's; ``hours`` counts the
    failures of the last 24 hours, the present one last.
    """

    fingerprint: str
    type: str
    error: str
    frame: str | None = None
    message: str = ""
    job: str | None = None
    jobs: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    hours: tuple[int, ...] = ()


class FailurePage(msgspec.Struct, frozen=True):
    """Groups, last seen first; ``cursor`` asks for the next page, None when this is the last."""

    failures: tuple[FailureGroup, ...]
    cursor: str | None = None


class Bulk(msgspec.Struct, frozen=True):
    """What was done to the jobs of a filter: ``matched`` = ``changed`` + ``skipped``. ``cursor``: where to go
    on, None when everything is dealt with.
    """

    matched: int = 0
    changed: int = 0
    skipped: int = 0
    cursor: str | None = None


class LogLine(msgspec.Struct, frozen=True):
    """One line that a handler wrote; ``n`` counts from 1."""

    n: int
    at: datetime
    level: str
    text: str


class LogPage(msgspec.Struct, frozen=True):
    """Lines of a job; ``next`` is what to give as ``after`` for what comes after them."""

    lines: tuple[LogLine, ...]
    next: int = 0


class QueueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A queue and its jobs by state; ``oldest_age`` is the age in seconds of its oldest pending job."""

    name: str
    paused: bool = False
    scheduled: int = 0
    pending: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    oldest_age: float | None = None
    workers: int = 0
    slots: int = 0
    types_without_worker: tuple[str, ...] = ()


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A connected worker; ``transport`` is socket, poll or inside."""

    worker: str
    name: str = ""
    version: str = ""
    transport: str = ""
    queues: tuple[str, ...] = ()
    types: tuple[str, ...] | None = None
    slots: int = 0
    running: int = 0
    connected_at: datetime | None = None
    last_beat: datetime | None = None
    draining: bool = False
    sandbox: Sandbox | None = None
    """What it holds programs of others with; None: it runs none."""
    server: str | None = None
    """The other server that it is connected to; None: the one that answered."""


class Blob(msgspec.Struct, frozen=True):
    """The raw result of a job that is done, or (``state`` given) word that it has not ended yet."""

    data: bytes
    content_type: str
    state: State | None = None
