"""Records become jobs: each of them once, in the order of its partition.

The store says how far a partition was read, not Kafka: a position moves in the transaction of the jobs, under
the id of the topic (docs/decisions/0023-kafka-in.md). What is committed to Kafka afterwards is for its tools.
So it does not matter who else reads, or believes that the partition is still his.

Two coroutines share the work. One polls, in a thread, whatever happens, for who does not poll is put out of
the group; it holds back partitions of which enough waits here. The other makes jobs of what waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence

from rota.core.intake import Intake, Stretch, positions, set_back
from rota.core.service import Service
from rota.edges import kafka
from rota.edges.kafka import Cluster
from rota.edges.kafka_dead import DeadLetters, Letter, NotTaken
from rota.edges.kafka_group import NOT_YET, Group
from rota.edges.kafka_record import Record, Source, Strict, job
from rota.model.errors import BadInput, StoreError
from rota.model.job import Kept, NewJob, Position, Request

log = logging.getLogger("rota.kafka")

BATCH = 500
"""Records of a partition that become jobs in one go."""
WAITING = 4 * BATCH
"""Records of a partition that may wait here; more stay with Kafka."""
WAITING_BYTES = 32 * 1024 * 1024
"""The same for all partitions together."""
AFTER_ALL = 1.0
"""Seconds until another consumer is made, when one broke."""
FIRST_PAUSE, LAST_PAUSE = 0.25, 5.0
"""Seconds until something that failed is tried again: at first, and after many times."""

Place = tuple[str, int]


class Part:
    """A partition that is ours, and what of it waits here."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.records: deque[Record] = deque()
        self.source: str | None = None
        """Its name in the store, once it is known how far it was read."""
        self.held = False
        self.remade = False
        """Its topic was deleted and made again: it is read from its beginning."""
        self.sought: int | None = None
        """Where it was asked to go on, until a record has come from there."""
        self.failures = 0
        self.again = 0.0

    def wait(self, now: float) -> None:
        """Something failed: not now."""
        self.again = now + min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 10))
        self.failures += 1


