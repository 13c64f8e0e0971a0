"""What the server answers, as types, for /openapi.json. Tests hold every real answer against them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from rota.core.bulk import Progress
from rota.core.explain import Certainty
from rota.core.feeds import FeedFigures
from rota.core.history import Group
from rota.core.programs import State as ProgramsState
from rota.core.worker import Transport
from rota.model.failure import HOURS
from rota.model.job import Retry, State
from rota.model.protocol import Answer, Error, Sandbox
from rota.model.schema import Base64, Time, Uuid, says
from rota.web import wire
from rota.web.openapi.kafka import KafkaIn


class StoredMany(msgspec.Struct, frozen=True):
    """One entry per job of the request, in its order."""

    jobs: list[wire.Stored]


class Reported(msgspec.Struct, frozen=True):
    """How far a running job is, by its handler's word: 0 to 1."""

    value: float
    message: str | None


class Try(msgspec.Struct, frozen=True):
    """One try of a job. `end` null: it runs."""

    attempt: int
    lease: int
    worker: str | None
    started_at: Time
    finished_at: Time | None
    end: Literal["done", "failed", "timeout", "snoozed", "released", "cancelled", "lost"] | None
    error: Error | None


class JobInList(msgspec.Struct, frozen=True, kw_only=True):
    """A job without what may be large."""

    id: Uuid
    type: str
    queue: str
    state: State
    priority: int
    attempt: int
    max_attempts: int
    created_at: Time
    run_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Time | None
    timeout: float | None
    retention: float
    retry: Retry | None
    tags: tuple[str, ...]
    unique_key: str | None
    unique_states: tuple[State, ...]
    worker: str | None
    lease: int
    lease_until: Time | None
    losses: int
    cancel_requested: bool
    reason: str | None
    fingerprint: str | None
    progress: Reported | None
    waiting_because: str | None


class JobWhole(JobInList, frozen=True, kw_only=True):
    """A job with all that belongs to it. Bytes stand in base64 in `payload_base64` and `result_base64`
    instead of `payload` and `result`.
    """

    headers: dict[str, str]
    content_type: str
    payload: msgspec.Raw | UnsetType = UNSET
    payload_base64: Base64 | UnsetType = UNSET
    result_type: str
    result: msgspec.Raw | UnsetType = UNSET
    result_base64: Base64 | UnsetType = UNSET
    error: Error | None
    attempts: list[Try]


class JobPage(msgspec.Struct, frozen=True):
    """`cursor` asks for the next page; null: this was the last."""

    jobs: list[JobInList]
    cursor: str | None


class NotYet(msgspec.Struct, frozen=True):
    """A job that has not ended."""

    id: Uuid
    state: State


class LogEntry(msgspec.Struct, frozen=True):
    """A line that a handler wrote; `n` counts from 1."""

    n: int
    at: Time
    level: str
    text: str


class LogPage(msgspec.Struct, frozen=True):
    """`next` is what to give as `after` for what comes behind these lines."""

    lines: list[LogEntry]
    next: int


class BulkProgress(Progress, frozen=True):
    """What was done to the jobs of a filter so far: `matched` = `changed` + `skipped`."""


class JobCause(msgspec.Struct, frozen=True):
    """One thing that keeps a job from running, or is good to know of it."""

    cause: str
    sentence: str
    at: Time | None
    numbers: dict[str, Any]


class JobExplanation(msgspec.Struct, frozen=True):
    """Why a job does not run, and when it will. `causes` come by importance; `cause` and `sentence` are those
    of the first.
    """

    id: Uuid
    type: str
    queue: str
    state: State
    now: Time
    cause: str
    sentence: str
    at: Time | None
    certainty: Certainty | None
    causes: Annotated[list[JobCause], says(minItems=1)]


class FailureGroup(msgspec.Struct, frozen=True):
    """Failed jobs that failed alike: same type, same class of error, same place in the user's code."""

    fingerprint: str
    type: str
    error: str
    frame: str | None
    message: str
    job: Uuid | None
    jobs: int
    first_seen: Time
    last_seen: Time
    hours: Annotated[tuple[int, ...], says(minItems=HOURS, maxItems=HOURS)]


