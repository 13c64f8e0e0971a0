"""verify: every fault that a store can have is found, told with what it concerns, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import apsw
import pytest

from rota.engines.base import Engine
from rota.engines.care import Finding
from rota.engines.open import open_engine, verify
from rota.model.errors import BadInput, StoreError
from rota.model.file import Attachment, File, Part
from rota.model.job import LogLine, Request, State
from tests.engines.kit import NOW, again, done, fresh, job, put, run, turn_on

STATEMENTS = {
    "wrong_count": "UPDATE counts SET jobs = jobs + 2 WHERE state = 'pending'",
    "job_without_body": "DELETE FROM bodies WHERE seq = (SELECT min(seq) FROM jobs)",
    "body_without_job": "INSERT INTO bodies (seq, payload) VALUES (99999, x'00')",
    "result_without_job": "INSERT INTO results (seq, result) VALUES (99999, x'00')",
    "attempt_without_job": "INSERT INTO attempts VALUES (99999, 1, 1, 'w', 1, 2, 'failed', NULL)",
    "log_without_job": "INSERT INTO logs VALUES (99999, 1, 1, 'info', 'x')",
    "tag_without_job": "INSERT INTO tags VALUES ('t', 99999)",
    "wrong_tags": "UPDATE tags SET tag = 'other' WHERE tag = 'a'",
    "unknown_state": "UPDATE jobs SET state = 'odd' WHERE state = 'done'; "
    "UPDATE counts SET state = 'odd' WHERE state = 'done'; "
    "UPDATE jobs SET finished_at = NULL, delete_at = NULL WHERE state = 'odd'",
    "running_without_lease": "UPDATE jobs SET lease_until = NULL WHERE state = 'running'",
    "wrong_end": "UPDATE jobs SET delete_at = NULL WHERE state = 'done'",
    "wrong_unique_key": "UPDATE jobs SET unique_held = 'other' WHERE unique_held IS NOT NULL",
    "file_without_job": "UPDATE files SET job = 'gone' WHERE job IS NOT NULL",
    "part_without_file": "INSERT INTO parts VALUES (99999, 0, x'00')",
    "wrong_file": "DELETE FROM parts WHERE n = 1",
    "wrong_event": "UPDATE events SET event = 'finished' WHERE n = 1",
    "event_without_feed": "DELETE FROM feeds",
}
"""How each fault is made."""


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty file: its faults are what this is about."""
    return fresh("sqlite", tmp_path)


async def fill(engine: Engine) -> None:
    """A job in every state, with everything that belongs to jobs."""
    await turn_on(engine, "out", events=("started",))
    await put(engine, job(type="first"), job(tags=("a", "b"), unique_key="k", type="tagged"))
    ended = await run(engine, job(type="ends"))
    await engine.finish([done(ended, b"1")], NOW)
    failed = await run(engine, job(type="fails"))
    await engine.finish([again(failed)], NOW)
    runs = await run(engine, job(type="runs"))
    await engine.log([LogLine(ended.id, NOW, "info", "x")], 10)
    files = [[Part(id, n, b"123") for n in range(2)] for id in ("came", "left", "loose")]
    await engine.put_parts([part for parts in files for part in parts])
    [[_]] = await engine.enqueue([Request((job(delay=5),), (), File("came", 6, "0"))], NOW)
    [held] = await engine.attach([Attachment(runs.id, runs.lease, "w1", File("left", 6, "0"))])
    assert held


def change(store: str, statement: str) -> None:
    """Behind the engine's back."""
    db = apsw.Connection(store.removeprefix("sqlite:///"))
    db.execute(statement)
    db.close()


@pytest.fixture
async def filled(store: str) -> str:
    """The URL of a store that no server has open."""
    engine = await open_engine(store)
    await fill(engine)
    await engine.close()
    return store


def findings(store: str) -> dict[str, Finding]:
    verdict = verify(store)
    assert verdict.sound == (not verdict.findings)
    return {finding.code: finding for finding in verdict.findings}


def digest(store: str) -> str:
    return hashlib.sha256(Path(store.removeprefix("sqlite:///")).read_bytes()).hexdigest()


async def test_a_sound_store(filled: str) -> None:
    before = digest(filled)
    verdict = verify(filled)
    assert verdict.sound, verdict.findings
    assert verdict.jobs == {"done": 1, "pending": 3, "running": 1, "scheduled": 1}
    assert (verdict.live, verdict.schema, verdict.known) == (False, verdict.known, verdict.schema)
    assert verdict.size == Path(verdict.path).stat().st_size
    assert digest(filled) == before


@pytest.mark.parametrize("code", STATEMENTS)
async def test_a_fault_is_found(filled: str, code: str) -> None:
    change(filled, STATEMENTS[code])
    before = digest(filled)
    found = findings(filled)
    assert list(found) == [code]
    finding = found[code]
    assert (finding.count, len(finding.examples), finding.repairable) == (
        finding.count,
        finding.count,
        code == "wrong_count",
    )
    assert finding.sentence.startswith(f"{finding.count} ")
    assert digest(filled) == before, "a check changes nothing"


