"""What the server knows of the running programs that take jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from rota.core.dispatch import Taker
from rota.model import protocol
from rota.model.errors import BadInput
from rota.model.protocol import Stop

if TYPE_CHECKING:
    from rota.core.servers import Remote

Transport = Literal["socket", "poll", "inside", "front"]
"""``front``: a socket of one of the older interfaces, see :mod:`rota.core.bound`."""
INSIDE = "inside-"
"""Ids of workers inside a server begin with this and the server's id: with the server they are gone for
certain.
"""
FRONT = INSIDE + "front-"
"""Those of the workers of older interfaces (:mod:`rota.core.bound`)."""


class Worker:
    """A running program that takes jobs."""

    def __init__(self, hello: protocol.Hello | protocol.Fetch, transport: Transport, now: int) -> None:
        self.id = hello.worker
        self.name = hello.name or hello.worker[:12]
        self.version = hello.version
        self.transport: Transport = transport
        self.queues = hello.queues
        self.types = hello.types
        self.except_types: tuple[str, ...] = ()
        """Types that it does not take although ``types`` is None."""
        self.stand_in = False
        """Whether it works only as long as no other worker serves its queue."""
        self.slots = hello.slots
        self.sandbox = hello.sandbox or None
        """What it holds programs of others with, if it runs any."""
        self.connected_at = now
        self.last_beat = now
        self.silence = 0
        """How long after its last word a polling worker counts as here, in microseconds."""
        # By lease, not by job: a job that was lost and came back is in hand twice until the old run has
        # stopped.
        self.taken: dict[tuple[str, int], tuple[str, str, int]] = {}
        """Leases in hand, each with queue, type and since when."""
        self.draining = False
        self.silence = 0
        """How long after its last word a polling worker counts as here, in microseconds."""
        self.fetches = 0
        """Long polls that wait for jobs just now."""
        self.silent = False
        """Whether it polls and was not heard of for longer than a lease: it may be lost."""
        self.counted: tuple[str, ...] = ()
        """Queues of which the roster counts it as serving."""
        self.taker: Taker | None = None
        self.stop: Callable[[list[Stop]], None] = lambda stops: None
        self.drain: Callable[[], None] = lambda: None

    def knows(self, type: str) -> bool:
        """Whether jobs of this type may go to it."""
        return type not in self.except_types if self.types is None else type in self.types

    @property
    def in_hand(self) -> int:
        """Jobs that it was given and did not give back."""
        return len(self.taken)

    @property
    def working(self) -> bool:
        """Whether it takes jobs, as far as is known."""
        return not (self.draining or self.silent)


class Roster(dict[str, Worker]):
    """All workers of this server by id. Counts who serves which queue, as every claim of a stand-in asks for
    that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._serving: Counter[str] = Counter()
        self._served_elsewhere: frozenset[str] = frozenset()
        self._worked_elsewhere: frozenset[str] = frozenset()
        self._elsewhere: dict[str, Remote] = {}

    @property
    def elsewhere(self) -> dict[str, Remote]:
        """Workers of the other servers on the store, by id."""
        return self._elsewhere

    @property
    def worked_elsewhere(self) -> frozenset[str]:
        """Queues that somebody serves at another server."""
        return self._worked_elsewhere

    def set_elsewhere(self, workers: Iterable[Remote]) -> set[str]:
        """These are all workers of the other servers; answers the queues that others than before serve."""
        served, worked = self._served_elsewhere, self._worked_elsewhere
        # One that has just changed servers may be told of twice.
        self._elsewhere = {worker.id: worker for worker in sorted(workers, key=lambda one: one.last_beat)}
        now = self._elsewhere.values()
        self._served_elsewhere = _served_by(one for one in now if not one.stand_in)
        self._worked_elsewhere = _served_by(now)
        return set((served ^ self._served_elsewhere) | (worked ^ self._worked_elsewhere))

    def everybody(self) -> list[Worker | Remote]:
        """All workers of all servers."""
        if not self._elsewhere:
            return list(self.values())
        # Who polls may speak to several servers.
        return [*self.values(), *(one for id, one in self._elsewhere.items() if id not in self)]

    def __setitem__(self, id: str, worker: Worker) -> None:
        self._forget(id)
        super().__setitem__(id, worker)
        self.count(worker)

    def __delitem__(self, id: str) -> None:
        self._forget(id)
        super().__delitem__(id)

    def served(self, queue: str) -> bool:
        """Whether a worker that is no stand-in takes jobs of a queue."""
        return queue in self._serving or queue in self._served_elsewhere

    def count(self, worker: Worker) -> None:
        """What a worker serves has changed: its queues, or whether it is working."""
        queues = worker.queues if worker.working and not worker.stand_in else ()
        if worker.counted != queues:
            self._count(worker, queues)

    def fallen_silent(self, now: int, lease: int) -> Iterator[Worker]:
        """Polling workers that count as serving no more, having been silent for a lease; those that were for
        as long as they may be are off the roster.
        """
        for worker in list(self.values()):
            last = worker.last_beat
            if worker.transport != "poll" or worker.fetches or last >= now - min(lease, worker.silence):
                continue
            if last < now - worker.silence:
                del self[worker.id]
            elif worker.silent:
                continue
            worker.silent = True
            self.count(worker)
            yield worker

    def _forget(self, id: str) -> None:
        worker = self.get(id)
        if worker is not None:
            self._count(worker, ())

    def _count(self, worker: Worker, queues: tuple[str, ...]) -> None:
        for queue in set(worker.counted):
            self._serving[queue] -= 1
            if not self._serving[queue]:
                del self._serving[queue]
        self._serving.update(set(queues))
        worker.counted = queues


def _served_by(workers: Iterable[Remote]) -> frozenset[str]:
    return frozenset(queue for worker in workers if worker.working for queue in worker.queues)


def server_of(worker: str | None) -> str | None:
    """The id of the server that a worker is inside of; None for any other worker."""
    if worker is None or not worker.startswith(INSIDE):
        return None
    return worker.removeprefix(FRONT).removeprefix(INSIDE).partition("-")[0]


def check_outside(worker: str, transport: Transport) -> None:
    """BadInput for an id that only workers inside the server have: at a restart their jobs count as lost."""
    if transport not in ("inside", "front") and worker.startswith(INSIDE):
        raise BadInput(
            f"The id of a worker must not begin with {INSIDE!r}.", code="invalid_worker", field="worker"
        )
