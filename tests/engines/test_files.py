"""put_parts, attach, drop_files, sweep_files, files, read_parts, loose_files; the upload of an enqueue."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine, verify
from rota.engines.sqlite import statements
from rota.engines.sqlite.engine import SqliteEngine
from rota.model.file import Attachment, File, Loose, Part
from rota.model.job import Claimed, Kept, Key, Match, NewJob, Outcome, Request, State
from rota.model.spec import new_id
from tests.core.kit import embedded
from tests.engines.kit import (
    ANY,
    NOBODY,
    NOW,
    again,
    done,
    failed,
    fresh,
    ids,
    job,
    put,
    run,
    state_of,
    take,
)

PIECES = [b"first", b"\x00" * 5000, b"end"]


async def loose(engine: Engine, *pieces: bytes) -> File:
    """A file of these parts that is nobody's yet."""
    whole = b"".join(pieces)
    file = File(new_id(), len(whole), hashlib.sha256(whole).hexdigest())
    assert all(await engine.put_parts([Part(file.id, n, piece) for n, piece in enumerate(pieces)]))
    return file


async def artifact(engine: Engine, work: Claimed, file: File, **other: Any) -> bool:
    given: dict[str, Any] = {"job": work.id, "lease": work.lease, "worker": "w1", "file": file}
    [attached] = await engine.attach([Attachment(**(given | other))])
    return attached


async def uploaded(engine: Engine, new: NewJob, file: File, *keys: Key) -> Kept:
    [[kept]] = await engine.enqueue([Request((new,), keys, file)], NOW)
    return kept


async def read(engine: Engine, file: File, parts: int = 4) -> list[bytes | None]:
    return await engine.read_parts([(file.id, n) for n in range(parts)])


async def sweep(engine: Engine) -> int:
    swept = 0
    while step := await engine.sweep_files(2):
        assert step <= 2
        swept += step
    return swept


async def test_nothing_is_fine(engine: Engine) -> None:
    assert await engine.put_parts([]) == []
    assert await engine.attach([]) == []
    assert await engine.drop_files([]) == []
    assert await engine.drop_files([NOBODY, "no id at all"]) == []
    assert await engine.sweep_files(10) == 0
    assert await engine.files([], "upload") == {}
    assert await engine.files([NOBODY], "artifact") == {}
    assert await engine.read_parts([]) == []
    assert await engine.read_parts([(NOBODY, 0)]) == [None]
    assert await engine.loose_files() == []


async def test_what_is_written_is_read(engine: Engine) -> None:
    one, other = new_id(), new_id()
    parts = [Part(one, 0, b"a"), Part(other, 0, b""), Part(one, 2, b"ccc"), Part(one, 1, b"b\x00")]
    assert await engine.put_parts(parts) == [True] * 4
    asked = [(one, 1), (other, 0), (one, 3), (one, 2), (NOBODY, 0), (one, 0)]
    assert await engine.read_parts(asked) == [b"b\x00", b"", None, b"ccc", None, b"a"]
    assert await engine.loose_files() == [Loose(one, 3), Loose(other, 1)]


async def test_a_part_that_comes_again_replaces_the_first(engine: Engine) -> None:
    file = await loose(engine, *PIECES)
    assert await engine.put_parts([Part(file.id, 1, b"x"), Part(file.id, 0, b"y")]) == [True, True]
    assert await read(engine, file) == [b"y", b"x", b"end", None]


async def test_a_file_begins_with_its_first_part(engine: Engine) -> None:
    id = new_id()
    assert await engine.put_parts([Part(id, 1, b"b"), Part(id, 0, b"a"), Part(id, 1, b"b")]) == [
        False,
        True,
        True,
    ]
    assert await engine.read_parts([(id, 0), (id, 1)]) == [b"a", b"b"]


async def test_nothing_is_added_to_what_was_dropped_or_is_a_jobs(engine: Engine) -> None:
    dropped, taken = await loose(engine, b"1"), await loose(engine, b"2")
    await uploaded(engine, job(), taken)
    assert await engine.drop_files([dropped.id]) == [dropped.id]
    for file in (dropped, taken):
        assert await engine.put_parts([Part(file.id, n, b"x") for n in (0, 1)]) == [False, False]
    assert await read(engine, taken, 2) == [b"2", None]


# --- artifacts ---


async def test_an_artifact(engine: Engine) -> None:
    work, other = await run(engine, job()), await run(engine, job("other"))
    file = await loose(engine, *PIECES)
    assert await artifact(engine, work, file)
    assert await engine.files([NOBODY, work.id, other.id], "artifact") == {work.id: file}
    assert await engine.files([work.id], "upload") == {}
    assert await engine.loose_files() == []
    assert await engine.drop_files([file.id]) == []
    assert await sweep(engine) == 0
    assert await read(engine, file) == [*PIECES, None]
    await engine.finish([done(work)], NOW)
    assert await engine.files([work.id], "artifact") == {work.id: file}


