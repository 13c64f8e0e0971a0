"""The event log: what is kept with the changes, for whom, and who may pass it on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import DAY, SECOND
from rota.model.event import FEEDS, Backlog, LoggedEvent, Trimmed
from rota.model.job import Match, Note, Outcome, Request, State
from tests.engines.kit import ANY, NOW, again, done, failed, ids, job, put, run, take, turn_on

LATER = NOW + 10 * SECOND


async def read(engine: Engine, limit: int = 1000, *, owner: str = "me", at: int = NOW) -> list[LoggedEvent]:
    """The oldest events of the feed ``out``."""
    reading = await engine.read_events("out", owner, at + 10 * SECOND, limit, at)
    assert reading.until is not None, "somebody else has the feed"
    return reading.events


async def kinds(engine: Engine) -> list[str]:
    return [one.event for one in await read(engine)]


async def one_of_everything(engine: Engine) -> None:
    """A job through every change that is an event."""
    work = await run(engine, job())
    await engine.finish([again(work)], NOW)
    await engine.finish([done((await take(engine))[0], b"1")], NOW)
    await engine.retry(ANY, NOW, 9)
    await engine.cancel(ANY, "cancelled", NOW, 9)
    await engine.delete(ANY, 9, NOW)


ALL = ["enqueued", "started", "requeued", "started", "finished", "requeued", "finished", "deleted"]


async def test_nothing_is_kept_while_nobody_wants_it(engine: Engine) -> None:
    await one_of_everything(engine)
    assert await engine.backlog() == []
    await turn_on(engine, "out")
    assert await read(engine) == []
    await one_of_everything(engine)
    assert await kinds(engine) == ALL
    await engine.save([Note(FEEDS, "out", None)])
    await one_of_everything(engine)
    assert len(await read(engine)) == len(ALL)


async def test_a_feed_is_on_after_the_store_was_opened_again(store: str) -> None:
    engine = await open_engine(store)
    await turn_on(engine, "out")
    await engine.close()
    engine = await open_engine(store)
    await one_of_everything(engine)
    assert await kinds(engine) == ALL
    await engine.close()


@pytest.mark.parametrize("wanted", sorted(set(ALL)))
async def test_a_feed_gets_what_it_wants(engine: Engine, wanted: str) -> None:
    await turn_on(engine, "out", events=(wanted,))
    await one_of_everything(engine)
    assert await kinds(engine) == [one for one in ALL if one == wanted]


async def test_every_feed_gets_its_own(engine: Engine) -> None:
    await turn_on(engine, "out", events=("finished",))
    await turn_on(engine, "other", events=("enqueued", "finished"), result_bytes=0)
    await run(engine, job())
    assert await read(engine) == []
    got = (await engine.read_events("other", "me", LATER, 9, NOW)).events
    assert [one.event for one in got] == ["enqueued"]
    assert await engine.drop_events("other", "me", [got[0].n])
    assert (await engine.read_events("other", "me", LATER, 9, NOW)).events == []


async def test_what_the_events_say(engine: Engine) -> None:
    await turn_on(engine, "out")
    new = job("t", queue="q", delay=5 * SECOND)
    await put(engine, new)
    await engine.promote(LATER, 9)
    [work] = await take(engine, 1, "q", worker="w7", now=LATER)
    await engine.finish([again(work, LATER + 5)], LATER)
    await engine.promote(LATER + 5, 9)
    [work] = await take(engine, 1, "q", worker="w8", now=LATER + 5)
    await engine.finish([done(work, b"\x00\xff", "image/png")], LATER + 6)
    await engine.delete(ANY, 9, LATER + 7)
    events = await read(engine)
    assert [one.n for one in events] == sorted({one.n for one in events})
    assert {(one.id, one.type, one.queue) for one in events} == {(new.id, "t", "q")}
    fields = [{name: getattr(one, name) for name in one.__struct_fields__[7:]} for one in events]
    said = [{name: value for name, value in one.items() if value is not None} for one in fields]
    assert [(one.event, one.state, one.at, rest) for one, rest in zip(events, said, strict=True)] == [
        ("enqueued", "scheduled", NOW, {}),
        ("started", "running", LATER, {"attempt": 1, "worker": "w7"}),
        (
            "requeued",
            "scheduled",
            LATER,
            {"attempt": 1, "worker": "w7", "end": "failed", "error": b'{"type":"E"}', "error_bytes": 12},
        ),
        ("started", "running", LATER + 5, {"attempt": 2, "worker": "w8"}),
        (
            "finished",
            "done",
            LATER + 6,
            {"attempt": 2, "worker": "w8", "end": "done"}
            | {"result": b"\x00\xff", "result_type": "image/png", "result_bytes": 2},
        ),
        ("deleted", "done", LATER + 7, {}),
    ]


ENDINGS: list[tuple[dict[str, Any], tuple[Any, ...]]] = [
    ({"state": State.DONE, "end": "done"}, ("finished", "done", "done", None)),
    (
        {"state": State.FAILED, "end": "lost", "reason": "worker_lost"},
        ("finished", "failed", "lost", "worker_lost"),
    ),
    (
        {"state": State.CANCELLED, "end": "cancelled", "reason": "x"},
        ("finished", "cancelled", "cancelled", "x"),
    ),
    ({"state": State.PENDING, "end": "released", "spent": False}, ("requeued", "pending", "released", None)),
    (
        {"state": State.SCHEDULED, "end": "snoozed", "run_at": LATER},
        ("requeued", "scheduled", "snoozed", None),
    ),
]


@pytest.mark.parametrize(("outcome", "said"), ENDINGS)
async def test_every_end_of_a_try_is_an_event(
    engine: Engine, outcome: dict[str, Any], said: tuple[Any, ...]
) -> None:
    await turn_on(engine, "out", events=("finished", "requeued"))
    work = await run(engine, job())
    await engine.finish([Outcome(id=work.id, lease=work.lease, **outcome)], NOW)
    [event] = await read(engine)
    assert (event.event, event.state, event.end, event.reason) == said


async def test_a_stale_outcome_and_a_passed_over_job_are_none(engine: Engine) -> None:
    work = await run(engine, job(unique_key="u"))
    await turn_on(engine, "out")
    stale = Outcome(id=work.id, lease=work.lease + 1, state=State.DONE, end="done")
    await engine.finish([stale, failed(work, state=State.FAILED)], NOW)
    await engine.finish([done(work), failed(work)], NOW)
    assert [(one.event, one.state) for one in await read(engine)] == [("finished", "failed")]
    holder = job(unique_key="u")
    await put(engine, holder)
    await put(engine, job(unique_key="u"))
    await put(engine, holder)
    await engine.retry(Match(ids=(work.id,)), NOW, 9)
    await engine.cancel(Match(ids=(work.id,)), "x", NOW, 9)
    await take(engine)
    await engine.cancel(ANY, "x", NOW, 9)
    await engine.delete(Match(ids=(holder.id,)), 9, NOW)
    assert [(one.event, one.id) for one in await read(engine)][1:] == [
        ("enqueued", holder.id),
        ("started", holder.id),
    ]


async def test_what_had_its_time_goes_without_an_event(engine: Engine) -> None:
    await turn_on(engine, "out", events=("deleted",))
    await engine.finish([done(await run(engine, job(retention=SECOND)))], NOW)
    assert len(await engine.delete(Match(delete_at=NOW + DAY), 9)) == 1
    assert await read(engine) == []


async def test_the_result_outlives_the_job(engine: Engine) -> None:
    await turn_on(engine, "out", events=("finished",), result_bytes=2_000_000)
    body = bytes(range(256)) * 4000
    work = await run(engine, job())
    engine.finish([done(work, body)], NOW)
    await engine.delete(ANY, 9, NOW)
    [event] = await read(engine)
    assert (event.result, event.result_type, event.result_bytes) == (body, None, len(body))


@pytest.mark.parametrize(("size", "kept"), [(100, True), (101, False)])
async def test_what_is_too_long_is_left_out_and_its_length_told(
    engine: Engine, size: int, kept: bool
) -> None:
    await turn_on(engine, "out", events=("finished",), result_bytes=100)
    first, second = await run(engine, job("a")), await run(engine, job("b"))
    body = b"x" * size
    await engine.finish([done(first, body, "text/plain"), failed(second, error=body)], NOW)
    one, other = await read(engine)
    assert (one.result, one.result_type, one.result_bytes) == (body if kept else None, "text/plain", size)
    assert (other.error, other.error_bytes) == (body if kept else None, size)


async def test_of_many_at_once_every_job_has_its_own_in_order(engine: Engine) -> None:
    await turn_on(engine, "out")
    jobs = [job() for _ in range(300)]
    calls: list[Any] = [engine.enqueue([Request(tuple(jobs[n : n + 50]))], NOW) for n in range(0, 300, 50)]
    calls.append(take(engine, 300))
    works = (await asyncio.gather(*calls))[-1]
    if not works:
        works = await take(engine, 300)
    await engine.finish([done(work, work.id.encode()) for work in works], NOW)
    events = await read(engine, 1000)
    assert len(events) == 900
    for one in jobs:
        mine = [event for event in events if event.id == one.id]
        assert [event.event for event in mine] == ["enqueued", "started", "finished"]
        assert mine[2].result == one.id.encode()


async def test_a_refused_call_leaves_no_event(engine: Engine) -> None:
    await turn_on(engine, "out")
    good, bad = job(), job(priority=2**70)
    calls = [engine.enqueue([Request((one,))], NOW) for one in (good, bad, job())]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, Exception) for answer in answers] == [False, True, False]
    assert bad.id not in {one.id for one in await read(engine)}
    assert len(await read(engine)) == 2


async def test_what_was_sent_is_dropped_and_nothing_else(engine: Engine) -> None:
    await turn_on(engine, "out")
    await put(engine, *(job() for _ in range(5)))
    events = await read(engine, 3)
    assert len(events) == 3
    assert await read(engine, 3) == events, "until they are dropped"
    assert await engine.drop_events("out", "me", [events[0].n, events[2].n])
    rest = await read(engine)
    assert [one.n for one in rest][:1] == [events[1].n]
    assert len(rest) == 3
    assert await engine.drop_events("out", "me", [events[0].n]), "a second time does no harm"


async def test_large_results_come_a_few_at_a_time(engine: Engine) -> None:
    await turn_on(engine, "out", events=("finished",), result_bytes=20_000_000)
    sizes = [5_000_000, 2_000_000, 9_000_000, 10]
    for size in sizes:
        await engine.finish([done(await run(engine, job()), b"x" * size)], NOW)
    got = []
    while events := await read(engine):
        got.append([one.result_bytes for one in events])
        await engine.drop_events("out", "me", [one.n for one in events])
    assert got == [[5_000_000, 2_000_000], [9_000_000], [10]]


async def test_one_publisher_at_a_time(engine: Engine) -> None:
    await turn_on(engine, "out")
    await put(engine, job())
    [event] = await read(engine)
    reading = await engine.read_events("out", "other", LATER + SECOND, 9, NOW + SECOND)
    assert (reading.until, reading.events) == (None, [])
    assert not await engine.drop_events("out", "other", [event.n])
    kept = (await engine.read_events("out", "me", LATER + 5 * SECOND, 0, NOW + 5 * SECOND)).until
    assert kept == LATER + 5 * SECOND
    assert (await engine.read_events("out", "other", kept, 9, kept - 1)).until is None
    assert await read(engine, owner="other", at=kept) == [event], "its hold is over"
    assert not await engine.drop_events("out", "me", [event.n])
    assert (await engine.read_events("out", "me", kept + SECOND, 9, kept)).until is None
    assert (await engine.read_events("out", "other", kept, 9, kept)).until is None, "given back"
    assert await read(engine, owner="me", at=kept) == [event]


async def test_a_hold_is_never_told_longer_than_it_is(engine: Engine) -> None:
    await turn_on(engine, "out")
    first = (await engine.read_events("out", "me", LATER, 9, NOW)).until
    again = (await engine.read_events("out", "me", LATER + SECOND, 9, NOW + SECOND)).until
    assert first == LATER
    assert again is not None
    assert LATER <= again <= LATER + SECOND
    assert (await engine.read_events("out", "other", again + DAY, 9, again)).until == again + DAY


async def test_the_backlog(engine: Engine) -> None:
    await turn_on(engine, "out")
    [row] = await engine.backlog()
    assert row == Backlog("out", True, 0, None, 0, None, row.until)
    await put(engine, job(now=LATER))
    await put(engine, *(job(now=LATER + SECOND) for _ in range(4)))
    [event, *_] = await read(engine)
    assert await engine.backlog() == [Backlog("out", True, 5, LATER, 0, "me", NOW + 10 * SECOND)]
    await engine.drop_events("out", "me", [event.n])
    [row] = await engine.backlog()
    assert (row.waiting, row.oldest) == (4, LATER + SECOND)


async def test_beyond_its_bound_the_oldest_are_dropped_and_counted(engine: Engine) -> None:
    await turn_on(engine, "out", backlog=30)
    jobs = [job() for _ in range(30)]
    await put(engine, *jobs)
    assert await engine.trim_events(1000, NOW) == []
    more = [job() for _ in range(25)]
    await put(engine, *more)
    assert await engine.trim_events(10, NOW) == [Trimmed("out", 10, False)]
    assert await engine.trim_events(1000, NOW) == [Trimmed("out", 15, False)]
    assert await engine.trim_events(1000, NOW) == []
    assert ids(await read(engine)) == ids([*jobs[25:], *more])
    [row] = await engine.backlog()
    assert (row.waiting, row.dropped) == (30, 25)


async def test_a_feed_that_is_off_is_emptied_and_forgotten(engine: Engine) -> None:
    await turn_on(engine, "out")
    await put(engine, *(job() for _ in range(25)))
    await engine.save([Note(FEEDS, "out", None)])
    [row] = await engine.backlog()
    assert (row.on, row.waiting, row.dropped) == (False, 25, 0)
    assert await engine.trim_events(20, NOW) == [Trimmed("out", 20, True)]
    assert await engine.trim_events(20, NOW) == [Trimmed("out", 5, True)]
    await engine.trim_events(20, NOW + DAY)
    assert await engine.backlog() == []
    assert await engine.trim_events(20, NOW + DAY) == []


async def test_a_feed_that_is_on_again_goes_on_with_what_was_left(engine: Engine) -> None:
    await turn_on(engine, "out")
    await put(engine, job())
    await engine.save([Note(FEEDS, "out", None)])
    await put(engine, job())
    await turn_on(engine, "out")
    await put(engine, job())
    assert len(await read(engine)) == 2
    await engine.trim_events(20, NOW + DAY)
    assert len(await read(engine)) == 2


async def test_numbers_are_never_given_twice(store: str) -> None:
    engine = await open_engine(store)
    await turn_on(engine, "out")
    seen: set[int] = set()
    for _ in range(3):
        await put(engine, job(), job())
        numbers = {one.n for one in await read(engine)}
        assert numbers
        assert not numbers & seen
        assert min(numbers) > max(seen, default=0)
        seen |= numbers
        await engine.drop_events("out", "me", list(numbers))
        await engine.close()
        engine = await open_engine(store)
    await engine.close()
