"""What connects the server to other systems: the settings of Kafka, as the edges take them."""

from __future__ import annotations

from collections.abc import Iterator

from rota.config import Settings
from rota.config.kafka import Kafka
from rota.edges import kafka
from rota.edges.kafka import Cluster, Finding, Unreachable, Wanted


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


def _wanted(told: Kafka) -> Iterator[Wanted]:
    for one in told.in_:
        yield Wanted(one.topic, f"in ({one.group})", "READ")
        yield Wanted(one.dead_letter, f"dead letters of {one.topic}", "WRITE")
    if told.out.topic is not None:
        yield Wanted(told.out.topic, "out", "WRITE")
