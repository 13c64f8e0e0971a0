"""The worker: takes jobs from a source, runs their handlers, reports how they ended.

Two event loops share the work. Handlers that are coroutines run on the loop that :meth:`Worker.run` was
called on, where programs keep what such handlers use (database pools, HTTP clients) and where signals arrive.
The connection, the heartbeats and every deadline live on a second loop in a thread of its own: a handler that
blocks its loop for a minute thus keeps its lease, and can be reported as timed out. Jobs and endings cross
over in batches.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress

from msgspec import UNSET

from rota.model.protocol import Hello, Sandbox
from rota.sdk import trace
from rota.sdk.app import App
from rota.sdk.desk import Desk
from rota.sdk.link import Link
from rota.sdk.processes import ProcessRunner
from rota.sdk.run import Runner
from rota.sdk.runners import Home, LoopRunner, ThreadRunner
from rota.sdk.source import Source
from rota.sdk.tasks import Kind

SLOTS = 16
GRACE = 30.0
CANCEL_GRACE = 3.0
"""Seconds that a cancelled ``run`` takes at most to hand its jobs back."""


class Worker:
    """Runs the tasks of an app.

    ``queues``: where to take jobs from, the first ones first; by default every queue that the app's tasks
    name. ``slots``: how many handlers run at once, of all kinds together. ``grace``: seconds that running
    handlers get when the worker is drained. ``name``: what people see, by default host:pid. ``same_loop``:
    everything on the loop of ``run``, for handlers that are known not to block; what the server's own worker
    does. ``sandbox``: what it holds programs of others with, which people are shown.

    A coroutine handler that is to end is cancelled; one in a child process is killed; one in a thread only
    learns it from ``ctx.cancelled``. When the timeout of a thread's handler passes, the job ends for the
    server at once, while the slot stays taken until the handler returns.
    """

    def __init__(
        self,
        app: App,
        source: Source,
        *,
        queues: Sequence[str] | None = None,
        slots: int = SLOTS,
        grace: float = GRACE,
        name: str | None = None,
        same_loop: bool = False,
        sandbox: Sandbox | None = None,
    ) -> None:
        if slots < 1:
            raise ValueError(f"slots must be 1 or more, not {slots}.")
        if grace < 0:
            raise ValueError(f"grace must be 0 or more seconds, not {grace}.")
        if isinstance(queues, str):
            raise TypeError(f"queues must be a list of names, not the string {queues!r}.")
        named = queues or sorted({task.defaults.queue or app.queue for task in app.all_tasks})
        self.id = uuid.uuid4().hex
        """Fresh for every worker, so that nobody mistakes it for one that was here before."""
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.queues = tuple(dict.fromkeys(named))
        self.slots = slots
        self._app = app
        self._source = source
        self._grace = grace
        self._same_loop = same_loop
        self._sandbox = sandbox
        # Re-entrant, as drain is called from signal handlers, which may interrupt each other.
        self._lock = threading.RLock()
        self._drains = 0
        self._link: Link | None = None
        self._network: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Work until drained. Cancelling it hands the running jobs back first, which takes a few seconds at
        most.

        Raises what the server refuses the worker with (Unauthorized, BadInput, ...), and TypeError for a task
        whose parameters cannot come from JSON. A server that cannot be reached is waited for.
        """
        if not self._app.all_tasks:
            raise ValueError("The app has no tasks: a worker would have nothing to do.")
        for task in self._app.all_tasks:
            task.signature.compile()
        home = Home.here()
        if self._same_loop:
            work: asyncio.Future[None] = asyncio.create_task(self._work(home))
        else:
            work = self._in_thread(home)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self.drain()
            self.drain()
            await asyncio.wait([work], timeout=CANCEL_GRACE)
            if work.done() and not work.cancelled():
                work.exception()
            work.cancel()
            raise

    def drain(self) -> None:
        """Take no more jobs and let :meth:`run` return once those in hand have ended, or after ``grace``
        seconds when the rest are stopped and handed back. The second call stops them at once.

        May be called from any thread and from signal handlers, before, during and after ``run``.
        """
        with self._lock:
            self._drains += 1
            if self._network is not None and self._link is not None:
                # Closed: the worker has ended already.
                with suppress(RuntimeError):
                    self._network.call_soon_threadsafe(self._link.drain)

    def _in_thread(self, home: Home) -> asyncio.Future[None]:
        ended: asyncio.Future[None] = home.loop.create_future()

        def tell(error: BaseException | None) -> None:
            if ended.done():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def network() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(self._work(home))
            except BaseException as caught:
                error = caught
            with suppress(RuntimeError):
                home.loop.call_soon_threadsafe(tell, error)

        threading.Thread(target=network, name="rota-network", daemon=True).start()
        return ended

    def _runners(self, home: Home, desk: Desk) -> dict[Kind, Runner]:
        tracing = trace.tracer()
        if tracing is None:
            return {
                "async": LoopRunner(home, desk),
                "thread": ThreadRunner(home, desk),
                "process": ProcessRunner(desk, self._app),
            }
        from rota.sdk import spans

        eyes = spans.Spans(tracing, self.name, desk)
        return {
            "async": spans.TracedLoopRunner(home, eyes),
            "thread": spans.TracedThreadRunner(home, eyes),
            "process": spans.TracedProcessRunner(eyes, self._app),
        }

    async def _work(self, home: Home) -> None:
        """The network side: on its own loop, or on that of the handlers."""
        from rota import __version__

        desk = Desk(self._app.tasks, self.slots, others=self._app.others)
        desk.runners = self._runners(home, desk)
        types = None if self._app.others is not None else tuple(sorted(self._app.tasks))
        about = {}
        if not self._same_loop:
            from rota.sdk.describing import describe

            about = describe(self._app.tasks.values())
        hello = Hello(
            self.id,
            self.queues,
            self.slots,
            types,
            self.name,
            __version__,
            sandbox=self._sandbox or UNSET,
            about=about or UNSET,
        )
        link = Link(desk, self._source, hello, self._grace)
        with self._lock:
            self._link, self._network = link, asyncio.get_running_loop()
            for _ in range(self._drains):
                link.drain()
        await link.run()
