"""News of jobs for those who wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from rota.core.events import Stream
from rota.model.job import ENDED, Applied


class Bus:
    """Waiters by job, and the stream of events. Telling nobody costs nothing."""

    def __init__(self) -> None:
        self.events = Stream()
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}

    def tell(self, news: Iterable[Applied]) -> None:
        """Wake everybody who waits for the end of one of these jobs."""
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
