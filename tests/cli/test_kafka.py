"""What ``rota check`` and a start say of Kafka."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import broker
from tests.cli.kit import Cli, Ran

OFF = {"ROTA_PROGRAMS__ENABLED": "false"}


@pytest.fixture
def kafka() -> Iterator[broker.Broker]:
    with broker.running() as one:
        yield one


def check(folder: Path, env: dict[str, str], *flags: str) -> Ran:
    return Cli(folder, "http://127.0.0.1:9")("check", *flags, env=env)


def settings(brokers: str, topic: str, **more: str) -> dict[str, str]:
    return {**OFF, "ROTA_KAFKA__BROKERS": brokers, "ROTA_KAFKA__IN": f"{topic}=work", **more}


def test_check_tells_of_the_cluster_and_its_topics(tmp_path: Path, kafka: broker.Broker) -> None:
    topic = kafka.topic(partitions=3)
    env = settings(kafka.address, topic)
    ran = check(tmp_path, env)
    assert ran.status == 1
    assert "in (rota), 3 partitions" in ran.out
    assert f"dead letters of {topic}: " in ran.out
    kafka.topic(name=f"{topic}.dead")
    ran = check(tmp_path, env, "--json")
    assert ran.status == 0, ran.out
    found = {one["about"]: one for one in ran.json["kafka"]}
    assert found[topic] == {"about": topic, "text": "in (rota), 3 partitions", "ok": True}
    assert found[f"{topic}.dead"]["ok"]
    assert "1 broker" in found["cluster"]["text"]


def test_check_says_why_nobody_answers(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        ran = check(tmp_path, settings(place, "orders"))
    assert ran.status == 1
    assert f"cannot be reached at {place}" in ran.out
    assert "Connection refused" in ran.out


def test_options_that_the_driver_refuses_are_named(tmp_path: Path) -> None:
    env = settings("127.0.0.1:1", "orders", ROTA_KAFKA__OPTIONS="no.such.option=1,sasl.password=hush-hush")
    ran = check(tmp_path, env)
    assert ran.status == 2
    assert 'kafka.options: No such configuration property: "no.such.option".' in ran.err
    assert "hush-hush" not in ran.out + ran.err
