"""explain: every cause, brought about for real, with its code, its numbers and its sentence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rota.core import facts, upkeep
from rota.core.causes import Cause
from rota.core.explain import Explanation
from rota.core.facts import explain_job
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import MINUTE, SECOND, ManualClock, SystemClock, to_text
from rota.model.errors import NotFound
from rota.model.job import Fixed, Match, State
from rota.model.protocol import Error, Progress
from tests.core.kit import Hand, attach, put, put_many, quiet, state, taken


async def codes(service: Service, id: str) -> list[str]:
    return [cause.code for cause in (await explain_job(service, id)).causes]


async def only(service: Service, id: str) -> tuple[Explanation, Cause]:
    """The explanation, which has one cause."""
    told = await explain_job(service, id)
    assert len(told.causes) == 1, told.causes
    return told, told.causes[0]


def has(cause: Cause, **numbers: Any) -> None:
    assert {name: cause.numbers.get(name) for name in numbers} == numbers


def text(at: int) -> str:
    return to_text(at)[:19] + "Z"


async def failing(service: Service, clock: ManualClock, **fields: Any) -> tuple[Hand, str]:
    """A job whose first attempt has failed."""
    hand, work = await taken(service, **fields)
    await hand.end(work, "failed", error=Error("ValueError", "boom"))
    return hand, work.id


# waiting for a time


async def test_scheduled(service: Service, clock: ManualClock) -> None:
    id = await put(service, delay=90)
    await attach(service)
    told, cause = await only(service, id)
    assert (cause.code, told.at, told.certainty) == ("scheduled", clock.now() + 90 * SECOND, "known")
    has(cause, seconds=90.0, run_at=told.at)
    assert cause.sentence == f"It is scheduled for {text(clock.now() + 90 * SECOND)} (in 90s)."


async def test_due(service: Service, clock: ManualClock) -> None:
    id = await put(service, delay=1)
    await attach(service)
    clock.advance(SECOND)
    told, cause = await only(service, id)
    assert (cause.code, told.certainty) == ("due", "known")


async def test_backoff(service: Service, clock: ManualClock) -> None:
    _, id = await failing(service, clock, retry=Fixed(8), max_attempts=4)
    told, cause = await only(service, id)
    assert (cause.code, told.at) == ("backoff", clock.now() + 8 * SECOND)
    has(cause, attempt=1, max_attempts=4, error="ValueError: boom", seconds=8.0)
    assert cause.sentence.startswith("Attempt 1 of 4 failed with ValueError: boom; the next one is due at ")


async def test_snoozed(service: Service, clock: ManualClock) -> None:
    hand, work = await taken(service)
    await hand.end(work, "snoozed", delay=30)
    told, cause = await only(service, work.id)
    assert (cause.code, told.at) == ("snoozed", clock.now() + 30 * SECOND)
    assert "asked to be called again at" in cause.sentence


async def test_a_backoff_that_was_cut_short_is_no_backoff(service: Service, clock: ManualClock) -> None:
    hand, id = await failing(service, clock)
    await hand.leave()
    await service.run_now(id)
    assert await codes(service, id) == ["no_worker"]


# waiting for somebody to mend something


async def test_queue_paused(service: Service) -> None:
    await service.pause("default")
    id = await put(service)
    await attach(service)
    told, cause = await only(service, id)
    assert (cause.code, cause.sentence) == ("queue_paused", "The queue default is paused.")
    assert (told.at, told.certainty) == (None, None)


async def test_no_worker(service: Service) -> None:
    id = await put(service)
    _, cause = await only(service, id)
    assert (cause.code, cause.sentence) == ("no_worker", "No worker serves the queue default.")
    has(cause, workers=0, names=[], elsewhere=[])


async def test_no_worker_here_but_one_elsewhere(service: Service) -> None:
    id = await put(service)
    await attach(service, "w9", queues=["mail", "bulk"], types=["work"])
    await attach(service, "w8", queues=["any"], types=["odd"])
    _, cause = await only(service, id)
    assert cause.sentence.endswith("Workers that know the type work serve bulk, mail.")
    has(cause, elsewhere=[{"name": "w9", "queues": ("mail", "bulk")}])


async def test_unknown_type(service: Service) -> None:
    id = await put(service, "odd")
    for n in range(12):
        await attach(service, f"w{n}", types=["even"])
    _, cause = await only(service, id)
    assert cause.code == "unknown_type"
    assert cause.sentence == "No connected worker of the queue default knows the type odd."
    has(cause, workers=12, names=[f"w{n}" for n in range(10)], type="odd")


async def test_workers_draining(service: Service) -> None:
    hand = await attach(service)
    service.workers.draining(hand.worker)
    id = await put(service)
    _, cause = await only(service, id)
    assert cause.code == "workers_draining"
    assert cause.sentence == "All workers of the queue default are draining."


async def test_server_draining(service: Service) -> None:
    await attach(service)
    service.drain()
    id = await put(service)
    _, cause = await only(service, id)
    assert (cause.code, cause.sentence) == ("server_draining", "The server is draining.")


async def test_what_outlasts_a_restart_comes_before_it(service: Service) -> None:
    id = await put(service)
    service.drain()
    assert await codes(service, id) == ["no_worker", "server_draining"]
    hand = await attach(service)
    service.workers.draining(hand.worker)
    assert await codes(service, id) == ["server_draining", "workers_draining"]


async def test_several_at_once_come_by_importance(service: Service, clock: ManualClock) -> None:
    id = await put(service, delay=60, expires_at=to_text(clock.now() + 90 * SECOND), unique_key="k")
    await service.pause("default")
    told = await explain_job(service, id)
    assert [cause.code for cause in told.causes] == [
        "scheduled", "queue_paused", "no_worker", "expires", "holds_unique_key",
    ]  # fmt: skip
    assert (told.at, told.certainty) == (clock.now() + 60 * SECOND, "not_before")


# waiting for a turn


async def test_slots_full(service: Service, clock: ManualClock) -> None:
    hand = await attach(service, slots=2)
    running = await put_many(service, 2)
    await hand.until(2)
    better = await put(service, priority=3)
    first = await put(service)
    last = await put(service)
    await put(service, priority=-1)
    told, cause = await only(service, last)
    assert cause.code == "slots_full"
    assert cause.sentence == "All 2 slots that can take it are taken, and 2 jobs are ahead of it."
    has(cause, ahead=2, ahead_is_exact=True, slots=2, free_slots=0, workers=1, run_seconds=None)
    assert (told.at, told.certainty) == (None, None), "nothing is known of runs yet"
    assert (await only(service, better))[1].sentence.endswith("and no jobs are ahead of it.")
    assert (await only(service, first))[1].sentence.endswith("and 1 job is ahead of it.")
    # One run of 4 s: from now on there is something to go by.
    clock.advance(4 * SECOND)
    jobs = {job.id: job for job in hand.jobs}
    await hand.end(jobs[running[0]])
    await hand.until(3)
    clock.advance(SECOND)
    told, cause = await only(service, last)
    # Slot one: taken for 5 s, so any moment; slot two: 3 s more. The job ahead takes slot one for 4 s.
    assert (told.at, told.certainty) == (clock.now() + 3 * SECOND, "estimate")
    has(cause, ahead=1, run_seconds=4.0)
    assert f"; at 4.0s a run it starts at about {text(told.at or 0)} (in 3.0s)." in cause.sentence


async def test_the_only_slot(service: Service) -> None:
    hand = await attach(service)
    await put(service)
    await hand.until(1)
    _, cause = await only(service, await put(service))
    assert cause.sentence == "The only slot for it is taken, and no jobs are ahead of it."


async def test_jobs_that_only_others_know_are_not_ahead(service: Service) -> None:
    hand = await attach(service, types=["work", "more"])
    await put(service)
    await hand.until(1)
    await put_many(service, 5, "foreign")
    await put_many(service, 2, "more")
    _, cause = await only(service, await put(service))
    has(cause, ahead=2)
    other = await attach(service, "w2", types=["foreign"])
    await other.until(1)
    has((await only(service, await put(service)))[1], ahead=3, workers=1, slots=1)


async def test_more_are_ahead_than_are_counted(
    service: Service, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "LIMIT", 5)
    hand, work = await taken(service)
    clock.advance(2 * SECOND)
    await put_many(service, 7)
    last = await put(service)
    await hand.end(work)
    await hand.until(1)
    told, cause = await only(service, last)
    has(cause, ahead=5, ahead_is_exact=False)
    assert "more than 5 jobs are ahead of it; at 2.0s a run it starts after " in cause.sentence
    assert (told.certainty, told.at) == ("not_before", clock.now() + (2 + 5 * 2) * SECOND)


async def test_jobs_ahead_and_starting(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await attach(service, slots=2)
    # The store is slow: what was asked for has not been handed out yet.
    held = asyncio.Event()
    claim = service.engine.claim

    def late(*asked: Any) -> Any:
        async def call() -> Any:
            await held.wait()
            return await claim(*asked)

        return asyncio.ensure_future(call())

    monkeypatch.setattr(service.engine, "claim", late)
    ids = await put_many(service, 3)
    told, cause = await only(service, ids[0])
    assert (cause.code, told.certainty, told.at) == ("starting", "estimate", service.clock.now())
    _, cause = await only(service, ids[2])
    assert (cause.code, cause.sentence) == ("jobs_ahead", "2 jobs are ahead of it, 2 slots can take it.")
    held.set()
    await quiet(service.engine)


async def test_a_million_pending_jobs_do_not_make_it_slow(engine: Engine, service: Service) -> None:
    """Not timed here: that the count is bounded is what makes it quick."""
    await put_many(service, 10_000)
    await put_many(service, 10_000, priority=1)
    last = await put(service)
    counted = await engine.ahead([last], None, service.clock.now(), facts.LIMIT + 1)
    assert sum(counted[last].values()) == facts.LIMIT + 1
    hand = await attach(service)
    await hand.until(1)
    has((await only(service, last))[1], ahead=10_000, ahead_is_exact=False)


# running


async def test_running(service: Service, clock: ManualClock) -> None:
    hand, work = await taken(service, timeout=60, max_attempts=3)
    began = clock.now()
    clock.advance(2 * SECOND)
    await service.workers.extend(hand.id, (), [Progress(work.id, work.lease, 0.5, "half")])
    told, cause = await only(service, work.id)
    assert (cause.code, told.at, told.certainty) == ("running", None, None)
    has(cause, worker="w1", started_at=began, attempt=1, max_attempts=3, progress=0.5, seconds=2.0)
    has(cause, lease_until_at=clock.now() + service.rules.lease, timeout_at=began + MINUTE)
    assert cause.sentence.startswith("It has run on worker w1 since ")
    assert ", attempt 1 of 3, 50% done (half); it times out at " in cause.sentence


async def test_cancel_requested(service: Service) -> None:
    _, work = await taken(service)
    await service.cancel(work.id)
    assert await codes(service, work.id) == ["cancel_requested", "running"]


async def test_timeout_overdue(service: Service, clock: ManualClock) -> None:
    hand, work = await taken(service, timeout=2)
    began = clock.now()
    clock.advance(3 * SECOND)
    await hand.beat(work)
    told = await explain_job(service, work.id)
    assert [cause.code for cause in told.causes] == ["timeout_overdue", "running"]
    has(told.causes[0], timeout_at=began + 2 * SECOND, taken_back_at=began + 4 * SECOND)
    clock.advance(2 * SECOND)
    await upkeep.time_out(service)
    assert await codes(service, work.id) == ["backoff"]


async def test_worker_away(service: Service, clock: ManualClock) -> None:
    hand, work = await taken(service)
    await hand.leave()
    told = await explain_job(service, work.id)
    assert [cause.code for cause in told.causes] == ["worker_away", "running"]
    assert told.causes[0].at == clock.now() + service.rules.socket_grace
    assert told.causes[0].sentence.startswith(
        "Worker w1 is not connected; without its return the job is taken"
    )


@pytest.mark.parametrize(
    ("attempts", "then", "after"),
    [(5, "goes to the next worker", State.PENDING), (1, "ends as failed", State.FAILED)],
)
async def test_lease_overdue(
    service: Service, clock: ManualClock, attempts: int, then: str, after: State
) -> None:
    _, work = await taken(service, max_attempts=attempts)
    ended = clock.now() + service.rules.lease
    clock.advance(service.rules.lease + 1)
    told = await explain_job(service, work.id)
    assert [cause.code for cause in told.causes] == ["lease_overdue", "running"]
    assert told.causes[0].at == ended
    assert f"The job {then} within a second." in told.causes[0].sentence
    await upkeep.rescue(service)
    assert await state(service, work.id) is after


# ended


async def test_done(service: Service, clock: ManualClock) -> None:
    hand, work = await taken(service, retention=60)
    await hand.end(work)
    told, cause = await only(service, work.id)
    assert (cause.code, told.at, told.certainty) == ("done", None, None)
    has(cause, finished_at=clock.now(), removed_at=clock.now() + MINUTE)
    assert f"It is kept until {text(clock.now() + MINUTE)} (in 60s)." in cause.sentence


async def test_attempts_used_up(service: Service, clock: ManualClock) -> None:
    _, id = await failing(service, clock, max_attempts=1)
    _, cause = await only(service, id)
    assert cause.code == "attempts_used_up"
    has(cause, attempt=1, max_attempts=1, error="ValueError: boom", reason="attempts_used_up")
    assert "1 of 1 attempts used up. The last error: ValueError: boom." in cause.sentence


async def test_not_retryable(service: Service) -> None:
    hand, work = await taken(service)
    await hand.end(work, "failed", error=Error("E", "m"), retry=False)
    assert await codes(service, work.id) == ["not_retryable"]


async def test_timed_out(service: Service) -> None:
    hand, work = await taken(service, max_attempts=1)
    await hand.end(work, "timeout", error=Error("Timeout", "too long"))
    _, cause = await only(service, work.id)
    assert cause.code == "timed_out"
    assert "after 1 of 1 attempts. The last error: Timeout: too long." in cause.sentence


async def test_worker_lost(service: Service, clock: ManualClock) -> None:
    id = await put(service)
    for n in range(3):
        hand = await attach(service, f"w{n}")
        await hand.until(1)
        await hand.leave()
        clock.advance(service.rules.lease + 1)
        await upkeep.rescue(service)
    _, cause = await only(service, id)
    assert cause.code == "worker_lost"
    assert "3 workers were lost while they ran it (3 of 10 attempts)." in cause.sentence


async def test_cancelled(service: Service) -> None:
    id = await put(service)
    await service.cancel(id)
    assert await codes(service, id) == ["cancelled"]


async def test_cancelled_for_another_reason(service: Service) -> None:
    id = await put(service)
    await service.cancel_all(Match(ids=(id,)), "somebody's whim")
    _, cause = await only(service, id)
    assert (cause.code, "somebody's whim" in cause.sentence) == ("cancelled", True)


async def test_expired(service: Service, clock: ManualClock) -> None:
    at = clock.now() + SECOND
    id = await put(service, expires_at=to_text(at))
    clock.advance(SECOND)
    await upkeep.expire(service)
    _, cause = await only(service, id)
    assert cause.code == "expired"
    assert f"(expires_at was {text(at)})" in cause.sentence


# expiry of what waits


async def test_expiring(service: Service, clock: ManualClock) -> None:
    id = await put(service, expires_at=to_text(clock.now() + SECOND))
    clock.advance(SECOND)
    told = await explain_job(service, id)
    assert [cause.code for cause in told.causes] == ["expiring", "no_worker"]
    assert (told.at, told.certainty) == (None, "never")


async def test_expires_before_the_next_attempt(service: Service, clock: ManualClock) -> None:
    _, id = await failing(service, clock, retry=Fixed(60), expires_at=to_text(clock.now() + 30 * SECOND))
    told = await explain_job(service, id)
    assert [cause.code for cause in told.causes] == ["expires_first", "backoff"]
    assert (told.at, told.certainty) == (None, "never")
    assert told.causes[0].sentence.startswith("It will not run: it expires at ")


async def test_expires_before_its_turn_by_the_estimate(service: Service, clock: ManualClock) -> None:
    hand, work = await taken(service)
    clock.advance(10 * SECOND)
    ids = await put_many(service, 2, expires_at=to_text(clock.now() + 5 * SECOND))
    await hand.end(work)
    await hand.until(1)
    told = await explain_job(service, ids[1])
    assert [cause.code for cause in told.causes] == ["expires_first", "slots_full"]
    assert told.causes[0].sentence.startswith("It will probably not run: it expires at ")
    assert (told.at, told.certainty) == (clock.now() + 10 * SECOND, "estimate")


async def test_expires(service: Service, clock: ManualClock) -> None:
    id = await put(service, expires_at=to_text(clock.now() + 5 * SECOND))
    told = await explain_job(service, id)
    assert [cause.code for cause in told.causes] == ["no_worker", "expires"]
    has(told.causes[1], seconds=5.0)


# unique keys


async def test_unique_held(service: Service) -> None:
    old = await put(service, unique_key="k")
    await service.cancel(old)
    assert await codes(service, old) == ["cancelled"], "nobody holds it"
    holder = await put(service, unique_key="k")
    told = await explain_job(service, old)
    assert [cause.code for cause in told.causes] == ["cancelled", "unique_held"]
    has(told.causes[1], holder=holder, holder_state=State.PENDING, unique_key="k")
    assert told.causes[1].sentence == (
        f"A retry is refused: the job {holder} (pending) holds the unique key 'k'."
    )


async def test_an_ended_job_that_kept_its_key_can_be_retried(service: Service) -> None:
    states = ("scheduled", "pending", "running", "cancelled")
    id = await put(service, unique_key="k", unique_states=states)
    await service.cancel(id)
    assert await codes(service, id) == ["cancelled"]
    await service.retry(id)


async def test_holds_unique_key(service: Service) -> None:
    id = await put(service, unique_key="k")
    assert await put(service, unique_key="k") == id, "what was not stored is answered with the holder"
    assert await codes(service, id) == ["no_worker", "holds_unique_key"]
    hand = await attach(service)
    await hand.until(1)
    assert await codes(service, id) == ["running", "holds_unique_key"]


# the clock


async def test_made_in_the_future(service: Service, clock: ManualClock) -> None:
    id = await put(service, delay=60)
    clock.advance(-600 * SECOND)
    told = await explain_job(service, id)
    assert [cause.code for cause in told.causes] == ["scheduled", "no_worker", "clock_jumped"]
    has(told.causes[2], seconds=-600.0)


async def test_a_clock_that_was_set_is_noticed(
    service: Service, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    id = await put(service)
    look = asyncio.ensure_future(upkeep.look_at_the_clock(service))
    await asyncio.sleep(0)
    clock.advance(-3600 * SECOND)
    await look
    assert [record.message for record in caplog.records if record.name == "rota.upkeep"] == [
        "the clock was set"
    ]
    told = await explain_job(service, id)
    assert told.causes[-1].code == "clock_jumped"
    assert told.causes[-1].sentence.startswith("The clock was set back by 60m at ")
    clock.advance(2 * 3600 * SECOND)
    assert "clock_jumped" not in await codes(service, id), "it is of no interest for ever"


async def test_a_clock_that_was_not_set_is_not(service: Service) -> None:
    service.clock = SystemClock()
    await upkeep.look_at_the_clock(service)
    assert service.workers.meter.jump is None


# around it


async def test_there_is_no_such_job(service: Service) -> None:
    with pytest.raises(NotFound):
        await explain_job(service, "nobody")


async def test_a_job_that_is_claimed_meanwhile_is_explained_as_running(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await put(service)
    ahead = service.engine.ahead

    async def late(*asked: Any) -> Any:
        hand = await attach(service)
        await hand.until(1)
        return await ahead(*asked)

    monkeypatch.setattr(service.engine, "ahead", late)
    assert (await codes(service, id))[-1] == "running"


async def test_lists_say_the_headline(service: Service) -> None:
    """waiting_because and explain are one text."""
    await service.pause("paused")
    await attach(service, queues=["odd"], types=["even"])
    for fields in ({"queue": "paused"}, {"queue": "odd"}, {"queue": "nobody"}):
        id = await put(service, **fields)
        told = await explain_job(service, id)
        assert service.waits_for(await service.job(id)) == told.causes[0].sentence


async def test_running_jobs_have_no_short_form(service: Service) -> None:
    _, work = await taken(service)
    assert service.waits_for(await service.job(work.id)) is None
