"""Which queues give nothing to claims: the notes of kind ``paused``, kept in memory by the one process that
writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from rota.model.job import Ask, Note

KIND = "paused"


class Paused:
    """The queues that are paused, as the open transaction sees them."""

    def __init__(self, queues: Iterable[str]) -> None:
        self._queues = frozenset(queues)
        self._kept = self._queues

    def save(self, notes: Sequence[Note]) -> None:
        """Notes are written."""
        for note in notes:
            if note.kind == KIND:
                self._queues = self._queues - {note.key} if note.body is None else self._queues | {note.key}

    def pass_over(self, asks: Sequence[Ask]) -> Sequence[Ask]:
        """The asks without the queues that are paused."""
        if not self._queues:
            return asks
        return [
            msgspec.structs.replace(ask, queues=tuple(q for q in ask.queues if q not in self._queues))
            for ask in asks
        ]

    def commit(self) -> None:
        """What was written is kept."""
        self._kept = self._queues

    def rollback(self) -> None:
        """What was written is not kept."""
        self._queues = self._kept
