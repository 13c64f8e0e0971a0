"""What comes in from elsewhere, beside the doors: how far each log was read, and figures of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from rota.engines.base import Engine
from rota.model.job import POSITIONS, Note


class Stretch(msgspec.Struct, kw_only=True):
    """One partition that this server reads. ``next``: the offset of the record that comes next; ``end``: the
    one behind the last record, as far as is known. ``stopped``: why nothing comes in, None while all is well.
    """

    topic: str
    partition: int
    group: str
    next: int | None = None
    end: int | None = None
    stopped: str | None = None

    @property
    def lag(self) -> int | None:
        """How many records wait to be read."""
        return None if self.next is None or self.end is None else max(0, self.end - self.next)


class Intake:
    """What the readers of this server tell of themselves."""

    def __init__(self) -> None:
        self.away: dict[str, str | None] = {}
        """By group: why no broker answers, None when one does. Empty: nothing is read."""
        self.stretches: dict[tuple[str, str, int], Stretch] = {}
        """By group, topic and partition."""
        self.records: Counter[tuple[str, str]] = Counter()
        """Records that became jobs, by group and topic."""
        self.dead: Counter[tuple[str, str]] = Counter()
        """Records that could not, and went to their dead-letter topic."""

    def sorted(self) -> list[Stretch]:
        """All of them, in order."""
        return [stretch for _, stretch in sorted(self.stretches.items())]


async def positions(engine: Engine, sources: Sequence[str]) -> dict[str, int]:
    """How far sources were read; those that never were are missing."""
    found = {}
    for source in sources:
        for note in await engine.notes(POSITIONS, source, limit=1):
            if note.key == source:
                found[source] = int(note.body or b"0")
    return found


async def set_back(engine: Engine, source: str, read: int, to: int) -> int:
    """A source that was read to before ``read`` has lost its end: what comes now begins at ``to``. Where it
    goes on; somebody else may have found that, too.
    """
    known = (await positions(engine, [source])).get(source, to)
    if known != read:
        return known
    await engine.save([Note(POSITIONS, source, b"%d" % to)])
    return to
