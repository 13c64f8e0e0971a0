"""Handlers on an event loop and handlers in threads."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
from queue import SimpleQueue
from typing import Any, NamedTuple

from rota.model.protocol import Ending
from rota.sdk.endings import done, prepare, raised, stack_of, stopped
from rota.sdk.run import Ears, Run

log = logging.getLogger("rota.worker")


class Home(NamedTuple):
    """Where the program called ``run``: handlers find its event loop and its context variables there."""

    loop: asyncio.AbstractEventLoop
    thread: int
    context: contextvars.Context

    @classmethod
    def here(cls) -> Home:
        return cls(asyncio.get_running_loop(), threading.get_ident(), contextvars.copy_context())


class LoopRunner:
    """Coroutine handlers, one asyncio task each, at home; ``start`` and ``stop`` may come from another
    thread.

    All that end in one tick of the loop are posted together.
    """

    def __init__(self, home: Home, ears: Ears) -> None:
        self._home = home
        self._loop = home.loop
        self._ears = ears
        self._live: set[Run] = set()
        self._ended: list[tuple[Run, Ending | None]] = []

    def start(self, runs: list[Run]) -> None:
        if threading.get_ident() == self._home.thread:
            self._start(runs)
        else:
            self._loop.call_soon_threadsafe(self._start, runs, context=self._home.context)

    def stop(self, run: Run) -> None:
        self._loop.call_soon_threadsafe(self._cancel, run)

    def where(self, run: Run) -> str | None:
        return None

    async def close(self) -> None:
        """Cancel what still runs."""
        self._loop.call_soon_threadsafe(self._cancel_all)

    def _start(self, runs: list[Run]) -> None:
        create, handle, live = self._loop.create_task, self._handle, self._live
        for run in runs:
            # The loop itself holds tasks weakly.
            run.handle = create(handle(run))
            live.add(run)

    def _cancel_all(self) -> None:
        for run in self._live:
            self._cancel(run)

    def _cancel(self, run: Run) -> None:
        # A task that has not begun looks at run.stop itself: cancelled before its first step, it would never
        # run.
        if run.begun and isinstance(run.handle, asyncio.Task):
            run.handle.cancel()

    async def _handle(self, run: Run) -> None:
        ending: Ending | None
        run.begun = True
        try:
            if run.stop is not None:
                ending = stopped(run.id, run.lease, run.stop, run.work.timeout)
            else:
                args, named = prepare(run.task, run.work, run)
                value = await run.task.function(*args, **named)
                ending = done(run.id, run.lease, value)
        except BaseException as error:
            ending = raised(run.id, run.lease, error, run.stop, run.work.timeout)
            if isinstance(error, KeyboardInterrupt):
                # Somebody presses Ctrl-C for the second time: let it through.
                raise
        finally:
            self._live.discard(run)
        self._ended.append((run, ending))
        if len(self._ended) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        ended, self._ended = self._ended, []
        self._ears.post(ended)


class ThreadRunner:
    """Plain handlers, in threads that are started as they are needed and then kept.

    A thread cannot be stopped from outside: its handler sees ``ctx.cancelled``, and the slot stays taken
    until it returns. The threads are daemons, so that one that never returns does not keep the program from
    ending.
    """

    def __init__(self, home: Home, ears: Ears) -> None:
        self._ears = ears
        self._queue: SimpleQueue[Run | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0
        self._lock = threading.Lock()
        self._context = home.context

    def start(self, runs: list[Run]) -> None:
        with self._lock:
            self._busy += len(runs)
            busy = self._busy
        for run in runs:
            self._queue.put(run)
        while self._threads < busy:
            name = f"rota-handler-{self._threads + 1}"
            try:
                threading.Thread(target=self._work, name=name, daemon=True).start()
            except RuntimeError:
                if not self._threads:
                    raise
                # The machine gives no more; those there are will do.
                log.warning("no further thread could be started", extra={"threads": self._threads})
                break
            self._threads += 1

    def stop(self, run: Run) -> None:
        """The handler sees ``run.stop`` through its context."""

    def where(self, run: Run) -> str | None:
        frame = sys._current_frames().get(run.handle) if isinstance(run.handle, int) else None
        return None if frame is None else stack_of(frame)

    async def close(self) -> None:
        for _ in range(self._threads):
            self._queue.put(None)

    def _work(self) -> None:
        get, post, context = self._queue.get, self._ears.post, self._context
        ident = threading.get_ident()
        while (run := get()) is not None:
            run.handle = ident
            # Each handler has context variables of its own.
            ending = context.copy().run(self._call, run)
            run.handle = None
            with self._lock:
                self._busy -= 1
            post([(run, ending)])
            del run

    def _call(self, run: Run) -> Ending | None:
        return call(run)


def call(run: Run) -> Ending | None:
    """Run a plain handler here and now."""
    try:
        if run.stop is not None:
            return stopped(run.id, run.lease, run.stop, run.work.timeout)
        args, named = prepare(run.task, run.work, run)
        value: Any = run.task.function(*args, **named)
        return done(run.id, run.lease, value)
    except BaseException as error:
        return raised(run.id, run.lease, error, run.stop, run.work.timeout)
