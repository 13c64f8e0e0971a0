"""get, find and count: what can be seen from outside."""

from __future__ import annotations

import base64
import random
from typing import Any

import msgspec
import pytest

from rota.engines.base import Engine
from rota.model.clock import HOUR, SECOND
from rota.model.errors import BadInput
from rota.model.job import Match, NewJob, State
from tests.engines.kit import (
    ANY,
    NOBODY,
    NOW,
    done,
    failed,
    found,
    ids,
    job,
    one,
    put,
    run,
    take,
)


async def test_get_keeps_the_order_and_leaves_out_the_unknown(engine: Engine) -> None:
    jobs = [job() for _ in range(5)]
    await put(engine, *jobs)
    wish = [jobs[3].id, NOBODY, jobs[0].id, "no id at all", "", jobs[4].id, "\x00", "é'\"; --"]
    assert ids(await engine.get(wish)) == [jobs[3].id, jobs[0].id, jobs[4].id]
    assert await engine.get([]) == []
    assert await engine.get([NOBODY]) == []


async def test_get_and_find_with_thousands_of_ids(engine: Engine) -> None:
    jobs = [job() for _ in range(3000)]
    await put(engine, *jobs)
    wish = ids(jobs)
    random.Random(1).shuffle(wish)
    assert ids(await engine.get([*wish, NOBODY])) == wish
    assert await found(engine, Match(ids=tuple(wish))) == ids(jobs)[::-1]


async def test_find_gives_the_jobs_without_their_bulk(engine: Engine) -> None:
    work = await run(
        engine, job(payload=b'"big"', tags=("a", "b"), timeout=5, unique_key="k", expires_at=NOW + HOUR)
    )
    await engine.finish([done(work, b"result")], NOW)
    whole = await one(engine, work.id)
    [listed] = (await engine.find(ANY, 10)).jobs
    bulk: dict[str, Any] = {
        "payload": b"null",
        "result": None,
        "result_type": None,
        "error": None,
        "attempts": (),
    }
    assert listed == msgspec.structs.replace(whole, headers=None, **bulk)
    assert whole.payload == b'"big"'


