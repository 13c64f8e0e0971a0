"""Jobs by what is in their payloads and errors, by the beginning of their ids, by many names at once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from rota.engines.base import Engine
from rota.engines.postgres import walk as postgres_walk
from rota.engines.sqlite import walk as sqlite_walk
from rota.model.job import ENDED, Job, Match, NewJob, State
from rota.model.search import member
from tests.engines.kit import NOW, again, done, failed, found, ids, job, one, put, run, take

Fits = Callable[[Job], bool]


@pytest.fixture(params=["in one page", "a job at a time"])
def pace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Walks that get through, and walks that are out of time after every job."""
    if request.param != "in one page":
        monkeypatch.setattr(sqlite_walk, "BUDGET", -1.0)
        monkeypatch.setattr(postgres_walk, "SIFTING", -1.0)


def having(*terms: str, **more: Any) -> Match:
    return Match(members=tuple(member(term) for term in terms), **more)


async def selected(engine: Engine, match: Match, limit: int = 3) -> list[str]:
    """All matching ids, oldest first."""
    chosen: list[str] = []
    cursor = None
    while True:
        got = await engine.select(match, limit, cursor)
        chosen += got.ids
        cursor = got.cursor
        if cursor is None:
            return chosen


async def tallied(engine: Engine, match: Match) -> int:
    jobs, cursor = 0, None
    while True:
        got = await engine.tally(match, cursor)
        jobs, cursor = jobs + got.jobs, got.cursor
        if cursor is None:
            return jobs


async def check(engine: Engine, match: Match, expected: list[str]) -> None:
    """These jobs, oldest first, whoever asks."""
    assert await found(engine, match, 3) == expected[::-1]
    assert await selected(engine, match) == expected
    assert await tallied(engine, match) == len(expected)


SPELLINGS = (
    b'{"user":{"id":42}}',
    b'{"user":{"id":42.0}}',
    b'{"user" : { "id" : 4.2e1 } }',
    rb'{"us\u0065r":{"\u0069d":42}}',
    b'{"user":{"id":"42"}}',
    rb'{"user":{"id":"\u00342"}}',
)
OTHERS = (
    b'{"user":{"id":421}}',
    b'{"user":{"id":142}}',
    b'{"user":{"id":[42]}}',
    b'{"user":{"id":"42 "}}',
    b'{"user":42}',
    b'{"id":42}',
    b'{"user.id":42}',
    b'"user.id:42"',
    b"42",
    b"null",
)


async def test_every_spelling_of_a_member_is_found_and_nothing_else(engine: Engine, pace: None) -> None:
    good = [job(payload=payload) for payload in SPELLINGS]
    other = [job(payload=payload) for payload in OTHERS]
    other.append(job(payload=SPELLINGS[0], content_type="application/json"))
    jobs = good + other
    random.Random(3).shuffle(jobs)
    await put(engine, *jobs)
    for term in ("user.id:42", "user.id:42.00", "user.id:0.42e2"):
        expected = [
            one.id for one in jobs if one in good and (one.payload not in SPELLINGS[4:] or term[8:] == "42")
        ]
        await check(engine, having(term), expected)
    strings = [one.id for one in jobs if one in good and one.payload in SPELLINGS[4:]]
    await check(engine, having('user.id:"42"'), strings)


async def test_numbers_are_compared_exactly(engine: Engine) -> None:
    big = [12345678901234567890, 12345678901234567891, 9007199254740992, 9007199254740993, 10**40]
    jobs = [job(payload=b'{"n":%d}' % n) for n in big]
    jobs += [job(payload=b'{"n":%d.0}' % n) for n in big]
    await put(engine, *jobs)
    for at, n in enumerate(big):
        await check(engine, having(f"n:{n}"), [jobs[at].id, jobs[at + len(big)].id])


