"""What happened here goes to the servers that want to hear it, and what they tell becomes part of what is
told here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from rota.core.bus import Bus
from rota.core.events import Event
from rota.core.merging import HOLD, Merge
from rota.core.news import Move, Step, Story
from rota.model.clock import SECOND, Clock
from rota.model.job import ENDED, Applied, Claimed, NewJob, State

MOST = 10_000
"""Events and moves that may wait to be sent: whoever wants them begins again when there are more."""
PIECE = 500
"""Events in one message."""
PAUSE = 0.03
"""Seconds in which they are collected."""
_LOOK = HOLD / SECOND / 4
_SAID = frozenset({"log", "progress"})


class Relay:
    """Both ways. ``due`` is called when there is something to send, soon."""

    def __init__(self, id: str, bus: Bus, clock: Clock, due: Callable[[], None]) -> None:
        self._id = id
        self._bus = bus
        self._clock = clock
        self._due = due
        self._merge = Merge()
        self._turning = False
        self._events: list[Event] = []
        self._moves: list[Move] = []
        self._lost = False
        self._sent = 0
        self._heard: dict[str, int] = {}
        self._follows: frozenset[str] = frozenset()
        self.active = False
        """Whether any other server wants to know all events."""
        self.alone = True
        bus.relay = self
        bus.events.relay = self

    def wanted(self, listens: bool, follows: Iterable[str]) -> None:
        """What the others want to hear."""
        self.active = listens
        self._follows = frozenset(follows)

    # what happens here

    def take(self, events: Sequence[Event]) -> None:
        """Events of this server."""
        if self.active:
            self._events += events
            self._added()
        stream = self._bus.events
        if stream.listened:
            if self.alone and not self._merge:
                stream.put(events)
            else:
                self._hold(self._id, events)

    def stored(self, jobs: Sequence[NewJob]) -> None:
        if follows := self._follows:
            self._move(
                [
                    Move("stored", job.id, job.type, 0, job.state, job.queue)
                    for job in jobs
                    if job.type in follows
                ]
            )

    def started(self, jobs: Sequence[Claimed]) -> None:
        if follows := self._follows:
            self._move(
                [
                    Move("started", job.id, job.type, job.lease, State.RUNNING, job.queue)
                    for job in jobs
                    if job.type in follows
                ]
            )

    def moved(self, jobs: Sequence[Applied]) -> None:
        if follows := self._follows:
            self._move(
                [
                    Move("moved", one.id, one.type, one.lease, one.state, one.queue)
                    for one in jobs
                    if one.type is not None and one.type in follows and one.state is not None
                ]
            )

    def stories(self) -> list[Story]:
        """What there is to send."""
        told: list[Story] = []
        events, self._events = self._events, []
        moves, self._moves = self._moves, []
        lost, self._lost = self._lost, False
        for at in range(0, max(len(events), len(moves)), PIECE):
            self._sent += 1
            told.append(Story(self._id, self._sent, lost, events[at : at + PIECE], moves[at : at + PIECE]))
            lost = False
        if lost:
            self._sent += 1
            told.append(Story(self._id, self._sent, True, [], []))
        return told

    def failed(self) -> None:
        """What was to be sent is gone."""
        self._lost = True
        self._due()

    # what happens elsewhere

    def hear(self, story: Story) -> None:
        """What another server tells."""
        last = self._heard.get(story.server)
        self._heard[story.server] = story.n
        if story.lost or (last is not None and story.n != last + 1):
            self.missed()
        ended = [event.id for event in story.events if event.event == "deleted" or event.state in ENDED]
        ended += [move.id for move in story.moves if move.state in ENDED]
        self._bus.wake(id for id in ended if id is not None)
        self._retell(story.moves)
        if self._bus.events.listened and story.events:
            # What workers say may be of long ago.
            now = self._clock.now()
            self._merge.late(max((now - one.at for one in story.events if one.event not in _SAID), default=0))
            self._hold(story.server, story.events)

    def forget(self, server: str) -> None:
        """It is not there any more."""
        self._heard.pop(server, None)

    def missed(self) -> None:
        """Something happened elsewhere that nobody here will hear of."""
        self.flush()
        self._bus.missed()

    def flush(self) -> None:
        """Tell what waits for its turn now."""
        if self._merge:
            self._bus.events.put(self._merge.rest())

    def _move(self, moves: list[Move]) -> None:
        if moves:
            self._moves += moves
            self._added()

    def _added(self) -> None:
        if len(self._events) > MOST or len(self._moves) > MOST:
            self._events, self._moves, self._lost = [], [], True
        self._due()

    def _retell(self, moves: Sequence[Move]) -> None:
        """To followers, a run of the same step at a time."""
        at = 0
        while at < len(moves):
            end = at + 1
            while end < len(moves) and moves[end].step == moves[at].step:
                end += 1
            self._follow(moves[at].step, moves[at:end])
            at = end

    def _follow(self, step: Step, moves: Sequence[Move]) -> None:
        for type, followers in self._bus.followers.items():
            ours = [move for move in moves if move.type == type]
            for follower in followers if ours else ():
                if step == "moved":
                    follower.moved(
                        [Applied(one.id, one.lease, one.state, one.queue, one.type) for one in ours]
                    )
                elif step == "started":
                    follower.started([one.id for one in ours])
                else:
                    follower.stored([one.id for one in ours])

    def _hold(self, server: str, events: Sequence[Event]) -> None:
        self._merge.put(server, events, self._clock.now())
        if not self._turning and self._merge:
            self._turning = True
            asyncio.get_running_loop().call_later(_LOOK, self._turn)

    def _turn(self) -> None:
        events = self._merge.ready(self._clock.now())
        if events:
            self._bus.events.put(events)
        self._turning = bool(self._merge)
        if self._turning:
            asyncio.get_running_loop().call_later(_LOOK, self._turn)
