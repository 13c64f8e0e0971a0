"""News of jobs for those who wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from rota.core.events import Stream
from rota.model.job import ENDED, Applied, Claimed, NewJob


class Follower(Protocol):
    """Somebody in this process who has to know each move of the jobs of a type, at once and without a gap
    that it is not told of. Must neither wait nor raise.
    """

    def stored(self, ids: Sequence[str]) -> None:
        """They were stored by another server. Those of this one whoever follows has stored itself."""
        ...

    def started(self, ids: Sequence[str]) -> None:
        """They were handed to a worker."""
        ...

    def moved(self, jobs: Sequence[Applied]) -> None:
        """They wait again, ended, were deleted (which counts as cancelled), or shall stop (``running``)."""
        ...

    def missed(self) -> None:
        """There were moves at another server of which nothing will be told."""
        ...


class Beyond(Protocol):
    """Who tells other servers, see :class:`rota.core.relay.Relay`."""

    def stored(self, jobs: Sequence[NewJob]) -> None: ...
    def started(self, jobs: Sequence[Claimed]) -> None: ...
    def moved(self, jobs: Sequence[Applied]) -> None: ...


class Bus:
    """Waiters by job, followers by type, and the stream of events. Telling nobody costs nothing."""

    def __init__(self) -> None:
        self.events = Stream()
        self.followers: dict[str, list[Follower]] = {}
        """By the type that they follow."""
        self.relay: Beyond | None = None
        self.waited: asyncio.Event | None = None
        """Set when somebody begins to wait, for whom that concerns."""
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}

    @property
    def waited_for(self) -> list[str]:
        """Jobs that somebody waits for."""
        return list(self._waiters)

    def follow(self, type: str, follower: Follower) -> None:
        """From now on, for as long as there is the bus."""
        self.followers.setdefault(type, []).append(follower)

    def stored(self, jobs: Sequence[NewJob]) -> None:
        """Tell other servers."""
        if self.relay is not None:
            self.relay.stored(jobs)

    def started(self, jobs: Sequence[Claimed]) -> None:
        """Tell followers."""
        if self.relay is not None:
            self.relay.started(jobs)
        for type, followers in self.followers.items():
            if ours := [job.id for job in jobs if job.type == type]:
                for one in followers:
                    one.started(ours)

    def tell(self, news: Sequence[Applied]) -> None:
        """Tell followers, and wake everybody who waits for the end of one of these jobs."""
        if self.relay is not None:
            self.relay.moved(news)
        for type, followers in self.followers.items():
            if ours := [one for one in news if one.type == type and one.state is not None]:
                for follower in followers:
                    follower.moved(ours)
        if self._waiters:
            self.wake(one.id for one in news if one.state in ENDED)

    def wake(self, ids: Iterable[str]) -> None:
        """Wake everybody who waits for one of these jobs."""
        for id in ids:
            for future in self._waiters.get(id, ()):
                if not future.done():
                    future.set_result(None)

    def missed(self) -> None:
        """What happened elsewhere was not heard: followers look again, listeners begin anew."""
        for followers in self.followers.values():
            for follower in followers:
                follower.missed()
        self.events.cut()

    def close(self) -> None:
        """Wake everybody: nothing more will be told."""
        self.events.close()
        for waiters in self._waiters.values():
            for future in waiters:
                if not future.done():
                    future.set_result(None)

    def waiting(self, id: str) -> Waiting:
        """A context manager around a future that is done when the job has ended.

        Enter it before asking for the job's state, or an end in between is missed.
        """
        if self.waited is not None:
            self.waited.set()
        return Waiting(self._waiters, id)


class Waiting:
    """One waiter, taken off the list again in every case."""

    def __init__(self, waiters: dict[str, set[asyncio.Future[None]]], id: str) -> None:
        self._waiters = waiters
        self._id = id
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> asyncio.Future[None]:
        self._waiters.setdefault(self._id, set()).add(self._future)
        return self._future

    def __exit__(self, *_: object) -> None:
        waiters = self._waiters[self._id]
        waiters.discard(self._future)
        if not waiters:
            del self._waiters[self._id]
