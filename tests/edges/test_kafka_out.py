"""Events of jobs to a topic: what they say, and that every one of them arrives."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests import broker, stores
from tests.crash.kit import frozen
from tests.edges.out_kit import ALL, Topic, check, reading, serving, until
from tests.engines.kit import ENGINES
from tests.relay import Relay

LIFE = ("enqueued", "started", "finished")


@pytest.fixture(scope="module")
def kafka() -> Iterator[broker.Broker]:
    """One that nobody touches."""
    with broker.running() as one:
        yield one


@pytest.fixture
def mortal() -> Iterator[broker.Broker]:
    """One that a test may kill."""
    with broker.running() as one:
        yield one


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with stores.empty(request.param, tmp_path) as url:
        yield url


def test_what_the_records_say(tmp_path: Path, kafka: broker.Broker, store: str) -> None:
    topic = kafka.topic(partitions=3)
    with (
        serving(tmp_path, kafka, topic, store=store, out__events=ALL) as desk,
        reading(kafka, topic) as out,
    ):
        [id] = desk.enqueue(1, max_attempts=2)
        desk.work(end="failed", error={"type": "E", "message": "no"}, delay=0)
        desk.work(end="done", result={"ok": [1, None]})
        desk.http.post(f"/v1/jobs/{id}/retry").raise_for_status()
        desk.work(end="done", result_base64=base64.b64encode(b"\x00\xff").decode(), content_type="image/png")
        desk.http.delete(f"/v1/jobs/{id}").raise_for_status()
        values = out.until(lambda all: len(all) >= 9, "nine records")
        records = out.records
    assert [one.key() for one in records] == [id.encode()] * 9
    assert len({one.partition() for one in records}) == 1
    for value, one in zip(values, records, strict=True):
        assert dict(one.headers()) == {
            "event": value["event"].encode(),
            "type": b"work",
            "queue": b"default",
            "content-type": b"application/json",
            "rota-version": b"1",
        }
        at = datetime.fromisoformat(value["at"])
        assert one.timestamp()[1] == int(at.timestamp() * 1000)
    numbers = [one.pop("n") for one in values]
    assert numbers == sorted(set(numbers))
    for value in values:
        assert value.pop("at").endswith("Z")
        assert [value.pop(name) for name in ("id", "type", "queue")] == [id, "work", "default"]
    assert values == [
        {"event": "enqueued", "state": "pending"},
        {"event": "started", "state": "running", "attempt": 1, "worker": "w1"},
        {"event": "requeued", "state": values[2]["state"], "attempt": 1, "worker": "w1", "end": "failed"}
        | {"error": {"type": "E", "message": "no"}},
        {"event": "started", "state": "running", "attempt": 2, "worker": "w1"},
        {"event": "finished", "state": "done", "attempt": 2, "worker": "w1", "end": "done"}
        | {"result_type": "application/json", "result": {"ok": [1, None]}},
        {"event": "requeued", "state": "pending"},
        {"event": "started", "state": "running", "attempt": 3, "worker": "w1"},
        {"event": "finished", "state": "done", "attempt": 3, "worker": "w1", "end": "done"}
        | {"result_type": "image/png", "result_base64": "AP8="},
        {"event": "deleted", "state": "done"},
    ]


def test_a_result_that_is_too_long_is_left_out(tmp_path: Path, kafka: broker.Broker) -> None:
    topic = kafka.topic()
    small = {"options": "message.max.bytes=30000"}
    with serving(tmp_path, kafka, topic, **small) as desk, reading(kafka, topic) as out:
        ids = desk.enqueue(4, max_attempts=1)
        # Kept with its event, but too long as text; too long to be kept; an error; and one that fits.
        desk.work(
            end="done", result_base64=base64.b64encode(b"x" * 18_000).decode(), content_type="text/plain"
        )
        desk.work(end="done", result="y" * 50_000)
        desk.work(end="failed", error={"type": "E", "message": "m", "details": "z" * 50_000})
        desk.work(end="done", result="w" * 15_000)
        finished = [one for one in out.finished(ids) if one["event"] == "finished"]
        assert [one["id"] for one in finished] == ids
        [first, second, third, last] = finished
        assert first["result_type"] == "text/plain"
        assert first["result_left_out"] == {"bytes": 18_000, "href": f"/v1/jobs/{ids[0]}/result"}
        assert second["result_left_out"] == {"bytes": 50_002, "href": f"/v1/jobs/{ids[1]}/result"}
        assert third["error_left_out"]["href"] == f"/v1/jobs/{ids[2]}"
        assert not {"result", "result_base64", "error"} & {*first, *second, *third}
        assert last["result"] == "w" * 15_000
        assert desk.http.get(second["result_left_out"]["href"]).json() == "y" * 50_000
        assert until(lambda: desk.metric("rota_feed_cut_total"), "the count of what was left out") == 3


def until_there(out: Topic, count: int) -> None:
    out.until(lambda all: len(all) >= count, f"{count} records")


def test_none_is_lost_when_the_server_is_killed(tmp_path: Path, kafka: broker.Broker, store: str) -> None:
    topic = kafka.topic(partitions=2)
    ids: list[str] = []
    with reading(kafka, topic) as out:
        for round in range(3):
            with serving(tmp_path, kafka, topic, store=store) as desk:
                enough = len(out.records) + 100
                for _ in range(6):
                    ids += desk.sleepers(100)
                until_there(out, enough)
                if round < 2:
                    desk.server.kill()
                    continue
                # The jobs that it held begin anew, which is an event, too.
                desk.ended(ids)
                values = out.finished(ids)
    by_job: dict[str, set[int]] = {}
    for one in values:
        if one["event"] == "enqueued":
            by_job.setdefault(one["id"], set()).add(one["n"])
    assert by_job.keys() == set(ids)
    assert all(len(numbers) == 1 for numbers in by_job.values())
    check(values, ids)


@pytest.fixture
def way(kafka: broker.Broker) -> Iterator[Relay]:
    """A way to the broker of one's own."""
    one = Relay(kafka._place)
    yield one
    one.close()