async def test_a_number_is_found_wherever_its_point_stands(engine: Engine) -> None:
    """With an exponent, also one that ends the payload, an item or a line."""
    spelt = [
        "1234.5",
        "12345e-1",
        "1.2345e3",
        "12.345E+2",
        "123.45e01",
        "0.12345e+4",
        "12345000.0e-4",
        "1234.500",
    ]
    around = ['{"n":%s}', '{"n":%s,"m":1}', '{"n":%s }', '{"n":%s\n}', '{"n":[%s]}', '[{"n":%s}]']
    jobs = [job(payload=(text % number).encode()) for number in spelt for text in around]
    jobs += [job(payload=text.replace('"n"', '"other"').encode() % b"1.2345e3") for text in around]
    await put(engine, *jobs)
    count = len(spelt) * len(around)
    for asked in spelt:
        for path, at in (("n", (0, 1, 2, 3)), ("n.0", (4,)), ("0.n", (5,))):
            fit = [one.id for n, one in enumerate(jobs[:count]) if n % len(around) in at]
            await check(engine, having(f"{path}:{asked}"), fit)


async def test_long_payloads_are_looked_into_as_well(engine: Engine, pace: None) -> None:
    """Those that are not handed over among others."""
    long = [
        job(payload=b'{"pad":"%b","n":%d}' % (b"x" * size, n))
        for n in (1, 2)
        for size in (8100, 8200, 300_000)
    ]
    await put(engine, *long)
    await check(engine, having("n:1"), ids(long[:3]))
    await check(engine, having("n:2"), ids(long[3:]))
    await check(engine, having("n:3"), [])
    assert ids(await engine.get([long[2].id])) == [long[2].id]
    assert len(await engine.cancel(having("n:2"), "x", NOW, 9)) == 3


async def test_texts_are_taken_literally(engine: Engine) -> None:
    texts = [
        "100%",
        "100_",
        "1000",
        "a*b",
        "aXb",
        "[a]",
        "a",
        "\\",
        "'; --",
        "\u20ac",
        "e\u0301",
        "\u00e9",
        "\U0001f980",
        "",
    ]
    jobs = [
        job(payload=json.dumps({"t": text}, ensure_ascii=at % 2 == 0).encode())
        for at, text in enumerate(texts)
    ]
    await put(engine, *jobs)
    for new, text in zip(jobs, texts, strict=True):
        await check(engine, having(f"t:{text}"), [new.id])
    for text in ("%", "*", "100", "\x00", "\udc00", "100%\x00"):
        await check(engine, having(f"t:{text}"), [])
    await check(engine, having("t\x00:a"), [])


async def broken(engine: Engine, error: Any, then: str = "failed", **fields: Any) -> str:
    """A job that has failed so, and what became of it."""
    work = await run(engine, job(type=f"to-{then}", **fields))
    document = error if isinstance(error, bytes) else json.dumps(error, ensure_ascii=False).encode()
    if then == "failed":
        await engine.finish([failed(work, error=document)], NOW)
        return work.id
    await engine.finish([again(work, error=document)], NOW)
    if then in ("running", "done"):
        [work] = await take(engine, types=(f"to-{then}",))
    if then == "done":
        await engine.finish([done(work)], NOW)
    if then == "cancelled":
        await engine.cancel(Match(ids=(work.id,)), "x", NOW, 1)
    return work.id


async def test_jobs_are_found_by_their_last_error(engine: Engine, pace: None) -> None:
    slow = {"type": "ReadTimeout", "message": "no answer after 30 s"}
    first = await broken(engine, slow)
    waits = await broken(engine, slow, "pending")
    runs = await broken(engine, slow, "running")
    ended = await broken(engine, slow, "cancelled")
    await broken(engine, slow, "done")
    await put(engine, job(payload=b'"TimeOut"', type="timeout", tags=("timeout",)))
    await broken(engine, {"type": "E", "message": "x", "traceback": "TimeOut"})
    await broken(engine, b"no JSON: TimeOut")
    shouted = await broken(engine, {"type": "E", "message": "TIMEOUT: stra\u00dfe 100%"})
    for text in ("timeout", "TimeOut", "TIMEOUT"):
        await check(engine, Match(error=text), [first, waits, runs, ended, shouted])
    await check(engine, Match(error="after 30"), [first, waits, runs, ended])
    await check(engine, Match(error="STRASSE 100%"), [shouted])
    await check(engine, Match(error="1%"), [])
    await check(engine, Match(error="timeout", states=(State.FAILED,)), [first, shouted])
    await check(engine, Match(error="timeout", states=(State.DONE,)), [])
    # It fails in another way: that is its last error then.
    [work] = await take(engine, types=("to-pending",))
    await engine.finish([failed(work, error=b'{"type":"KeyError"}')], NOW)
    await check(engine, Match(error="after 30"), [first, runs, ended])
    await check(engine, Match(error="keyerror"), [waits])


