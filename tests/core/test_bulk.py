"""Acting on all jobs that match."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from rota.core import bulk
from rota.core.bulk import Act, Progress
from rota.core.service import Service
from rota.model.clock import ManualClock
from rota.model.errors import BadInput
from rota.model.job import Match, State
from rota.model.protocol import Ending, Hello, Work
from tests.core.kit import attach, put, put_many, quiet, state


async def act(service: Service, act: Act, match: Match, **options: Any) -> Progress:
    """The last word."""
    steps = [step async for step in bulk.run(service, act, match, **options)]
    assert all(step.matched == step.changed + step.skipped for step in steps)
    return steps[-1]


async def counted(service: Service, act: Act, match: Match, **options: Any) -> Progress:
    return [step async for step in bulk.count(service, act, match, **options)][-1]


async def states(service: Service, ids: Sequence[str]) -> set[State]:
    return {job.state for job in await service.engine.get(ids)}


async def test_cancel_ends_what_waits_and_asks_what_runs_to_stop(service: Service) -> None:
    hand = await attach(service, slots=2)
    await put_many(service, 2)
    running = [job.id for job in await hand.until(2)]
    waits = await put_many(service, 450)
    later = await put(service, delay=60)
    other = await put(service, type="other")
    assert await counted(service, "cancel", Match(types=("work",))) == Progress(453, 0, 0, None)
    assert await act(service, "cancel", Match(types=("work",))) == Progress(453, 453, 0, None)
    assert await states(service, [*waits, later]) == {State.CANCELLED}
    assert (await service.job(waits[0])).reason == "cancelled"
    assert await state(service, other) is State.PENDING
    assert {stop.id for stop in hand.stops} == set(running)
    # They were asked already.
    assert await act(service, "cancel", Match(types=("work",))) == Progress(2, 0, 2, None)


async def test_retry_brings_back_and_wakes_workers(service: Service) -> None:
    ids = await put_many(service, 450)
    await act(service, "cancel", Match())
    hand = await attach(service, slots=500)
    assert await act(service, "retry", Match(queues=("default",))) == Progress(450, 450, 0, None)
    assert {job.id for job in await hand.until(450)} == set(ids)


async def test_jobs_whose_key_is_taken_do_not_keep_a_retry_from_its_end(service: Service) -> None:
    for n in range(5):
        for _ in range(3):
            await put(service, unique_key=f"k{n}")
            await bulk.clear(service, "nothing")
            await service.cancel_all(Match(states=(State.PENDING,)), "cancelled")
    free = await put_many(service, 3)
    await act(service, "cancel", Match())
    for limit in (None, 2):
        cursor = None
        done = Progress(0, 0, 0, None)
        while True:
            step = await act(service, "retry", Match(), limit=limit, cursor=cursor)
            done = Progress(
                done.matched + step.matched, done.changed + step.changed, done.skipped + step.skipped, None
            )
            cursor = step.cursor
            if cursor is None:
                break
        assert done == Progress(18, 8, 10, None)
        assert await states(service, free) == {State.PENDING}
        await act(service, "cancel", Match())


async def test_delete_skips_what_runs(service: Service) -> None:
    await put(service)
    hand = await attach(service)
    running = await hand.next()
    ids = await put_many(service, 5)
    assert await act(service, "delete", Match()) == Progress(6, 5, 1, None)
    assert await service.engine.get(ids) == []
    assert await state(service, running.id) is State.RUNNING


async def test_clear_deletes_what_waits_in_a_queue(service: Service) -> None:
    await put_many(service, 401)
    await put(service, delay=60)
    other = await put(service, queue="other")
    assert await bulk.clear(service, "default") == 402
    assert await state(service, other) is State.PENDING


async def test_a_limit_and_a_cursor(service: Service) -> None:
    ids = await put_many(service, 10)
    first = await act(service, "cancel", Match(), limit=4)
    assert (first.changed, first.cursor is None) == (4, False)
    assert await states(service, ids[:4]) == {State.CANCELLED}
    assert await states(service, ids[4:]) == {State.PENDING}
    rest = await act(service, "cancel", Match(), cursor=first.cursor)
    assert rest == Progress(6, 6, 0, None)
    assert (await counted(service, "retry", Match(), limit=3)) == Progress(3, 0, 0, None)


async def test_it_does_not_run_after_jobs_that_come_while_it_acts(service: Service) -> None:
    await put_many(service, 500)
    steps = bulk.run(service, "delete", Match())
    await anext(steps)
    new = await put_many(service, 50)
    last = [step async for step in steps][-1]
    assert last.matched == 500
    assert await states(service, new) == {State.PENDING}


async def test_it_does_not_retry_what_it_retried(service: Service) -> None:
    await put_many(service, 300, max_attempts=1)
    await act(service, "cancel", Match())

    async def fail_at_once(jobs: list[Work]) -> None:
        await service.workers.finish("w1", [Ending(job.id, job.lease, "failed", retry=False) for job in jobs])

    await attach_with(service, fail_at_once)
    done = await act(service, "retry", Match())
    assert done == Progress(300, 300, 0, None)


async def attach_with(service: Service, run: Any, queue: str = "default", slots: int = 1) -> None:
    """A worker that does this with whatever it is given, at once."""
    tasks: set[asyncio.Task[None]] = set()

    def give(jobs: list[Work]) -> None:
        task = asyncio.ensure_future(run(jobs))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    hello = Hello("w1", (queue,), slots)
    await service.workers.attach(hello, "socket", give, lambda stops: None, lambda: None)


async def test_workers_are_served_all_the_while_that_20000_jobs_come_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await put_many(service, 10_000, queue="bulk")
    await act(service, "cancel", Match(queues=("bulk",)))
    # What happens, in order: b(ack) for a step of the retry, s(erved) for a job handed out.
    order: list[str] = []
    retry = service.engine.retry

    def watched(match: Match, now: int, limit: int) -> Any:
        assert match.ids is not None
        assert len(match.ids) <= bulk.STEP
        order.append("b")
        return retry(match, now, limit)

    monkeypatch.setattr(service.engine, "retry", watched)

    async def work(jobs: list[Work]) -> None:
        order.extend("s" for _ in jobs)
        await service.workers.finish("w1", [Ending(job.id, job.lease) for job in jobs])

    await put_many(service, 2000, queue="live")
    await attach_with(service, work, "live")
    assert await act(service, "retry", Match(queues=("bulk",))) == Progress(20_000, 20_000, 0, None)
    steps = "".join(order)
    assert steps.count("b") == 20_000 // bulk.STEP
    # One worker with one slot: a job was handed out between any three steps in a row.
    assert "bbb" not in steps
    await quiet(service.engine)


async def test_events_tell_of_every_job(service: Service) -> None:
    with service.bus.events.listen() as listener:
        ids = await put_many(service, 250)
        await act(service, "cancel", Match())
        await act(service, "retry", Match())
        await act(service, "delete", Match())
        told: dict[str, list[str]] = {}
        for event in await listener.next():
            told.setdefault(event.event, []).append(event.id or "")
    assert told == {"enqueued": ids, "finished": ids, "requeued": ids, "deleted": ids}


@pytest.mark.parametrize(
    ("what", "wrong"),
    [("cancel", State.DONE), ("retry", State.PENDING), ("retry", State.SCHEDULED), ("delete", State.RUNNING)],
)
async def test_a_state_that_an_act_is_not_for_is_refused(service: Service, what: Act, wrong: State) -> None:
    for way in (bulk.run, bulk.count):
        with pytest.raises(BadInput, match=f"not {wrong}") as caught:
            await anext(way(service, what, Match(states=(wrong,))))
        assert (caught.value.code, caught.value.field) == ("invalid_filter", "state")


async def test_a_count_changes_nothing_and_agrees_with_the_act(service: Service, clock: ManualClock) -> None:
    await put_many(service, 7, tags=("red",))
    await put_many(service, 5, type="other", queue="q")
    await act(service, "cancel", Match(queues=("q",)))
    matches = (Match(), Match(queues=("q",)), Match(types=("work",)), Match(tags=("red",)), Match(text="oth"))
    expected = {"cancel": [7, 0, 7, 7, 0], "retry": [5, 5, 0, 0, 5], "delete": [12, 5, 7, 7, 5]}
    names: tuple[Act, ...] = ("cancel", "retry", "delete")
    for name in names:
        assert [(await counted(service, name, one)).matched for one in matches] == expected[name]
    assert {row.state: row.jobs for row in await service.engine.count()} == {
        State.PENDING: 7,
        State.CANCELLED: 5,
    }