def test_another_server_goes_on(tmp_path: Path, kafka: broker.Broker, way: Relay) -> None:
    """One that stands still with events in hand, and wakes up when another has gone on, writes none."""
    topic = kafka.topic(partitions=2)
    with (
        stores.empty("postgres", tmp_path) as store,
        reading(kafka, topic) as out,
        serving(tmp_path, way, topic, store=store) as first,
    ):
        ids = first.sleepers(100)
        out.finished(ids)
        with serving(tmp_path, kafka, topic, store=store) as second:
            until(lambda: second.feed().get("state") == "standby", "a second in line")
            way.stall()
            ids += first.enqueue(50, "late")
            until(lambda: first.feed()["state"] == "away", "events in hand")
            with frozen(first.server.pid):
                way.mend()
                for _ in ids[100:]:
                    second.work("late", end="done")
                until(lambda: second.feed()["state"] == "publishing", "the second to take over")
                out.finished(ids)
            until(lambda: first.feed()["state"] not in ("away", "publishing"), "the first to notice")
            ids += second.sleepers(100)
            out.finished(ids)
            second.server.kill()
            ids += first.sleepers(100)
            until(lambda: first.feed()["state"] == "publishing", "the first to take over")
            values = out.finished(ids)
        check(values, ids, *LIFE)


