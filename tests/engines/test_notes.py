"""notes: a part of the documents of a kind, by their keys."""

from __future__ import annotations

from rota.engines.base import Engine
from rota.model.job import Note


async def test_a_range_in_the_order_of_keys(engine: Engine) -> None:
    keys = ["0005-b", "0001-a", "0003-a", "0003-b", "0010-a", "Z", "a", "~"]
    await engine.save([Note("k", key, key.encode()) for key in keys] + [Note("other", "0003-c", b"x")])
    ordered = [Note("k", key, key.encode()) for key in sorted(keys)]
    assert await engine.notes("k", "", None, 100) == ordered
    assert await engine.notes("k") == ordered
    assert await engine.notes("k", "0003", "0005") == ordered[1:3]
    assert await engine.notes("k", "0003-b") == ordered[2:]
    assert await engine.notes("k", "", "0003-b") == ordered[:2], "the end is not part of it"
    assert await engine.notes("k", "0002", None, 2) == ordered[1:3]
    assert await engine.notes("k", "b", "~") == []
    assert await engine.notes("none", "a", "z", 5) == []


async def test_a_range_sees_what_was_written_before(engine: Engine) -> None:
    await engine.save([Note("k", "1", b"a"), Note("k", "2", b"b")])
    await engine.save([Note("k", "1", None), Note("k", "3", b"c")])
    assert [note.key for note in await engine.notes("k", "1", "9")] == ["2", "3"]
