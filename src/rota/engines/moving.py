"""From one store into another: all rows over, all rows read back, counts and checksums compared, and only
then is the target a store. What a store is to this is said in :mod:`rota.engines.carry`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from rota.engines.care import Finding
from rota.engines.carry import TABLES, Rows, Slot, Source, Target, plain
from rota.model.errors import StoreError

_SHOWN = 5
_encode = msgspec.msgpack.Encoder().encode

Progress = Callable[[str, int, int], None]
"""Told the step (``checking``, ``copying``, ``completing``, ``comparing``), how many rows are done and of
how many (0 of 0 where that is not known).
"""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What is at both ends now. ``rows`` by table; ``checksum`` over all of them; ``counts`` by queue, type
    and state; ``altered``: tables in whose texts U+0000 became U+FFFD.
    """

    source: str
    target: str
    rows: Mapping[str, int]
    checksum: str
    counts: Mapping[Slot, int]
    altered: tuple[str, ...]
    seconds: float


async def move(source: Source, target: Target, progress: Progress) -> Moved:
    """Do it. Raises StoreError, with the target left as it was, when the source cannot be carried as it is
    or the ends differ. The target is not published yet: that is the caller's last step.
    """
    began = time.monotonic()
    progress("checking", 0, 0)
    _sound(source.name, await source.findings(), "rota check --store says more; nothing was changed")
    if owed := await source.owed():
        raise StoreError(
            f"{source.name} holds {owed} events that were not passed on yet (kafka.out): let a server on it "
            "do that first; nothing was changed."
        )
    unfit = (await source.unfit()) if target.narrow else None
    if unfit is not None and unfit.sentences:
        raise StoreError(
            f"Not everything in {source.name} can be kept in {target.name}; nothing was changed:\n"
            + "\n".join(unfit.sentences)
        )
    altered = frozenset() if unfit is None else unfit.tables
    sizes = await source.sizes()
    there = _Sums()
    steps = _Steps(progress, "copying", sum(sizes.values()))
    for table in TABLES:
        async for rows in source.rows(table):
            if table in altered:
                rows = plain(table, rows)
            there.add(table, rows)
            await target.write(table, rows)
            await steps.on(len(rows))
    progress("completing", 0, 0)
    await target.complete()
    here = await _read_back(target, sum(there.rows.values()), progress)
    _compare(there, here, await target.counts())
    progress("checking the copy", 0, 0)
    _sound(target.name, await target.findings(), "it is left empty")
    return Moved(
        source=source.name,
        target=target.name,
        rows=dict(there.rows),
        checksum=there.checksum(),
        counts=dict(sorted(there.counts.items())),
        altered=tuple(sorted(altered)),
        seconds=time.monotonic() - began,
    )


async def _read_back(target: Target, total: int, progress: Progress) -> _Sums:
    sums, steps = _Sums(), _Steps(progress, "comparing", total)
    for table in TABLES:
        async for rows in target.rows(table):
            sums.add(table, rows)
            await steps.on(len(rows))
    return sums


class _Sums:
    """What went by: rows and a checksum of each table, and the jobs by queue, type and state."""

    def __init__(self) -> None:
        self.rows = dict.fromkeys(TABLES, 0)
        self.counts: Counter[Slot] = Counter()
        self._hashes = {name: hashlib.blake2b(name.encode(), digest_size=16) for name in TABLES}

    def add(self, table: str, rows: Rows) -> None:
        hints = TABLES[table].hints
        self.rows[table] += len(rows)
        # A row says where it ends, so rows in a row cannot be taken for others.
        told = [_encode(row[:-hints]) for row in rows] if hints else [_encode(row) for row in rows]
        self._hashes[table].update(b"".join(told))
        if table == "jobs":
            self.counts.update((row[2], row[3], row[4]) for row in rows)

    def of(self, table: str) -> str:
        return self._hashes[table].hexdigest()

    def checksum(self) -> str:
        """Of everything."""
        return hashlib.blake2b("".join(map(self.of, TABLES)).encode(), digest_size=16).hexdigest()


class _Steps:
    """Tells how far it is, and lets a Ctrl-C through."""

    def __init__(self, progress: Progress, step: str, total: int) -> None:
        self._told = progress
        self._step, self._total, self._done = step, total, 0
        progress(step, 0, total)

    async def on(self, rows: int) -> None:
        self._done += rows
        self._told(self._step, self._done, max(self._total, self._done))
        await asyncio.sleep(0)


def _compare(there: _Sums, here: _Sums, counters: Mapping[Slot, int]) -> None:
    wrong = [
        f"{table}: {there.rows[table]} rows at the source, {here.rows[table]} at the target"
        + (", and they differ" if there.rows[table] == here.rows[table] else "")
        for table in TABLES
        if there.of(table) != here.of(table)
    ]
    for kind, counts in (("counted", here.counts), ("in the counters", counters)):
        wrong += [
            f"{' '.join(slot)}: {there.counts.get(slot, 0)} at the source, {counts.get(slot, 0)} {kind} at "
            "the target"
            for slot in sorted({*there.counts, *counts})
            if there.counts.get(slot, 0) != counts.get(slot, 0)
        ]
    if wrong:
        raise StoreError(
            "The target did not become what the source is, so it is left empty:\n"
            + "\n".join([*wrong[:_SHOWN], *(["..."] if len(wrong) > _SHOWN else [])])
        )


def _sound(name: str, findings: Sequence[Finding], remedy: str) -> None:
    if findings:
        told = "\n".join(f"{one.sentence} ({', '.join(one.examples)})" for one in findings)
        raise StoreError(f"The store {name} is not sound; {remedy}:\n{told}")


async def to_the_end(step: Coroutine[Any, Any, None]) -> None:
    """A step that is not left in the middle: a Ctrl-C comes too late then."""
    task = asyncio.ensure_future(step)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    task.result()
