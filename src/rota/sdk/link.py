"""The link between a worker's desk and the server: connect, claim, report, beat, and connect again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from rota.model.errors import BadInput, Unavailable
from rota.model.protocol import Ending, Hello, Welcome
from rota.sdk.desk import Desk, uptime
from rota.sdk.source import Disconnected, Source

log = logging.getLogger("rota.worker")

SENDERS = 4
"""Reports that may be under way at once."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
NEWS_PAUSE = 0.2
"""Seconds between two reports of progress or log lines."""
TELL = 2.0
"""Seconds in which the server should confirm that it sends no more jobs."""
GIVE_UP = 5.0
"""Seconds that a worker which has to stop at once goes on trying to report how its jobs ended."""


class Link:
    """Keeps a desk and a source together until the worker is drained.

    Losing the connection stops nothing: handlers go on, endings wait, and ``open`` names what is still in
    hand. Only when a lease has certainly ended (by this machine's clock, counted from before the last
    heartbeat that is known to have arrived) is its handler stopped, since somebody else may run the job by
    then.
    """

    def __init__(self, desk: Desk, source: Source, hello: Hello, grace: float) -> None:
        self._desk = desk
        desk.files = source
        self._source = source
        self._hello = hello
        self._grace = grace
        self._loop = asyncio.get_running_loop()
        self._welcome: Welcome | None = None
        self._proved = 0.0
        self._drains = 0
        self._tries = 0
        self._missed = False
        self._drain = asyncio.Event()
        self._told = asyncio.Event()
        self._leave = asyncio.Event()
        self._timers: list[asyncio.TimerHandle] = []

    def drain(self) -> None:
        """Take no more jobs, and end when those in hand have ended or ``grace`` seconds have passed. The
        second call does not wait.
        """
        self._drains += 1
        if self._drains == 1:
            log.info("draining", extra={"grace": self._grace, "running": len(self._desk.held)})
            self._desk.taking = False
            self._desk.room.set()
            self._later(self._grace, self._time_is_up)
            self._drain.set()
        elif self._drains == 2:
            self._time_is_up()

    async def run(self) -> None:
        """Until drained. Raises what the server refuses the worker with."""
        main = asyncio.create_task(self._connections())
        others = [asyncio.create_task(loop()) for loop in (self._fence, self._until_drained)]
        leave = asyncio.create_task(self._leave.wait())
        try:
            await asyncio.wait({main, leave}, return_when=asyncio.FIRST_COMPLETED)
            if main.done():
                await main
        finally:
            self._leave.set()
            for timer in self._timers:
                timer.cancel()
            for task in (main, leave, *others):
                task.cancel()
            await asyncio.gather(main, leave, *others, return_exceptions=True)
            with suppress(Disconnected, Unavailable):
                await self._source.close()
            await self._desk.close()

    async def _connections(self) -> None:
        """Connect (as often as it takes), work until the connection is lost, and again."""
        while True:
            asked = uptime()
            try:
                await self._open()
                asked = uptime()
                await _all(self._loops())
            except (Disconnected, Unavailable) as error:
                if uptime() - asked > 2 * LONGEST_PAUSE:
                    self._tries = 0
                if not self._missed:
                    self._missed = True
                    why = str(error) or type(error).__name__
                    log.warning("no connection", extra={"why": why, "running": len(self._desk.held)})
            if self._leave.is_set():
                # A group forgets that it was cancelled when one of its tasks fails on the way out.
                return
            # Full jitter: a fleet that lost its server together must not come back together.
            await asyncio.sleep(random.uniform(0.0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._tries)))
            self._tries += 1

    async def _open(self) -> None:
        held = (*self._desk.leases(), *self._desk.unanswered())
        self._welcome = await self._source.open(msgspec.structs.replace(self._hello, held=held))
        self._missed = False
        log.info("connected", extra={"worker": self._hello.worker, "as": self._hello.name})
        self._desk.taking = not self._drains

    def _loops(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self._claim,
            self._beat,
            self._stops,
            self._server_drain,
            self._tell_drain,
            *([self._report] * SENDERS),
        ]

    async def _claim(self) -> None:
        desk, claim = self._desk, self._source.claim
        while True:
            # Draining, there is room for what was under way: it is handed back.
            while desk.taking and desk.busy >= desk.slots:
                desk.room.clear()
                await desk.room.wait()
            desk.take(await claim(max(1, desk.slots - desk.busy)))

    async def _report(self) -> None:
        desk = self._desk
        while True:
            while not desk.outbox:
                desk.mail.clear()
                await desk.mail.wait()
            batch = desk.endings()
            try:
                # What a handler said comes before its end.
                if desk.talkative:
                    await self._say()
                await self._finish(batch)
            except BaseException:
                desk.unsent([ending for ending in batch if (ending.id, ending.lease) in desk.sending])
                raise

    async def _finish(self, batch: list[Ending]) -> None:
        try:
            answers = await self._source.finish(batch)
        except BadInput as error:
            # The whole report was refused because of something in it: find out what.
            if len(batch) == 1:
                self._desk.refused(batch[0], error.detail)
                return
            middle = len(batch) // 2
            await self._finish(batch[:middle])
            await self._finish(batch[middle:])
        else:
            self._desk.answered(batch, answers)

    async def _say(self) -> None:
        desk = self._desk
        news = desk.news()
        if news:
            await self._source.extend([], news)
        while lines := desk.lines():
            try:
                await self._source.log(lines)
            except BadInput as error:
                log.error("the server refused log lines", extra={"why": error.detail})
            except BaseException:
                desk.unsaid(lines)
                raise

    async def _beat(self) -> None:
        desk = self._desk
        assert self._welcome is not None
        every = self._welcome.beat
        while True:
            now = uptime()
            due = now + every
            desk.stop_named(await self._source.extend(desk.leases(), desk.news()))
            self._proved = now
            if desk.talkative:
                await self._say()
            while (left := due - uptime()) > 0:
                try:
                    async with asyncio.timeout(left):
                        await desk.nudged.wait()
                except TimeoutError:
                    break
                await self._say()
                await asyncio.sleep(min(NEWS_PAUSE, max(0.0, due - uptime())))

    async def _stops(self) -> None:
        while True:
            self._desk.stop_named(await self._source.stops())

    async def _fence(self) -> None:
        """Stops handlers whose lease has ended. Asleep at most a second at a time, as a sleeping machine's
        timers come late.
        """
        while True:
            welcome, left = self._welcome, 1.0
            if welcome is not None:
                lost = self._desk.overdue_leases(self._proved, welcome.lease, welcome.beat)
                if lost:
                    log.warning("leases ended without a connection", extra={"stopping": len(lost)})
                for run in lost:
                    self._desk.stop(run, "stale_lease")
                left = self._proved + welcome.lease - uptime()
            await asyncio.sleep(min(1.0, max(0.05, left)))

    async def _server_drain(self) -> None:
        """Somebody at the server wants this worker to leave."""
        await self._source.drained.wait()
        if not self._drains:
            self.drain()

    async def _tell_drain(self) -> None:
        await self._drain.wait()
        await self._source.drain()
        self._told.set()

    async def _until_drained(self) -> None:
        await self._drain.wait()
        if self._welcome is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL):
                    await self._told.wait()
        # Jobs that came just before are handed back in the next ticks of the loop.
        await asyncio.sleep(0.01)
        while True:
            await self._desk.idle.wait()
            with suppress(Disconnected, Unavailable, TimeoutError):
                async with asyncio.timeout(TELL):
                    await self._say()
            if self._desk.idle.is_set():
                break
        self._leave.set()

    def _time_is_up(self) -> None:
        if self._desk.held:
            log.warning("handing back running jobs", extra={"jobs": len(self._desk.held)})
        self._desk.release_all()
        self._later(GIVE_UP, self._give_up)

    def _give_up(self) -> None:
        waiting = len(self._desk.unanswered())
        log.error("leaving with endings that could not be reported", extra={"jobs": waiting})
        self._leave.set()

    def _later(self, delay: float, function: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(delay, function))


async def _all(loops: list[Callable[[], Awaitable[None]]]) -> None:
    """Run all until one raises, then stop the others. The error comes as it is, not as a group."""

    async def call(loop: Callable[[], Awaitable[None]]) -> None:
        await loop()

    try:
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(call(loop))
    except BaseExceptionGroup as group_error:
        # Any other error matters more than a lost connection, which it may well have caused.
        errors = list(_leaves(group_error))
        errors.sort(key=lambda error: isinstance(error, Disconnected | Unavailable))
        raise errors[0] from None


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