async def test_acts_look_into_payloads_and_errors(engine: Engine) -> None:
    jobs = [job(payload=b'{"n":%d}' % (n % 2)) for n in range(10)]
    await put(engine, *jobs)
    odd, even = ids(jobs[1::2]), ids(jobs[::2])
    applied = await engine.cancel(having("n:1"), "x", NOW, 3)
    assert [one.id for one in applied] == odd[:3]
    applied = await engine.cancel(having("n:1"), "x", NOW, 100)
    assert [one.id for one in applied] == odd[3:]
    applied = await engine.retry(having("n:1", ids=tuple(ids(jobs[:4]))), NOW, 100)
    assert [one.id for one in applied] == odd[:2]
    applied = await engine.delete(having("n:0"), 2)
    assert [one.id for one in applied] == even[:2]
    good = await broken(engine, {"type": "Good"}, queue="other")
    bad = await broken(engine, {"type": "Bad"}, queue="other")
    both = Match(error="bad", ids=(good, bad))
    assert [one.id for one in await engine.retry(both, NOW, 5)] == [bad]
    assert (await one(engine, good)).state is State.FAILED


async def test_ids_are_found_by_their_beginning(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job(id=f"0000000{n:x}-0000-7000-8000-000000000000", type=f"t{n}") for n in (10, 3, 11, 7)]
    await put(engine, *jobs)
    for few in (50_000, 0):
        for module in ("sqlite", "postgres"):
            monkeypatch.setattr(f"rota.engines.{module}.plan.FEW", few)
        await check(engine, Match(begins="0"), ids(jobs))
        await check(engine, Match(begins="0000000a"), [jobs[0].id])
        await check(engine, Match(begins=jobs[1].id), [jobs[1].id])
        await check(engine, Match(begins="00000003-", types=("t3", "t10")), [jobs[1].id])
        for text in ("1", "_", "%", "000000", jobs[0].id + "0", "\x00", "\U0010ffff"):
            await check(engine, Match(begins=text), ids(jobs) if text == "000000" else [])


async def test_many_filters_at_once_give_what_each_gives(engine: Engine) -> None:
    chance = random.Random(8)
    jobs = await mixed(engine, chance)
    whole = {one.id: one for one in await engine.get(jobs)}
    for _ in range(60):
        match, fits = some(chance, jobs)
        await check(engine, match, [id for id in jobs if all(fit(whole[id]) for fit in fits)])


async def mixed(engine: Engine, chance: random.Random) -> list[str]:
    """Jobs in all states with all there is to look for, oldest first."""
    made: list[NewJob] = []
    for n in range(120):
        payload = {"user": {"id": chance.randrange(4)}, "kind": chance.choice(["a", "b", None, True, 1.5])}
        made.append(
            job(
                queue=chance.choice("pqr"),
                type=chance.choice("xyz"),
                tags=tuple(chance.sample(("a", "b", "c"), chance.randrange(4))),
                payload=json.dumps(payload).encode(),
                content_type="text/plain" if n % 17 == 0 else None,
                delay=chance.choice((0, 0, 0, 5)),
                now=NOW,
            )
        )
    await put(engine, *made)
    for at in range(60):
        claimed = await take(engine, 1, *chance.sample("pqr", 3))
        error = json.dumps({"type": chance.choice(("Alpha", "Beta")), "message": f"of {at % 3}"}).encode()
        for work in claimed:
            how = chance.randrange(4)
            if how < 2:
                await engine.finish([failed(work, error=error)], NOW)
            elif how == 2:
                await engine.finish([chance.choice((done(work), again(work, error=error)))], NOW)
    await engine.cancel(Match(tags=("a", "b", "c")), "x", NOW, 5)
    return ids(made)


