"""The event log: what happened to jobs, kept with the jobs until somebody else has it."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

EventKind = Literal["enqueued", "started", "requeued", "finished", "deleted"]
KINDS: tuple[EventKind, ...] = get_args(EventKind)
FEEDS = "feeds"
"""The kind of the notes that say which feeds are on."""


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is to get the events; the body of a note whose key is the feed's name.

    ``token`` is the feed's own in this store, for as long as it is on. ``backlog``: events that may wait,
    before the oldest are dropped. ``result_bytes``: a longer result or error is not kept with its event.
    """

    token: str
    events: tuple[EventKind, ...] = KINDS
    backlog: int = 1_000_000
    result_bytes: int = 1_000_000


class LoggedEvent(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a job at ``at``; ``n`` rises with every event of the same job.

    ``state``: of the job afterwards (of a deleted one, before). ``end`` and ``reason`` as in
    :class:`rota.model.job.Outcome`. ``result_bytes`` and ``error_bytes`` say how long they are, also where
    they were too long to be kept with the event.
    """

    n: int
    at: int
    event: EventKind
    id: str
    type: str
    queue: str
    state: str
    attempt: int | None = None
    worker: str | None = None
    end: str | None = None
    reason: str | None = None
    result: bytes | None = None
    result_type: str | None = None
    result_bytes: int | None = None
    error: bytes | None = None
    error_bytes: int | None = None


class Reading(msgspec.Struct, frozen=True):
    """What a publisher gets. ``until``: so long the feed is its own and nobody else's; None: it is not."""

    until: int | None
    events: list[LoggedEvent]


class Backlog(msgspec.Struct, frozen=True):
    """What waits in a feed: so many events (beyond 10,000 an estimate), the oldest since ``oldest``.

    ``dropped``: events that nobody got, since the feed is on. ``owner``: the publisher that has it or had it
    last; ``until``: when its hold ends. ``on`` False: it was switched off and is being emptied.
    """

    feed: str
    on: bool
    waiting: int
    oldest: int | None
    dropped: int
    owner: str | None
    until: int


class Trimmed(msgspec.Struct, frozen=True):
    """Events of a feed that were dropped without being passed on; ``off``: because it is switched off."""

    feed: str
    events: int
    off: bool
