"""What a test holds in its hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, Unpack

from rota.model.clock import to_datetime
from rota.model.job import State
from rota.sdk.app import App
from rota.sdk.context import current_context
from rota.sdk.handle import Handle
from rota.sdk.tasks import Task
from rota.testing import look
from rota.testing.bench import Bench
from rota.testing.look import Expected, Job, Wanted
from rota.testing.reading import born, jobs_of
from rota.testing.spans import Span, micros, moment
from rota.testing.trial import Trial

P = ParamSpec("P")
R = TypeVar("R")

TaskOrType = Task[..., Any] | str


class Run:
    """``with run(app) as t`` gives a :class:`Harness`, ``async with run(app) as t`` an
    :class:`AsyncHarness`.
    """

    def __init__(self, make: Callable[[], Bench], raise_failures: bool) -> None:
        self._make = make
        self._raise = raise_failures
        self._bench: Bench | None = None

    def __enter__(self) -> Harness:
        return Harness(self._open())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bench is not None:
            self._bench.close()
            self._bench = None

    async def __aenter__(self) -> AsyncHarness:
        return AsyncHarness(self._open())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
        # Handlers that were still running on this loop see that they are cancelled.
        for _ in range(3):
            await asyncio.sleep(0)

    def _open(self) -> Bench:
        if self._bench is not None:
            raise RuntimeError("This run has been entered already.")
        bench = self._make()
        bench.open()
        bench.driver.raise_failures = self._raise
        self._bench = bench
        return bench


def run(
    *apps: App,
    start: datetime | str | None = None,
    slots: int = 1,
    queues: Sequence[str] | None = None,
    raise_failures: bool = False,
    threads: bool = True,
    processes: bool = False,
    limit: int = 10_000,
    patience: float = 30.0,
    on_time: Callable[[datetime], object] | None = None,
) -> Run:
    """The jobs of these apps run in this process, on a clock that the test moves. Use it with ``with`` or
    ``async with``; everything is undone at its end.

    ``start``: what time it is at first (by default the real one). ``slots``: jobs that run at once; with more
    than one, their order is up to the machine. ``queues``: those that the worker serves, by default all.
    ``raise_failures``: what a handler raises ends the test. ``threads`` False: plain handlers run in the
    thread that moves the time, the test's. ``processes`` True: tasks that were declared so run in child
    processes; by default they run like others. ``limit``: jobs that may start at one moment. ``patience``:
    real seconds to wait for a handler. ``on_time``: called with every new time.
    """
    if not apps or not all(isinstance(app, App) for app in apps):
        raise TypeError("rota.testing.run takes one or more rota.App.")
    if slots < 1:
        raise ValueError(f"slots must be 1 or more, not {slots}.")
    if isinstance(queues, str):
        raise TypeError(f"queues must be a list of names, not the string {queues!r}.")

    def told(at: int) -> object:
        return None if on_time is None else on_time(to_datetime(at))

    return Run(
        lambda: Bench(
            apps,
            start=time.time_ns() // 1000 if start is None else moment(start),
            slots=slots,
            queues=queues,
            threads=threads,
            processes=processes,
            patience=patience,
            limit=limit,
            told=told,
        ),
        raise_failures,
    )


class Common:
    """What both harnesses have. All of it answers at once, in coroutines too."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @property
    def now(self) -> datetime:
        """What time it is here, in UTC."""
        return to_datetime(self._bench.clock.now())

    @property
    def raise_failures(self) -> bool:
        """Whether what a handler raises is raised in the test, by whatever ran it."""
        return self._bench.driver.raise_failures

    @raise_failures.setter
    def raise_failures(self, value: bool) -> None:
        self._bench.driver.raise_failures = value

    def job(self, job: Handle[Any] | str) -> Job:
        """A job, by handle or id, as it is now. LookupError when there never was one."""
        id = job if isinstance(job, str) else job.id
        found = self._jobs([id])
        if not found:
            raise LookupError(f"There is no job {id!r} here.")
        return found[0]

    def enqueued(
        self,
        task: TaskOrType | None = None,
        /,
        **expected: Unpack[Expected],
    ) -> list[Job]:
        """Every job that was enqueued and fits, in order, whatever has become of it.

        ``args``: a dict with some of the arguments (values are compared as JSON writes them), any other
        payload, or a function of it. ``delay``: from the enqueue to the time it may run. ``tags``: among
        others. ``where``: a function of the :class:`Job`.
        """
        wanted = Wanted(task, **expected)
        return [job for job in self._jobs(None) if next(wanted.misses(job), None) is None]

    def assert_enqueued(
        self,
        task: TaskOrType | None = None,
        /,
        *,
        count: int | None = None,
        **expected: Unpack[Expected],
    ) -> list[Job]:
        """The jobs that :meth:`enqueued` finds: at least one, or ``count``. AssertionError lists what there
        was instead.
        """
        __tracebackhide__ = True
        wanted = Wanted(task, **expected)
        jobs = self._jobs(None)
        found = [job for job in jobs if next(wanted.misses(job), None) is None]
        if not found if count is None else len(found) != count:
            raise AssertionError(look.too_few(wanted, count, len(found), jobs))
        return found

    def refute_enqueued(
        self,
        task: TaskOrType | None = None,
        /,
        **expected: Unpack[Expected],
    ) -> None:
        """AssertionError when :meth:`enqueued` finds a job."""
        __tracebackhide__ = True
        wanted = Wanted(task, **expected)
        jobs = self._jobs(None)
        found = [job for job in jobs if next(wanted.misses(job), None) is None]
        if found:
            raise AssertionError(look.too_many(wanted, found, jobs))

    def assert_state(self, job: Handle[Any] | str, state: State | str) -> Job:
        """The job; AssertionError tells its story when it is in another state."""
        __tracebackhide__ = True
        found = self.job(job)
        if found.state is not State(state):
            raise AssertionError(look.other_state(found, State(state)))
        return found

    def assert_done(self, handle: Handle[R]) -> R:
        """The result of a job that is done, as :meth:`rota.Handle.result` gives it. AssertionError otherwise;
        nothing is waited for.
        """
        __tracebackhide__ = True
        self.assert_state(handle, State.DONE)
        return handle.result(timeout=0)

    def pause(self, queue: str) -> None:
        """Hand out no more jobs of a queue."""
        self._bench.read(lambda: self._bench.driver.service.pause(queue))

    def resume(self, queue: str) -> None:
        """Hand them out again, with the next move."""
        self._bench.read(lambda: self._bench.driver.service.resume(queue))

    @contextmanager
    def stuck(self, task: TaskOrType) -> Iterator[None]:
        """In this block the handlers of the task hang: jobs are taken and never come to an end, but by a
        timeout, a cancel or the loss of the worker.
        """
        name, stuck = _name(task), self._bench.driver.hands.stuck
        stuck[name] += 1
        try:
            yield
        finally:
            stuck[name] -= 1

    def lose_worker(self, during: TaskOrType | None = None, *, times: int = 1) -> None:
        """The worker dies with all it has in hand, and another one takes its place. Its jobs come back when
        their leases end, which takes time: see ``advance``.

        Without a task: here and now. In a handler it does not return; nothing behind it is executed, but for
        ``finally``. With a task: the next so many times that its handler returns, before that is reported.
        """
        losses = self._bench.driver.hands.losses
        if during is not None:
            losses.doomed[_name(during)] += times
            return
        context = current_context.get(None)
        if context is not None and context.id in self._bench.driver.hands.desk.held:
            losses.die()
        self._bench.read(self._bench.driver.hands.lose)

    def trial(
        self,
        *,
        attempt: int = 1,
        max_attempts: int = 10,
        headers: dict[str, str] | None = None,
        stop: str | None = None,
    ) -> Trial:
        """One try at a job of its own, for a unit test of a handler: ``t.trial(attempt=3).perform(task, 7)``.
        It runs at the time that it is here.
        """
        return Trial(
            attempt=attempt, max_attempts=max_attempts, headers=headers, stop=stop, clock=self._bench.clock
        )

    def _jobs(self, ids: Sequence[str] | None) -> list[Job]:
        driver = self._bench.driver

        async def ask() -> list[Job]:
            return await jobs_of(driver, born(driver) if ids is None else ids)

        return self._bench.read(ask)

    def _target(self, by: Span | None, **parts: float) -> int:
        if by is not None and any(parts.values()):
            raise TypeError("Give a span or its parts, not both.")
        return self._bench.clock.now() + micros(timedelta(**parts) if by is None else by)

    def _moment(self, at: datetime | str) -> int:
        target = moment(at)
        if target < self._bench.clock.now():
            raise ValueError(
                f"It is {self.now.isoformat()} by now, which is after {at}: time only goes forward."
            )
        return target


