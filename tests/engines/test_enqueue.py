"""enqueue: all or nothing per request, in order, everything kept as it was given."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.engines.base import Engine
from rota.model.clock import DAY, HOUR, SECOND
from rota.model.job import Delays, Exponential, Fixed, Kept, NoRetry, Request, Retry, State
from tests.engines.kit import ANY, NOW, check_counts, counts, found, ids, job, one, put, state_of, take


async def test_nothing_is_fine(engine: Engine) -> None:
    assert await engine.enqueue([], NOW) == []
    assert await engine.enqueue([Request(())], NOW) == [[]]
    assert await found(engine) == []


async def test_answers_are_in_order_of_requests_and_jobs(engine: Engine) -> None:
    jobs = [job() for _ in range(6)]
    answers = await engine.enqueue([Request(tuple(jobs[:1])), Request(()), Request(tuple(jobs[1:]))], NOW)
    assert answers == [
        [Kept(jobs[0].id, State.PENDING)],
        [],
        [Kept(new.id, State.PENDING) for new in jobs[1:]],
    ]
    assert await found(engine) == ids(jobs)[::-1]


async def test_the_state_is_the_one_that_was_given(engine: Engine) -> None:
    soon, now = job(delay=1), job()
    assert [kept.state for kept in await put(engine, soon, now)] == [State.SCHEDULED, State.PENDING]
    assert await state_of(engine, soon.id, now.id) == [State.SCHEDULED, State.PENDING]


async def test_a_new_job_has_run_nowhere_yet(engine: Engine) -> None:
    new = job(type="t", queue="q", delay=HOUR, unique_key="k")
    await put(engine, new)
    kept = msgspec.structs.asdict(await one(engine, new.id))
    given_ = msgspec.structs.asdict(new)
    assert {name: kept[name] for name in given_} == given_
    assert {name: value for name, value in kept.items() if name not in given_} == {
        "attempt": 0,
        "lease": 0,
        "losses": 0,
        "started_at": None,
        "finished_at": None,
        "lease_until": None,
        "worker": None,
        "cancel_requested": False,
        "reason": None,
        "progress": None,
        "fingerprint": None,
        "result": None,
        "result_type": None,
        "error": None,
        "attempts": (),
    }


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payload=st.binary(max_size=200),
    content_type=st.none() | TEXT,
    headers=st.none() | st.dictionaries(TEXT, TEXT, max_size=3),
    tags=st.lists(TEXT.filter(bool), unique=True, max_size=4).map(tuple),
    priority=st.integers(-100, 100),
    name=TEXT.filter(bool),
)
async def test_what_goes_in_comes_out(engine: Engine, name: str, **fields: Any) -> None:
    new = job(type=name, queue=name, **fields)
    await put(engine, new)
    kept = await one(engine, new.id)
    for field, value in fields.items():
        assert getattr(kept, field) == value
    assert (kept.type, kept.queue) == (name, name)
    assert type(kept.payload) is bytes
    [work] = await take(engine, 1, name)
    assert (work.payload, work.content_type, work.headers) == (new.payload, new.content_type, new.headers)


@pytest.mark.parametrize(
    "retry",
    [None, NoRetry(), Fixed(1.25), Delays((0.0, 1e-6, 1e8)), Exponential(0.1, 1.0, 2.0, 0.3)],
)
async def test_retry_policies_come_back(engine: Engine, retry: Retry | None) -> None:
    new = job(retry=retry)
    await put(engine, new)
    assert (await one(engine, new.id)).retry == retry


@pytest.mark.parametrize("payload", [b"", b"\x00", bytes(range(256)), b"x" * 3_000_000])
async def test_payloads_of_any_kind_and_size(engine: Engine, payload: bytes) -> None:
    new = job(payload=payload, content_type="application/octet-stream")
    await put(engine, new)
    assert (await one(engine, new.id)).payload == payload
    assert [work.payload for work in await take(engine)] == [payload]


async def test_times_to_the_end_of_the_calendar(engine: Engine) -> None:
    end = 253_402_300_799_999_999
    new = job(delay=end - NOW, expires_at=end, timeout=30 * DAY, retention=3650 * DAY)
    await put(engine, new)
    kept = await one(engine, new.id)
    assert (kept.run_at, kept.expires_at, kept.timeout, kept.retention) == (end, end, 30 * DAY, 3650 * DAY)


async def test_ten_thousand_jobs_in_one_request(engine: Engine) -> None:
    jobs = [job(type=f"t{n % 7}", tags=("many",)) for n in range(10_000)]
    assert ids(await put(engine, *jobs)) == ids(jobs)
    assert sum((await counts(engine)).values()) == 10_000
    assert [work.id for work in await take(engine, 20_000)] == ids(jobs)


async def test_an_id_that_is_there_is_left_alone(engine: Engine) -> None:
    first = job(payload=b"1", tags=("a",))
    await put(engine, first)
    [work] = await take(engine)
    before = await one(engine, first.id)
    second = msgspec.structs.replace(first, payload=b"2", queue="other", tags=("b",), unique_key="k")
    other = job()
    for again in (msgspec.structs.replace(second, unique_key=None), second):
        [kept, new] = await put(engine, again, other)
        assert (kept.id, kept.state, new.id, new.state) == (first.id, State.RUNNING, other.id, State.PENDING)
        assert await one(engine, first.id) == before
    assert work.payload == b"1"
    assert await found(engine) == [other.id, first.id]
    await check_counts(engine)


async def test_an_id_twice_in_one_call_is_one_job(engine: Engine) -> None:
    first = job(payload=b"1")
    second = msgspec.structs.replace(first, payload=b"2")
    answers = await engine.enqueue([Request((first, second)), Request((second,))], NOW)
    assert [(kept.id, kept.state) for kepts in answers for kept in kepts] == [(first.id, State.PENDING)] * 3
    assert (await one(engine, first.id)).payload == b"1"
    assert await counts(engine) == {("default", "work", State.PENDING): 1}


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_call_that_fails_leaves_nothing_behind(engine: Engine, place: int) -> None:
    neighbours = [job(type="neighbour"), job(type="neighbour", unique_key="k")]
    good, bad = job(), job(type="\ud800")
    batches = [[Request((new,))] for new in neighbours]
    # A lone surrogate has no bytes in any encoding, so that no store can take it.
    batches.insert(place, [Request((good,)), Request((bad,))])
    answers = await asyncio.gather(*[engine.enqueue(batch, NOW) for batch in batches], return_exceptions=True)
    assert isinstance(answers.pop(place), Exception)
    assert answers == [[[Kept(new.id, State.PENDING)]] for new in neighbours]
    assert await found(engine) == ids(neighbours)[::-1]
    assert await counts(engine) == {("default", "neighbour", State.PENDING): 2}
    assert ids(await take(engine, 9)) == ids(neighbours)
    assert await put(engine, good) == [Kept(good.id, State.PENDING)]
    await check_counts(engine)


async def test_a_caller_that_goes_away_takes_nobody_along(engine: Engine) -> None:
    gone, stays = job(), job()

    async def call(new: object) -> list[list[Kept]]:
        return await engine.enqueue([Request((new,))], NOW)  # type: ignore[arg-type]

    first, second = asyncio.ensure_future(call(gone)), asyncio.ensure_future(call(stays))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == [[Kept(stays.id, State.PENDING)]]
    assert stays.id in await found(engine, ANY)
    await check_counts(engine)


async def test_the_time_told_is_not_the_machines(engine: Engine) -> None:
    new = job(now=5 * SECOND)
    await put(engine, new, now=5 * SECOND)
    assert (await one(engine, new.id)).created_at == 5 * SECOND
