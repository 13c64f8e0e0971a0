"""Free slots, one claim, hand out.

A taker is whoever can run jobs now: a worker's socket for as long as it is open, one long poll until it is
answered, the worker inside the server. The dispatcher claims for takers with free slots as soon as something
may have changed for them: jobs arrived, a slot became free, a queue was resumed, a job became due.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from rota.engines.base import Engine
from rota.model.clock import Clock
from rota.model.errors import StoreError
from rota.model.job import Ask, Claimed
from rota.model.policy import released


class Taker:
    """Somebody with room for jobs. ``give`` must not wait; it gets never more than the free slots."""

    def __init__(
        self,
        worker: str,
        queues: tuple[str, ...],
        types: tuple[str, ...] | None,
        slots: int,
        give: Callable[[list[Claimed]], None],
        *,
        except_types: tuple[str, ...] = (),
        stand_in: bool = False,
    ) -> None:
        """``types`` None: any but ``except_types``. ``stand_in``: takes nothing from a queue that a worker
        which is none serves.
        """
        self.worker = worker
        self.queues = queues
        self.types = None if types is None else frozenset(types)
        self.asked_types = types
        self.except_types = except_types
        self.stand_in = stand_in
        self.free = slots
        self.give = give
        self.open = True
        self._turn = 0

    def accepts(self, type: str) -> bool:
        return type not in self.except_types if self.types is None else type in self.types

    def order(self, queues: Iterable[str]) -> tuple[str, ...]:
        """The taker's queues among these, each in turn coming first, so that none starves another."""
        chosen = (
            [queue for queue in self.queues if queue in queues] if queues is not self.queues else self.queues
        )
        if len(chosen) < 2:
            return tuple(chosen)
        self._turn += 1
        turn = self._turn % len(chosen)
        return (*chosen[turn:], *chosen[:turn])


class Dispatch:
    """Matches takers and pending jobs."""

    def __init__(self, engine: Engine, clock: Clock, lease: int) -> None:
        self._engine = engine
        self._clock = clock
        self._lease = lease
        self._takers: dict[str, dict[Taker, None]] = {}
        self._wakes: dict[str, int] = {}
        self._running: set[asyncio.Task[None]] = set()
        self.paused: set[str] = set()
        self.stopped = False
        self.started = 0
        self.served: Callable[[str], bool] = lambda queue: False
        """Whether a worker that is no stand-in serves a queue."""
        self.tell_others: Callable[[Iterable[str]], None] = lambda queues: None
        self.on_started: Callable[[str, list[Claimed]], None] = lambda worker, jobs: None

    @property
    def busy(self) -> bool:
        """Whether a claim is under way or its jobs are being handed out."""
        return bool(self._running)

    async def settled(self) -> None:
        """Wait until no claim is under way."""
        while self._running:
            await asyncio.wait(self._running)

    def add(self, taker: Taker) -> None:
        for queue in taker.queues:
            self._takers.setdefault(queue, {})[taker] = None
        self.freed(taker, 0)

    def remove(self, taker: Taker) -> None:
        """No more jobs for this one. Jobs of a claim under way go back untouched."""
        taker.open = False
        for queue in taker.queues:
            takers = self._takers.get(queue, {})
            takers.pop(taker, None)
            if not takers:
                self._takers.pop(queue, None)

    def freed(self, taker: Taker, slots: int) -> None:
        """Slots became free."""
        taker.free += slots
        if taker.free > 0 and taker.open:
            self._claim([taker], taker.queues)

    def arrived(self, queue: str, types: Mapping[str, int]) -> None:
        """So many jobs of these types became pending in a queue: ask for no more takers than that takes."""
        self._wakes[queue] = self._wakes.get(queue, 0) + 1
        takers = self._takers.get(queue)
        if not takers:
            return
        left = dict(types)
        chosen: list[Taker] = []
        for taker in takers:
            if taker.free <= 0 or (taker.stand_in and self.served(queue)):
                continue
            room = taker.free
            for type in [type for type in left if taker.accepts(type)]:
                used = min(room, left[type])
                room -= used
                left[type] -= used
                if not left[type]:
                    del left[type]
            if room < taker.free:
                chosen.append(taker)
            if not left:
                break
        self._claim(chosen, (queue,))

    def wake(self, queues: Iterable[str]) -> None:
        """Something may have changed in these queues; ask for every taker with room."""
        for queue in queues:
            self._wakes[queue] = self._wakes.get(queue, 0) + 1
            self._claim([taker for taker in self._takers.get(queue, ()) if taker.free > 0], (queue,))

    def _claim(self, takers: Sequence[Taker], queues: Sequence[str]) -> None:
        if self.stopped or not takers:
            return
        open_queues = [queue for queue in queues if queue not in self.paused] if self.paused else queues
        asks = []
        for taker in takers:
            order = taker.order(open_queues)
            if taker.stand_in:
                order = tuple(queue for queue in order if not self.served(queue))
            if order:
                ask = Ask(taker.worker, order, taker.asked_types, taker.free, taker.except_types)
                asks.append((taker, ask))
        if not asks:
            return
        now = self._clock.now()
        seen = {queue: self._wakes.get(queue, 0) for queue in open_queues}
        for taker, ask in asks:
            taker.free -= ask.slots
        # Called here, not in the task: an enqueue or finish made just before shares its commit.
        call = self._engine.claim([ask for _, ask in asks], now + self._lease, now)
        task = asyncio.ensure_future(self._hand_out(call, asks, seen))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _to_the_back(self, taker: Taker, jobs: Sequence[Claimed]) -> None:
        """Who was given a job stands behind the others: the next one goes to somebody else."""
        for queue in {job.queue for job in jobs} if len(taker.queues) > 1 else taker.queues:
            takers = self._takers[queue]
            del takers[taker]
            takers[taker] = None

    async def _hand_out(
        self, call: Awaitable[list[list[Claimed]]], asks: list[tuple[Taker, Ask]], seen: dict[str, int]
    ) -> None:
        try:
            answers = await call
        except StoreError:
            # Upkeep wakes everybody again when the store answers.
            answers = [[] for _ in asks]
        # Who enqueued these jobs in the same commit is to be told first.
        await asyncio.sleep(0)
        homeless: list[Claimed] = []
        short: list[Taker] = []
        for (taker, ask), jobs in zip(asks, answers, strict=True):
            taker.free += ask.slots - len(jobs)
            self.started += len(jobs)
            if jobs and not taker.open:
                homeless += jobs
            elif jobs:
                self.on_started(ask.worker, jobs)
                self._to_the_back(taker, jobs)
                taker.give(jobs)
            if taker.free > 0 and taker.open:
                short.append(taker)
        if homeless:
            now = self._clock.now()
            # Where the store is away or closed their leases end, and they go on then.
            with contextlib.suppress(StoreError):
                await self._engine.finish([released(job.id, job.lease, now) for job in homeless], now)
                queues = {job.queue for job in homeless}
                self.wake(queues)
                self.tell_others(queues)
        # What arrived while the claim was under way may have come too late for it.
        late = [queue for queue, wakes in seen.items() if self._wakes.get(queue, 0) != wakes]
        if late and short:
            self._claim([taker for taker in short if taker.free > 0], late)
