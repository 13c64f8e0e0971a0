"""log and logs: the lines of a job; save and notes: small documents."""

from __future__ import annotations

import pytest

from rota.engines.base import Engine
from rota.model.job import LogLine, Note, State
from tests.engines.kit import NOBODY, NOW, ended, job, put, run


def line(id: str, n: int = 0, text: str | None = None) -> LogLine:
    return LogLine(id, NOW + n, ("debug", "info", "error")[n % 3], f"line {n}" if text is None else text)


async def test_nothing_is_fine(engine: Engine) -> None:
    assert await engine.log([], 10) == 0
    assert await engine.logs(NOBODY, 0, 10) == []
    assert await engine.logs("no id at all", 0, 10) == []
    await put(engine, new := job())
    assert await engine.logs(new.id, 0, 10) == []


async def test_lines_are_numbered_from_one_in_order(engine: Engine) -> None:
    work = await run(engine, job())
    lines = [line(work.id, n) for n in range(5)]
    assert await engine.log(lines[:2], 100) == 2
    assert await engine.log(lines[2:], 100) == 3
    assert await engine.logs(work.id, 0, 100) == list(enumerate(lines, 1))


async def test_after_and_limit(engine: Engine) -> None:
    work = await run(engine, job())
    lines = [line(work.id, n) for n in range(10)]
    await engine.log(lines, 100)
    numbered = list(enumerate(lines, 1))
    assert await engine.logs(work.id, 3, 4) == numbered[3:7]
    assert await engine.logs(work.id, 9, 4) == numbered[9:]
    assert await engine.logs(work.id, 10, 4) == []
    assert await engine.logs(work.id, 99, 4) == []
    read: list[tuple[int, LogLine]] = []
    while page := await engine.logs(work.id, read[-1][0] if read else 0, 3):
        read += page
    assert read == numbered


async def test_lines_of_several_jobs_in_one_call(engine: Engine) -> None:
    a, b = await run(engine, job("a")), await run(engine, job("b"))
    mixed = [line((a.id, b.id)[n % 2], n) for n in range(6)]
    assert await engine.log(mixed, 100) == 6
    assert [one.text for _, one in await engine.logs(a.id, 0, 9)] == ["line 0", "line 2", "line 4"]
    assert [n for n, _ in await engine.logs(b.id, 0, 9)] == [1, 2, 3]


@pytest.mark.parametrize("text", ["", "é🐱 \x1b[31m\r\n", "<script>", "x" * 100_000])
async def test_text_is_kept_as_it_is(engine: Engine, text: str) -> None:
    work = await run(engine, job())
    await engine.log([line(work.id, text=text)], 10)
    assert await engine.logs(work.id, 0, 10) == [(1, line(work.id, text=text))]


async def test_lines_of_unknown_jobs_are_not_kept(engine: Engine) -> None:
    work = await run(engine, job())
    assert await engine.log([line(NOBODY), line(work.id, 1), line("no id at all")], 10) == 1
    assert await engine.logs(NOBODY, 0, 10) == []
    assert [one.text for _, one in await engine.logs(work.id, 0, 10)] == ["line 1"]


async def test_lines_may_come_after_the_end(engine: Engine) -> None:
    new = await ended(engine, State.DONE)
    assert await engine.log([line(new.id)], 10) == 1


@pytest.mark.parametrize("sizes", [[20], [3, 17], [4, 1, 15], [5, 15], [1] * 20])
async def test_the_cap_holds_and_the_last_line_says_so(engine: Engine, sizes: list[int]) -> None:
    work, other = await run(engine, job("a")), await run(engine, job("b"))
    lines = iter([line(work.id, n) for n in range(20)])
    kept = 0
    for size in sizes:
        kept += await engine.log([next(lines) for _ in range(size)], 5)
    numbered = await engine.logs(work.id, 0, 100)
    assert [n for n, _ in numbered] == [1, 2, 3, 4, 5]
    assert [one for _, one in numbered[:4]] == [line(work.id, n) for n in range(4)]
    assert numbered[4][1] not in [line(work.id, n) for n in range(20)]
    assert "5" in numbered[4][1].text
    assert kept == 4
    # The cap is one per job.
    assert await engine.log([line(other.id), line(work.id)], 5) == 1


async def test_notes_nothing_is_fine(engine: Engine) -> None:
    await engine.save([])
    assert await engine.notes("pause") == []
    await engine.save([Note("pause", "none", None)])
    assert await engine.notes("pause") == []


async def test_notes_are_written_replaced_and_removed(engine: Engine) -> None:
    await engine.save([Note("pause", "a", b"1"), Note("pause", "b", b"2"), Note("worker", "a", b"3")])
    assert sorted(await engine.notes("pause"), key=lambda note: note.key) == [
        Note("pause", "a", b"1"),
        Note("pause", "b", b"2"),
    ]
    await engine.save([Note("pause", "a", b"4"), Note("pause", "b", None)])
    assert await engine.notes("pause") == [Note("pause", "a", b"4")]
    assert await engine.notes("worker") == [Note("worker", "a", b"3")]
    assert await engine.notes("Pause") == []


async def test_of_one_note_in_one_call_the_last_counts(engine: Engine) -> None:
    await engine.save(
        [Note("k", "a", b"1"), Note("k", "a", b"2"), Note("k", "b", b"1"), Note("k", "b", None)]
    )
    assert await engine.notes("k") == [Note("k", "a", b"2")]


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"x" * 1_000_000])
async def test_note_bodies_are_bytes(engine: Engine, body: bytes) -> None:
    await engine.save([Note("k", "é/🐱", body)])
    assert await engine.notes("k") == [Note("k", "é/🐱", body)]
