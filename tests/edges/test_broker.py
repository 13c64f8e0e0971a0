"""The tests' own broker: what tests of Kafka stand on."""

from __future__ import annotations

from confluent_kafka import Consumer, Producer

from tests import broker


def consume(kafka: broker.Broker, topic: str, group: str, count: int) -> list[bytes | None]:
    """The next records of a group, which says afterwards that it has them."""
    conf = {
        "bootstrap.servers": kafka.address,
        "group.id": group,
        "auto.offset.reset": "earliest",
        **broker.QUICK,
    }
    consumer = Consumer({**conf, "enable.auto.commit": False})
    consumer.subscribe([topic])
    found: list[bytes | None] = []

    def enough() -> bool:
        for message in consumer.consume(100, 0.1):
            assert message.error() is None, message.error()
            found.append(message.value())
        return len(found) >= count

    try:
        broker.until(enough, f"{count} records for {group}")
        consumer.commit(asynchronous=False)
        return found
    finally:
        consumer.close()


def test_it_outlives_a_crash_with_topics_and_groups(kafka: broker.Broker) -> None:
    topic, group = kafka.topic(partitions=3), kafka.name("group")
    kafka.produce(topic, [b"%d" % number for number in range(300)], headers=[("a", b"b")])
    assert sum(kafka.ends(topic).values()) == 300
    assert len(consume(kafka, topic, group, 300)) == 300
    before = kafka.committed(group, topic)
    kafka.kill()
    kafka.start()
    assert kafka.committed(group, topic) == before
    kafka.produce(topic, [b"after"])
    assert consume(kafka, topic, group, 1) == [b"after"]
    assert len(kafka.read(topic, 301)) == 301


def test_one_that_is_gone_refuses_and_one_that_stands_still_says_nothing(kafka: broker.Broker) -> None:
    topic = kafka.topic()
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0, "enable.idempotence": True})
    producer.produce(topic, b"1")
    assert producer.flush(10) == 0
    with kafka.standing_still():
        producer.produce(topic, b"2")
        assert producer.flush(0.5) == 1
    assert producer.flush(10) == 0
    kafka.kill()
    producer.produce(topic, b"3")
    assert producer.flush(0.5) == 1
    kafka.start()
    assert producer.flush(20) == 0
    assert [one.value() for one in kafka.read(topic, 3)] == [b"1", b"2", b"3"]


def test_topics_grow_and_go(kafka: broker.Broker) -> None:
    topic = kafka.topic()
    kafka.grow(topic, 3)
    broker.until(lambda: len(kafka.ends(topic)) == 3, "two more partitions")
    kafka.produce(topic, [b"x"], partition=2)
    assert kafka.ends(topic) == {0: 0, 1: 0, 2: 1}
    kafka.drop(topic)
    kafka.topic(name=topic)
    assert kafka.ends(topic) == {0: 0}