class FailurePage(msgspec.Struct, frozen=True):
    """`cursor` asks for the next page; null: this was the last."""

    failures: list[FailureGroup]
    cursor: str | None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: how many jobs are in which state, how long its oldest pending job waits (seconds), who serves
    it.
    """

    name: str
    paused: bool
    scheduled: int
    pending: int
    running: int
    done: int
    failed: int
    cancelled: int
    oldest_age: float | None
    workers: int
    slots: int
    types_without_worker: list[str]


class QueueList(msgspec.Struct, frozen=True):
    """By name."""

    queues: list[Queue]


class Deleted(msgspec.Struct, frozen=True):
    """How many jobs were deleted."""

    deleted: int


class ConnectedWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, and how many jobs it has in hand (`running`). `types` null: any; `sandbox` null: it runs no
    programs of others; `server`: the other server that it is connected to, null for the one that answers.
    """

    worker: str
    name: str
    version: str
    transport: Transport
    queues: tuple[str, ...]
    types: tuple[str, ...] | None
    slots: int
    running: int
    connected_at: Time
    last_beat: Time
    draining: bool
    sandbox: Sandbox | None
    server: str | None


class Programs(msgspec.Struct, frozen=True):
    """Whether the server's own workers run programs of others; unless `on`, `reason` says why not."""

    state: ProgramsState
    reason: str | None
    sandbox: Sandbox | None


class WorkerList(msgspec.Struct, frozen=True):
    """Those connected to the servers on this store; `beat`: seconds between two signs of life of one; and
    `programs`: whether this server's own workers run programs of others.
    """

    workers: list[ConnectedWorker]
    beat: float
    programs: Programs


class Rates(msgspec.Struct, frozen=True):
    """What happened per second, in the last minute or since the server started."""

    enqueued: float
    started: float
    done: float
    failed: float
    cancelled: float
    requeued: float


class RunningServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server on this store, and how many workers are connected to it. `url` null: it serves nobody."""

    server: str
    host: str
    pid: int
    version: str
    url: str | None
    started_at: Time
    draining: bool
    workers: int


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """`states`: jobs in the store. `enqueued`, `started`, `finished` and `requeued` count since the servers
    on this store started, this one `uptime` seconds ago. `running`: jobs in the hands of workers.
    `servers`: this one and all others, where a store can have several. `kafka_in`: what this one reads of
    Kafka, null where no records come in. `feeds`: what passes events on.
    """

    version: str
    uptime: float
    states: dict[State, int]
    enqueued: int
    started: int
    finished: dict[State, int]
    requeued: int
    rates: Rates
    workers: int
    slots: int
    running: int
    servers: list[RunningServer]
    feeds: list[FeedFigures]
    kafka_in: list[KafkaIn] | None = None


class Period(msgspec.Struct, frozen=True):
    """From `since` to before `until`."""

    since: Time
    until: Time


class Quantiles(msgspec.Struct, frozen=True):
    """Seconds; null: nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


class QuantilesByPoint(msgspec.Struct, frozen=True):
    """Seconds for each point; null: nothing was measured."""

    p50: list[float | None]
    p95: list[float | None]
    p99: list[float | None]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Over all points."""

    enqueued: int
    started: int
    done: int
    failed: int
    cancelled: int
    requeued: int
    wait: Quantiles
    run: Quantiles


class FiguresLine(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one group, one entry a point; null in a count: no server was up."""

    queue: str | None
    type: str | None
    others: int | UnsetType = UNSET
    totals: Totals
    enqueued: list[int | None]
    started: list[int | None]
    done: list[int | None]
    failed: list[int | None]
    cancelled: list[int | None]
    requeued: list[int | None]
    wait: QuantilesByPoint
    run: QuantilesByPoint
    pending: list[int | None] | UnsetType = UNSET
    scheduled: list[int | None] | UnsetType = UNSET
    running: list[int | None] | UnsetType = UNSET
    oldest_age: list[float | None] | UnsetType = UNSET


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over time. The first point begins at `since`, the last one ends at `until`."""

    resolution: int
    since: Time
    until: Time
    points: int
    group: Group
    up: list[Period]
    series: list[FiguresLine]


class Finished(msgspec.Struct, frozen=True):
    """One answer per outcome, in their order."""

    answers: list[Answer]


class KeptFile(msgspec.Struct, frozen=True):
    """A file that was stored: how long it is, and the SHA-256 of all of it in hex."""

    bytes: int
    sha256: Annotated[str, says(pattern="^[0-9a-f]{64}$")]


class Health(msgspec.Struct, frozen=True):
    """The probe is content."""

    status: Literal["ok"] = "ok"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `detail` is for people, `code` for programs; `field` names the faulty part of the request."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
