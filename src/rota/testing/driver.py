"""What moves: the service, its worker and its clock, on one loop whose time stands still unless it is moved.

Between two moves everything that can happen does, in one order; then the clock goes to the next time at which
something is due, never past it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from rota.core import upkeep
from rota.core.reports import Rules
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import SECOND, ManualClock
from rota.model.job import ENDED, Job
from rota.model.protocol import Work
from rota.sdk.tasks import Task
from rota.testing.hands import Hands
from rota.testing.loop import VirtualLoop
from rota.testing.moments import Moments
from rota.testing.spans import tell

VAIN = 200
"""Waits in a row in which nothing happened, after which waiting is hopeless."""


class Endless(AssertionError):
    """Jobs make jobs without end."""


class Stalled(AssertionError):
    """Nothing moves any more: a handler does not return, or waits for what will never come."""


class Driver:
    """Lives on a :class:`VirtualLoop`. ``told``: called with every new time, in microseconds."""

    def __init__(
        self,
        loop: VirtualLoop,
        clock: ManualClock,
        engine: Engine,
        tasks: Mapping[str, Task[Any, Any]],
        queues: Sequence[str] | None,
        slots: int,
        processes: bool,
        limit: int,
        told: Callable[[int], object],
    ) -> None:
        self.clock = clock
        self.moments = Moments(engine)
        # The usual delays, in the middle of their jitter: the same test goes the same way.
        self.service = Service(cast(Engine, self.moments), clock=clock, rules=Rules(chance=0.5))
        self.hands = Hands(self.service, tasks, slots, processes)
        self.raise_failures = False
        self.progress = 0
        """Counts what happens, for those who watch from outside."""
        self._loop = loop
        self._queues = queues
        self._limit = limit
        self._told = told
        self.driving = ""
        """What is under way, by name."""
        self._waits: dict[asyncio.Future[None], tuple[str, int]] = {}
        self._vain = 0
        self._error: BaseException | None = None

    async def open(self, queues: Sequence[str]) -> None:
        """Before the first use; ``queues`` as the tasks name them."""
        await self.service.load()
        await self.hands.join(self._queues or queues)

    async def close(self) -> None:
        """Stop everything."""
        self.hands.desk.release_all()
        await self.hands.desk.close()
        await self.service.engine.close()

    def give_up(self, error: BaseException) -> None:
        """End what is being waited for with an error."""
        self._error = error
        self.hands.desk.room.set()

    def running(self) -> str:
        """The handlers that are waited for, for people."""
        return ", ".join(_named(run.work) for run in self.hands.awaited())

    # What a test asks for. Each answers the tries that ended meanwhile, by how they ended.

    async def run_due(self) -> dict[str, int]:
        """Run all that is ready, and wait for all that runs."""
        async with self._drive("run_due()"):
            self.hands.tighten()
            await self._settle()
            return self._tally()

    async def start(self) -> dict[str, int]:
        """Start all that is ready, and wait for the beginning only."""
        async with self._drive("start()"):
            self.hands.loosen = True
            try:
                await self._settle()
            finally:
                self.hands.loosen = False
            return self._tally()

    async def advance_to(self, target: int) -> dict[str, int]:
        """Let time pass until then."""
        async with self._drive("advance()"):
            await self._settle()
            while (at := self._next()) is not None and at <= target:
                await self._move(at)
                await self._settle()
            await self._move(target)
            await self._settle()
            return self._tally()

    async def run_until_idle(self, longest: int) -> dict[str, int]:
        """Let time pass until nothing is left to happen to any live job."""
        async with self._drive("run_until_idle()"):
            end = self.clock.now() + longest
            await self._settle()
            while self.moments.next(self.hands.held(), prune=False) is not None:
                at = self._next()
                if at is None:
                    break
                if at > end:
                    last = self.hands.last
                    raise Endless(
                        f"There is still more to come after {tell(longest)}: does a job schedule another, or "
                        f"snooze, for ever? The last that ran was {_named(last)}. "
                        "Use advance(), or run_until_idle(longest=...)."
                    )
                await self._move(at)
                await self._settle()
            return self._tally()

    async def wait(self, id: str, seconds: float) -> Job | None:
        """As :meth:`Service.wait`, with the time that passes meanwhile."""
        until = self.clock.now() + round(seconds * SECOND)
        with self.service.bus.waiting(id) as ended:
            job = await self._job(id)
            if job is None or job.state in ENDED or seconds <= 0:
                return job
            self._waits[ended] = (id, until)
            try:
                if self.driving:
                    # A handler, or somebody else, while jobs run: those go on, with room for one more.
                    self.hands.extra += 1
                    self.hands.desk.room.set()
                    try:
                        await ended
                    finally:
                        self.hands.extra -= 1
                else:
                    async with self._drive("a wait"):
                        await self._settle()
                        while not ended.done():
                            await self._wait_in_time()
                            await self._settle()
                        ended.result()
            finally:
                del self._waits[ended]
        return await self._job(id)

    # Inside

    @asynccontextmanager
    async def _drive(self, what: str) -> AsyncIterator[None]:
        if self.driving:
            raise RuntimeError(
                f"{what} cannot be called while {self.driving} is under way: a handler cannot move the time "
                "it runs in."
            )
        self.driving, self._error = what, None
        hands = self.hands
        hands.tally.clear()
        hands.failed.clear()
        hands.started = 0
        hands.open = True
        try:
            hands.level()
            yield
        finally:
            hands.open = False
            await self.service.dispatch.settled()
            hands.level()
            self.driving = ""

    async def _settle(self) -> None:
        """Until nothing more can happen at this time."""
        hands, desk, dispatch = self.hands, self.hands.desk, self.service.dispatch
        hands.started = 0
        while True:
            await dispatch.settled()
            self.progress += 1
            self._check()
            if hands.drained:
                await hands.join(hands.queues)
                continue
            if self._queues is None and not self.moments.queues.keys() <= set(hands.queues):
                await hands.join(dict.fromkeys((*hands.queues, *self.moments.queues)))
                continue
            if desk.outbox or desk.talkative:
                await self._report()
                continue
            hands.level()
            if dispatch.busy:
                continue
            handlers = hands.awaited()
            if not handlers:
                return
            if len(self._waits) > 0 and len(handlers) <= hands.extra:
                # Every handler that runs waits for another job: what they wait for is time.
                await self._wait_in_time()
                continue
            desk.room.clear()
            await desk.room.wait()

    async def _report(self) -> None:
        hands = self.hands
        self._vain = 0
        if self.raise_failures and any(ending.end in ("failed", "timeout") for ending in hands.desk.outbox):
            # Nothing else is to begin: the test ends here.
            hands.open = False
        await hands.report()

    def _check(self) -> None:
        """Raise what ends this drive."""
        hands = self.hands
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self.raise_failures and hands.failed:
            raise self._failure()
        if hands.started > self._limit:
            raise Endless(
                f"{hands.started} jobs were started at one moment, and there are more: does a job enqueue "
                f"itself without a delay? The last was {_named(hands.last)}. "
                "If this is meant, say so: rota.testing.run(app, limit=...)."
            )

    def _failure(self) -> BaseException:
        ending = self.hands.failed[0]
        self.hands.failed.clear()
        error = self.hands.losses.raised.get(ending.id)
        if error is not None and ending.end == "failed":
            return error
        told = ending.error
        said = "no error given" if told is None else f"{told.type}: {told.message}"
        return AssertionError(f"Job {ending.id} failed: {said}")

    async def _wait_in_time(self) -> None:
        """Let time pass for those who wait, up to what happens next or until the first has waited enough."""
        id, until = min(self._waits.values(), key=lambda wait: wait[1])
        at = self._next()
        self._vain += 1
        if at is not None and at <= until:
            self._vain = 0
        else:
            at = until
        await self._move(at)
        hopeless = None
        if self._vain > VAIN:
            self._vain = 0
            hopeless = Stalled(await self._why(id))
        for future, (_, until) in self._waits.items():
            if not future.done() and hopeless is not None:
                future.set_exception(hopeless)
            elif not future.done() and until <= self.clock.now():
                future.set_result(None)

    async def _why(self, id: str) -> str:
        job = await self._job(id)
        if job is None:
            return f"Job {id} is waited for, and is gone."
        because = self.service.waits_for(job)
        return (
            f"Job {id} ({job.type}) is waited for without end. It is {job.state}, and nothing will happen to "
            f"it any more{'.' if because is None else ': ' + because}"
        )

    def _next(self) -> int | None:
        """When something happens next."""
        hands = self.hands
        times = [self.moments.next(hands.held()), self._loop.next_alarm()]
        if hands.desk.held:
            times.append(hands.beaten + self.service.rules.beat)
        return min((at for at in times if at is not None), default=None)

    async def _move(self, at: int) -> None:
        """Go there, and do what is due."""
        clock, hands = self.clock, self.hands
        if at > clock.now():
            clock.advance(at - clock.now())
            # What happened before belongs to the time before.
            await self.service.series.tick()
            self._told(clock.now())
        # Timers of the loop that are due: one turn to be found, one to be called, one for what they cause.
        for _ in range(3):
            await asyncio.sleep(0)
        now = clock.now()
        if hands.desk.held and now >= hands.beaten + self.service.rules.beat:
            await hands.beat()
        due = self.moments.next(hands.held())
        if due is not None and due <= now:
            await upkeep.once(self.service)
            self.moments.passed(now)

    async def _job(self, id: str) -> Job | None:
        return next(iter(await self.service.engine.get([id])), None)

    def _tally(self) -> dict[str, int]:
        return dict(self.hands.tally)


def _named(work: Work | None) -> str:
    return "none" if work is None else f"{work.type} {work.id}"