@pytest.mark.parametrize(
    "wrong",
    [{"lease": 2}, {"lease": 0}, {"worker": "w2"}, {"worker": ""}, {"job": NOBODY}],
    ids=str,
)
async def test_it_takes_just_that_lease(engine: Engine, wrong: dict[str, Any]) -> None:
    work, file = await run(engine, job()), await loose(engine, *PIECES)
    assert not await artifact(engine, work, file, **wrong)
    assert await engine.files([work.id, NOBODY], "artifact") == {}
    assert await engine.loose_files() == [Loose(file.id, 3)]


@pytest.mark.parametrize("ending", [done, failed, again], ids=lambda one: one.__name__)
async def test_it_takes_a_job_that_runs(engine: Engine, ending: Any) -> None:
    work, file = await run(engine, job()), await loose(engine, *PIECES)
    await engine.finish([ending(work)], NOW)
    assert not await artifact(engine, work, file)
    assert await engine.files([work.id], "artifact") == {}


async def test_it_takes_all_its_bytes(engine: Engine) -> None:
    work, first = await run(engine, job()), None
    for missing in (0, 1):
        file = await loose(engine, *PIECES)
        if missing:
            file = File(file.id, file.bytes + missing, file.sha256)
        assert await artifact(engine, work, file) == (not missing)
        first = first or file
    # One that is refused leaves the one before where it was; nor can one be given twice.
    assert not await artifact(engine, work, File(new_id(), 0, ""))
    assert first is not None
    assert not await artifact(engine, work, first)
    assert await engine.files([work.id], "artifact") == {work.id: first}


async def test_an_empty_file_is_a_file(engine: Engine) -> None:
    work, file = await run(engine, job()), await loose(engine, b"")
    assert await artifact(engine, work, file)
    assert await engine.files([work.id], "artifact") == {work.id: file}


async def test_a_later_one_takes_the_place_of_the_first(engine: Engine) -> None:
    work, first, second = await run(engine, job()), await loose(engine, b"1"), await loose(engine, b"2")
    assert await artifact(engine, work, first)
    assert await artifact(engine, work, second)
    assert await engine.files([work.id], "artifact") == {work.id: second}
    assert await sweep(engine) == 1
    assert [await read(engine, one, 1) for one in (first, second)] == [[None], [b"2"]]


async def test_one_of_an_earlier_try_is_shown_until_the_next_begins(engine: Engine) -> None:
    work, file = await run(engine, job()), await loose(engine, b"1")
    await artifact(engine, work, file)
    await engine.finish([again(work)], NOW)
    assert await engine.files([work.id], "artifact") == {work.id: file}
    [second] = await take(engine)
    assert await engine.files([work.id], "artifact") == {}
    # Neither may the first try add one now.
    assert not await artifact(engine, work, await loose(engine, b"late"))
    newer = await loose(engine, b"2")
    assert await artifact(engine, second, newer)
    assert await engine.files([work.id], "artifact") == {work.id: newer}
    await engine.finish([failed(second)], NOW)
    await engine.retry(Match(ids=(work.id,)), NOW, 1)
    assert await engine.files([work.id], "artifact") == {work.id: newer}
    await take(engine)
    assert await engine.files([work.id], "artifact") == {}


async def test_files_stay_with_a_job_that_goes_to_the_back(engine: Engine) -> None:
    came, left = await loose(engine, b"came"), await loose(engine, b"left")
    await uploaded(engine, new := job(), came)
    [work] = await take(engine)
    await artifact(engine, work, left)
    await put(engine, job())
    outcome = Outcome(id=new.id, lease=1, state=State.PENDING, end="failed", run_at=NOW, back=True)
    await engine.finish([outcome], NOW)
    assert await engine.files([new.id], "upload") == {new.id: came}
    assert await engine.files([new.id], "artifact") == {new.id: left}


# --- uploads ---


async def test_a_job_comes_with_its_upload(engine: Engine) -> None:
    file = await loose(engine, *PIECES)
    new = job()
    plain = [job(), job()]
    answers = await engine.enqueue(
        [Request((plain[0],)), Request((new,), (), file), Request((plain[1],))], NOW
    )
    assert answers == [[Kept(one.id, State.PENDING)] for one in (plain[0], new, plain[1])]
    assert await engine.files(ids([*plain, new]), "upload") == {new.id: file}
    assert await engine.loose_files() == []
    # Through all its tries.
    [_, work, _] = await take(engine, 3)
    await engine.finish([again(work)], NOW)
    await take(engine)
    assert await engine.files([new.id], "upload") == {new.id: file}


async def test_without_its_upload_there_is_no_job(engine: Engine) -> None:
    whole, taken, dropped = [await loose(engine, *PIECES) for _ in range(3)]
    await uploaded(engine, job(), taken)
    await engine.drop_files([dropped.id])
    short, long = (File(whole.id, whole.bytes + more, whole.sha256) for more in (-1, 1))
    for file in (File(new_id(), 0, ""), taken, dropped, short, long):
        new = job(unique_key="k", tags=("t",))
        assert await uploaded(engine, new, file, Key("key", b"f", 0, 1)) == Kept(new.id, None, "no_upload")
        assert await state_of(engine, new.id) == [None]
    # Neither its unique nor its idempotency key was taken.
    new = job(unique_key="k")
    assert await uploaded(engine, new, whole, Key("key", b"f", 0, 1)) == Kept(new.id, State.PENDING)


