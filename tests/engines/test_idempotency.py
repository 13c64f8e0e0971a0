"""enqueue: the same request twice gives the same jobs."""

from __future__ import annotations

import pytest

from rota.engines.base import Engine
from rota.model.clock import DAY, SECOND
from rota.model.job import Kept, Key, Match, Request, State
from tests.engines.kit import NOW, counts, done, found, ids, job, put_keyed, state_of, take


async def test_the_same_key_and_body_give_the_jobs_of_then(engine: Engine) -> None:
    first = [job(), job()]
    assert await put_keyed(engine, "k", b"body", *first) == [Kept(new.id, State.PENDING) for new in first]
    again = await put_keyed(engine, "k", b"body", job(), job(), now=NOW + SECOND)
    assert again == [Kept(new.id, State.PENDING, "idempotency") for new in first]
    assert await found(engine) == ids(first)[::-1]


async def test_the_answer_tells_what_became_of_them(engine: Engine) -> None:
    first = [job(), job()]
    await put_keyed(engine, "k", b"body", *first)
    [work] = await take(engine)
    await engine.finish([done(work)], NOW)
    again = await put_keyed(engine, "k", b"body", job(), job())
    assert [(kept.id, kept.state) for kept in again] == [
        (first[0].id, State.DONE),
        (first[1].id, State.PENDING),
    ]


async def test_the_key_is_kept_when_the_job_is_gone(engine: Engine) -> None:
    first = [job(), job()]
    await put_keyed(engine, "k", b"body", *first)
    await engine.delete(Match(ids=(first[0].id,)), 1)
    again = await put_keyed(engine, "k", b"body", job(), job())
    assert again == [
        Kept(first[0].id, None, "idempotency"),
        Kept(first[1].id, State.PENDING, "idempotency"),
    ]
    assert await found(engine) == [first[1].id]


@pytest.mark.parametrize(("body", "jobs"), [(b"other", 2), (b"body", 1), (b"body", 3)])
async def test_another_body_or_number_of_jobs_is_refused(engine: Engine, body: bytes, jobs: int) -> None:
    first = [job(), job()]
    await put_keyed(engine, "k", b"body", *first)
    refused = await put_keyed(engine, "k", body, *(job() for _ in range(jobs)))
    assert [(kept.state, kept.why) for kept in refused] == [(None, "mismatch")] * jobs
    assert await found(engine) == ids(first)[::-1]
    # The key still stands for the first body.
    assert [kept.why for kept in await put_keyed(engine, "k", b"body", job(), job())] == ["idempotency"] * 2


async def test_a_refused_request_stores_nothing_but_its_neighbours_are_stored(engine: Engine) -> None:
    await put_keyed(engine, "k", b"1", old := job(queue="old"))
    before, clash, with_it, after = job(), job(), job(), job()
    answers = await engine.enqueue(
        [
            Request((before,)),
            Request((with_it, clash), (Key("new", b"n", 0, 1), Key("k", b"2", 1, 2))),
            Request((after,)),
        ],
        NOW,
    )
    assert [[(kept.state, kept.why) for kept in kepts] for kepts in answers] == [
        [(State.PENDING, None)],
        [(None, None), (None, "mismatch")],
        [(State.PENDING, None)],
    ]
    assert await found(engine) == [after.id, before.id, old.id]
    # Nothing is stored, the other key of that request included.
    assert await put_keyed(engine, "new", b"other", with_it) == [Kept(with_it.id, State.PENDING)]


async def test_every_clashing_job_is_named(engine: Engine) -> None:
    await engine.enqueue([Request((job(), job()), (Key("a", b"1", 0, 1), Key("b", b"1", 1, 2)))], NOW)
    keys = (Key("a", b"2", 0, 1), Key("b", b"2", 2, 3))
    [kept] = await engine.enqueue([Request((job(), job(), job()), keys)], NOW)
    assert [one.why for one in kept] == ["mismatch", None, "mismatch"]


