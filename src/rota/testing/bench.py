"""Threads: the service's loop in one, the handlers' loop where the test is, and whoever calls in between.

The service has a thread of its own, so that a blocking call from anywhere (the test, a handler in a thread, a
coroutine) can wait for it. It never waits for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from rota.engines.open import open_engine
from rota.model.clock import SECOND, ManualClock
from rota.model.protocol import Ending
from rota.sdk.address import find_urls
from rota.sdk.app import App
from rota.sdk.calls import Answer, Call
from rota.sdk.processes import ProcessRunner
from rota.sdk.run import Ears, Run
from rota.sdk.runners import Home, LoopRunner, ThreadRunner, call
from rota.sdk.standin import stand_ins
from rota.sdk.tasks import Task
from rota.testing.driver import Driver, Stalled
from rota.testing.hands import OTHERS, stages
from rota.testing.loop import VirtualLoop
from rota.testing.replies import Replies

T = TypeVar("T")

MEMORY = "/dev/shm"  # noqa: S108
"""Files here cost no disk, where there is such a place."""


class InlineRunner:
    """Plain handlers in the thread that moves the time: the test's own."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self.put: Callable[[Callable[[], None]], None] = lambda handler: handler()
        self.inside: set[int] = set()
        """Threads in which a handler runs."""

    def start(self, runs: list[Run]) -> None:
        for run in runs:
            self.put(partial(self._run, run))

    def stop(self, run: Run) -> None:
        """The handler sees ``run.stop`` through its context."""

    def where(self, run: Run) -> str | None:
        return None

    async def close(self) -> None:
        return None

    def _run(self, run: Run) -> None:
        thread, outermost = threading.get_ident(), threading.get_ident() not in self.inside
        self.inside.add(thread)
        try:
            ending: Ending | None = contextvars.copy_context().run(call, run)
        finally:
            if outermost:
                self.inside.discard(thread)
        self._ears.post([(run, ending)])


class RealTimeProcessRunner(ProcessRunner):
    """Children live in real time, whatever the clock here says."""

    def later(self, seconds: float, function: Callable[..., object], *args: Any) -> None:
        loop = asyncio.get_running_loop()

        def call() -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(function, *args)

        timer = threading.Timer(seconds, call)
        timer.daemon = True
        timer.start()


