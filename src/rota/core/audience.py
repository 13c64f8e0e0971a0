"""Who gets which events: listeners are found by what an event is about, so that those whom it does not
concern cost it nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rota.core.events import Event, Listener


class Topics(msgspec.Struct, frozen=True):
    """Events of these jobs, and those of these queues."""

    jobs: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()

    def __call__(self, event: Event) -> bool:
        """Whether an event is among them."""
        return event.id in self.jobs or event.queue in self.queues


Wanted = Callable[["Event"], bool] | None
"""Which events; None: all. Only :class:`Topics` are looked up, any other function is asked about each."""


class Audience:
    """Listeners by what they want."""

    def __init__(self) -> None:
        self._askers: set[Listener] = set()
        self._jobs: dict[str, set[Listener]] = {}
        self._queues: dict[str, set[Listener]] = {}

    def add(self, listener: Listener) -> None:
        """From now on. What it wants must stay as it is until it is removed."""
        wanted = listener.wanted
        if not isinstance(wanted, Topics):
            self._askers.add(listener)
            return
        for id in wanted.jobs:
            self._jobs.setdefault(id, set()).add(listener)
        for queue in wanted.queues:
            self._queues.setdefault(queue, set()).add(listener)

    def change(self, listener: Listener, wanted: Wanted) -> None:
        """A listener that is there wants something else from now on."""
        before = listener.wanted
        if isinstance(before, Topics) and isinstance(wanted, Topics):
            # Most of it stays as it is.
            _take_out(self._jobs, before.jobs - wanted.jobs, listener)
            _take_out(self._queues, before.queues - wanted.queues, listener)
            listener.wanted = Topics(wanted.jobs - before.jobs, wanted.queues - before.queues)
            self.add(listener)
            listener.wanted = wanted
            return
        self.remove(listener)
        listener.wanted = wanted
        self.add(listener)

    def remove(self, listener: Listener) -> None:
        """No more. Nothing happens if it is not there."""
        self._askers.discard(listener)
        if isinstance(listener.wanted, Topics):
            _take_out(self._jobs, listener.wanted.jobs, listener)
            _take_out(self._queues, listener.wanted.queues, listener)

    def shares(self, events: Sequence[Event]) -> dict[Listener, Sequence[Event]]:
        """What each gets of events; those that get nothing are left out. Lists may be shared."""
        found: dict[Listener, Sequence[Event]] = {}
        if self._jobs:
            self._by_job(events, found)
        if self._queues:
            self._by_queue(events, found)
        for listener in self._askers:
            wanted = listener.wanted
            share = events if wanted is None else [event for event in events if wanted(event)]
            if share:
                found[listener] = share
        return found

    def _by_job(self, events: Sequence[Event], found: dict[Listener, Sequence[Event]]) -> None:
        jobs = self._jobs
        shares: dict[Listener, list[Event]] = {}
        for event in events:
            if event.id in jobs:
                for listener in jobs[event.id]:
                    shares.setdefault(listener, []).append(event)
        found.update(shares)

    def _by_queue(self, events: Sequence[Event], found: dict[Listener, Sequence[Event]]) -> None:
        queues = self._queues
        lines: dict[str, list[Event]] = {}
        for event in events:
            if event.queue in queues:
                lines.setdefault(event.queue, []).append(event)
        for queue, line in lines.items():
            for listener in queues[queue]:
                found[listener] = _joined(found[listener], line) if listener in found else line


def _take_out(index: dict[str, set[Listener]], names: Iterable[str], listener: Listener) -> None:
    for name in names:
        listeners = index.get(name)
        if listeners is not None:
            listeners.discard(listener)
            if not listeners:
                del index[name]


def _joined(one: Sequence[Event], other: Sequence[Event]) -> Sequence[Event]:
    """Both in order, each event once."""
    numbered = {event.n: event for event in (*one, *other)}
    return [numbered[n] for n in sorted(numbered)]