async def test_two_requests_with_one_key_in_one_call(engine: Engine) -> None:
    first, second, third = job(), job(), job()
    answers = await engine.enqueue(
        [
            Request((first,), (Key("k", b"1", 0, 1),)),
            Request((second,), (Key("k", b"1", 0, 1),)),
            Request((third,), (Key("k", b"2", 0, 1),)),
        ],
        NOW,
    )
    assert answers[0] == [Kept(first.id, State.PENDING)]
    assert answers[1] == [Kept(first.id, State.PENDING, "idempotency")]
    assert [(kept.state, kept.why) for kept in answers[2]] == [(None, "mismatch")]
    assert await found(engine) == [first.id]


async def test_one_key_twice_in_one_request_is_one_job(engine: Engine) -> None:
    first, second = job(), job()
    keys = (Key("k", b"1", 0, 1), Key("k", b"1", 1, 2))
    [kept] = await engine.enqueue([Request((first, second), keys)], NOW)
    assert kept == [Kept(first.id, State.PENDING), Kept(first.id, State.PENDING, "idempotency")]
    assert await found(engine) == [first.id]


async def test_one_key_for_two_bodies_in_one_request_is_refused(engine: Engine) -> None:
    keys = (Key("k", b"1", 0, 1), Key("k", b"2", 1, 2))
    [kept] = await engine.enqueue([Request((job(), job()), keys)], NOW)
    assert [one.state for one in kept] == [None, None]
    assert kept[1].why == "mismatch"
    assert await found(engine) == []


async def test_known_and_new_jobs_in_one_request(engine: Engine) -> None:
    [known] = await put_keyed(engine, "a", b"1", job())
    plain, new = job(), job()
    keys = (Key("a", b"1", 0, 1), Key("b", b"1", 2, 3))
    [kept] = await engine.enqueue([Request((job(), plain, new), keys)], NOW)
    assert kept == [
        Kept(known.id, State.PENDING, "idempotency"),
        Kept(plain.id, State.PENDING),
        Kept(new.id, State.PENDING),
    ]
    assert await found(engine) == [new.id, plain.id, known.id]
    assert [one.why for one in await put_keyed(engine, "b", b"1", job())] == ["idempotency"]


async def test_a_request_that_met_a_unique_holder_gives_the_same_answer_again(engine: Engine) -> None:
    [holder] = await put_keyed(engine, "a", b"1", job(unique_key="u"))
    [met] = await put_keyed(engine, "b", b"1", job(unique_key="u"))
    assert (met.id, met.why) == (holder.id, "unique")
    await engine.cancel(Match(ids=(holder.id,)), "cancelled", NOW, 1)
    assert await put_keyed(engine, "b", b"1", job(unique_key="u")) == [
        Kept(holder.id, State.CANCELLED, "idempotency")
    ]
    assert await found(engine) == [holder.id]


async def test_keys_are_kept_for_24_hours(engine: Engine) -> None:
    first, late = job(), job()
    await put_keyed(engine, "k", b"1", first)
    [same] = await put_keyed(engine, "k", b"1", job(), now=NOW + DAY - 1)
    assert (same.id, same.why) == (first.id, "idempotency")
    # Asking again does not prolong it.
    assert await put_keyed(engine, "k", b"2", late, now=NOW + DAY + 1) == [Kept(late.id, State.PENDING)]
    [same] = await put_keyed(engine, "k", b"2", job(), now=NOW + 2 * DAY)
    assert (same.id, same.why) == (late.id, "idempotency")


async def test_many_keys_in_one_request(engine: Engine) -> None:
    jobs = [job() for _ in range(500)]
    keys = tuple(Key(f"k{n}", b"%d" % n, n, n + 1) for n in range(500))
    [kept] = await engine.enqueue([Request(tuple(jobs), keys)], NOW)
    assert ids(kept) == ids(jobs)
    [again] = await engine.enqueue([Request(tuple(job() for _ in jobs), keys)], NOW)
    assert again == [Kept(new.id, State.PENDING, "idempotency") for new in jobs]
    assert await counts(engine) == {("default", "work", State.PENDING): 500}
    assert await state_of(engine, *ids(jobs)) == [State.PENDING] * 500
