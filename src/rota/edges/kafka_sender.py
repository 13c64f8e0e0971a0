"""Records to a topic, in transactions of the feed's own: what an older publisher still holds is refused by
the broker, however late it comes.

What blocks runs in one thread, which waits without the interpreter's lock; what is long runs on the loop, in
small pieces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rota.edges.kafka import Cluster, connection, driver
from rota.edges.kafka_records import Record

T = TypeVar("T")
_WAIT = 1.0
"""Seconds that the thread waits for the broker in one go."""
_PIECE = 50
"""Records handed over before others have their turn."""
_REST = 5000
"""Bytes of a batch besides its values' limit, for keys and headers."""


class Refused(Exception):
    """The broker will not take it as things are; the text says why."""


class TooLarge(Refused):
    """A record is larger than the topic takes."""


class Sender:
    """One producer. After any exception but a cancelled call it is to be closed, and another one made."""

    def __init__(
        self, cluster: Cluster, topic: str, name: str, longest: int, away: Callable[[str], None]
    ) -> None:
        """``name``: of the transactions, the same for all who may publish instead of this one. ``away`` is
        told why nothing goes on.
        """
        kafka = driver()
        self._topic = topic
        self._away = away
        self._said = ""
        self._thread = ThreadPoolExecutor(1, "rota-kafka-out")
        conf = connection(cluster, transactional_id=name, message_max_bytes=longest + _REST)
        conf["batch.size"] = min(int(conf.get("batch.size", 1_000_000)), longest + _REST)
        conf.setdefault("partitioner", "murmur2_random")
        conf.setdefault("linger.ms", "5")
        conf["error_cb"] = self._on_error
        try:
            self._producer = kafka.Producer(conf)
        except kafka.KafkaException as error:
            raise Refused(error.args[0].str()) from None

    async def open(self) -> None:
        """Shut out whoever sent before. Raises Refused."""
        known = await self._try(lambda: self._producer.list_topics(timeout=_WAIT))
        if self._topic not in known.topics:
            raise Refused(f"the topic {self._topic} is not there")
        await self._try(lambda: self._producer.init_transactions(_WAIT))

    async def send(self, records: Sequence[Record], still: Callable[[], bool]) -> bool:
        """All of them have arrived, in order; or, where ``still`` says no before that is settled, nobody
        knows. Raises Refused.
        """
        kafka = driver()
        try:
            self._producer.begin_transaction()
            for start in range(0, len(records), _PIECE):
                for one in records[start : start + _PIECE]:
                    await self._hand_over(one)
                await asyncio.sleep(0)
        except kafka.KafkaException as error:
            raise _refused(error.args[0]) from None
        if not still():
            return False
        await self._try(lambda: self._producer.commit_transaction(_WAIT))
        return True

    def close(self) -> None:
        """Let go of what was not sent; does not wait."""
        producer, self._producer = self._producer, None
        self._thread.submit(producer.purge)
        self._thread.shutdown(wait=False)

    async def _hand_over(self, one: Record) -> None:
        while True:
            try:
                self._producer.produce(self._topic, one.value, one.key, headers=one.headers, timestamp=one.at)
                return
            except BufferError:
                await self._in_thread(lambda: self._producer.poll(0.1))

    async def _try(self, call: Callable[[], T]) -> T:
        """Until the broker answers."""
        kafka = driver()
        while True:
            try:
                return await self._in_thread(call)
            except kafka.KafkaException as error:
                told = error.args[0]
                if not (
                    told.retriable()
                    or told.code() in (told._TRANSPORT, told._TIMED_OUT, told._ALL_BROKERS_DOWN)
                ):
                    raise _refused(told) from None
                await self._in_thread(lambda: self._producer.poll(0))
                self._away(self._said or told.str())
                await asyncio.sleep(0.1)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _on_error(self, error: Any) -> None:
        """From the thread: why a broker cannot be reached, which the calls do not say."""
        if "brokers are down" not in error.str():
            self._said = error.str()


def _refused(error: Any) -> Refused:
    kind = TooLarge if error.code() == error.MSG_SIZE_TOO_LARGE else Refused
    return kind(error.str())
