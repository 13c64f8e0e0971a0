"""News of jobs for those who wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from rota.core.events import Stream
from rota.model.job import ENDED, Applied, Claimed


class Follower(Protocol):
    """Somebody in this process who has to know each move of the jobs of a type, at once and without a gap.
    Must neither wait nor raise.
    """

    def started(self, jobs: Sequence[Claimed]) -> None:
        """They were handed to a worker."""
        ...

    def moved(self, jobs: Sequence[Applied]) -> None:
        """They wait again, ended, were deleted (which counts as cancelled), or shall stop (``running``)."""
        ...


class Bus:
    """Waiters by job, followers by type, and the stream of events. Telling nobody costs nothing."""

    def __init__(self) -> None:
        self.events = Stream()
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._followers: dict[str, list[Follower]] = {}

    def follow(self, type: str, follower: Follower) -> None:
        """From now on, for as long as there is the bus."""
        self._followers.setdefault(type, []).append(follower)

    def started(self, jobs: Sequence[Claimed]) -> None:
        """Tell followers."""
        for type, followers in self._followers.items():
            if ours := [job for job in jobs if job.type == type]:
                for one in followers:
                    one.started(ours)

    def tell(self, news: Sequence[Applied]) -> None:
        """Tell followers, and wake everybody who waits for the end of one of these jobs."""
        for type, followers in self._followers.items():
            if ours := [one for one in news if one.type == type and one.state is not None]:
                for follower in followers:
                    follower.moved(ours)
        if not self._waiters:
            return
        for one in news:
            if one.state in ENDED:
                for future in self._waiters.get(one.id, ()):
                    if not future.done():
                        future.set_result(None)

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
