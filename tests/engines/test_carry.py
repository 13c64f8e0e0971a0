"""From store to store: all that is in one is in the other, on every way, and a server goes on with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rota.engines import carry, moving
from rota.engines.base import Engine
from rota.engines.carry import FREE_TEXTS, LEFT_OUT, LEFT_OUT_NOTES, MADE_ANEW, MADE_ANEW_COLUMNS, TABLES
from rota.engines.open import open_engine, verify
from rota.model.clock import DAY, HOUR, SECOND
from rota.model.job import Ask, Claimed, Match, Note, State
from tests import postgres
from tests.engines.full import ODD, dump, filled, tables
from tests.engines.kit import (
    ANY,
    ENGINES,
    NOW,
    check_counts,
    counts,
    done,
    done_with,
    found,
    fresh,
    job,
    put,
    put_keyed,
)
from tests.engines.move_kit import WAYS, moved

# --- nothing is forgotten ---


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_table_and_column_is_carried_or_left_out_on_purpose(
    engine: str, other: Callable[[str], str]
) -> None:
    url = other(engine)
    await (await open_engine(url)).close()
    for table, columns in tables(url).items():
        if table in TABLES:
            forgotten = [
                column
                for column in columns
                if column not in TABLES[table].columns and (table, column) not in MADE_ANEW_COLUMNS
            ]
            assert not forgotten, f"{table} has columns that no move carries"
        else:
            assert table in MADE_ANEW | LEFT_OUT, f"no move knows of the table {table}"


def test_what_is_said_of_the_tables_holds() -> None:
    for table, (key, columns, bulky, hints) in TABLES.items():
        assert columns[: len(key)] == key
        assert set(bulky) <= set(columns)
        assert len(set(columns)) == len(columns)
        assert set(FREE_TEXTS.get(table, ())) <= set(columns)
        assert hints < len(columns) - len(key)


# --- there and back ---


@pytest.mark.parametrize(("here", "there"), WAYS)
async def test_there_and_back(here: str, there: str, other: Callable[[str], str]) -> None:
    first, second, third = other(here), other(there), other(here)
    await filled(first)
    before = dump(first)
    steps: list[tuple[str, int, int]] = []
    out = await moved(first, second, steps)
    back = await moved(second, third)
    assert dump(first) == before, "the source is not changed"
    for url in (second, third):
        assert verify(url).sound
        assert verify(url).jobs == verify(first).jobs
    same(before, dump(third), exact=here == there)
    if here == "sqlite":
        assert indexes(first) == indexes(third)
    assert (out.rows, out.counts, out.checksum) == (back.rows, back.counts, back.checksum)
    assert out.rows["jobs"] == sum(verify(first).jobs.values()) == sum(out.counts.values())
    assert all(out.rows.values()), "something of everything was there"
    names = [name for name, _, _ in steps]
    assert list(dict.fromkeys(names)) == [
        "checking", "copying", "completing", "comparing", "checking the copy"
    ]  # fmt: skip
    for name in ("copying", "comparing"):
        told = [done for step, done, _ in steps if step == name]
        assert told == sorted(told)
        assert told[-1] == sum(out.rows.values())
        assert {total for step, _, total in steps if step == name} == {told[-1]}


def indexes(url: str) -> set[tuple[object, ...]]:
    """Those of a file."""
    db = apsw.Connection(url.removeprefix("sqlite:///"))
    rows = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index'").fetchall()
    db.close()
    return set(rows)


def same(before: dict[str, Any], after: dict[str, Any], exact: bool) -> None:
    """Equal, but for what a store may say in several ways."""
    assert before.keys() == after.keys()
    for table in sorted(before):
        one, two = before[table], after[table]
        if table == "files":
            one = [row for row in one if "loose" not in row and "gone" not in row]
        elif table == "parts":
            kept = {row[0] for row in after["files"] if isinstance(row[0], int)}
            one = [row for row in one if row[0] in kept]
        elif table in ("counts", "changes", "lanes", "kinds", "ages", "migrations"):
            continue
        elif table == "jobs" and not exact:
            one, two = ([row for row in rows if "returned" not in row] for rows in (one, two))
        assert len(one) == len(two), table
        for left, right in zip(one, two, strict=True):
            if table == "jobs" and not exact and left != right:
                # Only whether a job that ended or runs had come back before, which nobody asks.
                differing = [i for i, (a, b) in enumerate(zip(left, right, strict=True)) if a != b]
                assert {type(left[i]) for i in differing} == {bool}, (left, right)
                continue
            assert left == right, table


@pytest.mark.parametrize(("here", "there"), WAYS)
async def test_a_server_goes_on_where_the_other_one_stopped(
    here: str, there: str, other: Callable[[str], str]
) -> None:
    """The same calls have the same answers on both ends."""
    source, target = other(here), other(there)
    await filled(source)
    await moved(source, target)
    answers = []
    for url in (source, target):
        engine = await open_engine(url)
        answers.append([await act(engine) for act in ACTS])
        if url == target:
            assert await engine.loose_files() == [], "nobody goes on with them"
        await check_counts(engine)
        await engine.close()
        assert verify(url).sound
    for act, left, right in zip(ACTS, *answers, strict=True):
        assert left == right, act.__name__


async def _counts(engine: Engine) -> Any:
    return await counts(engine)


async def _lists(engine: Engine) -> Any:
    matches = (
        ANY,
        Match(types=("t1",)),
        Match(queues=("q1",), states=(State.PENDING,)),
        Match(tags=("t",)),
        Match(since=NOW, until=NOW + 1),
        Match(since=NOW + 1),
        Match(text="back"),
        Match(states=(State.FAILED,)),
    )
    return [await found(engine, match) for match in matches]


async def _whole_jobs(engine: Engine) -> Any:
    return await engine.get(sorted(await found(engine)))


async def _logs(engine: Engine) -> Any:
    return [await engine.logs(id, 0, 100) for id in await found(engine)]


async def _failures(engine: Engine) -> Any:
    return [await engine.failures(queue, None, NOW + HOUR, 100) for queue in (None, "q0", "q1")]


async def _notes(engine: Engine) -> Any:
    return [await engine.notes(kind) for kind in ("paused", "figures", "x")]


async def _files(engine: Engine) -> Any:
    ids = await found(engine)
    files = {kind: await engine.files(ids, kind) for kind in ("upload", "artifact")}
    names = [file.id for some in files.values() for file in some.values()]
    assert len(names) == 2
    return files, await engine.read_parts([(name, n) for name in names for n in range(4)])


async def _waiting(engine: Engine) -> Any:
    ids = await found(engine, Match(states=(State.PENDING,)))
    ahead = await engine.ahead(ids, None, NOW, 1000)
    return await engine.oldest(["default", "q0", "q1"]), await engine.next_due(), ahead


async def _keys(engine: Engine) -> Any:
    known = await put_keyed(engine, f"key {ODD}"[:60], b"body", job(type="keyed"), job(type="keyed"))
    assert {one.why for one in known} == {"idempotency"}
    clash = await put_keyed(engine, f"key {ODD}"[:60], b"other", job(type="keyed"))
    assert {one.why for one in clash} == {"mismatch"}
    unique = await put(engine, job(unique_key="held"), job(unique_key=ODD[:40]))
    assert {one.why for one in unique} == {"unique"}
    return known, unique


async def _reports(engine: Engine) -> Any:
    """Of jobs that ran at the move, under their leases."""
    running = [
        one for id in await found(engine) for one in await engine.get([id]) if one.state is State.RUNNING
    ]
    assert running
    held = await engine.extend([_beat(one.id, one.lease) for one in running], NOW + DAY, NOW)
    lost = await found(engine, Match(lease_before=NOW + DAY + 1))
    stale = await engine.finish([_done(one.id, one.lease - 1) for one in running], NOW)
    ended = await engine.finish([_done(one.id, one.lease) for one in running], NOW)
    assert {one.state for one in stale} == {None}
    return held, lost, ended


def _beat(id: str, lease: int) -> Any:
    from rota.model.job import Beat

    return Beat(id, lease)


def _done(id: str, lease: int) -> Any:
    return done(Claimed(id, lease, "", "", 1, 1, b"", None, None, None, 0), b"1")


async def _claims(engine: Engine) -> Any:
    """One by one until there are none: the order, attempts and leases."""
    got = []
    asks = [Ask("w2", queues, None, 1) for queues in (("q0",), ("q1",), ("default",))]
    while any(step := await engine.claim(asks, NOW + HOUR, NOW + SECOND)):
        got.append(step)
        await engine.finish([done(one) for some in step for one in some], NOW + SECOND)
    assert len(got) > 10
    return got


async def _later(engine: Engine) -> Any:
    promoted = await engine.promote(NOW + DAY, 100)
    retried = await engine.retry(Match(states=(State.FAILED,)), NOW + DAY, 100)
    back = await engine.claim([Ask("w3", ("default", "q0", "q1"), None, 100)], NOW + 2 * DAY, NOW + DAY)
    deleted = await engine.delete(Match(delete_at=NOW + 3 * DAY), 1000)
    assert promoted
    assert retried
    assert deleted
    return sorted(promoted), retried, back, deleted


async def _new_ones_are_youngest(engine: Engine) -> Any:
    new = job(type="new")
    await put(engine, new)
    assert (await found(engine))[0] == new.id
    return None


ACTS: list[Callable[[Engine], Awaitable[Any]]] = [
    _counts, _lists, _whole_jobs, _logs, _failures, _notes, _files, _waiting, _keys, _reports, _claims,
    _later, _new_ones_are_youngest,
]  # fmt: skip


# --- whatever stands in it ---

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)


@pytest.mark.parametrize(("here", "there"), [("sqlite", "postgres"), ("postgres", "sqlite")])
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd=_texts, size=st.sampled_from((0, 1, 2000)))
@example(odd="\ufeff\ufffe\U0010ffff\u0301", size=9_000_000)
@example(odd='\\u0000 \\N {a,"b",NULL} \t\r\n\x01', size=0)
def test_whatever_the_texts_are(
    here: str, there: str, odd: str, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def there_and_back() -> None:
        folder = tmp_path_factory.mktemp("odd")
        urls = []
        for n, engine in enumerate((here, there, here)):
            (folder / str(n)).mkdir()
            urls.append(fresh(engine, folder / str(n)))
        try:
            await filled(urls[0], odd, size)
            await moved(urls[0], urls[1])
            await moved(urls[1], urls[2])
            same(dump(urls[0]), dump(urls[2]), exact=False)
        finally:
            for url in urls:
                done_with(url)

    asyncio.run(there_and_back())


@pytest.mark.parametrize("engine", ENGINES)
async def test_batches_are_bounded(
    engine: str, other: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By rows and by bytes; what is larger than a batch goes alone."""
    url, target = other(engine), other("sqlite")
    store = await open_engine(url)
    for name in (f"rota.engines.{engine}.carry", "rota.engines.sqlite.carry"):
        monkeypatch.setattr(f"{name}.ROWS", 7)
        monkeypatch.setattr(f"{name}.BYTES", 1000)
    await put(store, *(job(payload=b"x") for _ in range(20)))
    await put(store, *(job(payload=b"x" * size) for size in (400, 400, 400, 5000, 1, 1000, 1)))
    await store.save([Note("n", str(n), b"x") for n in range(9)])
    await store.close()
    seen: Counter[str] = Counter()
    add = moving._Sums.add

    def look(self: Any, table: str, rows: carry.Rows) -> None:
        bulky = [TABLES[table].columns.index(name) for name in TABLES[table].bulky]
        sizes = [sum(len(row[i]) for i in bulky if row[i] is not None) for row in rows]
        assert len(rows) <= 7
        assert sum(sizes[:-1]) < 1000, "it ends with the row that brings it there"
        seen[table] += 1
        add(self, table, rows)

    monkeypatch.setattr(moving._Sums, "add", look)
    out = await moved(url, target)
    assert (out.rows["jobs"], out.rows["notes"]) == (27, 9)
    assert seen["jobs"] == 2 * 6
    assert seen["notes"] == 2 * 2
    assert verify(target).sound


