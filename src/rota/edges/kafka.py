"""The connection to a Kafka cluster: the driver, what it is told, and whether the cluster suits."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from rota.model.errors import BadConfig

log = logging.getLogger("rota.kafka")

INSTALL = "pip install 'rota[kafka]'"
PATIENCE = 10.0
"""Seconds that a check takes at most."""
_TRY = 2.0
# What librdkafka remarks goes to our log where it matters; the rest is said by those who use it.
_HUSH = {"log_level": 2, "log.connection.close": "false"}


class Cluster(msgspec.Struct, frozen=True):
    """Where a cluster is (``HOST:PORT``), and what the driver is told besides; ``password``: of SASL."""

    brokers: tuple[str, ...]
    options: dict[str, str] = {}
    password: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """A topic, what it is for, and what has to be allowed: ``READ`` or ``WRITE``."""

    topic: str
    use: str
    right: str


class Finding(msgspec.Struct, frozen=True):
    """One thing that a check found: a topic or the cluster, what is to be said, and whether it is a fault."""

    about: str
    text: str
    fault: bool = False


class Unreachable(Exception):
    """No broker answers; the text says why."""


class Broken(Exception):
    """A client that is of no use any more; another one has to be made. The text says why."""


def driver() -> Any:
    """The module that speaks to Kafka. Raises BadConfig when it is not installed."""
    try:
        import confluent_kafka
    except ImportError:
        raise BadConfig([f"kafka: needs the package confluent-kafka: {INSTALL}."]) from None
    return confluent_kafka


def connection(cluster: Cluster, **more: Any) -> dict[str, Any]:
    """What a client of the cluster is told. ``more``: names with underscores for dots."""
    conf: dict[str, Any] = {
        "client.id": f"rota-{socket.gethostname()}",
        **_HUSH,
        # One that comes back is found soon.
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2000,
        **cluster.options,
        "bootstrap.servers": ",".join(cluster.brokers),
    }
    if cluster.password is not None:
        conf["sasl.password"] = cluster.password
    return conf | {name.replace("_", "."): value for name, value in more.items()}


def validate(cluster: Cluster) -> None:
    """Whether the driver takes the options; nothing is connected to. Raises BadConfig."""
    driver()
    from confluent_kafka.admin import AdminClient

    _made(cluster, AdminClient)


def reach(cluster: Cluster, wanted: Sequence[Wanted], seconds: float = PATIENCE) -> list[Finding]:
    """Look at a cluster: whether it answers, has the topics, and lets us read and write them. Takes
    ``seconds`` at most, changes nothing. Raises BadConfig for options that the driver refuses, and
    Unreachable.
    """
    driver()
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    ends = time.monotonic() + seconds

    def left() -> float:
        return max(0.5, ends - time.monotonic())

    said: list[str] = []
    admin = _made(cluster, AdminClient, error_cb=lambda error: said.append(error.str()))
    while True:
        try:
            known = admin.list_topics(timeout=min(_TRY, left()))
            break
        except KafkaException as error:
            # Why it was refused the driver tells in remarks of its own; until then it may only be slow.
            admin.poll(0)
            reasons = [text for text in said if "brokers are down" not in text]
            if reasons or time.monotonic() >= ends:
                raise Unreachable(reasons[-1] if reasons else error.args[0].str()) from None
    count = len(known.brokers)
    found = [Finding("cluster", f"{known.cluster_id or 'unnamed'}, {count} broker{'s' * (count != 1)}")]
    named = {one.topic for one in wanted if one.topic in known.topics}
    there = sorted(topic for topic in named if known.topics[topic].error is None)
    rights = _rights(admin, there, left)
    for one in wanted:
        topic, use, right = one.topic, one.use, one.right
        if topic not in there:
            told = known.topics[topic].error.str() if topic in known.topics else "it is not there"
            found.append(Finding(topic, f"{use}: {told}", fault=True))
        elif right not in (rights.get(topic) or {right}):
            found.append(Finding(topic, f"{use}: no right to {right.lower()} it", fault=True))
        else:
            number = len(known.topics[topic].partitions)
            found.append(Finding(topic, f"{use}, {number} partition{'s' * (number != 1)}"))
    return found


def _rights(admin: Any, topics: list[str], left: Callable[[], float]) -> dict[str, set[str] | None]:
    """What we may do with topics; None where the cluster does not say."""
    from confluent_kafka import KafkaException, TopicCollection

    found: dict[str, set[str] | None] = {}
    if not topics:
        return found
    asked = admin.describe_topics(
        TopicCollection(list(dict.fromkeys(topics))),
        include_authorized_operations=True,
        request_timeout=left(),
    )
    for topic, answer in asked.items():
        try:
            allowed = answer.result(left()).authorized_operations
        except (KafkaException, TimeoutError):
            allowed = None
        names = {one.name for one in allowed or ()}
        found[topic] = None if not names or names & {"ALL", "UNKNOWN", "ANY"} else names
    return found


def _made(cluster: Cluster, client: Any, **more: Any) -> Any:
    from confluent_kafka import KafkaException

    try:
        return client(connection(cluster) | more)
    except KafkaException as error:
        raise BadConfig([f"kafka.options: {error.args[0].str()}."]) from None