def test_a_broker_that_is_away_holds_up_nothing(tmp_path: Path, mortal: broker.Broker, store: str) -> None:
    topic = mortal.topic(partitions=2)
    ids: list[str] = []
    with serving(tmp_path, mortal, topic, store=store) as desk, reading(mortal, topic) as out:
        ids += desk.sleepers(200)
        out.until(lambda all: len(all) > 50, "some records")
        with mortal.cut_off():
            ids += desk.sleepers(200)
            desk.ended(ids)
            until(lambda: desk.feed()["state"] == "away", "word of it")
        out.finished(ids)
        # A broker that dies in the middle of a batch may say afterwards that it has it: not this one's test.
        until(lambda: desk.feed()["waiting"] == 0, "the end of the backlog")
        mortal.kill()
        ids += desk.sleepers(200)
        desk.ended(ids)
        until(lambda: desk.feed()["state"] == "away", "word of it")
        assert desk.feed()["detail"]
        assert desk.metric('rota_feed_state{feed="kafka",state="away"}') == 1
        assert until(lambda: desk.feed()["waiting"] >= 600, "the backlog")
        assert desk.feed()["oldest_age"] > 0
        mortal.start()
        out.finished(ids)
        until(lambda: desk.feed()["state"] == "publishing", "word of it")
        with mortal.standing_still():
            ids += desk.sleepers(200)
            desk.ended(ids)
            until(lambda: desk.feed()["state"] == "away", "word of it")
        values = out.finished(ids)
        until(lambda: desk.feed()["waiting"] == 0, "the end of the backlog")
        assert desk.feed()["dropped"] == 0
        assert desk.metric("rota_feed_passed_total") >= 2400
    told = [one["event"] for one in desk.server.records()]
    assert told.count("events wait") == 3, "once each time"
    check(values, ids, *LIFE)


def test_the_backlog_is_bounded(tmp_path: Path, mortal: broker.Broker) -> None:
    topic = mortal.topic()
    mortal.kill()
    bound = {"out__backlog": "1000", "out__events": "enqueued"}
    with serving(tmp_path, mortal, topic, **bound) as desk:
        ids = [id for _ in range(5) for id in desk.enqueue(500)]
        until(lambda: desk.feed().get("dropped"), "the bound")
        assert desk.metric("rota_feed_dropped_total") == desk.feed()["dropped"] == 1500
        assert desk.server.wait_for("events were dropped: the backlog is full")["level"] == "error"
        assert desk.stats()["states"]["pending"] == 2500
        mortal.start()
        with reading(mortal, topic) as out:
            values = out.until(lambda all: len(all) >= 1000, "what was kept")
        check(values, ids[1500:], "enqueued")


def test_a_feed_that_is_not_wanted_any_more_is_emptied(tmp_path: Path, mortal: broker.Broker) -> None:
    topic = mortal.topic()
    mortal.kill()
    with serving(tmp_path, mortal, topic) as desk:
        desk.enqueue(10)
        until(lambda: desk.feed().get("waiting") == 10, "the backlog")
    with serving(tmp_path, None, topic) as desk:
        desk.enqueue(10)
        until(lambda: desk.stats()["feeds"] == [], "the end of the feed")
        assert desk.server.wait_for("feeds are switched off")["feeds"] == ["kafka"]
    mortal.start()
    with serving(tmp_path, mortal, topic) as desk, reading(mortal, topic) as out:
        ids = desk.enqueue(3)
        values = out.until(lambda all: len(all) >= 3, "those of now")
        check(values, ids, "enqueued")


def test_a_topic_that_is_not_there_is_waited_for(tmp_path: Path, kafka: broker.Broker) -> None:
    topic = kafka.name("topic")
    with serving(tmp_path, kafka, topic) as desk:
        ids = desk.enqueue(3)
        assert topic in desk.server.wait_for("events wait")["detail"]
        until(lambda: desk.feed().get("state") == "refused", "word of it")
        kafka.topic(name=topic)
        with reading(kafka, topic) as out:
            check(out.until(lambda all: len(all) >= 3, "the records"), ids, "enqueued")
        until(lambda: desk.feed()["state"] == "publishing", "word of it")
        assert desk.feed()["detail"] is None
