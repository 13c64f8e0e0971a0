"""Servers that pass events on, the jobs they do meanwhile, and what comes of it in a topic."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
from confluent_kafka import Consumer, Message, TopicPartition

from rota.config.fronts import NAMES
from tests import broker
from tests.relay import Relay
from tests.server import Server, running_server

PATIENCE = 50.0
ALL = "enqueued,started,requeued,finished,deleted"


@contextlib.contextmanager
def serving(
    folder: Path,
    kafka: broker.Broker | Relay | None,
    topic: str,
    *flags: str,
    store: str | None = None,
    **more: str,
) -> Iterator[Desk]:
    """``rota serve`` whose events go to a topic; ``more``: settings, such as ``out__backlog``."""
    env = {
        "ROTA_KAFKA__BROKERS": kafka.address if kafka else None,
        "ROTA_KAFKA__OUT__TOPIC": topic if kafka else None,
    }
    env |= {f"ROTA_KAFKA__{name.upper()}": value for name, value in more.items()}
    env |= {f"ROTA_FRONTS__{name.upper()}__ENABLED": "false" for name in NAMES}
    with running_server(folder, *flags, store=store, env=env) as server:
        desk = Desk(server)
        try:
            yield desk
        finally:
            desk.http.close()


class Desk:
    """A client of a server, which is a worker, too."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = httpx2.Client(base_url=server.url, timeout=20)

    def enqueue(self, count: int, type: str = "work", **fields: Any) -> list[str]:
        jobs = [{"type": type, **fields} for _ in range(count)]
        answer = self.http.post("/v1/jobs", json={"jobs": jobs}).raise_for_status()
        return [job["id"] for job in answer.json()["jobs"]]

    def sleepers(self, count: int) -> list[str]:
        """Jobs that the server does by itself, at once."""
        return self.enqueue(count, "sleep", payload={"seconds": 0})

    def work(self, type: str = "work", **outcome: Any) -> str:
        """Do one job by hand; its id."""
        asked = {"worker": "w1", "queues": ["default"], "types": [type], "slots": 1, "wait": 20}
        [job] = self.http.post("/v1/fetch", json=asked).raise_for_status().json()["jobs"]
        told = {"id": job["id"], "lease": job["lease"], **outcome}
        self.http.post("/v1/finish", json={"worker": "w1", "outcomes": [told]}).raise_for_status()
        return str(job["id"])

    def ended(self, ids: Sequence[str]) -> None:
        """Wait until all of them are done."""
        wanted = set(ids)

        def none_left() -> bool:
            states = self.stats()["states"]
            return sum(states[state] for state in ("scheduled", "pending", "running")) == 0

        until(none_left, f"the end of {len(wanted)} jobs")

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/v1/stats").raise_for_status().json()
        return found

    def feed(self) -> dict[str, Any]:
        """The feed, as /v1/stats tells of it."""
        return next((one for one in self.stats()["feeds"] if one["feed"] == "kafka"), {})

    def metric(self, name: str) -> float:
        text = self.http.get("/metrics").raise_for_status().text
        return float(next(line for line in text.splitlines() if line.startswith(name)).rpartition(" ")[2])


class Topic:
    """What is in a topic so far, read through to the end again and again."""

    def __init__(self, kafka: broker.Broker, topic: str) -> None:
        host, port = kafka._place
        conf = {"bootstrap.servers": f"{host}:{port}", "group.id": kafka.name("group"), "log_level": 0}
        self._consumer = Consumer({**conf, "enable.auto.commit": False, "isolation.level": "read_committed"})
        partitions = self._consumer.list_topics(topic, 30).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, one, 0) for one in partitions])
        self.records: list[Message] = []
        self.values: list[dict[str, Any]] = []

    def until(self, enough: Callable[[list[dict[str, Any]]], bool], what: str) -> list[dict[str, Any]]:
        """The values of all records, once they are enough."""
        deadline = time.monotonic() + PATIENCE
        while not enough(self.values):
            assert time.monotonic() < deadline, f"{what} did not come; there are {len(self.records)} records"
            new = [one for one in self._consumer.consume(1000, 0.1) if one.error() is None]
            self.records += new
            self.values += [json.loads(one.value() or b"null") for one in new]
        return self.values

    def finished(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Until every one of these jobs has finished."""
        lacking = set(ids)
        looked = 0

        def enough(values: list[dict[str, Any]]) -> bool:
            nonlocal looked
            lacking.difference_update(one["id"] for one in values[looked:] if one["event"] == "finished")
            looked = len(values)
            return not lacking

        return self.until(enough, f"the end of {len(ids)} jobs")

    def close(self) -> None:
        self._consumer.close()


@contextlib.contextmanager
def reading(kafka: broker.Broker, topic: str) -> Iterator[Topic]:
    one = Topic(kafka, topic)
    try:
        yield one
    finally:
        one.close()


def check(values: Sequence[Mapping[str, Any]], ids: Sequence[str], *events: str) -> int:
    """Every job has its events, those of each in order; how many records are repeats.

    What was there before may come again, but never does anything of a job follow on what came later.
    """
    by_job: dict[str, list[Mapping[str, Any]]] = {}
    for value in values:
        by_job.setdefault(value["id"], []).append(value)
    assert set(by_job) == set(ids), f"{len(by_job)} jobs, not {len(ids)}"
    repeats = 0
    for id, told in by_job.items():
        first: dict[int, Mapping[str, Any]] = {}
        for value in told:
            if value["n"] in first:
                assert value == first[value["n"]], id
                repeats += 1
            else:
                assert value["n"] > max(first, default=0), (id, [one["event"] for one in told])
                first[value["n"]] = value
        if events:
            assert tuple(one["event"] for one in first.values()) == events, (id, told)
        assert told[-1]["n"] == max(first), "an earlier one came after it"
    return repeats


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until ``condition`` gives something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} seconds"
        time.sleep(0.02)
    return found
