"""Where records go that cannot become jobs: their dead-letter topic, with the reason in headers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from rota.edges import kafka
from rota.edges.kafka import Cluster
from rota.edges.kafka_record import Record
from rota.edges.lane import Lane
from rota.model.errors import BadInput

PATIENCE = 10.0
"""Seconds within which the broker has to take a letter."""
_LARGEST = 1_000_000_000


class Letter(NamedTuple):
    """A record, the topic it goes to, and what is wrong with it."""

    record: Record
    topic: str
    error: BadInput


class NotTaken(Exception):
    """The broker did not take a letter; the text says why."""


class DeadLetters:
    """A producer that is there once it is needed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lane: Lane | None = None
        self._producer: Any = None

    async def send(self, letters: Sequence[Letter]) -> None:
        """Write all of them; when this returns, the broker has acknowledged each. Raises NotTaken, after
        which some of them may have been written.
        """
        if self._lane is None:
            self._lane = Lane("rota-kafka-dead")
        await self._lane(self._send, letters)

    def close(self) -> None:
        """Forget the producer."""
        if self._lane is not None:
            self._lane.close()

    def _send(self, letters: Sequence[Letter]) -> None:
        from confluent_kafka import KafkaError, KafkaException, Producer

        try:
            if self._producer is None:
                conf = kafka.connection(
                    self._cluster,
                    enable_idempotence=True,
                    linger_ms=5,
                    delivery_timeout_ms=int(PATIENCE * 1000),
                )
                # How large a record may be is for the topic to say.
                self._producer = Producer({"message.max.bytes": _LARGEST, **conf})
            failed = self._write(letters, whole=True)
            small = [letter for letter, code in failed if code == KafkaError.MSG_SIZE_TOO_LARGE]
            if small and len(small) == len(failed):
                # With what is said about it the record is larger than the topic allows: its value stays where
                # it was read.
                failed = self._write(small, whole=False)
        except (KafkaException, BufferError) as error:
            self._producer = None
            raise NotTaken(str(error)) from None
        if failed:
            self._producer = None
            letter, code = failed[0]
            raise NotTaken(f"{letter.topic}: {KafkaError(code).str()}")

    def _write(self, letters: Sequence[Letter], *, whole: bool) -> list[tuple[Letter, int]]:
        from confluent_kafka import KafkaError

        failed: list[tuple[Letter, int]] = []
        told = 0

        def taken(letter: Letter, error: Any) -> None:
            nonlocal told
            told += 1
            if error is not None:
                failed.append((letter, error.code()))

        for letter in letters:
            record = letter.record
            try:
                self._producer.produce(
                    letter.topic,
                    record.value if whole else None,
                    record.key,
                    headers=[*record.headers, *about(letter, whole)],
                    on_delivery=lambda error, _, letter=letter: taken(letter, error),
                )
            except BufferError:
                raise
            except Exception as error:
                code = error.args[0].code() if hasattr(error.args[0], "code") else KafkaError._FAIL
                taken(letter, KafkaError(code))
            self._producer.poll(0)
        ends = time.monotonic() + PATIENCE + 2
        while told < len(letters) and time.monotonic() < ends:
            self._producer.poll(0.1)
        if told < len(letters):
            failed.append((letters[-1], KafkaError._MSG_TIMED_OUT))
        return failed


def about(letter: Letter, whole: bool = True) -> list[tuple[str, bytes]]:
    """The headers that tell where a letter came from and why."""
    record, error = letter.record, letter.error
    told = {
        "rota-dead-topic": record.topic,
        "rota-dead-partition": str(record.partition),
        "rota-dead-offset": str(record.offset),
        "rota-dead-timestamp": "" if record.timestamp is None else str(record.timestamp),
        "rota-dead-code": error.code,
        "rota-dead-field": error.field or "",
        "rota-dead-message": error.detail,
    }
    if not whole:
        told["rota-dead-value-bytes"] = str(len(record.value or b""))
    return [(name, text.encode()) for name, text in told.items() if text]
