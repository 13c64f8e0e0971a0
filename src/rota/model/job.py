"""The values that everything else speaks about, and the moves a job may make.

::

    scheduled ──due──▶ pending ──claim──▶ running ──▶ done
        ▲                 ▲                  │  ├────▶ failed
        └──── retry / snooze ────────────────┘  └────▶ cancelled

Times are microseconds since 1970-01-01 UTC, durations microseconds. Payloads and results are bytes;
``content_type`` is None for JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from rota.model.failure import Cause
from rota.model.file import File
from rota.model.schema import Backoff, says
from rota.model.search import Member, Sift


class State(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = frozenset({State.SCHEDULED, State.PENDING, State.RUNNING})
ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})

MOVES: Mapping[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.PENDING, State.CANCELLED}),
    State.PENDING: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset({State.SCHEDULED, State.PENDING, *ENDED}),
    State.DONE: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PENDING}),
    State.CANCELLED: frozenset({State.PENDING}),
}
"""The legal moves. Ended jobs move only when somebody retries them."""


class Exponential(
    msgspec.Struct, frozen=True, tag="exponential", tag_field="kind", forbid_unknown_fields=True
):
    """Delay before attempt n+1: ``base * factor ** (n-1)`` seconds, at most ``max``, varied by ±
    ``jitter``.
    """

    base: Annotated[float, says(exclusiveMinimum=0, maximum=1e8)] = 2.0
    factor: Annotated[float, says(minimum=1, maximum=100)] = 2.0
    max: Annotated[float, says(exclusiveMinimum=0, maximum=1e8)] = 3600.0
    jitter: Annotated[float, says(minimum=0, maximum=1)] = 0.2


class Fixed(
    msgspec.Struct,
    frozen=True,
    tag="fixed",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """The same delay (seconds) before every further attempt. ``back``: without a delay, the job goes to the
    back of its queue instead of its old place.
    """

    delay: Backoff
    back: bool = False


class Delays(msgspec.Struct, frozen=True, tag="list", tag_field="kind", forbid_unknown_fields=True):
    """One delay (seconds) per further attempt; the last one repeats."""

    delays: Annotated[tuple[Backoff, ...], says(minItems=1, maxItems=1000)]


class NoRetry(msgspec.Struct, frozen=True, tag="none", tag_field="kind", forbid_unknown_fields=True):
    """The first failure is final."""


Retry = Exponential | Fixed | Delays | NoRetry


class NewJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A checked job on its way into the store."""

    id: str
    type: str
    queue: str
    state: State
    payload: bytes
    content_type: str | None
    headers: dict[str, str] | None
    priority: int
    created_at: int
    run_at: int
    expires_at: int | None
    timeout: int | None
    max_attempts: int
    retry: Retry | None
    tags: tuple[str, ...]
    unique_key: str | None
    unique_states: tuple[State, ...]
    retention: int


class Key(msgspec.Struct, frozen=True, gc=False):
    """An idempotency key for ``jobs[start:stop]`` of a request; ``fingerprint`` tells one body from
    another.
    """

    key: str
    fingerprint: bytes
    start: int
    stop: int


