"""Which blocks of jobs hold jobs of a queue and type."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import apsw

from rota.engines.sqlite import statements
from rota.engines.sqlite.statements import run, run_many

_KINDS = statements.load("kinds")
_SHIFT = 8
_KNOWN = 10_000
"""Rows remembered as written, so that they are not written again."""
_BLOCKS = 256
"""Blocks looked through at a time."""


class Kinds:
    """What an enqueue adds and a delete takes away."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str, int]] = set()

    def stored(
        self,
        db: apsw.Connection,
        kinds: Collection[tuple[str, str]],
        seqs: Collection[int],
        each: Iterable[tuple[str, str, int]],
    ) -> None:
        """Jobs of these kinds were stored; ``each`` are their (queue, type, seq)."""
        if not seqs:
            return
        first, last = min(seqs) >> _SHIFT, max(seqs) >> _SHIFT
        if len(kinds) * (last - first + 1) <= len(seqs):
            rows = {(*kind, block) for kind in kinds for block in range(first, last + 1)}
        else:
            rows = {(queue, type, seq >> _SHIFT) for queue, type, seq in each}
        new = rows - self._known
        if new:
            if len(self._known) > _KNOWN:
                self._known.clear()
            self._known |= new
            run_many(db, _KINDS["add"], new)

    def deleted(self, db: apsw.Connection, seqs: Iterable[int]) -> None:
        """Jobs are gone; blocks without any are forgotten."""
        empty = {
            block
            for block in {seq >> _SHIFT for seq in seqs}
            if not run(db, _KINDS["left"], (block << _SHIFT, ((block + 1) << _SHIFT) - 1))
        }
        if empty:
            # The newest block may be filled again.
            self._known = {row for row in self._known if row[2] not in empty}
            run_many(db, _KINDS["empty"], [(block,) for block in empty])

    def forget(self) -> None:
        """What was written may not have been kept."""
        self._known.clear()


def jobs(
    db: apsw.Connection, queue: str, type: str, low: int, high: int, newest_first: bool, limit: int
) -> tuple[list[int], int | None]:
    """Jobs of a kind by age, about ``limit`` of them, and how far that reaches (None: to the end)."""
    order = "DESC" if newest_first else "ASC"
    blocks_sql, jobs_sql = _KINDS["blocks"].format(order=order), _KINDS["jobs"].format(order=order)
    blocks = run(db, blocks_sql, (queue, type, low >> _SHIFT, high >> _SHIFT, _BLOCKS))
    found: list[int] = []
    for count, (block,) in enumerate(blocks, 1):
        first, last = max(low, block << _SHIFT), min(high, ((block + 1) << _SHIFT) - 1)
        found += [row[0] for row in run(db, jobs_sql, (first, last, queue, type))]
        if len(found) >= limit or count == _BLOCKS:
            return found, first if newest_first else last
    return found, None