class Bench:
    """One service in its thread, in the place of the servers of some apps. A :class:`StandIn`."""

    def __init__(
        self,
        apps: Sequence[App],
        *,
        start: int,
        slots: int,
        queues: Sequence[str] | None,
        threads: bool,
        processes: bool,
        patience: float,
        limit: int,
        told: Callable[[int], object],
    ) -> None:
        self.apps = apps
        self.clock = ManualClock(start)
        self.threads = threads
        self.processes = processes
        self.driver: Driver
        self._start = start
        self._patience = patience
        self._tasks = _tasks(apps)
        self._make: Callable[..., Driver] = partial(
            Driver, queues=queues, slots=slots, processes=processes, limit=limit, told=told
        )
        self._urls = [url for app in apps for url in find_urls(app.url)]
        self._loop: VirtualLoop
        self._thread: threading.Thread | None = None
        self._leave: asyncio.Event
        self._replies: Replies
        self._home: _HomeThread | None = None
        self._home_loop: asyncio.AbstractEventLoop | None = None
        self._inline: InlineRunner | None = None
        self._context = contextvars.copy_context()

    def open(self) -> None:
        """Start, and take the place of the servers."""
        for url in self._urls:
            if url in stand_ins:
                raise RuntimeError(
                    f"Another rota.testing.run is active for the server at {url}; name all apps in one: "
                    "run(app, other)."
                )
        ready: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="rota-testing", daemon=True)
        self._thread.start()
        error = ready.get()
        if error is not None:
            self._thread.join()
            raise error
        for url in self._urls:
            stand_ins[url] = self

    def close(self) -> None:
        """Undo everything. Handlers that still run are told to stop."""
        for url in self._urls:
            if stand_ins.get(url) is self:
                del stand_ins[url]
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._leave.set)
            self._thread.join()
        if self._home is not None:
            self._home.close()

    def read(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Have something done on the service's loop, and wait for it."""
        if self._thread is None or not self._thread.is_alive():
            raise RuntimeError("This test harness is closed.")
        if threading.current_thread() is self._thread:
            raise RuntimeError("The service cannot call itself; do this in the test or in a handler.")
        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result()

    # A stand-in for a server

    def send(self, call: Call[Any]) -> Answer:
        if not call.wait:
            return self.read(lambda: self._replies.answer(call))
        if _running_loop() is not None and _running_loop() is self._home_loop:
            raise RuntimeError(
                "This wait would block the event loop that handlers run on; await it (aresult and the like)."
            )
        return self.drive(lambda: self._replies.answer(call))

    async def asend(self, call: Call[Any]) -> Answer:
        if call.wait:
            return await self.adrive(lambda: self._replies.answer(call))
        if self._thread is None or not self._thread.is_alive():
            raise RuntimeError("This test harness is closed.")
        # A server would carry it out, too, when nobody waits for the answer any more.
        made = asyncio.run_coroutine_threadsafe(self._replies.answer(call), self._loop)
        return await asyncio.shield(asyncio.wrap_future(made))

    def uptime(self) -> float:
        return (self.clock.now() - self._start) / SECOND

    # Moving time

    def drive(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """As :meth:`read`, for what may run handlers. They get a loop of their own."""
        if self._thread is None or not self._thread.is_alive():
            raise RuntimeError("This test harness is closed.")
        inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        mine = self._inline is not None and threading.get_ident() in self._inline.inside
        future = asyncio.run_coroutine_threadsafe(self._with_home(ask, None, inbox.put, mine), self._loop)
        future.add_done_callback(lambda _: inbox.put(None))
        seen = -1
        try:
            while True:
                try:
                    handler = inbox.get(timeout=self._patience)
                except Empty:
                    seen = self._look(seen)
                    continue
                if handler is None:
                    return future.result()
                handler()
        except BaseException:
            # Only this call ends: it may be a handler's wait, which is no reason to end what runs handlers.
            future.cancel()
            raise

    async def adrive(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """As :meth:`drive`, awaited; handlers run on the loop that it is awaited on."""
        if self._thread is None or not self._thread.is_alive():
            raise RuntimeError("This test harness is closed.")
        home = Home.here()

        def put(handler: Callable[[], None]) -> None:
            home.loop.call_soon_threadsafe(handler)

        made = asyncio.run_coroutine_threadsafe(self._with_home(ask, home, put), self._loop)
        future = asyncio.wrap_future(made)
        seen = -1
        try:
            while not (await asyncio.wait([future], timeout=self._patience))[0]:
                seen = self._look(seen)
        except BaseException:
            # Only this call ends: it may be a handler's wait, which is no reason to end what runs handlers.
            future.cancel()
            raise
        return future.result()

    # Inside

    def _serve(self, ready: SimpleQueue[BaseException | None]) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: VirtualLoop(self.clock)) as runner:
                runner.run(self._live(ready))
        except BaseException as error:
            ready.put(error)

    async def _live(self, ready: SimpleQueue[BaseException | None]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop, self._leave = loop, asyncio.Event()
        place = tempfile.mkdtemp(prefix="rota-testing-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        try:
            engine = await open_engine(f"sqlite:///{place}/rota.db")
            self.driver = self._make(loop, self.clock, engine, self._tasks)
            self._replies = Replies(self.driver)
            await self.driver.open(_queues(self.apps))
            self._set_runners()
            ready.put(None)
            await self._leave.wait()
            await self.driver.close()
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _set_runners(self) -> None:
        desk = self.driver.hands.desk
        here = Home(self._loop, threading.get_ident(), self._context)
        self._inline = None if self.threads else InlineRunner(desk)
        desk.runners = stages(
            self.driver.hands,
            {
                "async": LoopRunner(here, desk),
                "thread": self._inline or ThreadRunner(here, desk),
                "process": RealTimeProcessRunner(desk, self.apps[0]),
            },
        )

    async def _with_home(
        self,
        ask: Callable[[], Coroutine[Any, Any, T]],
        home: Home | None,
        put: Callable[[Callable[[], None]], None],
        mine: bool = False,
    ) -> T:
        """With handlers at ``home``, or on a loop of their own."""
        desk = self.driver.hands.desk
        if not self.driver.driving:
            if home is None and any(task.is_async for task in self._tasks.values()):
                self._home = self._home or _HomeThread()
                home = Home(self._home.loop, self._home.ident, self._context)
            if home is not None and home.loop is not self._home_loop:
                self._home_loop = home.loop
                desk.runners |= stages(self.driver.hands, {"async": LoopRunner(home, desk)})
        if self._inline is None or (self.driver.driving and not mine):
            return await ask()
        # Of two calls in one thread, the inner one is the one that can run handlers.
        before, self._inline.put = self._inline.put, put
        try:
            return await ask()
        finally:
            self._inline.put = before

    def _look(self, seen: int) -> int:
        """Called when patience has run out: go on if something has happened since the last time."""
        progress = self.driver.progress
        if progress == seen:
            running = self.driver.running()
            self._give_up(
                Stalled(
                    f"Nothing has happened for {self._patience:g} s of real time"
                    + (f", while {running} ran" if running else "")
                    + ". A handler that sleeps or waits really does; for one that is meant to hang there are "
                    "t.start() and t.stuck(task)."
                )
            )
        return progress

    def _give_up(self, error: BaseException) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.driver.give_up, error)


class _HomeThread:
    """A loop for coroutine handlers of tests that have none."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.loop.call_soon(ready.set)
        self._thread = threading.Thread(target=self._run, name="rota-testing-home", daemon=True)
        self._thread.start()
        ready.wait()
        self.ident = self._thread.ident or 0

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.get_loop().run_forever()


def _tasks(apps: Sequence[App]) -> Mapping[str, Task[Any, Any]]:
    tasks: dict[str, Task[Any, Any]] = {}
    for app in apps:
        for name, task in app.tasks.items():
            if tasks.setdefault(name, task) is not task:
                raise ValueError(f"Two of the apps have a task {name!r}; a server could not tell them apart.")
            task.signature.compile()
        if app.others is not None:
            if tasks.setdefault(OTHERS, app.others) is not app.others:
                raise ValueError("Two of the apps have a fallback; a server could not tell them apart.")
            app.others.signature.compile()
    return tasks


def _queues(apps: Sequence[App]) -> list[str]:
    named = {app.queue for app in apps}
    named |= {task.defaults.queue or app.queue for app in apps for task in app.all_tasks}
    return sorted(named)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
