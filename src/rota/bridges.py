"""What connects the server to other systems: the settings of Kafka, as the edges take them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from rota.config import Settings
from rota.config.kafka import Kafka
from rota.core.service import Service
from rota.edges import kafka, kafka_out
from rota.edges.kafka import Cluster, Finding, Unreachable, Wanted
from rota.edges.kafka_dead import DeadLetters
from rota.edges.kafka_in import Reader
from rota.edges.kafka_record import Source
from rota.web import strict


def cluster(settings: Kafka) -> Cluster:
    """The cluster that is set."""
    password = None if settings.password is None else settings.password.reveal()
    return Cluster(settings.brokers, settings.options, password)


def look(settings: Settings) -> list[Finding]:
    """What is to be said of Kafka before a start; nothing where none is set. Raises BadConfig."""
    told = settings.kafka
    if not told.wanted:
        return []
    try:
        return kafka.reach(cluster(told), list(_wanted(told)))
    except Unreachable as error:
        return [Finding("cluster", f"cannot be reached at {', '.join(told.brokers)}: {error}", fault=True)]


def validate(settings: Settings) -> None:
    """Whether the server can do what is set, before it starts. Nothing is connected to. Raises BadConfig."""
    if settings.kafka.wanted:
        kafka.validate(cluster(settings.kafka))


async def run(service: Service, settings: Settings) -> None:
    """Make jobs of records, until cancelled."""
    told = settings.kafka
    if not told.brokers or not told.in_:
        return
    sources = [Source(**msgspec.structs.asdict(one)) for one in told.in_]
    where = cluster(told)
    async with asyncio.TaskGroup() as group:
        for name in sorted({one.group for one in sources}):
            ours = [one for one in sources if one.group == name]
            reader = Reader(service, where, ours, _strict, DeadLetters(where))
            group.create_task(reader.run())


def _strict(body: bytes) -> None:
    strict.check(body, 0)


async def feeds(service: Service, settings: Settings) -> list[kafka_out.Publisher]:
    """Switch on the feeds that are set, and off those that nobody wants; what passes events on. Raises
    BadConfig.
    """
    told, publishers = settings.kafka, []
    if told.out.topic is not None:
        kafka.validate(cluster(told))
        out = kafka_out.Out(cluster(told), told.out.topic, told.out.events, told.out.backlog)
        publishers.append(await kafka_out.want(service, out))
    await service.feeds.settle()
    return publishers


def _wanted(told: Kafka) -> Iterator[Wanted]:
    for one in told.in_:
        yield Wanted(one.topic, f"in ({one.group})", "READ")
        yield Wanted(one.dead_letter, f"dead letters of {one.topic}", "WRITE")
    if told.out.topic is not None:
        yield Wanted(told.out.topic, "out", "WRITE")
