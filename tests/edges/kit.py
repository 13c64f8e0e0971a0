"""Servers that read from a broker, and what they made of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from rota.edges.kafka_record import Source
from rota.engines.open import open_engine
from rota.model.job import Job, Match
from tests import broker, postgres
from tests.crash.kit import until
from tests.server import Server, running_server

QUICK = {**broker.QUICK, "topic.metadata.refresh.interval.ms": 300}


class Reading(Server):
    """A server, and what it tells of Kafka."""

    http: httpx2.Client

    def kafka(self) -> dict[str, Any]:
        [group] = self.http.get("/v1/stats").raise_for_status().json()["kafka_in"]
        return dict(group)

    def jobs(self) -> int:
        return int(sum(self.http.get("/v1/stats").raise_for_status().json()["states"].values()))

    def stopped(self) -> list[str]:
        return [one["stopped"] for one in self.kafka()["partitions"] if one["stopped"] is not None]

    def partitions(self) -> set[int]:
        return {one["partition"] for one in self.kafka()["partitions"] if one["next"] is not None}

    def until(self, jobs: int) -> None:
        """Wait until the store has so many."""
        until(lambda: self.jobs() >= jobs, f"job {jobs} (there are {self.jobs()})", 40)


@contextlib.contextmanager
def reading(
    kafka: broker.Broker, folder: Path, *topics: str | dict[str, Any], store: str | None = None, **env: str
) -> Iterator[Reading]:
    """``rota serve`` with topics in: their names, or all that is said of them."""
    said = [topic if isinstance(topic, dict) else {"topic": topic, "type": "work"} for topic in topics]
    settings: dict[str, str | None] = {
        "ROTA_HANDLERS__ENABLED": "false",
        "ROTA_KAFKA__BROKERS": kafka.address,
        "ROTA_KAFKA__IN": json.dumps(said),
        "ROTA_KAFKA__OPTIONS": json.dumps(QUICK),
        **env,
    }
    with running_server(folder, store=store, env=settings) as server:
        server.__class__ = Reading
        assert isinstance(server, Reading)
        with httpx2.Client(base_url=server.url, timeout=20, trust_env=False) as server.http:
            yield server


def stored(store: str) -> list[Job]:
    """Every job of a store that no server has open, whole, oldest first."""

    async def read() -> list[Job]:
        engine = await open_engine(store)
        try:
            ids: list[str] = []
            cursor: str | None = None
            while True:
                page = await engine.find(Match(), 500, cursor)
                ids += [job.id for job in page.jobs]
                cursor = page.cursor
                if cursor is None:
                    break
            ids.reverse()
            return [job for i in range(0, len(ids), 500) for job in await engine.get(ids[i : i + 500])]
        finally:
            await engine.close()

    found: list[Job] = postgres.run(read())
    return found


def place(job: Job) -> tuple[str, int, int]:
    """The record that a job was: topic, partition and offset."""
    assert job.headers is not None
    return job.headers["kafka-topic"], int(job.headers["kafka-partition"]), int(job.headers["kafka-offset"])


def exactly_once(jobs: Sequence[Job], kafka: broker.Broker, topic: str, count: int) -> None:
    """Each record of the topic is one job, and those of a partition are as old as they came."""
    places = [place(job) for job in jobs if place(job)[0] == topic]
    twice = [one for one, times in Counter(places).items() if times > 1]
    assert not twice, f"{len(twice)} records became more than one job: {twice[:5]}"
    ends = kafka.ends(topic)
    assert sum(ends.values()) == count
    missing = {(topic, one, at) for one, end in ends.items() for at in range(end)} - set(places)
    assert not missing, f"{len(missing)} records became no job: {sorted(missing)[:5]}"
    assert len(places) == count
    for partition in ends:
        offsets = [at for _, of, at in places if of == partition]
        assert offsets == sorted(offsets), f"partition {partition} is out of order"


def source(**said: Any) -> Source:
    given: dict[str, Any] = {
        "topic": "orders",
        "group": "rota",
        "type": None if "type_from" in said else "work",
        "type_from": None,
        "queue": "shop",
        "priority": 7,
        "priority_header": "priority",
        "delay_header": "delay",
        "timeout": None,
        "max_attempts": None,
        "max_payload": None,
        "payload": "auto",
        "dead_letter": "orders.dead",
        "start": "earliest",
    }
    return Source(**(given | said))


def numbers(first: int, last: int) -> list[bytes | None]:
    return [b'{"n": %d}' % number for number in range(first, last)]


def run(work: Any) -> Any:
    return asyncio.run(work)
