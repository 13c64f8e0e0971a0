"""The frames between server and worker, one definition for both ends.

Every frame is one JSON object with an ``op``; every frame may carry many jobs. The same shapes, without
``op``, are the bodies of the plain HTTP worker requests. Durations are seconds, ids UUIDs as text.
``payload`` and ``result`` are any JSON value; bytes travel as ``*_base64`` together with ``content_type``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from rota.model.job import State
from rota.model.schema import Base64, LeaseNumber, Name, Time, WorkerId, says

MAX_FRAME = 16 * 1024 * 1024
"""Bytes in one frame or request body, both ways."""

LEVELS = ("debug", "info", "warning", "error", "critical")
"""Of log lines."""
MAX_SLOTS = 10_000
MAX_QUEUES = 100
MAX_TYPES = 10_000
MAX_FETCH_WAIT = 60

Slots = Annotated[int, says(minimum=1, maximum=MAX_SLOTS)]
Queues = Annotated[tuple[Name, ...], says(minItems=1, maxItems=MAX_QUEUES)]
Types = Annotated[tuple[str, ...], says(maxItems=MAX_TYPES)]
End = Literal["done", "failed", "snoozed", "released", "cancelled", "timeout"]
Profile = Literal["strict", "standard", "basic", "none"]
"""What a sandbox amounts to, the best one first (docs/sandbox.md)."""
MAX_ABOUT, MAX_DESCRIPTION, MAX_SCHEMA = 500, 500, 16 * 1024
"""Types of which a worker tells; characters; bytes."""
MAX_LAYERS = 50
MAX_REASON = 2000
"""Characters that say why a layer does not work, or what is missing."""


class Error(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What went wrong in a handler. ``details``: any JSON value, for programs to read; as large as a result
    may be.
    """

    type: str
    message: str
    traceback: str | None = None
    details: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Lease(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A job in a worker's hand."""

    id: str
    lease: LeaseNumber


class Progress(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How far a job is: ``value`` between 0 and 1, and anything else worth showing."""

    id: str
    lease: LeaseNumber
    value: Annotated[float, says(minimum=0, maximum=1)]
    message: str | None = None


class Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A log line of a job; ``at`` is RFC 3339, the server's time when left out."""

    id: str
    text: str
    level: Annotated[str, says(enum=list(LEVELS))] = "info"
    at: Time | None = None


class Work(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A job for a worker. ``timeout`` is seconds from the moment it is received."""

    id: str
    lease: int
    type: str
    queue: str
    attempt: int
    max_attempts: int
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    payload_base64: str | None = None
    content_type: str | None = None
    headers: dict[str, str] | None = None
    timeout: float | None = None


class Ending(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, forbid_unknown_fields=True):
    """How a worker's try at a job ended.

    ``done`` may carry a result. ``failed`` and ``timeout`` carry an error; ``retry`` False makes the failure
    final, ``delay`` overrides the backoff (but no policy of none). ``snoozed`` needs ``delay`` and costs no
    attempt; ``released`` hands the job back untouched; ``cancelled`` says that the worker obeyed.
    """

    id: str
    lease: LeaseNumber
    end: End = "done"
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result_base64: Base64 | None = None
    content_type: str | None = None
    error: Error | None = None
    retry: bool = True
    delay: float | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the server did with an ending: ``state`` afterwards, or ``code`` (``stale_lease``, ...) and why
    not.
    """

    id: str
    lease: int
    applied: bool
    state: State | None = None
    code: str | None = None
    detail: str | None = None


class Stop(msgspec.Struct, frozen=True, gc=False):
    """Give this job up. ``reason``: ``cancelled`` (report it so) or ``stale_lease`` (report nothing)."""

    id: str
    lease: int
    reason: Literal["cancelled", "stale_lease"]


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One layer of a sandbox, whether it was seen to work, and why not."""

    name: Annotated[str, says(minLength=1, maxLength=100)]
    works: bool
    why_not: Annotated[str | None, says(maxLength=MAX_REASON)] = None


class Sandbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker holds the programs with that it runs; ``missing``: what a better profile would take."""

    profile: Profile
    layers: Annotated[tuple[Layer, ...], says(maxItems=MAX_LAYERS)]
    missing: Annotated[str | None, says(maxLength=MAX_REASON)] = None


class About(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What people who make a job of a type should know: ``schema`` is the JSON Schema of its payload.
    ``accepts``: whether that is JSON, bytes, or may be a zip archive.
    """

    description: str | None = None
    schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    accepts: tuple[Literal["json", "zip", "bytes"], ...] = ("json",)


# worker to server


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="op", forbid_unknown_fields=True):
    """First frame of a worker. ``worker`` is a fresh random id per process start; ``types`` null means any.

    ``held`` names jobs still running from before a reconnect; ``slots`` counts all places, taken ones
    included; ``sandbox`` is there when it runs programs of others; ``about`` tells of some of its types.
    """

    worker: WorkerId
    queues: Queues
    slots: Slots
    types: Types | None = None
    name: str = ""
    version: str = ""
    held: tuple[Lease, ...] = ()
    sandbox: Sandbox | msgspec.UnsetType | None = msgspec.UNSET
    about: dict[str, About] | msgspec.UnsetType = msgspec.UNSET


class Finish(msgspec.Struct, frozen=True, tag="finish", tag_field="op", forbid_unknown_fields=True):
    """Endings; each frees a slot."""

    outcomes: list[Ending]


class Beat(msgspec.Struct, frozen=True, tag="beat", tag_field="op", forbid_unknown_fields=True):
    """Signs of life, and news of progress, for running jobs."""

    leases: list[Lease] = []
    progress: list[Progress] = []


class Log(msgspec.Struct, frozen=True, tag="log", tag_field="op", forbid_unknown_fields=True):
    """Log lines."""

    lines: list[Line]


class WorkerDrain(msgspec.Struct, frozen=True, tag="drain", tag_field="op", forbid_unknown_fields=True):
    """The worker takes no more jobs; it will finish or release what it holds and close."""


FromWorker = Hello | Finish | Beat | Log | WorkerDrain

# server to worker


class Welcome(msgspec.Struct, frozen=True, tag="welcome", tag_field="op"):
    """Answer to hello. A worker sends a beat every ``beat`` seconds; without one for ``lease`` seconds jobs
    are lost.
    """

    lease: float
    beat: float
    version: str


class Jobs(msgspec.Struct, frozen=True, tag="jobs", tag_field="op"):
    """Work; never more than the free slots."""

    jobs: list[Work]


class Finished(msgspec.Struct, frozen=True, tag="finished", tag_field="op"):
    """One answer per ending, in order."""

    answers: list[Answer]


class Cancel(msgspec.Struct, frozen=True, tag="cancel", tag_field="op"):
    """Jobs to give up."""

    jobs: list[Stop]


class ServerDrain(msgspec.Struct, frozen=True, tag="drain", tag_field="op"):
    """Somebody wants this worker to take no more jobs, to finish what it has, and to leave."""


class Refused(msgspec.Struct, frozen=True, tag="error", tag_field="op", omit_defaults=True):
    """A frame that could not be taken; the connection stays unless it was the hello. ``again``: there is
    nothing wrong with it, and it may be taken later or elsewhere.
    """

    code: str
    detail: str
    field: str | None = None
    again: bool = False


FromServer = Welcome | Jobs | Finished | Cancel | ServerDrain | Refused

# plain HTTP workers


class Fetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/fetch``: up to ``slots`` jobs, waiting up to ``wait`` seconds (0 to 60) for the first. A
    ``sandbox`` that was told once stands.
    """

    worker: WorkerId
    queues: Queues
    slots: Slots = 1
    wait: Annotated[float, says(minimum=0, maximum=MAX_FETCH_WAIT)] = 30.0
    types: Types | None = None
    name: str = ""
    version: str = ""
    sandbox: Sandbox | msgspec.UnsetType | None = msgspec.UNSET


class Fetched(msgspec.Struct, frozen=True):
    """Answer to a fetch; ``jobs`` may be empty. ``lease`` and ``beat`` as in ``welcome``."""

    jobs: list[Work]
    lease: float
    beat: float
    drain: bool = False


class FinishBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/finish``."""

    worker: WorkerId
    outcomes: list[Ending]


class BeatBody(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """``POST /v1/beat``; ``lines`` are log lines. ``drain``: this worker takes no more jobs; its fetch that
    waits is answered at once.
    """

    worker: WorkerId
    leases: list[Lease] = []
    progress: list[Progress] = []
    lines: list[Line] = []
    drain: bool = False


class Beaten(msgspec.Struct, frozen=True):
    """Answer to a beat: the jobs to give up. All other leases named were extended."""

    stop: list[Stop]
    drain: bool = False
