"""Records of every kind through a real broker: those that become jobs, and those that become dead letters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rota.model.job import State
from tests import broker
from tests.crash.kit import until
from tests.edges.kit import QUICK, numbers, place, reading, stored

JSON = b"application/json"


def test_records_become_jobs_and_others_dead_letters(tmp_path: Path, kafka: broker.Broker) -> None:
    orders, mail = kafka.topic(), kafka.topic()
    kafka.topic(name=f"{orders}.dead")
    bad = kafka.topic()
    said: list[dict[str, Any]] = [
        {"topic": orders, "type": "order", "queue": "shop", "max_payload": 2000},
        {"topic": mail, "type_from": "header:kind", "group": "other", "dead_letter": bad},
    ]
    kafka.produce(orders, [b'{"n": 1}'], keys=[b"\x00k"], headers=[("priority", b"9"), ("delay", b"3600")])
    for codec in ("gzip", "lz4", "zstd", "snappy"):
        kafka.produce(orders, numbers(0, 5), options={"compression.type": codec})
    kafka.produce(orders, [None], keys=[b"gone"])
    kafka.produce(orders, [b"x" * 2001, b"{"], keys=[b"big", None], headers=[("content-type", JSON)])
    kafka.produce(orders, [b"plain"], headers=[("priority", b"high"), ("raw", b"\xff")])
    kafka.produce(mail, [b'{"to": "a"}'], headers=[("kind", b"mail.send")])
    kafka.produce(mail, [b'{"to": "b"}'])
    with reading(kafka, tmp_path, *said) as server:
        server.until(23)
        until(lambda: sum(kafka.ends(bad).values()) == 1, "the dead letter of the other group")
        groups = {one["group"]: one for one in server.http.get("/v1/stats").json()["kafka_in"]}
        assert groups["rota"]["topics"] == [{"topic": orders, "records": 22, "dead_letters": 3}]
        assert groups["other"]["topics"] == [{"topic": mail, "records": 1, "dead_letters": 1}]
        until(lambda: lags(server.http.get("/metrics").text) == {orders: 0.0, mail: 0.0}, "no lag")
        metrics = server.http.get("/metrics").text
        assert f'rota_kafka_in_records_total{{group="rota",topic="{orders}"}} 22.0' in metrics
        assert f'rota_kafka_in_dead_letters_total{{group="rota",topic="{orders}"}} 3.0' in metrics
        assert 'rota_kafka_in_connected{group="other"} 1.0' in metrics
    jobs = stored(f"sqlite:///{tmp_path / 'rota.db'}")
    first, *_, gone = [job for job in jobs if job.type == "order"]
    assert (first.queue, first.priority, first.state) == ("shop", 9, State.SCHEDULED)
    assert first.headers is not None
    assert first.headers["kafka-key.base64"] == "AGs="
    assert (gone.payload, (gone.headers or {})["kafka-tombstone"]) == (b"null", "true")
    assert [job.type for job in jobs if place(job)[0] == mail] == ["mail.send"]
    assert kafka.committed("rota", orders) == kafka.ends(orders) == {0: 25}
    letters = kafka.read(f"{orders}.dead", 3)
    told = [dict(letter.headers() or ()) for letter in letters]
    assert [one["rota-dead-code"] for one in told] == [
        b"payload_too_large",
        b"invalid_json",
        b"invalid_priority",
    ]
    assert [one["rota-dead-offset"] for one in told] == [b"22", b"23", b"24"]
    assert {one["rota-dead-topic"].decode() for one in told} == {orders}
    assert told[0]["rota-dead-partition"] == b"0"
    assert b"2001 bytes" in told[0]["rota-dead-message"]
    assert told[2]["raw"] == b"\xff"
    assert [(letter.key(), letter.value()) for letter in letters] == [
        (b"big", b"x" * 2001),
        (None, b"{"),
        (None, b"plain"),
    ]


def test_a_record_counts_as_read_once_its_dead_letter_is_acknowledged(
    tmp_path: Path, kafka: broker.Broker
) -> None:
    topic = kafka.topic()
    kafka.topic(name=f"{topic}.dead")
    source = {"topic": topic, "type_from": "header:kind"}
    kafka.produce(topic, numbers(0, 5), headers=[("kind", b"work")])
    with reading(kafka, tmp_path, source) as server:
        server.until(5)
        # Letters go out through the relay, too; the records are written behind its back.
        kafka.refuse_writes(True)
        kafka.produce(topic, [b"lost?"])
        kafka.produce(topic, numbers(5, 10), headers=[("kind", b"work")])
        until(server.stopped, "a partition that stands still", 40)
        assert server.stopped()[0].startswith("the dead-letter topic: ")
        assert server.jobs() == 5
        assert kafka.committed("rota", topic) == {0: 5}
        assert f'rota_kafka_in_stopped{{group="rota",partition="0",topic="{topic}"}} 1.0' in (
            server.http.get("/metrics").text
        )
        kafka.refuse_writes(False)
        server.until(10)
        until(lambda: not server.stopped(), "a partition that goes on")
    assert kafka.read(f"{topic}.dead", 1)[0].value() == b"lost?"
    assert kafka.committed("rota", topic) == {0: 11}


def test_a_letter_that_is_too_large_goes_without_its_value(tmp_path: Path, kafka: broker.Broker) -> None:
    topic = kafka.topic()
    dead = kafka.topic(name=f"{topic}.dead")
    kafka.produce(topic, [b"x" * 5000, b"small"], headers=[("priority", b"none")])
    options = json.dumps({**QUICK, "message.max.bytes": 1000})
    with reading(kafka, tmp_path, topic, ROTA_KAFKA__OPTIONS=options) as server:
        until(lambda: server.kafka()["topics"], "a topic")
        until(lambda: server.kafka()["topics"][0]["dead_letters"] == 2, "the dead letters", 40)
    letters = {dict(one.headers() or ())["rota-dead-offset"]: one for one in kafka.read(dead, 2)}
    assert letters[b"1"].value() == b"small"
    assert letters[b"0"].value() is None
    assert dict(letters[b"0"].headers() or ())["rota-dead-value-bytes"] == b"5000"


def lags(metrics: str) -> dict[str, float]:
    lines = [line for line in metrics.splitlines() if line.startswith("rota_kafka_in_lag_records{")]
    return {line.partition('topic="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}