class Position(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a log elsewhere, of which jobs are made: what is numbered ``first`` to before ``next`` in
    ``source``. How far a source was read is kept under its name as a note of kind :data:`POSITIONS`.
    """

    source: str
    first: int
    next: int


POSITIONS = "positions"


class Request(msgspec.Struct, frozen=True, gc=False):
    """Jobs that are stored together or not at all. ``upload``: the file of the only one of them.
    ``position``: what they were made of; then there may be none.
    """

    jobs: tuple[NewJob, ...]
    keys: tuple[Key, ...] = ()
    upload: File | None = None
    position: Position | None = None


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What the store holds after an enqueue: the new job, or the one that was there already.

    ``why`` is None for a new job (and for one whose id was there already), else ``unique`` or
    ``idempotency``, or ``mismatch`` when the idempotency key was used before with another body (then
    nothing of the request was stored, and ``id`` is the one asked for); so do ``no_upload``, when the file
    that the job came with is not there, ``taken``, when jobs were made of that position before, and ``busy``,
    when a transaction of somebody else's that is still open has stored a job with one of the keys.
    """

    id: str
    state: State | None
    why: str | None = None


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A worker's wish: up to ``slots`` jobs from ``queues`` (tried in this order).

    ``types`` None means any type but ``except_types``. ``ids``: only these jobs.
    """

    worker: str
    queues: tuple[str, ...]
    types: tuple[str, ...] | None
    slots: int
    except_types: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """A job that has just become running, with what a worker needs to run it.

    ``run_at``: since when it could have run.
    """

    id: str
    lease: int
    type: str
    queue: str
    attempt: int
    max_attempts: int
    payload: bytes
    content_type: str | None
    headers: dict[str, str] | None
    timeout: int | None
    run_at: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What becomes of a running job. Made by :mod:`rota.model.policy`; engines only write it down.

    ``end`` is the word kept with the attempt: done, failed, snoozed, released, lost, cancelled, timeout.
    ``spent`` False gives the attempt number back. ``back``: one that is pending again stands behind all jobs
    of the store, as if it had been stored now. ``error`` is JSON text; ``cause`` is what a failed job is
    grouped by.
    """

    id: str
    lease: int
    state: State
    end: str
    run_at: int | None = None
    result: bytes | None = None
    content_type: str | None = None
    error: bytes | None = None
    reason: str | None = None
    spent: bool = True
    lost: bool = False
    back: bool = False
    cause: Cause | None = None


class Applied(msgspec.Struct, frozen=True, gc=False):
    """What an outcome did. ``state`` is the job's state afterwards, None when the lease was stale."""

    id: str
    lease: int
    state: State | None
    queue: str | None = None
    type: str | None = None


class Beat(msgspec.Struct, frozen=True, gc=False):
    """A sign of life for one running job; ``progress`` is JSON text or None for no news."""

    id: str
    lease: int
    progress: bytes | None = None


class Held(msgspec.Struct, frozen=True, gc=False):
    """A lease that was extended; ``stop`` asks the worker to give up the job."""

    id: str
    lease: int
    stop: bool


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line that a handler wrote."""

    id: str
    at: int
    level: str
    text: str


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try of a job; ``error`` is JSON text, ``end`` None while it runs."""

    attempt: int
    lease: int
    worker: str | None
    started_at: int
    finished_at: int | None
    end: str | None
    error: bytes | None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the store knows of a job. ``payload``, ``result``, ``error`` and ``attempts`` only where
    the whole job was asked for. ``attempts``: all tries, oldest first, a running or done one last;
    ``error``: the last one, unless the job is done. ``fingerprint``: of the failure, while it is failed.
    """

    id: str
    type: str
    queue: str
    state: State
    priority: int
    attempt: int
    max_attempts: int
    lease: int
    losses: int
    created_at: int
    run_at: int
    started_at: int | None
    finished_at: int | None
    expires_at: int | None
    lease_until: int | None
    timeout: int | None
    retention: int
    retry: Retry | None
    tags: tuple[str, ...]
    unique_key: str | None
    unique_states: tuple[State, ...]
    worker: str | None
    cancel_requested: bool
    reason: str | None
    progress: bytes | None
    fingerprint: str | None = None
    payload: bytes = b"null"
    content_type: str | None = None
    headers: dict[str, str] | None = None
    result: bytes | None = None
    result_type: str | None = None
    error: bytes | None = None
    attempts: tuple[Attempt, ...] = ()


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are meant. Fields that are None do not narrow; all given ones must hold. Of ``states``,
    ``queues`` and ``types`` a job has one, of ``tags`` and ``members`` (of its payload) all. ``begins``: its
    id does. ``error``: a text, letter case ignored, in type or message of its last error (:class:`Job`).

    ``since``/``until`` bound ``created_at`` (since inclusive, until exclusive). ``text`` is looked for
    in type, tags and the beginning of the id. ``lease_before`` and ``overdue_at`` are for upkeep: running
    jobs whose lease, or whose timeout, ended before that time. ``expired_at``: live jobs past their
    ``expires_at``. ``delete_at``: ended jobs past their retention. Of either, at most the thousand most
    overdue at a time. ``holds``: the job that holds this unique key. ``tried``: jobs that have ended, or
    of which at least one try has.
    """

    ids: tuple[str, ...] | None = None
    states: tuple[State, ...] | None = None
    queues: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    worker: str | None = None
    since: int | None = None
    until: int | None = None
    text: str | None = None
    begins: str | None = None
    members: tuple[Member, ...] | None = None
    error: str | None = None
    holds: str | None = None
    fingerprint: str | None = None
    lease_before: int | None = None
    overdue_at: int | None = None
    expired_at: int | None = None
    delete_at: int | None = None
    tried: bool = False

    def sift(self) -> Sift | None:
        """What has to be looked for in bytes that no engine reads, if anything."""
        return Sift(self.members or (), self.error) if self.members or self.error is not None else None

    def without_sift(self) -> Match:
        """The rest of it."""
        return msgspec.structs.replace(self, members=None, error=None)


class Page(msgspec.Struct, frozen=True):
    """Jobs, newest first, and the cursor of the next page (None: there is none)."""

    jobs: list[Job]
    cursor: str | None


class Selection(msgspec.Struct, frozen=True):
    """Ids of jobs, oldest first, and the cursor of those after them (None: there are none)."""

    ids: list[str]
    cursor: str | None


class Tally(msgspec.Struct, frozen=True):
    """A number of jobs, and the cursor of those not counted yet (None: that is all)."""

    jobs: int
    cursor: str | None


class Count(msgspec.Struct, frozen=True, gc=False):
    """How many jobs of a queue and type are in a state."""

    queue: str
    type: str
    state: State
    jobs: int


class Note(msgspec.Struct, frozen=True, gc=False):
    """A small document of the server's own; ``body`` None removes it."""

    kind: str
    key: str
    body: bytes | None


class Change(msgspec.Struct, frozen=True, gc=False):
    """What another server said: queues in which jobs may wait, and its messages, oldest first."""

    queues: Sequence[str] = ()
    news: Sequence[bytes] = ()