async def population(engine: Engine) -> dict[str, NewJob]:
    """One job of every kind, by a name of its own."""
    jobs = {
        "pending": job("mail.send", queue="mail", tags=("red", 'say "hi"'), now=NOW),
        "scheduled": job("mail.send", queue="bulk", delay=HOUR, tags=("red", "blue"), now=NOW + 1),
        "soon": job("report", queue="mail", expires_at=NOW + 9, now=NOW + 2),
        "late": job("report", queue="bulk", delay=SECOND, expires_at=NOW + 2 * SECOND, now=NOW + 3),
        "running": job("mail.read", queue="run", tags=("blue",), timeout=SECOND, now=NOW + 4),
        "patient": job("mail_send", queue="run", timeout=HOUR, now=NOW + 5),
        "done": job("report", queue="over", tags=("50%",), retention=0, now=NOW + 6),
        "failed": job("fail", queue="over", tags=("a\\b",), retention=HOUR, now=NOW + 7),
        "cancelled": job("REPORT", queue="over", delay=HOUR, expires_at=NOW + 2 * HOUR, now=NOW + 8),
    }
    for new in jobs.values():
        await put(engine, new, now=new.created_at)
    await take(engine, 1, "run", types=("mail.read",), worker="w1", now=NOW + 10)
    await take(engine, 1, "run", worker="w2", now=NOW + 20)
    [good] = await take(engine, 1, "over", types=("report",), worker="w3")
    [bad] = await take(engine, 1, "over", types=("fail",), worker="w4")
    await engine.finish([done(good), failed(bad)], NOW + 30)
    await engine.cancel(Match(ids=(jobs["cancelled"].id,)), "cancelled", NOW + 30, 1)
    return jobs


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "cancelled failed done patient running late soon scheduled pending"),
    ({"states": (State.PENDING,)}, "soon pending"),
    ({"states": (State.SCHEDULED,)}, "late scheduled"),
    ({"states": (State.RUNNING,)}, "patient running"),
    ({"states": (State.DONE,)}, "done"),
    ({"states": (State.FAILED,)}, "failed"),
    ({"states": (State.CANCELLED,)}, "cancelled"),
    ({"states": (State.FAILED, State.PENDING)}, "failed soon pending"),
    ({"states": tuple(State)}, "cancelled failed done patient running late soon scheduled pending"),
    ({"states": ()}, ""),
    ({"ids": ()}, ""),
    ({"queues": ("mail",)}, "soon pending"),
    ({"queues": ("mai",)}, ""),
    ({"queues": ("%",)}, ""),
    ({"types": ("mail.send",)}, "scheduled pending"),
    ({"types": ("report",)}, "done late soon"),
    ({"tags": ("red",)}, "scheduled pending"),
    ({"tags": ("re",)}, ""),
    ({"tags": ('say "hi"',)}, "pending"),
    ({"worker": "w2"}, "patient"),
    ({"worker": "nobody"}, ""),
    ({"since": NOW + 5}, "cancelled failed done patient"),
    ({"until": NOW + 2}, "scheduled pending"),
    ({"since": NOW + 2, "until": NOW + 4}, "late soon"),
    ({"since": NOW + 4, "until": NOW + 4}, ""),
    ({"text": "mail.s"}, "scheduled pending"),
    ({"text": "mail"}, "patient running scheduled pending"),
    ({"text": "mail_"}, "patient"),
    ({"text": "50%"}, "done"),
    ({"text": "%"}, "done"),
    ({"text": "_"}, "patient"),
    ({"text": "blu"}, "running scheduled"),
    ({"text": 'y "h'}, "pending"),
    ({"text": "a\\b"}, "failed"),
    ({"text": "["}, ""),
    ({"text": ","}, ""),
    ({"text": 'red","blue'}, ""),
    ({"lease_before": NOW + 10 + 30 * SECOND}, ""),
    ({"lease_before": NOW + 11 + 30 * SECOND}, "running"),
    ({"lease_before": NOW + HOUR}, "patient running"),
    ({"overdue_at": NOW + 10 + SECOND}, ""),
    ({"overdue_at": NOW + 11 + SECOND}, "running"),
    ({"expired_at": NOW + 8}, ""),
    ({"expired_at": NOW + 10}, "soon"),
    ({"expired_at": NOW + 3 * HOUR}, "late soon"),
    ({"delete_at": NOW + 29}, ""),
    ({"delete_at": NOW + 31}, "done"),
    ({"delete_at": NOW + HOUR + 31}, "failed done"),
    ({"queues": ("over",), "types": ("report",)}, "done"),
    ({"queues": ("mail", "over", "none")}, "cancelled failed done soon pending"),
    ({"queues": ()}, ""),
    ({"types": ("report", "fail")}, "failed done late soon"),
    ({"tags": ("red", "blue")}, "scheduled"),
    ({"tags": ()}, "cancelled failed done patient running late soon scheduled pending"),
    ({"queues": ("mail",), "tags": ("red",)}, "pending"),
    (
        {
            "queues": ("bulk",),
            "tags": ("blue",),
            "states": (State.SCHEDULED,),
            "since": NOW + 1,
            "text": "mail",
        },
        "scheduled",
    ),
    ({"tags": ("red",), "until": NOW + 1}, "pending"),
    ({"worker": "w1", "states": (State.DONE,)}, ""),
    ({"text": "mail", "states": (State.RUNNING, State.PENDING), "until": NOW + 5}, "running pending"),
    ({"expired_at": NOW + 3 * HOUR, "queues": ("bulk",)}, "late"),
    ({"overdue_at": NOW + 2 * HOUR, "lease_before": NOW + HOUR, "worker": "w2"}, "patient"),
]


