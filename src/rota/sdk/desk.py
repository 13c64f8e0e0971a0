"""The desk: every job in the worker's hands, from the moment it comes in until its ending is answered.

Lives on one event loop, the worker's network loop. What is in hand here does not depend on whether there is a
connection: :mod:`rota.sdk.link` makes and loses those.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from rota.model.clock import Clock, SystemClock, to_text
from rota.model.protocol import Answer, Ending, Lease, Line, Progress, Stop, Work
from rota.sdk.endings import rejected, stopped, timed_out
from rota.sdk.run import Run, Runner
from rota.sdk.source import Files
from rota.sdk.tasks import Kind, Task
from rota.sdk.timers import Timers

log = logging.getLogger("rota.worker")

STOP_GRACE = 0.5
"""Seconds in which a stopped coroutine handler may clean up, before its end is reported for it."""
MOST_LINES = 20_000
"""Log lines kept while there is no connection."""
LOST = "earlier lines of this worker were lost"


def uptime() -> float:
    """Seconds on a clock that never jumps and also counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Desk:
    """Takes jobs, starts and stops their handlers, and collects their endings.

    ``slots``: how many handlers run at once. ``busy`` counts those that have not returned yet, including ones
    whose end was reported without waiting for them.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task[Any, Any]],
        slots: int,
        clock: Clock | None = None,
        others: Task[Any, Any] | None = None,
    ) -> None:
        self.slots = slots
        self.busy = 0
        self.held: dict[str, Run] = {}
        self.outbox: list[Ending] = []
        self.sending: dict[tuple[str, int], Ending] = {}
        self.mail = asyncio.Event()
        self.room = asyncio.Event()
        self.nudged = asyncio.Event()
        self.idle = asyncio.Event()
        self.runners: dict[Kind, Runner] = {}
        self.files: Files | None = None
        """Where the files of jobs come from and go to."""
        self.taking = True
        self._tasks = tasks
        self._others = others
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._timers = Timers(self._loop, self._due, lambda run: run.silent)
        self._posted: deque[tuple[Run, Ending | None]] = deque()
        self._post_told = False
        self._nudge_told = False
        self._late: list[Progress] = []
        self._lines: deque[Line] = deque()
        self._lines_lost = 0
        self._clock = clock or SystemClock()
        self._unknown: set[str] = set()
        self.idle.set()

    # What comes in

    def take(self, jobs: list[Work]) -> None:
        """Start handlers for these jobs, or hand the jobs back when this worker is draining."""
        now = uptime()
        kinds: dict[Kind, list[Run]] = {}
        for work in jobs:
            known = self.held.get(work.id)
            if known is not None:
                if known.lease == work.lease:
                    continue
                self.stop(known, "stale_lease")
            task = self._tasks.get(work.type, self._others)
            if task is None or not self.taking:
                if task is None and work.type not in self._unknown:
                    self._unknown.add(work.type)
                    log.error("handing back jobs of a type that is not ours", extra={"type": work.type})
                self._send(Ending(work.id, work.lease, "released"))
                continue
            run = self.held[work.id] = Run(work, task, self, now)
            if work.timeout is not None:
                self._timers.add(self._loop.time() + work.timeout, run)
            runs = kinds.get(task.kind)
            if runs is None:
                kinds[task.kind] = [run]
            else:
                runs.append(run)
            self.busy += 1
        if kinds:
            self.idle.clear()
        for kind, runs in kinds.items():
            self.runners[kind].start(runs)

    def stop(self, run: Run, reason: str) -> None:
        """Ask a handler to end. A lost lease outweighs all other reasons; among those the first one stays."""
        if run.silent or (run.stop is not None and reason != "stale_lease"):
            return
        asked_before = run.stop is not None
        run.stop = reason
        if reason == "stale_lease":
            self._silence(run)
        if not asked_before:
            self.runners[run.task.kind].stop(run)
        self._look_idle()

    def stop_named(self, stops: list[Stop]) -> None:
        """Stop requests of the server; those that mean jobs we no longer have are passed over."""
        for one in stops:
            run = self.held.get(one.id)
            if run is not None and run.lease == one.lease:
                self.stop(run, one.reason)

    def release_all(self) -> None:
        """Stop everything that still runs and hand the jobs back; those that do not stop soon are handed back
        all the same, as the worker is about to end.
        """
        for run in list(self.held.values()):
            self.stop(run, "released")
        self._loop.call_later(STOP_GRACE, self._give_back)

    def overdue_leases(self, proved: float, lease: float, margin: float) -> list[Run]:
        """Runs whose lease has ended: it was last extended at ``proved``, or given (``margin`` before)
        ``since``.
        """
        now = uptime()
        return [run for run in self.held.values() if max(proved, run.since - margin) + lease <= now]

    # What handlers ask and tell (from any thread)

    def now(self) -> int:
        """The time, in microseconds since 1970-01-01 UTC."""
        return self._clock.now()

    def post(self, ended: list[tuple[Run, Ending | None]]) -> None:
        """Handlers have returned."""
        self._posted.extend(ended)
        if not self._post_told:
            self._post_told = True
            self._call(self._collect)

    def nudge(self) -> None:
        """There is news of progress, or a log line."""
        if not self._nudge_told:
            self._nudge_told = True
            self._call(self.nudged.set)

    def say(self, run: Run, level: str, text: str) -> None:
        """A log line. When too many wait, the oldest are lost, and a line says so."""
        self._lines.append(Line(run.id, text, level, to_text(self._clock.now())))
        if len(self._lines) > MOST_LINES:
            try:
                self._lines.popleft()
                self._lines_lost += 1
            except IndexError:
                pass
        self.nudge()

    async def read_upload(self, run: Run, path: Path) -> None:
        """The file that came with the job."""
        assert self.files is not None
        await self._here(self.files.read_upload(run.hold(), path))

    async def keep_artifact(self, run: Run, path: Path) -> None:
        """A file to keep with the job."""
        assert self.files is not None
        await self._here(self.files.keep_artifact(run.hold(), path))

    # What goes out

    def leases(self) -> list[Lease]:
        """Everything that runs."""
        return [Lease(run.id, run.lease) for run in self.held.values()]

    def unanswered(self) -> list[Lease]:
        """Jobs that have ended here while the server does not know it yet."""
        endings = [*self.outbox, *self.sending.values()]
        return [Lease(ending.id, ending.lease) for ending in endings]

    @property
    def talkative(self) -> bool:
        """Whether there are news of progress or log lines to send."""
        return self._nudge_told or bool(self._late) or bool(self._lines)

    def news(self) -> list[Progress]:
        """Progress since the last call. Each run's newest value is told at least once."""
        self.nudged.clear()
        self._nudge_told = False
        found, self._late = self._late, []
        for run in self.held.values():
            news = run.news
            if news is not None and news is not run.sent:
                run.sent = news
                found.append(news)
        return found

    def lines(self, most: int = 1_000) -> list[Line]:
        """The next log lines; give them back with :meth:`unsaid` when they could not be sent."""
        found: list[Line] = []
        while self._lines and len(found) < most:
            found.append(self._lines.popleft())
        if found and self._lines_lost:
            told = f"({self._lines_lost} {LOST})"
            found.insert(0, Line(found[0].id, told, "warning", found[0].at))
            self._lines_lost = 0
        return found

    def unsaid(self, lines: list[Line]) -> None:
        """These lines were not sent."""
        self._lines.extendleft(reversed(lines))

    def endings(self) -> list[Ending]:
        """All endings that wait to be reported; each is kept until :meth:`answered` or :meth:`unsent`."""
        batch, self.outbox = self.outbox, []
        self.mail.clear()
        for ending in batch:
            self.sending[ending.id, ending.lease] = ending
        return batch

    def answered(self, batch: list[Ending], answers: list[Answer]) -> None:
        """The server's answers, in order."""
        stale = 0
        for ending, answer in zip(batch, answers, strict=True):
            self.sending.pop((ending.id, ending.lease), None)
            if answer.applied:
                continue
            if answer.code == "stale_lease":
                stale += 1
            else:
                self.refused(ending, answer.detail or answer.code or "no reason given")
        if stale:
            log.warning("jobs that ended here were not ours any more", extra={"jobs": stale})
        self._look_idle()

    def refused(self, ending: Ending, why: str) -> None:
        """An ending that the server will never take. A result it does not like becomes a failure."""
        self.sending.pop((ending.id, ending.lease), None)
        if ending.end == "done":
            self._send(rejected(ending.id, ending.lease, why))
        else:
            log.error("the server refused an ending", extra={"job": ending.id, "end": ending.end, "why": why})
            self._look_idle()

    def unsent(self, batch: list[Ending]) -> None:
        """No answer came; these endings are to be reported again."""
        for ending in batch:
            self.sending.pop((ending.id, ending.lease), None)
        self.outbox[:0] = batch
        self.mail.set()

    async def close(self) -> None:
        """Stop the runners. Call once everything has ended, or must end now."""
        self._timers.close()
        for runner in self.runners.values():
            await runner.close()

    # Inside

    def _call(self, function: object) -> None:
        assert callable(function)
        if threading.get_ident() == self._thread:
            self._loop.call_soon(function)
        else:
            try:
                self._loop.call_soon_threadsafe(function)
            except RuntimeError:
                # The worker has ended while a thread of it went on.
                log.warning("a handler returned after its worker had ended")

    async def _here(self, transfer: Coroutine[Any, Any, None]) -> None:
        """Carried out on the desk's loop, whichever loop it is awaited on."""
        if threading.get_ident() == self._thread:
            await transfer
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(transfer, self._loop))

    def _collect(self) -> None:
        # The flag goes down first: who posts after this calls again, who posted before is found below.
        self._post_told = False
        posted, held, outbox = self._posted, self.held, self.outbox
        for _ in range(len(posted)):
            run, ending = posted.popleft()
            self.busy -= 1
            if run.silent:
                continue
            run.silent = True
            del held[run.id]
            if ending is not None:
                outbox.append(ending)
                if run.news is not None and run.news is not run.sent:
                    self._late.append(run.news)
        if outbox:
            self.mail.set()
        self.room.set()
        self._look_idle()

    def _due(self, run: Run) -> None:
        """The run's timeout has passed, or its time to clean up after that."""
        if run.stop is None:
            self.stop(run, "timeout")
            if run.task.kind != "thread":
                self._timers.add(self._loop.time() + STOP_GRACE, run)
                return
        if run.stop == "timeout":
            where = self.runners[run.task.kind].where(run)
            self._silence(run)
            self._send(timed_out(run.id, run.lease, run.work.timeout, where))

    def _give_back(self) -> None:
        for run in list(self.held.values()):
            ending = stopped(run.id, run.lease, run.stop or "released", run.work.timeout)
            self._silence(run)
            if ending is not None:
                self._send(ending)
        self._look_idle()

    def _silence(self, run: Run) -> None:
        run.silent = True
        if self.held.get(run.id) is run:
            del self.held[run.id]

    def _send(self, ending: Ending) -> None:
        self.idle.clear()
        self.outbox.append(ending)
        self.mail.set()

    def _look_idle(self) -> None:
        if not self.held and not self.outbox and not self.sending:
            self.idle.set()
