"""The condition: every finding, with its code, level, numbers and sentence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rota.core import condition, condition_server, conditions
from rota.core.condition import Condition, Figures, judge
from rota.core.feeds import FeedFigures
from rota.core.finding import Finding
from rota.core.intake import Stretch
from rota.core.programs import Programs
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import MINUTE, SECOND, ManualClock
from rota.model.errors import StoreError
from rota.model.protocol import Error
from tests.core.kit import attach, put, put_many


async def look(service: Service) -> Condition:
    return await service.condition.look(fresh=True)


async def only(service: Service) -> Finding:
    """The finding, of which there is one."""
    told = await look(service)
    assert len(told.findings) == 1, told.findings
    assert told.level == told.findings[0].level
    return told.findings[0]


def of(figures: Figures) -> Finding:
    [found] = judge(figures).findings
    assert found.sentence[-1] == "."
    return found


async def test_all_is_well(service: Service, clock: ManualClock) -> None:
    told = await look(service)
    assert (told.level, told.findings, told.at) == ("ok", [], clock.now())
    assert told.sentence == "All is well: 0 workers, 0 jobs running, 0 waiting for a slot."
    hand = await attach(service)
    await put_many(service, 2)
    await hand.until(1)
    assert (await look(service)).sentence == "All is well: 1 worker, 1 job running, 1 waiting for a slot."


# queues


async def test_nobody_serves_a_queue(service: Service, clock: ManualClock) -> None:
    await put_many(service, 42, queue="emails")
    await attach(service, queues=["other"])
    clock.advance(int(condition.ARRIVING * SECOND) - 1)
    assert (await look(service)).level == "ok"
    clock.advance(3 * MINUTE)
    found = await only(service)
    assert found == Finding(
        "no_worker",
        "error",
        "42 jobs wait in emails, the oldest for 3m, and no worker serves it.",
        {"jobs": 42, "oldest_age": 185.0},
        "emails",
        None,
        "rota work app:app --queues emails",
    )


async def test_those_who_serve_it_are_draining(service: Service, clock: ManualClock) -> None:
    hand = await attach(service)
    service.workers.draining(hand.worker)
    told = await look(service)
    assert [(one.code, one.level) for one in told.findings] == [("workers_draining", "ok")]
    assert told.level == "ok"
    assert told.sentence.startswith("All is well: ")
    await put(service)
    clock.advance(MINUTE)
    told = await look(service)
    assert [(one.code, one.level) for one in told.findings] == [
        ("workers_draining", "error"),
        ("workers_draining", "ok"),
    ]
    assert told.findings[0].queue == "default"
    assert told.sentence == told.findings[0].sentence


async def test_a_type_that_nobody_knows(service: Service, clock: ManualClock) -> None:
    await attach(service, types=["resize"])
    await put_many(service, 3, "crop")
    clock.advance(10 * SECOND)
    found = await only(service)
    assert (found.code, found.level, found.queue, found.type) == ("unknown_type", "error", "default", "crop")
    assert found.sentence == "3 jobs of the type crop wait in default, and no worker there knows it."
    assert found.numbers == {"jobs": 3, "workers": 1}
    await attach(service, "w2", slots=2)
    assert (await look(service)).level == "ok"


async def test_all_slots_are_taken(service: Service, clock: ManualClock) -> None:
    hand = await attach(service, slots=2)
    await put_many(service, 5)
    await hand.until(2)
    clock.advance(int(condition.WAITING * SECOND) - 1)
    assert (await look(service)).level == "ok"
    clock.advance(1)
    found = await only(service)
    assert (found.code, found.level, found.command) == (
        "slots_full",
        "warning",
        "rota work app:app --queues default",
    )
    assert found.sentence == "All 2 slots for default are taken, and 3 jobs wait, the oldest for 60s."
    assert found.numbers == {"jobs": 3, "oldest_age": 60.0, "slots": 2, "workers": 1}


async def test_a_paused_queue_where_jobs_wait(service: Service, clock: ManualClock) -> None:
    await service.pause("default")
    assert (await look(service)).level == "ok"
    await put(service)
    found = await only(service)
    assert (found.code, found.level, found.command) == (
        "queue_paused",
        "warning",
        "rota queues resume default",
    )
    assert found.sentence.startswith("The queue default is paused, and 1 job waits in it")


async def test_scheduled_jobs_wait_for_nobody(service: Service, clock: ManualClock) -> None:
    await put(service, delay=3600)
    clock.advance(10 * MINUTE)
    assert (await look(service)).level == "ok"


async def test_programs_that_are_not_run(service: Service, clock: ManualClock) -> None:
    known = Programs(queues=frozenset({"default"}), types=frozenset({"program_zip"}))
    service.programs = msgspec.structs.replace(known, state="refused", reason="no bubblewrap")
    await put_many(service, 2, "program_zip")
    clock.advance(MINUTE)
    found = await only(service)
    assert (found.code, found.level, found.type) == ("programs_refused", "error", "program_zip")
    assert found.sentence == (
        "2 jobs in default are programs to be run, which this server refuses: no bubblewrap."
    )
    hand = await attach(service, types=["program_zip"], slots=2)
    await hand.until(2)
    assert (await look(service)).level == "ok"


async def test_of_many_queues_the_fullest_are_told(service: Service, clock: ManualClock) -> None:
    for n in range(condition.SHOWN + 3):
        await put_many(service, n + 1, queue=f"q{n}")
    clock.advance(MINUTE)
    found = (await look(service)).findings
    assert [one.queue for one in found[:2]] == [f"q{condition.SHOWN + 2}", f"q{condition.SHOWN + 1}"]
    assert len(found) == condition.SHOWN + 1
    assert found[-1].sentence == "The same is so in 3 more cases, with 6 jobs."


# failures and losses


async def test_many_failures(service: Service, clock: ManualClock) -> None:
    hand = await attach(service)

    async def end(count: int, how: Any) -> None:
        for _ in range(count):
            await put(service, max_attempts=1)
            error = Error("SMTPError", "no such\nuser") if how == "failed" else None
            await hand.end(await hand.next(), how, error=error)

    await end(condition.FEW_FAILURES - 1, "failed")
    for _ in range(12):
        clock.advance(5 * SECOND)
        await service.series.tick()
    assert (await look(service)).level == "ok"
    await end(4, "failed")
    await end(16, "done")
    for _ in range(12):
        clock.advance(5 * SECOND)
        await service.series.tick()
    found = await only(service)
    assert (found.code, found.level, found.type, found.command) == (
        "many_failures",
        "warning",
        "work",
        "rota failures",
    )
    assert found.sentence == (
        "20% of the jobs that ended lately failed: 4 of 20 in a minute. "
        "The last: work, SMTPError: no such user."
    )
    assert found.numbers == {"failed": 4, "done": 16, "share": 0.2}


def test_half_of_them_is_an_error() -> None:
    assert of(Figures(now=0, rates={"done": 1.0, "failed": 1.0})).level == "error"
    assert judge(Figures(now=0, rates={"done": 10.0, "failed": 1.0})).findings == []
    # Just started: what happened is told, not what would in a minute of the same.
    [young] = judge(Figures(now=0, rates={"done": 0.2, "failed": 0.6}, measured=5.0)).findings
    assert (young.numbers["failed"], young.numbers["done"]) == (3, 1)


async def test_lost_workers_are_told_for_a_while(service: Service) -> None:
    now = [1000.0]
    service.condition.steady = lambda: now[0]
    assert (await look(service)).level == "ok"
    service.workers.meter.expired_leases = 3
    found = await only(service)
    assert (found.code, found.level, found.numbers) == ("workers_lost", "warning", {"jobs": 3})
    now[0] += conditions.RECENT / 2
    assert (await only(service)).numbers == {"jobs": 3}
    now[0] += conditions.RECENT + 1
    await look(service)
    assert (await look(service)).level == "ok"


# servers, and what is connected


async def test_a_store_that_does_not_answer(
    service: Service, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> Any:
        raise StoreError("The store is away.")

    monkeypatch.setattr(engine, "count", fail)
    found = await only(service)
    assert (found.code, found.level) == ("store_unavailable", "error")
    assert found.sentence == "The store does not answer: The store is away."


async def test_a_server_that_drains(service: Service, clock: ManualClock) -> None:
    await attach(service)
    service.drain()
    # It hands out nothing: the slots are free all the same.
    await put(service)
    clock.advance(10 * MINUTE)
    assert (await only(service)).code == "server_draining"


async def test_an_answer_stands_for_a_moment(service: Service) -> None:
    now = [1000.0]
    service.condition.steady = lambda: now[0]
    first = await service.condition.look()
    service.drain()
    now[0] += conditions.FRESH - 0.001
    assert await service.condition.look() is first
    assert (await service.condition.look(fresh=True)).level == "warning"
    service.dispatch.stopped = False
    now[0] += conditions.FRESH
    assert (await service.condition.look()).level == "ok"


def test_the_disk() -> None:
    total = 100 * 1024**3
    assert judge(Figures(now=0, room=(condition_server.LITTLE_ROOM, total))).findings == []
    found = of(Figures(now=0, room=(condition_server.LITTLE_ROOM - 1, total)))
    assert (found.code, found.level) == ("disk_full", "warning")
    assert found.sentence == "The disk of the store is nearly full: 1023 MiB of 100 GiB are free."
    assert of(Figures(now=0, room=(0, total))).level == "error"


def test_a_slow_store_a_late_server_and_a_clock_that_was_set() -> None:
    assert judge(Figures(now=0, commit=0.2, lag=0.9)).findings == []
    assert of(Figures(now=0, commit=0.3)).sentence == "The store is slow: a commit takes 300ms on the mean."
    assert of(Figures(now=0, lag=2.5)).code == "server_overloaded"
    at = 3600 * SECOND
    found = of(Figures(now=at + MINUTE, jump=(at, -90.0)))
    assert (found.code, found.numbers) == ("clock_jumped", {"jumped_at": at, "seconds": -90.0})
    assert "was set back by 90s" in found.sentence
    assert judge(Figures(now=at + 61 * MINUTE, jump=(at, -90.0))).findings == []


async def test_the_mean_of_commits(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    vitals = {"commits": 100.0, "commit_seconds": 1.0}
    monkeypatch.setattr(service.engine, "vitals", lambda: vitals)
    assert (await look(service)).level == "ok"
    vitals |= {"commits": 104.0, "commit_seconds": 5.0}
    assert (await look(service)).level == "ok"
    vitals |= {"commits": 105.0, "commit_seconds": 6.0}
    assert (await only(service)).numbers == {"commit_seconds": 1.0}


def feed(**fields: Any) -> FeedFigures:
    usual: dict[str, Any] = {"state": "publishing", "detail": None, "waiting": 0, "oldest_age": 0.0}
    return FeedFigures(feed="kafka", dropped=fields.pop("dropped", 0), passed=1, cut=0, **(usual | fields))


def test_feeds() -> None:
    assert judge(Figures(now=0, feeds=[feed(waiting=5, oldest_age=59.0)])).findings == []
    found = of(Figures(now=0, feeds=[feed(waiting=5, oldest_age=120.0)]))
    assert (found.code, found.level) == ("events_wait", "warning")
    assert found.sentence == "5 events of the feed kafka wait to be passed on, the oldest for 2m."
    away = feed(state="away", detail="no broker answers.", waiting=1, oldest_age=1.0)
    assert of(Figures(now=0, feeds=[away])).sentence.endswith(": no broker answers.")
    assert of(Figures(now=0, feeds=[feed(state="refused")])).level == "error"
    assert of(Figures(now=0, feeds=[feed(waiting=1, dropped=7)])).code == "events_dropped"


def test_records_that_come_in() -> None:
    well = Stretch(topic="orders", partition=0, group="rota", next=1, end=100)
    assert judge(Figures(now=0, stretches=[well], away={"rota": None})).findings == []
    assert of(Figures(now=0, away={"rota": "timed out"})).code == "kafka_away"
    behind = msgspec.structs.replace(well, end=20_000)
    assert of(Figures(now=0, stretches=[behind])).sentence == (
        "19999 records of orders, partition 0 wait to become jobs."
    )
    stopped = msgspec.structs.replace(well, stopped="the topic is gone")
    assert of(Figures(now=0, stretches=[stopped])).level == "error"


def test_the_worst_comes_first() -> None:
    told = judge(Figures(now=0, lag=2.0, room=(0, 1), rates={"failed": 1.0}))
    assert [one.level for one in told.findings] == ["error", "error", "warning"]
    assert told.sentence == told.findings[0].sentence + " And 2 more findings."