class Reader:
    """Reads the topics of one group."""

    def __init__(
        self,
        service: Service,
        cluster: Cluster,
        sources: Sequence[Source],
        strict: Strict,
        dead: DeadLetters,
    ) -> None:
        self._service = service
        self._intake: Intake = service.intake
        self._sources: Mapping[str, Source] = {source.topic: source for source in sources}
        self._strict = strict
        self._dead = dead
        self._name = sources[0].group
        self._group = Group(cluster, self._name, list(self._sources))
        self._parts: dict[Place, Part] = {}
        self._bytes = 0
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; then leave the group, so that others need not wait for the partitions."""
        self._intake.away[self._name] = NOT_YET
        try:
            while True:
                try:
                    await self._group.open()
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._poll())
                        group.create_task(self._watch())
                        group.create_task(self._work())
                except* kafka.Broken as errors:
                    log.warning("kafka in: begins again", extra={"why": str(errors.exceptions[0])})
                except* Exception as errors:
                    # Whatever it was, it must not end the server.
                    log.error("kafka in: begins again", exc_info=errors.exceptions[0])
                finally:
                    self._drop(list(self._parts))
                    await self._group.close()
                await asyncio.sleep(AFTER_ALL)
        finally:
            self._intake.away.pop(self._name, None)
            self._dead.close()

    async def _poll(self) -> None:
        while True:
            heard = await self._group.poll(BATCH)
            self._drop(heard.revoked)
            for place in heard.assigned:
                stretch = Stretch(topic=place[0], partition=place[1], group=self._name)
                self._parts[place] = Part(stretch)
                self._intake.stretches[self._name, *place] = stretch
            for record in heard.records:
                if (part := self._parts.get((record.topic, record.partition))) is not None:
                    part.records.append(record)
                    self._bytes += len(record.value or b"")
            for place, end in heard.ends.items():
                part = self._parts.get(place)
                # A shorter one may be from before we sought, until records have come since.
                if part is not None and (part.sought is None or part.records or end >= part.sought):
                    part.stretch.end = end
            self._tell_away(heard.away)
            await self._hold()
            if heard.records or heard.assigned:
                self._more.set()

    async def _hold(self) -> None:
        """Stop fetching where enough waits here, and go on where it does not."""
        full = self._bytes > WAITING_BYTES
        for place, part in list(self._parts.items()):
            # One whose place is not known has been held back since it was given to us.
            hold = len(part.records) >= WAITING or (full and bool(part.records))
            if part.source is not None and hold != part.held:
                part.held = hold
                await self._group.hold(place, hold)

    async def _watch(self) -> None:
        """A topic that was deleted and made again is another one, with records of its own."""
        while True:
            await asyncio.sleep(self._group.look_again)
            placed = {place: part for place, part in self._parts.items() if part.source is not None}
            if placed:
                ids = await self._group.ids({topic for topic, _ in placed})
                for place, part in placed.items():
                    if place[0] in ids and part.source != self._named(place, ids[place[0]]):
                        await self._begin_again(place, part)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            unplaced = {place: part for place, part in self._parts.items() if part.source is None}
            if due := {place: part for place, part in unplaced.items() if part.again <= now}:
                await self._find_places(due)
            ready = [
                (place, part)
                for place, part in self._parts.items()
                if part.source is not None and part.records and part.again <= now
            ]
            if ready:
                await asyncio.gather(*(self._take(place, part) for place, part in ready))
                self._group.commit({place: part.stretch.next for place, part in self._parts.items()})
                continue
            self._more.clear()
            waits = [part.again for part in self._parts.values() if part.records or part.source is None]
            try:
                await asyncio.wait_for(
                    self._more.wait(), max(0.01, min(waits) - loop.time()) if waits else None
                )
            except TimeoutError:
                pass

    async def _find_places(self, parts: Mapping[Place, Part]) -> None:
        """Ask the store how far these were read, and go on there."""
        now = asyncio.get_running_loop().time()
        try:
            ids = await self._group.ids({topic for topic, _ in parts})
            names = {place: self._named(place, ids[place[0]]) for place in parts if place[0] in ids}
            read = await positions(self._service.engine, list(names.values()))
        except StoreError as error:
            for part in parts.values():
                self._stop(part, f"the store: {error.detail}")
            return
        for place, part in parts.items():
            if self._parts.get(place) is not part:
                continue
            if place not in names:
                part.wait(now)
                continue
            at = read.get(names[place], self._group.BEGINNING if part.remade else None)
            if not await self._group.go_to(place, at, self._sources[place[0]].start == "latest"):
                part.wait(now)
                continue
            self._forget_records(part)
            part.source, part.failures, part.again = names[place], 0, 0.0
            part.stretch.next = part.sought = None if at is None or at < 0 else at
            part.stretch.end = part.stretch.stopped = None

    async def _take(self, place: Place, part: Part) -> None:
        """Make jobs of what waits of a partition."""
        records = [part.records[i] for i in range(min(BATCH, len(part.records)))]
        source = part.source
        assert source is not None
        if part.stretch.next is not None and records[0].offset < part.stretch.next:
            await self._look_behind(place, part)
            return
        jobs, letters = self._sorted(records)
        try:
            if letters:
                await self._dead.send(letters)
            span = Position(source, records[0].offset, records[-1].offset + 1)
            kept: list[Kept] = await self._service.enqueue(Request(tuple(jobs), position=span))
            if any(one.why == "taken" for one in kept):
                # Somebody else was here in the meantime, whom Kafka gave the partition, too.
                await self._place_anew(place, part)
                return
        except NotTaken as error:
            self._stop(part, f"the dead-letter topic: {error}")
            return
        except StoreError as error:
            self._stop(part, f"the store: {error.detail}")
            return
        if part.stretch.stopped is not None:
            log.info("kafka in: goes on", extra={"topic": place[0], "partition": place[1]})
        part.failures, part.again, part.sought, part.stretch.stopped = 0, 0.0, None, None
        key = self._name, place[0]
        self._intake.records[key] += len(jobs)
        self._intake.dead[key] += len(letters)
        # The partition may have been taken away, and its records with it.
        if part.source == source and part.records and part.records[0] is records[0]:
            for _ in records:
                self._bytes -= len(part.records.popleft().value or b"")
            part.stretch.next = span.next

    def _sorted(self, records: Sequence[Record]) -> tuple[list[NewJob], list[Letter]]:
        jobs: list[NewJob] = []
        letters: list[Letter] = []
        now = self._service.clock.now()
        for record in records:
            source = self._sources[record.topic]
            try:
                jobs.append(job(record, source, now, self._service.limits, self._strict))
            except Exception as found:
                error = found if isinstance(found, BadInput) else _puzzled(found)
                letters.append(Letter(record, source.dead_letter, error))
                log.warning(
                    "kafka in: no job",
                    extra={
                        "topic": record.topic,
                        "partition": record.partition,
                        "offset": record.offset,
                        "code": error.code,
                        "dead_letter": source.dead_letter,
                    },
                )
        return jobs, letters

    async def _look_behind(self, place: Place, part: Part) -> None:
        """Records came that were read before, by the store's word. Make sure that they are those.

        Somebody else may have read them while we stood still, and what we know of the partition's end is from
        before. So the broker is asked for what comes next: only if it has no such place, and begins anew, the
        partition is shorter than what was read of it.
        """
        ids = await self._group.ids({place[0]})
        source, read, end = part.source, part.stretch.next, part.stretch.end
        if place[0] not in ids or source is None or read is None:
            part.wait(asyncio.get_running_loop().time())
        elif self._named(place, ids[place[0]]) != source:
            await self._begin_again(place, part)
        elif part.sought != read:
            await self._place_anew(place, part)
        elif end is None:
            part.wait(asyncio.get_running_loop().time())
        elif end >= read:
            while part.records and part.records[0].offset < read:
                self._bytes -= len(part.records.popleft().value or b"")
        else:
            log.warning(
                "kafka in: the partition lost records", extra={"source": source, "read": read, "end": end}
            )
            try:
                part.stretch.next = await set_back(self._service.engine, source, read, end)
            except StoreError as error:
                self._stop(part, f"the store: {error.detail}")
                return
            part.sought = part.stretch.next

    async def _begin_again(self, place: Place, part: Part) -> None:
        log.warning("kafka in: the topic was made again", extra={"topic": place[0], "partition": place[1]})
        part.remade = True
        await self._place_anew(place, part)

    async def _place_anew(self, place: Place, part: Part) -> None:
        """Forget what waits, and ask store and broker where it goes on."""
        await self._group.hold(place, True)
        part.held, part.source, part.stretch.next = False, None, None
        self._forget_records(part)
        self._more.set()

    def _stop(self, part: Part, why: str) -> None:
        part.wait(asyncio.get_running_loop().time())
        if part.stretch.stopped is None:
            extra = {"topic": part.stretch.topic, "partition": part.stretch.partition, "why": why}
            log.warning("kafka in: stands still", extra=extra)
        part.stretch.stopped = why

    def _drop(self, places: Sequence[Place]) -> None:
        """These are not ours any more."""
        for place in places:
            if (part := self._parts.pop(place, None)) is not None:
                self._forget_records(part)
                part.source = None
                self._intake.stretches.pop((self._name, *place), None)

    def _forget_records(self, part: Part) -> None:
        self._bytes -= sum(len(record.value or b"") for record in part.records)
        part.records.clear()

    def _named(self, place: Place, id: str) -> str:
        return f"kafka/{self._name}/{id}/{place[1]}"

    def _tell_away(self, away: str | None) -> None:
        before, self._intake.away[self._name] = self._intake.away.get(self._name), away
        if away is None and before is not None:
            log.info("kafka: connected", extra={"group": self._name})
        elif away not in (None, NOT_YET) and before in (None, NOT_YET):
            log.warning("kafka: no broker answers", extra={"group": self._name, "why": away})


def _puzzled(error: Exception) -> BadInput:
    """What nobody foresaw must not hold up the partition for ever."""
    log.error("kafka in: a record is not understood", exc_info=error)
    return BadInput(f"The record is not understood: {error!r}.")
