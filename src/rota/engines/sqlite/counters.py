"""How many jobs of each queue, type and state there are, and of each failure, in step with transactions."""

from __future__ import annotations

from collections.abc import Iterable

from rota.engines.sqlite.ages import Ages
from rota.engines.sqlite.events import Events
from rota.engines.sqlite.failures import Groups
from rota.engines.sqlite.kinds import Kinds
from rota.model.job import Count, State

Slot = tuple[str, str, str]


class Counters:
    """Counts as of the last commit, plus what the open transaction changes."""

    def __init__(self, rows: Iterable[tuple[str, str, str, int]]) -> None:
        self._kept: dict[Slot, int] = {}
        self._open: dict[Slot, int] = {}
        self._waiting: dict[str, dict[str, int]] = {}
        self.failures = Groups()
        self.kinds = Kinds()
        self.ages = Ages()
        self.events = Events()
        for queue, type, state, jobs in rows:
            self._apply((queue, type, state), jobs)

    def add(self, queue: str, type: str, state: str, jobs: int) -> None:
        slot = (queue, type, state)
        self._open[slot] = self._open.get(slot, 0) + jobs

    def move(self, queue: str, type: str, before: str, after: str) -> None:
        self.add(queue, type, before, -1)
        self.add(queue, type, after, 1)

    def waiting(self, queue: str) -> list[str]:
        """Types with pending jobs in a queue, the open transaction included."""
        kept = self._waiting.get(queue, {})
        if not self._open:
            return list(kept)
        news = {t: n for (q, t, s), n in self._open.items() if n and q == queue and s == State.PENDING}
        if not news:
            return list(kept)
        types = dict.fromkeys((*kept, *news))
        return [t for t in types if kept.get(t, 0) + news.get(t, 0) > 0]

    def changes(self) -> list[tuple[str, str, str, int]]:
        """What the open transaction has to write."""
        return [(*slot, jobs) for slot, jobs in self._open.items() if jobs]

    def commit(self) -> None:
        for slot, jobs in self._open.items():
            self._apply(slot, jobs)
        self._open.clear()
        self.failures.clear()

    def rollback(self) -> None:
        self._open.clear()
        self.failures.clear()
        self.kinds.forget()
        self.ages.forget()
        self.events.rollback()

    def rows(self) -> list[Count]:
        return [Count(q, t, State(s), n) for (q, t, s), n in self._kept.items() if n > 0]

    def slots(self) -> dict[Slot, int]:
        """A copy of the counts, for other threads."""
        return dict(self._kept)

    def _apply(self, slot: Slot, jobs: int) -> None:
        total = self._kept.get(slot, 0) + jobs
        self._kept[slot] = total
        queue, type, state = slot
        if state == State.PENDING:
            types = self._waiting.setdefault(queue, {})
            if total > 0:
                types[type] = total
            else:
                types.pop(type, None)
