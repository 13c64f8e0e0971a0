"""A store with everything in it that a store can hold, and all of it as it lies there."""

from __future__ import annotations

import hashlib
from typing import Any

import apsw
import msgspec

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import DAY, HOUR, SECOND
from rota.model.failure import cause
from rota.model.file import Attachment, File, Part
from rota.model.job import Beat, Claimed, Fixed, LogLine, Match, Note, Request, State
from tests import postgres
from tests.engines.kit import NOW, again, done, ended, failed, job, put, put_keyed, released, run, take

ODD = "ä\u202e\U0001f980\u00a0'\"\\;--%\ufffd\u2028 end"
"""A text that something in between might stumble over."""


async def fill(engine: Engine, odd: str = ODD, size: int = 300_000) -> None:
    """Jobs in every state, come there in every way, and all that servers keep besides. ``odd``: a text for
    every place that takes any; ``size``: bytes of the largest payload.
    """
    raw = odd.encode()
    for state in (State.DONE, State.FAILED, State.CANCELLED):
        await ended(engine, state, priority=-3)
    for n in range(30):
        await put(engine, job(type=f"t{n % 3}", queue=f"q{n % 2}", priority=n % 4, payload=b"%d" % n))
    await put(
        engine,
        job(
            tags=("a", odd[:60] or "x", "b"),
            headers={"X-Odd": odd},
            payload=raw,
            content_type="text/plain",
            retry=Fixed(2.5),
            timeout=5 * SECOND,
            expires_at=NOW + DAY,
            max_attempts=3,
            retention=0,
        ),
        job(payload=bytes(range(256)) * (size // 256), content_type="application/octet-stream"),
    )
    await put(engine, job(type="later", delay=HOUR, unique_key=odd[:40] or "u"), job(type="soon", delay=1))
    await put(engine, job(type="only", unique_key="held", unique_states=(*State,)))
    await put_keyed(engine, f"key {odd}"[:60], b"body", job(type="keyed"), job(type="keyed"))
    await engine.promote(NOW + 1, 10)
    await _ends(engine, odd)
    await _comes_back(engine, odd)
    await _files(engine)
    await engine.log([LogLine((await _running(engine)).id, NOW, "info", odd)], 10)
    await engine.save(
        [
            Note("paused", "q1", b"{}"),
            Note("figures", odd, raw),
            Note("figures", "b", b""),
            Note("x", "", b"1"),
        ]
    )


async def _running(engine: Engine) -> Claimed:
    return await run(engine, job(type="runs", tags=("runs",)))


async def _ends(engine: Engine, odd: str) -> None:
    good = await run(engine, job(type="good"))
    await engine.log([LogLine(good.id, NOW + n, "warning", f"{odd} {n}") for n in range(5)], 4)
    await engine.finish([done(good, odd.encode(), "text/plain")], NOW + 7)
    for n in range(5):
        bad = await run(engine, job(type="bad", queue=f"q{n % 2}"))
        why = cause("bad", msgspec.json.encode({"type": f"E{n % 2}", "message": odd}), None)
        await engine.finish([failed(bad, cause=why, reason=odd, result=b"left")], NOW + n * HOUR // 2)
    [_] = await engine.retry(Match(ids=(bad.id,)), NOW + DAY, 1)
    asked = await run(engine, job(type="asked"))
    await engine.extend([Beat(asked.id, asked.lease, odd.encode())], NOW + DAY, NOW)
    await engine.cancel(Match(ids=(asked.id,)), "enough", NOW, 1)


async def _comes_back(engine: Engine, odd: str) -> None:
    """In its old place, at the end of the queue, after a loss; ended and retried."""
    for n, how in enumerate((again, released)):
        work = await run(engine, job(type=f"back{n}"))
        await engine.finish([how(work)], NOW)
    work = await run(engine, job(type="last", tags=("t",)))
    await engine.log([LogLine(work.id, NOW, "info", "x")], 10)
    await engine.finish([again(work, back=True, lost=True, error=odd.encode())], NOW)
    work = await run(engine, job(type="waits"))
    await engine.finish([again(work, NOW + HOUR)], NOW)
    twice = await run(engine, job(type="twice"))
    await engine.finish([done(twice, b"1")], NOW)
    await engine.retry(Match(ids=(twice.id,)), NOW, 1)
    [work] = await take(engine, types=("twice",))
    await engine.finish([failed(work, end="timeout", spent=False)], NOW)


async def _files(engine: Engine) -> None:
    parts = [Part(id, n, (id * 50_000).encode()) for id in ("up", "art", "loose", "gone") for n in range(3)]
    await engine.put_parts(parts)
    size = {id: sum(len(part.data) for part in parts if part.file == id) for id in ("up", "art")}
    sums = {
        id: hashlib.sha256(b"".join(part.data for part in parts if part.file == id)).hexdigest()
        for id in ("up", "art")
    }
    await engine.enqueue([Request((job(type="uploaded"),), (), File("up", size["up"], sums["up"]))], NOW)
    runs = await run(engine, job(type="leaves"))
    await engine.attach([Attachment(runs.id, runs.lease, "w1", File("art", size["art"], sums["art"]))])
    await engine.finish([done(runs)], NOW)
    await engine.drop_files(["gone"])


async def filled(url: str, odd: str = ODD, size: int = 300_000) -> str:
    """The store of that URL, filled and closed."""
    engine = await open_engine(url)
    await fill(engine, odd, size)
    await engine.close()
    return url


def tables(url: str) -> dict[str, list[str]]:
    """The columns of every table."""
    if url.startswith("sqlite:"):
        db = apsw.Connection(url.removeprefix("sqlite:///"), flags=apsw.SQLITE_OPEN_READONLY)
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        columns = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in names}
        db.close()
        return columns
    found: dict[str, list[str]] = {}
    for table, column in postgres.ask(
        url,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'rota' "
        "ORDER BY table_name, ordinal_position",
    ):
        found.setdefault(table, []).append(column)
    return found


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in an order that does not depend on how they came in."""
    if url.startswith("sqlite:"):
        db = apsw.Connection(url.removeprefix("sqlite:///"), flags=apsw.SQLITE_OPEN_READONLY)
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}
        db.close()
    else:
        found = postgres.run(_everything(url))
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


async def _everything(url: str) -> dict[str, list[tuple[Any, ...]]]:
    import asyncpg

    connection = await asyncpg.connect(url)
    names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'rota'")
    found = {}
    for (name,) in names:
        rows = await connection.fetch(f'SELECT * FROM rota."{name}"')
        found[name] = [tuple(row) for row in rows]
    await connection.close()
    return found