def some(chance: random.Random, jobs: list[str]) -> tuple[Match, list[Fits]]:
    """A filter, and the same said otherwise."""
    given: dict[str, Any] = {}
    fits: list[Fits] = []
    if chance.random() < 0.4:
        queues = given["queues"] = tuple(chance.sample(("p", "q", "r", "none"), chance.randrange(4)))
        fits.append(lambda one: one.queue in queues)
    if chance.random() < 0.4:
        types = given["types"] = tuple(chance.sample(("x", "y", "z", "none"), chance.randrange(1, 4)))
        fits.append(lambda one: one.type in types)
    if chance.random() < 0.4:
        tags = given["tags"] = tuple(chance.sample(("a", "b", "c"), chance.randrange(3)))
        fits.append(lambda one: set(tags) <= set(one.tags))
    if chance.random() < 0.4:
        states = given["states"] = tuple(chance.sample(tuple(State), chance.randrange(1, 5)))
        fits.append(lambda one: one.state in states)
    if chance.random() < 0.3:
        error = given["error"] = chance.choice(("alpha", "BETA", "OF 1", "a"))
        fits.append(
            lambda one: error.lower() in (one.error or b"{}").decode().replace('"type"', "").lower()[:-1]
        )
    if chance.random() < 0.6:
        id = chance.randrange(4)
        given["members"] = (member(f"user.id:{id}"),)
        fits.append(lambda one: one.content_type is None and json.loads(one.payload)["user"]["id"] == id)
        if chance.random() < 0.5:
            text, value = chance.choice(
                (("a", "a"), ("null", None), ("true", True), ("1.50", Decimal("1.5")))
            )
            given["members"] += (member(f"kind:{text}"),)
            fits.append(lambda one: repr(json.loads(one.payload, parse_float=Decimal)["kind"]) == repr(value))
    if chance.random() < 0.2:
        begins = given["begins"] = chance.choice(jobs)[: chance.choice((8, 13, 20, 36))]
        fits.append(lambda one: one.id.startswith(begins))
    return Match(**given), fits


async def test_what_is_found_has_ended_or_not_as_asked(engine: Engine) -> None:
    """The states of a page are those that were asked for, however a job was found."""
    jobs = await mixed(engine, random.Random(2))
    page = await engine.find(Match(members=(member("user.id:1"),), states=tuple(ENDED)), 100)
    assert page.jobs
    assert {one.state for one in page.jobs} <= ENDED
    assert set(ids(page.jobs)) < set(jobs)


async def test_tags_that_begin_so_with_their_jobs_up_to_a_bound(engine: Engine) -> None:
    assert await engine.tags("", 5, 5) == {}
    some = ["a", "ab", "ab%", "ab_", "b", "B", "\u00e9", "\U0010ffff", "zz"]
    await put(engine, *(job(tags=(tag, "all")) for tag in some), job(tags=("ab",)))
    everything = {**dict.fromkeys(sorted(some, key=str.encode), 1), "ab": 2, "all": 9}
    assert await engine.tags("", 50, 50) == everything
    assert list(await engine.tags("", 50, 50)) == sorted(everything, key=str.encode)
    assert await engine.tags("", 3, 2) == {"B": 1, "a": 1, "ab": 2}
    assert await engine.tags("ab", 50, 50) == {"ab": 2, "ab%": 1, "ab_": 1}
    assert await engine.tags("al", 50, 4) == {"all": 4}
    assert await engine.tags("\U0010ffff", 50, 4) == {"\U0010ffff": 1}
    for none in ("%", "ac", "zzz", "\x00"):
        assert await engine.tags(none, 50, 50) == {}