async def test_every_filter_alone_and_combined_newest_first(engine: Engine) -> None:
    jobs = await population(engine)
    names = {new.id: name for name, new in jobs.items()}
    wrong: list[str] = []
    for fields, expected in FILTERS:
        for limit in (1, 2, 100):
            got = " ".join([names[id] for id in await found(engine, Match(**fields), limit)])
            if got != expected:
                wrong.append(f"{fields} by {limit}: {got!r}, not {expected!r}")
    assert wrong == []
    some = (jobs["done"].id, NOBODY, jobs["pending"].id, jobs["done"].id)
    assert [names[id] for id in await found(engine, Match(ids=some))] == ["done", "pending"]
    assert [names[id] for id in await found(engine, Match(ids=some, queues=("over",)))] == ["done"]
    for length in (36, 35):
        begin = jobs["late"].id[:length]
        assert "late" in [names[id] for id in await found(engine, Match(text=begin))]
    assert await found(engine, Match(text=jobs["late"].id)) == [jobs["late"].id]
    assert await found(engine, Match(text=jobs["late"].id[1:])) == []


async def test_pages_have_no_gaps_and_no_repeats_while_jobs_come_and_go(engine: Engine) -> None:
    jobs = [job(f"t{n % 3}") for n in range(23)]
    await put(engine, *jobs)
    seen: list[str] = []
    cursor = None
    for step in range(99):
        page = await engine.find(ANY, 5, cursor)
        assert len(page.jobs) <= 5
        seen += ids(page.jobs)
        cursor = page.cursor
        if cursor is None:
            break
        # New ones come on top, the one on the border goes, others change: the rest of the list stays.
        await put(engine, job(), job())
        await engine.delete(Match(ids=(seen[-1],)), 1)
        await engine.cancel(Match(ids=(jobs[step].id,)), "cancelled", NOW, 1)
    assert seen == ids(jobs)[::-1]


async def test_the_last_page_has_no_cursor(engine: Engine) -> None:
    assert (await engine.find(ANY, 10)).cursor is None
    await put(engine, *(job() for _ in range(10)))
    assert (await engine.find(ANY, 10)).cursor is None
    assert (await engine.find(ANY, 11)).cursor is None
    first = await engine.find(ANY, 9)
    assert first.cursor is not None
    second = await engine.find(ANY, 9, first.cursor)
    assert (len(second.jobs), second.cursor) == (1, None)


async def test_a_cursor_survives_the_loss_of_all_jobs(engine: Engine) -> None:
    await put(engine, *(job() for _ in range(5)))
    cursor = (await engine.find(ANY, 2)).cursor
    await engine.delete(ANY, 10)
    page = await engine.find(ANY, 2, cursor)
    assert (page.jobs, page.cursor) == ([], None)


@pytest.mark.parametrize(
    "cursor",
    ["", "nonsense", "0", "-1", "AAAA", "é", "🐱", "czE=", " ", "../..", "' OR 1=1 --", "x" * 10_000, "\x00"]
    + [
        base64.urlsafe_b64encode(raw).decode().rstrip("=")
        for raw in (b"s0", b"s-5", b"s1e3", b"s99999999999999999999")
    ],
)
async def test_a_cursor_that_is_none_is_refused(engine: Engine, cursor: str) -> None:
    await put(engine, *(job() for _ in range(3)))
    with pytest.raises(BadInput) as caught:
        await engine.find(ANY, 2, cursor)
    assert (caught.value.field, caught.value.code) == ("cursor", "invalid_cursor")


@pytest.mark.parametrize("change", ["longer", "other case", "padded"])
async def test_a_cursor_that_was_tampered_with_is_refused(engine: Engine, change: str) -> None:
    await put(engine, *(job() for _ in range(40)))
    cursor = (await engine.find(ANY, 2)).cursor
    assert cursor is not None
    forged = {
        "longer": cursor + "A",
        "other case": cursor.swapcase(),
        "padded": cursor + "=" * (-len(cursor) % 4 or 4),
    }[change]
    with pytest.raises(BadInput):
        await engine.find(ANY, 2, forged)
