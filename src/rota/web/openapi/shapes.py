"""What the server answers, as types, for /openapi.json. Tests hold every real answer against them."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from rota.core.workers import Transport
from rota.model.job import Retry, State
from rota.model.protocol import Error
from rota.model.schema import Base64, Time, Uuid


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """One job of an enqueue. `created` false: it was there already; `why` says by which key."""

    id: Uuid
    type: str
    queue: str
    state: State | None
    created: bool
    why: Literal["unique", "idempotency"] | None = None


class StoredMany(msgspec.Struct, frozen=True):
    """One entry per job of the request, in its order."""

    jobs: list[Stored]


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
    """A worker, and how many jobs it has in hand (`running`). `types` null: any."""

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


class WorkerList(msgspec.Struct, frozen=True):
    """Those connected to this server."""

    workers: list[ConnectedWorker]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """`states`: jobs in the store. `enqueued`, `started` and `finished` count since the server started,
    `uptime` seconds ago. `running`: jobs in the hands of workers.
    """

    version: str
    uptime: float
    states: dict[State, int]
    enqueued: int
    started: int
    finished: dict[State, int]
    workers: int
    slots: int
    running: int


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
