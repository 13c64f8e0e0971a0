"""Events of jobs, from the log of the store to a topic: at least once, and those of each job in order.

Several servers share a feed: one at a time has it (:meth:`rota.engines.base.Engine.read_events`), another
takes it when that one is gone. Events leave the log when the broker has acknowledged them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time

import msgspec

from rota.core.service import Service
from rota.edges.kafka import Cluster
from rota.edges.kafka_records import record
from rota.edges.kafka_sender import Refused, Sender, TooLarge
from rota.model.clock import SECOND
from rota.model.errors import StoreError
from rota.model.event import EventKind

log = logging.getLogger("rota.kafka")

FEED = "kafka"
HOLD = 10.0
"""Seconds after which another server follows one that is gone."""
_MOST = 1000
"""Events in one transaction."""
_PACE, _IDLE = 0.05, 0.2
"""Seconds between two transactions that are not full, and between two looks where nothing waits."""
_AGAIN = 2.0
"""Seconds before another try after the broker has said no."""
_LONGEST = 1_000_000
"""Bytes of a record where ``message.max.bytes`` says nothing else: what brokers take."""
_MARGIN = 10_000
_SHORTEST = 2_000


class Out(msgspec.Struct, frozen=True):
    """Where events go, which, and how many may wait."""

    cluster: Cluster
    topic: str
    events: tuple[EventKind, ...]
    backlog: int

    @property
    def longest(self) -> int:
        """Bytes of a record's value."""
        return max(_SHORTEST, int(self.cluster.options.get("message.max.bytes", _LONGEST)) - _MARGIN)


async def want(service: Service, out: Out) -> Publisher:
    """Switch the feed on, before the server serves; what is to run then."""
    feed = await service.feeds.want(FEED, out.events, out.backlog, out.longest)
    return Publisher(service, out, f"rota-{FEED}-{feed.token}")


class Publisher:
    """One server's part in it."""

    def __init__(self, service: Service, out: Out, transactions: str) -> None:
        self._service = service
        self._engine = service.engine
        self._feeds = service.feeds
        self._out = out
        self._transactions = transactions
        self._owner = secrets.token_hex(8)
        self._longest = out.longest
        self._until = 0.0
        """Until when, by the steady clock, the feed is ours."""

    async def run(self) -> None:
        """Until cancelled; no trouble with the broker or the store ends it."""
        try:
            while True:
                try:
                    await self._turn()
                except StoreError as error:
                    self._feeds.fares(FEED, "away", f"the store: {error.detail}")
                    await asyncio.sleep(1)
                except Exception:
                    log.exception("passing events on failed")
                    await asyncio.sleep(_AGAIN)
        finally:
            # Whoever waits for it need not wait until it is over.
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(1):
                    now = self._service.clock.now()
                    await self._engine.read_events(FEED, self._owner, now, 0, now)

    async def _turn(self) -> None:
        """Have the feed, for as long as that lasts."""
        if not await self._hold():
            self._feeds.fares(FEED, "standby")
            await asyncio.sleep(HOLD / 5)
            return
        tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._publish())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _hold(self) -> bool:
        began, now = time.monotonic(), self._service.clock.now()
        until = now + int(HOLD * SECOND)
        held = (await self._engine.read_events(FEED, self._owner, until, 0, now)).until
        if held is not None:
            self._until = began + (held - now) / SECOND
        return held is not None

    def _still(self) -> bool:
        return time.monotonic() < self._until

    async def _keep(self) -> None:
        """Keep the feed while the broker takes its time; ends when it is not ours any more."""
        while self._still():
            await asyncio.sleep(HOLD / 4)
            try:
                if not await self._hold():
                    return
            except StoreError:
                # It may be back before the hold is over.
                await asyncio.sleep(0.2)

    async def _publish(self) -> None:
        """Ends when the feed is not ours any more."""
        while self._still():
            try:
                sender = Sender(
                    self._out.cluster, self._out.topic, self._transactions, self._longest, self._away
                )
                try:
                    await sender.open()
                    await self._pass_on(sender)
                    return
                finally:
                    sender.close()
            except TooLarge:
                self._longest = max(_SHORTEST, self._longest // 2)
                log.warning("the topic takes shorter records only", extra={"bytes": self._longest})
                if self._longest > _SHORTEST:
                    continue
                self._feeds.fares(FEED, "refused", "records are too large for the topic")
            except Refused as error:
                self._feeds.fares(FEED, "refused", str(error))
            await asyncio.sleep(_AGAIN)

    async def _pass_on(self, sender: Sender) -> None:
        while self._still():
            now = self._service.clock.now()
            until = now + int(HOLD * SECOND)
            reading = await self._engine.read_events(FEED, self._owner, until, _MOST, now)
            if reading.until is None:
                return
            events = reading.events
            self._feeds.fares(FEED, "publishing")
            if not events:
                await asyncio.sleep(_IDLE)
                continue
            records = [record(event, self._longest) for event in events]
            if not await sender.send(records, self._still):
                return
            if not await self._engine.drop_events(FEED, self._owner, [event.n for event in events]):
                return
            self._feeds.passed[FEED] += len(events)
            self._feeds.cut[FEED] += sum(one.cut for one in records)
            if len(events) < _MOST:
                await asyncio.sleep(_PACE)

    def _away(self, why: str) -> None:
        self._feeds.fares(FEED, "away", why)