async def test_counters_that_lack_or_invent_something_are_found(filled: str) -> None:
    change(filled, "DELETE FROM counts WHERE state = 'running'; INSERT INTO counts VALUES ('q','t','done',3)")
    assert findings(filled)["wrong_count"].examples == (
        "default runs running: 0 instead of 1",
        "q t done: 3 instead of 0",
    )


async def test_few_of_many_examples_are_told(filled: str) -> None:
    change(filled, "DELETE FROM bodies")
    finding = findings(filled)["job_without_body"]
    assert (finding.count, len(finding.examples)) == (6, 5)


async def test_repair_sets_the_counters_right(filled: str) -> None:
    change(
        filled, "UPDATE counts SET jobs = jobs + 2 WHERE jobs > 0; DELETE FROM counts WHERE state = 'running'"
    )
    verdict = verify(filled, repair=True)
    assert (verdict.sound, verdict.repaired) == (True, 6)
    assert verify(filled, repair=True).repaired == 0
    engine = await open_engine(filled)
    assert {(row.type, row.state): row.jobs for row in await engine.count()}["runs", State.RUNNING] == 1
    await engine.close()


async def test_repair_mends_nothing_else(filled: str) -> None:
    change(filled, "UPDATE counts SET jobs = jobs + 2; DELETE FROM bodies")
    verdict = verify(filled, repair=True)
    assert [finding.code for finding in verdict.findings] == ["job_without_body"]


async def test_repair_needs_the_store_for_itself(engine: Engine, store: str) -> None:
    await fill(engine)
    assert verify(store, repair=True).sound, "where there is nothing to repair it is a check"
    change(store, "UPDATE counts SET jobs = jobs + 2")
    with pytest.raises(StoreError, match="in use by another server"):
        verify(store, repair=True)
    assert list(findings(store)) == ["wrong_count"]


async def test_a_store_at_work_is_seen_as_of_one_moment(engine: Engine, store: str) -> None:
    """While jobs come, run and go, the counters are never found wrong."""
    stop = asyncio.Event()
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        while not stop.is_set():
            await put(engine, *[job(tags=("t",)) for _ in range(20)])
            taken = [await run(engine, job(type=f"t{rounds}")) for _ in range(3)]
            await engine.finish([done(one, b"1") for one in taken], NOW)
            rounds += 1

    working = asyncio.ensure_future(work())
    looked = 0
    try:
        while looked < 25 or rounds < 25:
            verdict = await asyncio.to_thread(verify, store)
            assert verdict.sound, verdict.findings
            assert verdict.live
            looked += 1
    finally:
        stop.set()
        await working


async def test_a_damaged_file_is_told(filled: str) -> None:
    path = Path(filled.removeprefix("sqlite:///"))
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 6] = b"\xaa" * 4096 * 3
    path.write_bytes(bytes(data))
    before = digest(filled)
    assert list(findings(filled)) == ["damaged"]
    assert list({one.code: one for one in verify(filled, repair=True).findings}) == ["damaged"]
    assert digest(filled) == before, "what is damaged is not written to"


async def test_an_index_that_lacks_rows_is_damage(filled: str) -> None:
    """Nothing else would show it: whoever reads the table sees every row."""
    change(
        filled,
        "PRAGMA writable_schema = on; UPDATE sqlite_schema "
        "SET sql = replace(sql, 'delete_at IS NOT NULL', 'delete_at IS NULL') WHERE name = 'jobs_delete'",
    )
    finding = findings(filled)["damaged"]
    assert any("missing from index jobs_delete" in example for example in finding.examples)


async def test_a_file_that_was_cut_is_told(filled: str) -> None:
    path = Path(filled.removeprefix("sqlite:///"))
    path.write_bytes(path.read_bytes()[: 4096 * 5])
    assert list(findings(filled)) == ["damaged"]


async def test_an_older_schema_is_left_to_the_next_start(filled: str) -> None:
    change(filled, "PRAGMA user_version = 0; DELETE FROM counts")
    verdict = verify(filled)
    assert (verdict.sound, verdict.schema) == (True, 0)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "There is no store at"),
        (lambda path: path.mkdir(), "There is no store at"),
        (lambda path: path.write_bytes(b"nothing of SQLite" * 100), "not a SQLite file"),
        (lambda path: change(f"sqlite:///{path}", "CREATE TABLE t (a)"), "of another program"),
    ],
)
def test_what_is_no_store_is_refused(tmp_path: Path, make: object, told: str) -> None:
    path = tmp_path / "x.db"
    make(path)  # type: ignore[operator]
    with pytest.raises(StoreError, match=told):
        verify(f"sqlite:///{path}")
    if told == "There is no store at":
        assert list(tmp_path.iterdir()) == ([path] if path.exists() else []), "nothing is made"


async def test_a_newer_schema_is_refused(filled: str) -> None:
    change(filled, "PRAGMA user_version = 999")
    with pytest.raises(StoreError, match="newer Rota"):
        verify(filled)


def test_a_url_of_nothing_we_know() -> None:
    with pytest.raises(BadInput):
        verify("mysql://x")