class Harness(Common):
    """For tests that are plain functions. What runs jobs answers the tries that ended meanwhile, by how they
    ended: ``{"done": 2, "failed": 1}``.
    """

    def run_due(self) -> dict[str, int]:
        """Run everything that is ready, and what that enqueues, until nothing is. No time passes."""
        return self._bench.drive(self._bench.driver.run_due)

    def start(self) -> dict[str, int]:
        """Start everything that is ready, and return when the handlers have begun: coroutines are at their
        first wait then, threads and child processes somewhere. They go on while time passes; :meth:`run_due`
        waits for them.
        """
        return self._bench.drive(self._bench.driver.start)

    def advance(
        self,
        by: Span | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> dict[str, int]:
        """Let time pass: ``"3d"``, ``"1h30m"``, seconds, a timedelta, or its parts. Everything that is due
        until then happens, each thing at its own time.
        """
        target = self._target(by, weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self._bench.drive(lambda: self._bench.driver.advance_to(target))

    def advance_to(self, at: datetime | str) -> dict[str, int]:
        """As :meth:`advance`, up to a moment with a zone."""
        target = self._moment(at)
        return self._bench.drive(lambda: self._bench.driver.advance_to(target))

    def run_until_idle(self, longest: Span = "3650d") -> dict[str, int]:
        """Let as much time pass as it takes until nothing is left to happen to any job that has not ended.
        Endless after ``longest``.
        """
        return self._bench.drive(lambda: self._bench.driver.run_until_idle(micros(longest)))

    def perform(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call one handler as a worker would, without a job; see :meth:`rota.testing.Trial.perform`."""
        return self.trial().perform(task, *args, **kwargs)


class AsyncHarness(Common):
    """For coroutines: coroutine handlers run on the test's own loop. As :class:`Harness`, awaited."""

    @classmethod
    def of(cls, harness: Harness) -> AsyncHarness:
        """Another face of the same."""
        return cls(harness._bench)

    async def run_due(self) -> dict[str, int]:
        """As :meth:`Harness.run_due`."""
        return await self._bench.adrive(self._bench.driver.run_due)

    async def start(self) -> dict[str, int]:
        """As :meth:`Harness.start`."""
        return await self._bench.adrive(self._bench.driver.start)

    async def advance(
        self,
        by: Span | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> dict[str, int]:
        """As :meth:`Harness.advance`."""
        target = self._target(by, weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        return await self._bench.adrive(lambda: self._bench.driver.advance_to(target))

    async def advance_to(self, at: datetime | str) -> dict[str, int]:
        """As :meth:`Harness.advance_to`."""
        target = self._moment(at)
        return await self._bench.adrive(lambda: self._bench.driver.advance_to(target))

    async def run_until_idle(self, longest: Span = "3650d") -> dict[str, int]:
        """As :meth:`Harness.run_until_idle`."""
        return await self._bench.adrive(lambda: self._bench.driver.run_until_idle(micros(longest)))

    async def perform(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As :meth:`Harness.perform`."""
        return await self.trial().aperform(task, *args, **kwargs)


def _name(task: TaskOrType) -> str:
    return task if isinstance(task, str) else task.name
