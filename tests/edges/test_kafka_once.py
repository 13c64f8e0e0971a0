"""Each record becomes one job, whatever dies, stands still, or believes that a partition is still his."""

from __future__ import annotations

from json import loads
from pathlib import Path

from rota.engines.open import backup, open_engine
from rota.model.job import POSITIONS, Note
from tests import broker, postgres
from tests.crash.kit import frozen, until
from tests.edges.kit import exactly_once, numbers, reading, stored

MANY = 10_000
SHARED = 4000


def test_a_server_that_is_killed_goes_on_where_the_store_is(tmp_path: Path, kafka: broker.Broker) -> None:
    topic = kafka.topic(partitions=4)
    store = f"sqlite:///{tmp_path / 'rota.db'}"
    kafka.produce(topic, numbers(0, MANY), keys=[b"%d" % n for n in range(MANY)])
    for jobs in (1, MANY // 3):
        with reading(kafka, tmp_path, topic) as server:
            server.until(jobs)
            server.kill()
    with reading(kafka, tmp_path, topic) as server:
        server.until(MANY)
    assert kafka.committed("rota", topic) == kafka.ends(topic)
    exactly_once(stored(store), kafka, topic, MANY)
    # Somebody sets the group back: the store knows better.
    kafka.commit("rota", topic, dict.fromkeys(range(4), 0))
    with reading(kafka, tmp_path, topic) as server:
        kafka.produce(topic, numbers(0, 8), partition=3)
        server.until(MANY + 8)
    exactly_once(stored(store), kafka, topic, MANY + 8)


def test_a_group_that_begins_at_the_end_begins_once(tmp_path: Path, kafka: broker.Broker) -> None:
    topic = kafka.topic(partitions=2)
    latest = {"topic": topic, "type": "work", "start": "latest"}
    # One each: our own broker, asked for the end of a partition that has any, says 1.
    for partition in (0, 1):
        kafka.produce(topic, numbers(partition, partition + 1), partition=partition)
    with reading(kafka, tmp_path, latest):
        until(lambda: kafka.committed("rota", topic) == {0: 1, 1: 1}, "the group is at the end", 40)
    # Not a record was read when the next ones come, and nobody is there.
    kafka.produce(topic, numbers(2, 30))
    with reading(kafka, tmp_path, latest) as server:
        server.until(28)
        kafka.produce(topic, numbers(30, 40))
        server.until(38)
    jobs = stored(f"sqlite:///{tmp_path / 'rota.db'}")
    assert sorted(loads(job.payload)["n"] for job in jobs) == list(range(2, 40))


def test_two_servers_share_and_take_over_from_each_other(tmp_path: Path, kafka: broker.Broker) -> None:
    """One is frozen for so long that the other one gets its partitions, and wakes with some in its hands."""
    topic = kafka.topic(partitions=4)
    store = postgres.fresh()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    kafka.produce(topic, numbers(0, SHARED // 2))
    with reading(kafka, tmp_path / "b", topic, store=store) as b:
        with reading(kafka, tmp_path / "a", topic, store=store) as a:
            until(lambda: a.partitions() and b.partitions(), "both have partitions", 40)
            assert a.partitions().isdisjoint(b.partitions())
            kafka.produce(topic, numbers(SHARED // 2, SHARED))
            with frozen(a.pid):
                until(lambda: b.partitions() == {0, 1, 2, 3}, "one has all partitions", 40)
                b.until(SHARED)
            until(lambda: a.partitions() and a.partitions() != {0, 1, 2, 3}, "both share again", 40)
            kafka.produce(topic, numbers(SHARED, SHARED + 1000))
            b.kill()
            a.until(SHARED + 1000)
    exactly_once(stored(store), kafka, topic, SHARED + 1000)
    postgres.drop(store)


def test_what_somebody_else_has_read_is_not_read_again(tmp_path: Path, kafka: broker.Broker) -> None:
    """A server that stood still does not know how far the partition goes now, and that is no loss."""
    topic = kafka.topic()
    store = postgres.fresh()
    kafka.produce(topic, numbers(0, 10))
    with reading(kafka, tmp_path, topic, store=store) as server:
        server.until(10)
        for at in range(10, 60, 10):
            move(store, at, at + 10)
            kafka.produce(topic, numbers(at, at + 10))
        kafka.produce(topic, numbers(60, 62))
        server.until(12)
        assert server.jobs() == 12
    assert sorted(loads(job.payload)["n"] for job in stored(store)) == [*range(10), 60, 61]
    postgres.drop(store)


def move(store: str, before: int, after: int) -> None:
    """What the store knows of the only partition that was read."""

    async def moved() -> None:
        engine = await open_engine(store)
        [note] = await engine.notes(POSITIONS)
        assert int(note.body or b"") == before
        await engine.save([Note(POSITIONS, note.key, b"%d" % after)])
        await engine.close()

    postgres.run(moved())


def test_a_broker_that_is_killed_or_stands_still_costs_no_record(
    tmp_path: Path, kafka: broker.Broker
) -> None:
    topic = kafka.topic(partitions=2)
    kafka.produce(topic, numbers(0, 3000))
    with reading(kafka, tmp_path, topic) as server:
        server.until(1)
        kafka.kill()
        until(lambda: not server.kafka()["connected"], "word of a broker that is away")
        assert server.http.get("/readyz").status_code == 200
        kafka.start()
        kafka.produce(topic, numbers(3000, 4000))
        server.until(4000)
        assert server.kafka()["connected"]
        with kafka.standing_still():
            assert server.http.post("/v1/jobs", json={"type": "other", "queue": "q"}).status_code == 201
        kafka.produce(topic, numbers(4000, 5000))
        server.until(5001)
    jobs = [job for job in stored(f"sqlite:///{tmp_path / 'rota.db'}") if job.type == "work"]
    exactly_once(jobs, kafka, topic, 5000)


def test_a_store_that_is_away_holds_records_back_and_keeps_the_partitions(
    tmp_path: Path, kafka: broker.Broker
) -> None:
    topic = kafka.topic(partitions=2)
    with postgres.Cluster(durable=True) as cluster:
        store = cluster.database("one")
        with reading(kafka, tmp_path, topic, store=store) as server:
            kafka.produce(topic, numbers(0, 100))
            server.until(100)
            cluster.kill()
            kafka.produce(topic, numbers(100, 6000))
            until(lambda: any("kafka in: stands still" in line for line in server.lines), "a word of it")
            cluster.start()
            server.until(6000)
            assert not server.stopped()
            with cluster.standing_still():
                kafka.produce(topic, numbers(6000, 7000))
            server.until(7000)
        exactly_once(stored(store), kafka, topic, 7000)


def test_a_server_that_starts_without_a_broker_joins_when_it_is_there(
    tmp_path: Path, kafka: broker.Broker
) -> None:
    topic = kafka.topic()
    kafka.produce(topic, numbers(0, 10))
    kafka.kill()
    with reading(kafka, tmp_path, topic) as server:
        server.wait_for("kafka: no broker answers")
        assert not server.kafka()["connected"]
        kafka.start()
        server.until(10)
        server.wait_for("kafka: connected")


def test_a_partition_that_is_added_and_a_topic_that_is_made_again(
    tmp_path: Path, kafka: broker.Broker
) -> None:
    topic = kafka.topic()
    kafka.produce(topic, numbers(0, 10))
    with reading(kafka, tmp_path, topic) as server:
        server.until(10)
        kafka.grow(topic, 2)
        until(lambda: len(kafka.ends(topic)) == 2, "another partition")
        kafka.produce(topic, numbers(10, 15), partition=1)
        server.until(15)
    # The same places in a log, and other records. While somebody reads it, the driver does not survive that.
    kafka.drop(topic)
    kafka.topic(name=topic)
    kafka.produce(topic, numbers(0, 4))
    with reading(kafka, tmp_path, topic) as server:
        server.until(19)


def test_a_store_that_is_restored_reads_again_what_it_lacks(tmp_path: Path, kafka: broker.Broker) -> None:
    topic = kafka.topic()
    kept = tmp_path / "kept.db"
    kafka.produce(topic, numbers(0, 10))
    with reading(kafka, tmp_path, topic) as server:
        server.until(10)
    backup(f"sqlite:///{tmp_path / 'rota.db'}", str(kept))
    with reading(kafka, tmp_path, topic) as server:
        kafka.produce(topic, numbers(10, 20))
        server.until(20)
    assert kafka.committed("rota", topic) == {0: 20}
    for name in ("rota.db-wal", "rota.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    kept.replace(tmp_path / "rota.db")
    with reading(kafka, tmp_path, topic) as server:
        server.until(20)
    exactly_once(stored(f"sqlite:///{tmp_path / 'rota.db'}"), kafka, topic, 20)
