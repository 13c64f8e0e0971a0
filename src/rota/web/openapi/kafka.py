"""The shapes of what comes in from Kafka."""

from __future__ import annotations

import msgspec


class KafkaTopic(msgspec.Struct, frozen=True):
    """Records since the server started: those that became jobs, and those that could not."""

    topic: str
    records: int
    dead_letters: int


class KafkaPartition(msgspec.Struct, frozen=True):
    """`next`: the offset that is read next, `lag`: how many records wait; null until that is known.
    `stopped`: why it stands still; null: it does not.
    """

    topic: str
    partition: int
    next: int | None
    lag: int | None
    stopped: str | None


class KafkaIn(msgspec.Struct, frozen=True):
    """What this server reads of Kafka in a consumer group; `reason`: why no broker answers."""

    group: str
    connected: bool
    reason: str | None
    topics: list[KafkaTopic]
    partitions: list[KafkaPartition]
