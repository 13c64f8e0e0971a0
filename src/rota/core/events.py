"""Events as they happen, for everybody who listens: numbered, bounded, in order per job.

A listener that falls behind by more than its buffer is dropped, never waited for. One that comes back names
the last event it saw and gets what it missed, or is told that this cannot be had any more.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec

from rota.core.audience import Audience, Wanted
from rota.model.errors import BadInput
from rota.model.job import ENDED, Applied, Claimed, NewJob, Outcome

KEPT = 20_000
"""Events kept for those who come back."""
BEHIND = 5_000
"""Events that may wait for one listener."""
WARM = 120.0
"""Seconds for which events are still kept after the last listener has left."""


class Event(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """Something that happened at ``at`` (microseconds). Events of jobs have ``id``, and the ``lease`` under
    which it happened; ``detail`` depends on the kind. The stream gives it its number ``n``.
    """

    event: str
    at: int
    n: int = 0
    id: str | None = None
    type: str | None = None
    queue: str | None = None
    state: str | None = None
    lease: int = 0
    detail: dict[str, Any] | None = None


def stored(jobs: Iterable[NewJob]) -> list[Event]:
    """Jobs were enqueued."""
    return [
        Event(event="enqueued", at=job.created_at, id=job.id, type=job.type, queue=job.queue, state=job.state)
        for job in jobs
    ]


def started(worker: str, jobs: Sequence[Claimed], now: int) -> list[Event]:
    """Jobs that a worker was given."""
    return [
        Event(
            event="started",
            at=now,
            id=job.id,
            type=job.type,
            queue=job.queue,
            state="running",
            lease=job.lease,
            detail={"worker": worker, "attempt": job.attempt},
        )
        for job in jobs
    ]


def told(outcomes: Sequence[Outcome], applied: Sequence[Applied], now: int) -> list[Event]:
    """What became of running jobs: ``finished``, or ``requeued`` when they wait again."""
    return [
        Event(
            event="finished" if one.state in ENDED else "requeued",
            at=now,
            id=one.id,
            type=one.type,
            queue=one.queue,
            state=one.state,
            lease=one.lease,
            detail={"end": outcome.end, "reason": outcome.reason},
        )
        for outcome, one in zip(outcomes, applied, strict=True)
        if one.state is not None
    ]


def moved(event: str, jobs: Iterable[Applied], now: int, reason: str | None = None) -> list[Event]:
    """Something that was done to jobs by somebody else than their worker."""
    detail = None if reason is None else {"reason": reason}
    return [
        Event(
            event=event,
            at=now,
            id=job.id,
            type=job.type,
            queue=job.queue,
            state=job.state,
            lease=job.lease,
            detail=detail,
        )
        for job in jobs
    ]


class Lagged(Exception):
    """The listener was too slow, and was dropped."""


class Closed(Exception):
    """The server stops."""


class Cut(Exception):
    """What happened since is not kept any more: read everything again, then listen from now on."""


class Listener:
    """An asynchronous iterator over batches of events; a context manager that leaves the stream."""

    def __init__(self, stream: Stream, wanted: Wanted, missed: list[Event]) -> None:
        self._stream = stream
        self.wanted = wanted
        """Changed by the stream only."""
        self._waiting: list[Event] = missed
        self._news = asyncio.Event()
        self._lost: type[Exception] | None = None
        if missed:
            self._news.set()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.leave(self)

    async def next(self) -> list[Event]:
        """At least one event. Raises Lagged when this listener was dropped, Closed when the server stops."""
        while not self._waiting:
            if self._lost is not None:
                raise self._lost
            self._news.clear()
            await self._news.wait()
        events, self._waiting = self._waiting, []
        return events

    def want(self, wanted: Wanted) -> None:
        """Something else from now on. What both have goes on without a gap."""
        self._stream.want(self, wanted)
        if wanted is not None:
            self._waiting = [event for event in self._waiting if wanted(event)]

    @property
    def seen(self) -> int:
        """The number of the last event before those that wait here."""
        return self._waiting[0].n - 1 if self._waiting else self._stream.last

    def put(self, events: Sequence[Event]) -> bool:
        """Called by the stream, with events that are wanted. False: too far behind."""
        self._waiting += events
        if len(self._waiting) > BEHIND:
            self._waiting = []
            self.end(Lagged)
        elif self._waiting:
            self._news.set()
        return self._lost is None

    def end(self, why: type[Exception]) -> None:
        """Nothing more will come."""
        self._lost = why
        self._news.set()


class Beyond(Protocol):
    """Who tells other servers, see :class:`rota.core.relay.Relay`. ``active``: whether one listens."""

    active: bool

    def take(self, events: Sequence[Event]) -> None: ...
    def flush(self) -> None: ...


class Stream:
    """The server's events. Nothing is built while nobody listens: ask :attr:`active` first."""

    def __init__(self) -> None:
        self.relay: Beyond | None = None
        self.epoch = secrets.token_hex(4)
        """Tells one run of the server from another in cursors."""
        self.last = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self.words: dict[int, bytes] = {}
        """Room for what was made of events for the outside, by their numbers, so that it is made once."""
        self._listeners: set[Listener] = set()
        self._audience = Audience()
        self._warm = False
        self._warm_until = 0.0

    @property
    def active(self) -> bool:
        """Whether anybody listens, here or at another server."""
        return self.listened or (self.relay is not None and self.relay.active)

    @property
    def listened(self) -> bool:
        """Whether anybody listens here, or left a moment ago and may come back."""
        if self._listeners:
            return True
        if self._warm and time.monotonic() < self._warm_until:
            return True
        if self._warm:
            # What happens from here on is not kept: no cursor of before may be taken up again.
            self._warm = False
            self._kept.clear()
            self.last += 1
        return False

    def publish(self, events: Iterable[Event]) -> None:
        """This happened here."""
        if self.relay is not None:
            self.relay.take(list(events))
        else:
            self.put(events)

    def put(self, events: Iterable[Event]) -> None:
        """Number the events and give them to all listeners; those too far behind are dropped."""
        numbered = list(events)
        last = self.last
        for event in numbered:
            last += 1
            event.n = last
        self.last = last
        self._kept.extend(numbered)
        for listener, share in self._audience.shares(numbered).items():
            if not listener.put(share):
                self.leave(listener)

    def listen(self, after: str | None = None, wanted: Wanted = None) -> Listener:
        """Events from now on, or all since the cursor ``after``. Raises Cut when some of those are gone."""
        missed: list[Event] = []
        if after is not None:
            seen = self.number(after)
            first = self._kept[0].n if self._kept else self.last + 1
            if not self.listened or seen is None or not first - 1 <= seen <= self.last:
                raise Cut
            since = islice(self._kept, max(0, len(self._kept) - (self.last - seen)), None)
            missed = [event for event in since if wanted is None or wanted(event)]
        listener = Listener(self, wanted, missed)
        self._listeners.add(listener)
        self._audience.add(listener)
        self._warm = True
        return listener

    def want(self, listener: Listener, wanted: Wanted) -> None:
        """See :meth:`Listener.want`."""
        if listener in self._listeners:
            self._audience.change(listener, wanted)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        self._audience.remove(listener)
        if not self._listeners:
            self._warm_until = time.monotonic() + WARM

    def cut(self) -> None:
        """Something was missed: listeners begin anew, and no cursor of before may be taken up again."""
        for listener in list(self._listeners):
            listener.end(Lagged)
            self.leave(listener)
        self._kept.clear()
        self.last += 1

    def close(self) -> None:
        """Send all listeners away."""
        if self.relay is not None:
            self.relay.flush()
        for listener in self._listeners:
            listener.end(Closed)

    def cursor(self, n: int | None = None) -> str:
        """Where the stream is, or was at event ``n``, for those who want to come back."""
        return f"{self.epoch}-{self.last if n is None else n}"

    def number(self, cursor: str) -> int | None:
        """Of the event that a cursor names; None: of another run. Raises BadInput for what is none."""
        epoch, _, number = cursor.partition("-")
        if not (number.isascii() and number.isdigit()) or len(number) > 18 or len(epoch) != len(self.epoch):
            raise BadInput(
                "The cursor must be one that this stream gave before.", code="invalid_cursor", status=400
            )
        return int(number) if epoch == self.epoch else None
