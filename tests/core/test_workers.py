"""workers: who is connected, what each has in hand, and what happens to their reports."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rota.core import upkeep
from rota.core.service import Service
from rota.model.clock import DAY, SECOND, ManualClock
from rota.model.errors import BadInput
from rota.model.job import Beat, State
from rota.model.protocol import Ending, Error, Fetch, Hello, Lease, Stop
from tests.core.kit import attach, ends, put, put_many, quiet, state

UNKNOWN = Lease("00000000-0000-7000-8000-000000000000", 1)


async def lose(service: Service, clock: ManualClock) -> None:
    """Let every lease end, and rescue."""
    clock.advance(service.rules.lease + 1)
    await upkeep.rescue(service)


# attach and leave


async def test_a_worker_that_comes_back_keeps_what_it_holds(service: Service, clock: ManualClock) -> None:
    ids = await put_many(service, 3)
    hand = await attach(service, slots=2)
    held = list(await hand.until(2))
    await hand.leave()
    clock.advance(2 * SECOND)
    again = await attach(service, slots=2, held=held)
    await upkeep.rescue(service)
    await quiet(service.engine)
    assert again.jobs == [], "both slots are taken by what it holds"
    assert again.stops == []
    until_when = clock.now() + service.rules.lease
    assert {(await service.job(job.id)).lease_until for job in held} == {until_when}
    for job in held:
        assert (await again.end(job)).applied
    assert (await again.next()).id == ids[2]
    assert await ends(service, held[0].id) == ["done"]


async def test_a_worker_that_comes_back_too_late_is_told_to_stop(
    service: Service, clock: ManualClock
) -> None:
    mine, theirs = await put_many(service, 2)
    hand = await attach(service, slots=2)
    first, second = await hand.until(2)
    await hand.leave()
    await service.engine.extend([Beat(first.id, first.lease)], clock.now() + 60 * SECOND, clock.now())
    clock.advance(service.rules.socket_grace + 1)
    await upkeep.rescue(service)
    other = await attach(service, "w2")
    assert (await other.next()).id == theirs
    again = await attach(service, slots=2, held=[first, second, UNKNOWN])
    assert again.stops == [
        Stop(theirs, second.lease, "stale_lease"),
        Stop(UNKNOWN.id, UNKNOWN.lease, "stale_lease"),
    ]
    assert (await state(service, mine), await state(service, theirs)) == (State.RUNNING, State.RUNNING)
    await put_many(service, 2)
    await quiet(service.engine)
    assert len(again.jobs) == 1, "the slot of the stale job is free, that of the held one is not"


async def test_a_held_job_that_was_cancelled_meanwhile_is_stopped(service: Service) -> None:
    id = await put(service)
    hand = await attach(service)
    work = await hand.next()
    await hand.leave()
    await service.cancel(id)
    again = await attach(service, held=[work])
    assert again.stops == [Stop(id, work.lease, "cancelled")]
    assert (await again.end(work, "cancelled")).state is State.CANCELLED


async def test_the_second_connection_of_a_worker_takes_the_place_of_the_first(service: Service) -> None:
    first = await attach(service, slots=1)
    second = await attach(service, slots=1)
    await put_many(service, 2)
    await quiet(service.engine)
    assert (len(first.jobs), len(second.jobs)) == (0, 1)
    await first.leave()
    assert service.workers.roster["w1"] is second.worker, "a late good-bye of the first removes nobody"
    lease_until = (await service.job(second.jobs[0].id)).lease_until
    assert lease_until == service.clock.now() + service.rules.lease, "nor does it shorten leases"


async def test_leaving_shortens_the_leases_to_the_grace(service: Service, clock: ManualClock) -> None:
    await put_many(service, 2)
    hand = await attach(service, slots=2)
    ended, held = await hand.until(2)
    await hand.end(ended)
    await hand.leave()
    assert "w1" not in service.workers.roster
    assert (await service.job(held.id)).lease_until == clock.now() + service.rules.socket_grace
    clock.advance(service.rules.socket_grace)
    await upkeep.rescue(service)
    assert await state(service, held.id) is State.RUNNING
    clock.advance(1)
    await upkeep.rescue(service)
    assert await state(service, held.id) is State.PENDING
    assert await ends(service, held.id) == ["lost"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"worker": ""}, "invalid_worker"),
        ({"worker": "x" * 201}, "invalid_worker"),
        ({"worker": "a\nb"}, "invalid_worker"),
        ({"queues": ()}, "invalid_queues"),
        ({"queues": ("q",) * 101}, "invalid_queues"),
        ({"queues": ("good", "not good")}, "invalid_queues"),
        ({"queues": ("",)}, "invalid_queues"),
        ({"types": ("t",) * 10_001}, "invalid_types"),
        ({"slots": 0}, "invalid_slots"),
        ({"slots": 10_001}, "invalid_slots"),
    ],
)
async def test_a_bad_introduction_is_refused(service: Service, fields: dict[str, Any], code: str) -> None:
    given: dict[str, Any] = {"worker": "w", "queues": ("default",), "slots": 1}
    with pytest.raises(BadInput) as hello:
        await service.workers.attach(Hello(**(given | fields)), "socket", print, print, print)
    with pytest.raises(BadInput) as fetch:
        await service.workers.fetch(Fetch(**(given | fields), wait=0))
    assert hello.value.code == fetch.value.code == code
    assert hello.value.field == next(iter(fields))
    assert service.workers.roster == {}


# finish


async def test_every_ending_becomes_what_the_protocol_says(service: Service, clock: ManualClock) -> None:
    hand = await attach(service, slots=10)
    wanted = {
        "done": (State.DONE, None, 1),
        "failed": (State.SCHEDULED, None, 1),
        "timeout": (State.SCHEDULED, None, 1),
        "snoozed": (State.SCHEDULED, None, 0),
        "cancelled": (State.CANCELLED, "cancelled", 1),
    }
    for end, (state_, reason, attempt) in wanted.items():
        id = await put(service)
        delay = 60.0 if end == "snoozed" else None
        answer = await hand.end(await hand.next(), end, delay=delay)  # type: ignore[arg-type]
        assert (answer.id, answer.applied, answer.state, answer.code) == (id, True, state_, None)
        job = await service.job(id)
        assert (job.state, job.reason, job.attempt) == (state_, reason, attempt), end
        assert [one.end for one in job.attempts] == [end]
        if end == "snoozed":
            assert job.run_at == clock.now() + 60 * SECOND


async def test_a_released_job_goes_out_again_with_no_attempt_spent(service: Service) -> None:
    id = await put(service)
    hand = await attach(service)
    work = await hand.next()
    assert (await hand.end(work, "released")).state is State.PENDING
    again = await hand.next()
    assert (again.id, again.attempt, again.lease) == (id, 1, work.lease + 1)


async def test_retry_and_delay_of_a_failure(service: Service, clock: ManualClock) -> None:
    hand = await attach(service, slots=10)
    error = Error("ValueError", "no", "line 1")
    final = await put(service)
    await hand.end(await hand.next(), "failed", error=error, retry=False)
    job = await service.job(final)
    assert (job.state, job.reason) == (State.FAILED, "not_retryable")
    assert job.error is not None
    assert msgspec.json.decode(job.error, type=Error) == error
    later = await put(service)
    await hand.end(await hand.next(), "failed", error=error, delay=100)
    assert (await service.job(later)).run_at == clock.now() + 100 * SECOND
    at_once = await put(service)
    assert (await hand.end(await hand.next(), "failed", delay=-5)).state is State.PENDING
    assert (await hand.next()).id == at_once
    far = await put(service)
    await hand.end(await hand.next(), "failed", delay=1e300)
    assert (await service.job(far)).run_at == clock.now() + 3650 * DAY
    last = await put(service, max_attempts=1)
    await hand.end(await hand.next(), "failed", error=error, delay=100)
    job = await service.job(last)
    assert (job.state, job.reason) == (State.FAILED, "attempts_used_up")


async def test_a_failed_job_whose_worker_gave_no_error_has_one_all_the_same(service: Service) -> None:
    id = await put(service, max_attempts=1)
    hand = await attach(service)
    await hand.end(await hand.next(), "failed")
    job = await service.job(id)
    assert job.error is not None
    assert "gave no error" in msgspec.json.decode(job.error, type=Error).message


async def test_each_ending_frees_its_slot(service: Service) -> None:
    ids = await put_many(service, 6)
    hand = await attach(service, slots=2)
    one, two = await hand.until(2)
    await service.workers.finish("w1", [Ending(one.id, one.lease), Ending(two.id, two.lease)])
    three, four = (await hand.until(4))[2:]
    await hand.end(three)
    await hand.until(5)
    assert [job.id for job in hand.jobs] == ids[:5]
    await hand.end(four)
    await hand.until(6)
    await quiet(service.engine)
    assert hand.worker.taker is not None
    assert hand.worker.taker.free == 0


async def test_a_repeated_ending_is_stale_and_frees_nothing(service: Service) -> None:
    await put_many(service, 4)
    hand = await attach(service)
    work = await hand.next()
    first, second = await service.workers.finish("w1", [Ending(work.id, work.lease)] * 2)
    assert (first.applied, first.state, first.code) == (True, State.DONE, None)
    assert (second.applied, second.state, second.code) == (False, None, "stale_lease")
    assert not (await hand.end(work)).applied
    await quiet(service.engine)
    assert len(hand.jobs) == 1, "one slot was freed once"


async def test_a_stale_ending_changes_nothing(service: Service, clock: ManualClock) -> None:
    id = await put(service)
    slow = await attach(service, "slow")
    old = await slow.next()
    await slow.leave()
    await lose(service, clock)
    quick = await attach(service, "quick")
    new = await quick.next()
    for end in ("done", "failed", "snoozed", "released", "cancelled", "timeout"):
        answer = await slow.end(old, end, result=msgspec.Raw(b'"late"'), delay=1)
        assert (answer.applied, answer.state, answer.code) == (False, None, "stale_lease")
        job = await service.job(id)
        assert (job.state, job.lease, job.worker) == (State.RUNNING, new.lease, "quick")
    await quick.end(new, result=msgspec.Raw(b'"right"'))
    assert not (await slow.end(old, result=msgspec.Raw(b'"late"'))).applied
    assert (await service.job(id)).result == b'"right"'


async def test_a_worker_that_gets_back_a_job_it_lost_has_all_its_slots_in_the_end(
    service: Service, clock: ManualClock
) -> None:
    """Its beat came too late, the job was rescued, and went to the same worker: two leases, two slots."""
    id = await put(service)
    hand = await attach(service, slots=2)
    old = await hand.next()
    await lose(service, clock)
    new = await hand.next()
    assert (new.id, new.lease) == (id, old.lease + 1)
    more = await put_many(service, 3)
    await quiet(service.engine)
    assert hand.jobs == [], "both slots are taken"
    assert not (await hand.end(old)).applied
    await quiet(service.engine)
    assert hand.ids == more[:1], "a stale ending of a job it held frees just that slot"
    assert not (await hand.end(old)).applied
    await quiet(service.engine)
    assert len(hand.jobs) == 1, "and that only once"
    assert (await hand.end(new)).applied
    await quiet(service.engine)
    assert hand.ids == more[:2]


async def test_a_beat_that_learns_of_a_lost_job_frees_its_slot(service: Service, clock: ManualClock) -> None:
    first = await put(service)
    hand = await attach(service)
    old = await hand.next()
    clock.advance(service.rules.lease + 1)
    service.dispatch.paused.add("default")
    await upkeep.rescue(service)
    assert await hand.beat(old) == [Stop(first, old.lease, "stale_lease")]
    assert await hand.beat(old) == [Stop(first, old.lease, "stale_lease")]
    await service.resume("default")
    await put(service)
    await quiet(service.engine)
    assert hand.ids == [first], "one slot, freed once"


async def test_endings_of_somebody_who_is_not_connected_count_all_the_same(service: Service) -> None:
    """A server that was restarted learns of endings before it knows the worker."""
    id = await put(service)
    hand = await attach(service)
    work = await hand.next()
    await hand.leave()
    assert (await hand.end(work)).applied
    assert await state(service, id) is State.DONE


# stop, drain, roster


async def test_a_cancelled_running_job_is_stopped_at_once(service: Service) -> None:
    mine, theirs = await put_many(service, 2)
    hand, other = await attach(service, "w1"), await attach(service, "w2")
    work = {job.id: job for job in (await hand.next(), await other.next())}
    holder = hand if (await service.job(mine)).worker == hand.id else other
    await service.cancel(mine)
    assert holder.stops == [Stop(mine, work[mine].lease, "cancelled")]
    assert (other if holder is hand else hand).stops == []
    assert (await service.job(theirs)).cancel_requested is False


async def test_a_job_that_fails_after_a_cancel_was_asked_for_is_cancelled(service: Service) -> None:
    hand = await attach(service)
    for end in ("failed", "snoozed", "released", "timeout"):
        id = await put(service)
        work = await hand.next()
        await service.cancel(id)
        answer = await hand.end(work, end, delay=0)
        assert answer.state is State.CANCELLED, end
        assert (await service.job(id)).reason == "cancelled"
    id = await put(service)
    work = await hand.next()
    await service.cancel(id)
    assert (await hand.end(work)).state is State.DONE, "who came to the end all the same, is done"


async def test_a_draining_worker_gets_no_more_jobs(service: Service) -> None:
    await put(service)
    hand = await attach(service, slots=3)
    work = await hand.next()
    service.workers.draining(hand.worker)
    left = await put(service)
    assert (await hand.end(work)).applied
    await quiet(service.engine)
    assert hand.jobs == []
    assert await state(service, left) is State.PENDING
    assert hand.drains == 0, "it asked for this itself"


async def test_an_operator_drains_a_worker(service: Service) -> None:
    hand = await attach(service)
    assert service.workers.ask_to_drain("w1") is True
    assert hand.drains == 1
    await put(service)
    await quiet(service.engine)
    assert hand.jobs == []
    assert service.workers.ask_to_drain("nobody") is False


async def test_work_has_what_the_job_has(service: Service) -> None:
    hand = await attach(service, slots=3)
    await put(
        service, "full", payload={"a": 1}, headers={"x": "y"}, timeout=2.5, max_attempts=7, queue="default"
    )
    await put(service, "bytes", payload_base64="AP8=", content_type="image/png")
    await put(service, "bare")
    full, raw, bare = await hand.until(3)
    assert isinstance(full.payload, msgspec.Raw)
    assert bytes(full.payload) == b'{"a":1}'
    assert (full.type, full.queue, full.headers, full.timeout) == ("full", "default", {"x": "y"}, 2.5)
    assert (full.attempt, full.max_attempts, full.lease) == (1, 7, 1)
    assert (raw.payload, raw.payload_base64, raw.content_type) == (msgspec.UNSET, "AP8=", "image/png")
    assert isinstance(bare.payload, msgspec.Raw)
    assert bytes(bare.payload) == b"null"
    assert (bare.headers, bare.timeout, bare.content_type) == (None, None, None)
