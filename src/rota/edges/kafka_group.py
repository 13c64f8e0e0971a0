"""A member of a consumer group: the driver's consumer, called from a thread that does nothing else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rota.edges import kafka
from rota.edges.kafka import Broken, Cluster
from rota.edges.kafka_record import Record
from rota.edges.lane import Lane

log = logging.getLogger("rota.kafka")

NOT_YET = "not connected yet"
POLL = 0.2
"""Seconds that a poll waits for a first record."""
LEAVE = 5.0
"""Seconds that leaving the group may take."""
ASK = 5.0
MEASURE = 0.5
"""Seconds between two looks at how much waits."""
LOOK_AGAIN = 30.0
"""Seconds after which topics are looked at again: new partitions, topics made again."""

Place = tuple[str, int]


class Heard:
    """What a poll brought. ``ends``: the offsets behind the last records, as far as they were told; ``away``:
    why no broker answers.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.assigned: list[Place] = []
        self.revoked: list[Place] = []
        self.ends: dict[Place, int] = {}
        self.away: str | None = None


class Group:
    """One consumer, from :meth:`open` to :meth:`close`, as often as wanted. Partitions that it is given are
    held back until :meth:`go_to`.
    """

    BEGINNING = -2

    def __init__(self, cluster: Cluster, name: str, topics: Sequence[str]) -> None:
        self._cluster = cluster
        self._name = name
        self._topics = list(topics)
        self._consumer: Any = None
        self._admin: Any = None
        self._cluster_id: str | None = None
        self._heard = Heard()
        self._owned: set[Place] = set()
        self._away: str | None = NOT_YET
        self._why: str | None = None
        self._losses = 0
        self._looked = self._measured = 0.0
        self._done: dict[Place, int] = {}
        self._told: dict[Place, int] = {}
        self._missing: set[str] = set()
        self._fatal: str | None = None
        self._lane: Lane | None = None
        self._asking: Lane | None = None
        refresh = cluster.options.get("topic.metadata.refresh.interval.ms")
        self.look_again = LOOK_AGAIN if refresh is None else max(0.1, int(refresh) / 1000)

    async def open(self) -> None:
        """Join the group; nothing is waited for."""
        self._lane, self._asking = Lane("rota-kafka-in"), Lane("rota-kafka-ask")
        await self._lane(self._open)

    async def poll(self, most: int) -> Heard:
        """Up to ``most`` records, as soon as there is one. Raises Broken."""
        assert self._lane is not None
        heard = await self._lane(self._poll, most)
        if self._away is not None:
            await self._look()
        heard.away = self._away
        return heard

    async def hold(self, place: Place, hold: bool) -> None:
        """Fetch no more of a partition, or go on."""
        assert self._lane is not None
        await self._lane(self._hold, place, hold)

    async def go_to(self, place: Place, offset: int | None, latest: bool) -> bool:
        """Begin to fetch a partition: at ``offset``, or if that is None where the group was, or else at its
        beginning, or with ``latest`` at its end. False: not now.
        """
        assert self._lane is not None
        return await self._lane(self._go_to, place, offset, latest)

    def commit(self, offsets: Mapping[Place, int | None]) -> None:
        """Tell Kafka how far we are, with the next poll."""
        self._done = {place: at for place, at in offsets.items() if at is not None}

    async def ids(self, topics: Collection[str]) -> dict[str, str]:
        """Names that belong to these topics and to none that is made later under the same name. A cluster
        that has none: its own id and the topic's name. Those of which nothing can be learned now are missing.
        """
        assert self._asking is not None
        return await self._asking(self._ids, sorted(topics))

    async def close(self) -> None:
        """Leave the group, if that can be done soon."""
        if self._lane is None or self._asking is None:
            return
        lane, self._lane = self._lane, None
        self._asking.close()
        leaving = lane(self._close)
        lane.close()
        await asyncio.wait([leaving], timeout=LEAVE)
        leaving.cancel()

    # --- in the thread ---

    def _open(self) -> None:
        from confluent_kafka import Consumer, KafkaException
        from confluent_kafka.admin import AdminClient

        conf = {
            "topic.metadata.refresh.interval.ms": int(LOOK_AGAIN * 1000),
            "queued.max.messages.kbytes": 16384,
            **kafka.connection(self._cluster),
            "group.id": self._name,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "error_cb": self._on_error,
        }
        self._heard, self._fatal, self._owned = Heard(), None, set()
        self._done, self._told = {}, {}
        self._away, self._looked = NOT_YET, 0.0
        try:
            self._admin = AdminClient(kafka.connection(self._cluster))
            self._consumer = Consumer(conf)
            self._consumer.subscribe(
                self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
        except KafkaException as error:
            raise Broken(error.args[0].str()) from None

    def _poll(self, most: int) -> Heard:
        from confluent_kafka import KafkaException

        self._commit(asynchronous=True)
        try:
            first = self._consumer.poll(POLL)
            messages = [] if first is None else [first, *self._consumer.consume(most - 1, 0)]
        except (KafkaException, RuntimeError) as error:
            raise Broken(str(error)) from None
        if self._fatal is not None:
            raise Broken(self._fatal)
        heard, self._heard = self._heard, Heard()
        for message in messages:
            if (remark := message.error()) is None:
                # It may have been fetched before the broker went away, so it does not show that one is there.
                heard.records.append(_record(message))
            elif remark.fatal():
                raise Broken(remark.str())
            elif remark.str() not in self._missing:
                # Once: it says so again and again, while a topic is not there.
                self._missing.add(remark.str())
                log.warning("kafka in: the broker remarks", extra={"group": self._name, "text": remark.str()})
        if time.monotonic() - self._measured > MEASURE:
            self._measured = time.monotonic()
            for place in self._owned:
                heard.ends.update(self._end(place))
        return heard

    def _end(self, place: Place) -> dict[Place, int]:
        from confluent_kafka import KafkaException

        with contextlib.suppress(KafkaException, TypeError):
            _, end = self._consumer.get_watermark_offsets(_at(place), cached=True)
            if end >= 0:
                return {place: end}
        return {}

    def _hold(self, place: Place, hold: bool) -> None:
        from confluent_kafka import KafkaException

        # A partition that was just taken away needs no holding.
        with contextlib.suppress(KafkaException):
            (self._consumer.pause if hold else self._consumer.resume)([_at(place)])

    def _go_to(self, place: Place, offset: int | None, latest: bool) -> bool:
        from confluent_kafka import KafkaException

        try:
            if offset is None:
                [known] = self._consumer.committed([_at(place)], ASK)
                if known.offset >= 0:
                    offset = known.offset
                else:
                    offset = self._join_at_end(place) if latest else self.BEGINNING
            self._consumer.seek(_at(place, offset))
            self._consumer.resume([_at(place)])
            return True
        except KafkaException:
            return False

    def _join_at_end(self, place: Place) -> int:
        """Where a group begins, once and for all: whoever has the partition next, before there was any
        record, must not skip what came meanwhile.
        """
        _, end = self._consumer.get_watermark_offsets(_at(place), ASK)
        self._consumer.commit(offsets=[_at(place, end)], asynchronous=False)
        return int(end)

    def _commit(self, asynchronous: bool) -> None:
        from confluent_kafka import KafkaException

        done, self._done = self._done, {}
        new = {
            place: at for place, at in done.items() if place in self._owned and self._told.get(place) != at
        }
        if new:
            self._told |= new
            # Whether Kafka knows is not what counts.
            with contextlib.suppress(KafkaException):
                told = [_at(place, at) for place, at in new.items()]
                self._consumer.commit(offsets=told, asynchronous=asynchronous)

    def _ids(self, topics: list[str]) -> dict[str, str]:
        from confluent_kafka import KafkaException, TopicCollection

        found: dict[str, str] = {}
        try:
            answers = self._admin.describe_topics(TopicCollection(topics), request_timeout=ASK)
            for topic, answer in answers.items():
                raw = base64.b64decode(str(answer.result(ASK).topic_id) + "==", validate=False)
                if any(raw):
                    found[topic] = raw.hex()
                else:
                    if self._cluster_id is None:
                        self._cluster_id = self._admin.list_topics(timeout=ASK).cluster_id
                    found[topic] = f"{self._cluster_id}/{topic}"
        except (KafkaException, TimeoutError) as error:
            log.debug("kafka in: %s", error)
        return found

    def _close(self) -> None:
        if self._consumer is not None:
            self._commit(asynchronous=False)
            self._consumer.close()
            self._consumer = None

    def _on_assign(self, consumer: Any, partitions: Sequence[Any]) -> None:
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        places = [(one.topic, one.partition) for one in partitions]
        self._owned.update(places)
        self._heard.assigned += places

    def _on_revoke(self, _: Any, partitions: Sequence[Any]) -> None:
        places = [(one.topic, one.partition) for one in partitions]
        self._owned.difference_update(places)
        for place in places:
            self._told.pop(place, None)
        self._heard.revoked += places
        # A poll may bring that a partition went and came back.
        self._heard.assigned = [place for place in self._heard.assigned if place not in places]

    def _on_error(self, error: Any) -> None:
        from confluent_kafka import KafkaError

        if error.fatal():
            self._fatal = error.str()
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._losses += 1
            self._away = self._why or error.str()
        else:
            # What it says of one connection tells why none works, should that come to be.
            self._why = error.str()
            if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
                self._away = self._why

    async def _look(self) -> None:
        """Whether somebody answers again."""
        if time.monotonic() - self._looked >= 1 and self._asking is not None:
            self._looked, losses = time.monotonic(), self._losses
            if await self._asking(self._answers):
                # It is told once that all are gone: an answer of before does not take that back.
                if losses == self._losses:
                    self._away = None
            elif self._away == NOT_YET:
                self._away = "no answer"

    def _answers(self) -> bool:
        from confluent_kafka import KafkaException

        try:
            self._admin.list_topics(timeout=0.5)
            return True
        except KafkaException:
            return False


def _at(place: Place, *offset: int) -> Any:
    from confluent_kafka import TopicPartition

    return TopicPartition(*place, *offset)


def _record(message: Any) -> Record:
    kind, at = message.timestamp()
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
        at if kind else None,
    )