async def test_jobs_that_came_back_are_looked_for_where_such_are(other: Callable[[str], str]) -> None:
    """PostgreSQL keeps them apart, a file does not say which they are."""
    source, target = other("sqlite"), other("postgres")
    await filled(source, size=0)
    await moved(source, target)
    rows = postgres.ask(
        target,
        "SELECT type, bool_and(returned) FROM rota.jobs WHERE state = 'pending' GROUP BY type HAVING "
        "count(DISTINCT returned) = 1",
    )
    came_back = dict(rows)
    assert {type for type, returned in came_back.items() if returned} >= {"back0", "back1", "soon"}
    assert {type for type, returned in came_back.items() if not returned} >= {"t0", "keyed", "only"}


async def test_an_empty_store(other: Callable[[str], str]) -> None:
    source, target = other("postgres"), other("sqlite")
    out = await moved(source, target)
    assert not any(out.rows.values())
    engine = await open_engine(target)
    await put(engine, job())
    await engine.close()


@pytest.mark.parametrize("there", ENGINES)
async def test_what_belongs_to_servers_at_work_stays(there: str, other: Callable[[str], str]) -> None:
    source, target = other("sqlite"), other(there)
    for url, body in ((source, b"source"), (target, b"target")):
        engine = await open_engine(url)
        await engine.save([Note(kind, "k", body) for kind in (*LEFT_OUT_NOTES, "paused", "figures")])
        await engine.save([Note("figures", body.decode(), b"{}")])
        await engine.close()
    await moved(source, target)
    engine = await open_engine(target)
    assert [await engine.notes(kind) for kind in LEFT_OUT_NOTES] == [[] for _ in LEFT_OUT_NOTES]
    assert await engine.notes("paused") == [Note("paused", "k", b"source")]
    assert [note.key for note in await engine.notes("figures")] == ["k", "source"]
    await engine.close()