async def test_a_job_that_was_there_takes_no_second_upload(engine: Engine) -> None:
    first = await loose(engine, b"1")
    new = job(unique_key="k")
    await uploaded(engine, new, first, Key("key", b"f", 0, 1))
    again = await loose(engine, b"2")
    for other, key, why in (
        (job(), (Key("key", b"f", 0, 1),), "idempotency"),
        (job(), (Key("key", b"other", 0, 1),), "mismatch"),
        (job(unique_key="k"), (), "unique"),
        (job(id=new.id), (), None),
    ):
        kept = await uploaded(engine, other, again, *key)
        assert kept.why == why
        assert await engine.files(ids([new, other]), "upload") == {new.id: first}
        assert await engine.loose_files() == [Loose(again.id, 1)]
    # What was stored before is found also when the second file has gone.
    await engine.drop_files([again.id])
    kept = await uploaded(engine, job(), again, Key("key", b"f", 0, 1))
    assert kept == Kept(new.id, State.PENDING, "idempotency")


# --- the end of files ---


async def test_files_go_with_their_job(engine: Engine) -> None:
    came, left, other = await loose(engine, *PIECES), await loose(engine, *PIECES), await loose(engine, b"o")
    new = job()
    await uploaded(engine, new, came)
    [work] = await take(engine)
    await artifact(engine, work, left)
    await uploaded(engine, job(), other)
    assert ids(await engine.delete(Match(ids=(new.id,)), 1)) == []
    await engine.finish([done(work)], NOW)
    assert ids(await engine.delete(Match(ids=(new.id,)), 1)) == [new.id]
    await put(engine, job(id=new.id))
    assert await engine.files([new.id], "upload") == {}
    assert await engine.files([new.id], "artifact") == {}
    assert await engine.loose_files() == []
    assert await sweep(engine) == 6
    assert await read(engine, came) == await read(engine, left) == [None] * 4
    assert await read(engine, other, 1) == [b"o"]


async def test_only_what_was_dropped_is_swept(engine: Engine) -> None:
    dropped, kept = await loose(engine, *PIECES), await loose(engine, *PIECES)
    assert await engine.drop_files([dropped.id, dropped.id, NOBODY]) == [dropped.id]
    assert await engine.drop_files([dropped.id]) == []
    assert await engine.loose_files() == [Loose(kept.id, 3)]
    assert [await engine.sweep_files(2) for _ in range(3)] == [2, 1, 0]
    assert await read(engine, kept) == [*PIECES, None]
    # The id is free again, and nothing of the old file is in a new one.
    assert await engine.put_parts([Part(dropped.id, 0, b"new")]) == [True]
    assert await read(engine, dropped) == [b"new", None, None, None]


async def test_what_nobody_goes_on_with_is_dropped_when_the_store_is_opened(store: str) -> None:
    engine = await open_engine(store)
    left, came = await loose(engine, *PIECES), await loose(engine, *PIECES)
    await uploaded(engine, new := job(), came)
    await engine.close()
    assert verify(store).sound
    engine = await open_engine(store)
    # Where others may have it open too, they may be at it.
    alone = embedded(engine)
    assert [one.id for one in await engine.loose_files()] == ([] if alone else [left.id])
    assert await engine.put_parts([Part(left.id, 3, b"more")]) == [not alone]
    await engine.drop_files([left.id])
    assert await sweep(engine) == 3 + (not alone)
    assert await engine.files([new.id], "upload") == {new.id: came}
    await engine.close()


async def test_nothing_looks_through_all_files(tmp_path: Path) -> None:
    engine = await open_engine(fresh("sqlite", tmp_path))
    assert isinstance(engine, SqliteEngine)
    sql = [
        (statements.load(verb)[name], values)
        for verb, name, values in [
            ("put_parts", "loose", ("x",)),
            ("attach", "whole", ("x", 1)),
            ("attach", "replace", ("x", "artifact")),
            ("drop_files", "drop", ("[]",)),
            ("drop_files", "any_loose", ()),
            ("drop_files", "drop_loose", ()),
            ("sweep_files", "parts", (8,)),
            ("sweep_files", "files", (8,)),
            ("files", "read", ("[]", "upload")),
            ("read_parts", "part", ("x", 1)),
            ("loose_files", "read", ()),
            ("delete", "files", ("[]",)),
        ]
    ]
    for text, values in sql:
        plan = [str(row[3]) for row in engine._store.db.execute(f"EXPLAIN QUERY PLAN {text}", values)]
        tables = [step for step in plan if not any(word in step for word in ("json_each", " v ", "LIST"))]
        assert all(step.startswith("SEARCH") or "SUBQUERY" in step for step in tables), (text, plan)
    await engine.close()


async def test_all_of_it_is_gone_in_the_end(engine: Engine) -> None:
    for n in range(5):
        file = await loose(engine, *PIECES)
        await uploaded(engine, job(f"t{n}"), file)
    assert len(await engine.delete(ANY, 10)) == 5
    assert await sweep(engine) == 15
    assert await engine.sweep_files(1) == 0
