"""claim: pending jobs go out, best first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

from rota.engines.postgres import rows, statements
from rota.engines.postgres.floors import Floors
from rota.engines.postgres.link import Session
from rota.model.clock import SECOND
from rota.model.job import Ask, Claimed

_SQL = statements.load("claim")
_MOST = 2000
"""Jobs in one statement."""
_SPARE = 32
"""Jobs looked at beyond those that are wanted, for the case that others take some of them meanwhile."""
_ROUNDS = 4

Arguments = tuple[Sequence[Ask], int, int]
_Key = tuple[tuple[str, ...], tuple[str, ...] | None, tuple[str, ...]]


class Claims:
    """The verb, and the floors it keeps."""

    def __init__(self, floors: Floors) -> None:
        self._floors = floors

    async def claim(self, session: Session, calls: list[Arguments]) -> list[list[list[Claimed]]]:
        asks = [(ask, until, now) for one, until, now in calls for ask in one]
        groups = _groups(asks)
        if len(groups) > 1:
            await session.begin()
        got: list[list[Claimed]] = [[] for _ in asks]
        empty: set[_Key] = set()
        for indexes in groups:
            ask, until, now = asks[indexes[0]]
            if ask.ids is not None:
                got[indexes[0]] = await self._these(session, ask, until, now)
                continue
            key = (ask.queues, ask.types, ask.except_types)
            if key in empty:
                continue
            group = [asks[i] for i in indexes]
            found = await self._best(session, group)
            if len(found) < sum(one.slots for one, _, _ in group):
                empty.add(key)
            rest = iter(found)
            for i in indexes:
                got[i] = list(islice(rest, asks[i][0].slots))
        answers = iter(got)
        return [[next(answers) for _ in one] for one, _, _ in calls]

    async def again(
        self, session: Session, calls: list[Arguments], before: object
    ) -> list[list[list[Claimed]]]:
        """claim, when the same calls may have been kept just before: what they took then is theirs."""
        asks = [(ask, until, now) for one, until, now in calls for ask in one]
        columns = [
            [ask.worker for ask, _, _ in asks],
            [now for _, _, now in asks],
            [until for _, until, _ in asks],
        ]
        taken = await session.fetch(_SQL["before"], *columns)
        if not taken:
            return await self.claim(session, calls)
        answers: list[list[list[Claimed]]] = []
        for one, _, now in calls:
            answers.append([])
            for ask in one:
                mine = [row for row in taken if _fits(row, ask, now)][: ask.slots]
                taken = [row for row in taken if row not in mine]
                answers[-1].append([rows.claimed(row) for row in mine])
        return answers

    async def _best(self, session: Session, group: Sequence[tuple[Ask, int, int]]) -> list[Claimed]:
        """Jobs for asks that want the same, in order."""
        slots = [(ask.worker, now, until) for ask, until, now in group for _ in range(ask.slots)]
        found: list[Claimed] = []
        rounds = 0
        while len(found) < len(slots):
            part = slots[len(found) : len(found) + _MOST]
            got = await self._take(session, group[0][0], part, max(now for _, _, now in group))
            found += [rows.claimed(row) for row in got]
            if len(got) == len(part):
                continue
            # Jobs were there, but others had their hands on them. They may have let go of some by now.
            rounds += 1
            if not got or got[0]["seen"] <= len(got) or rounds == _ROUNDS:
                break
            await asyncio.sleep(0)
        return found

    async def _take(
        self, session: Session, ask: Ask, slots: Sequence[tuple[str, int, int]], now: int
    ) -> list[Any]:
        workers, starts, ends = (list(column) for column in zip(*slots, strict=True))
        types = None if ask.types is None else list(ask.types)
        wanted = len(slots)
        got = await session.only(
            _SQL["best"],
            list(ask.queues),
            *self._floors.of(ask.queues),
            types,
            _unwanted(ask),
            now,
            wanted,
            wanted + _SPARE,
            workers,
            starts,
            ends,
        )
        last = {(row[4], row[3], row[12]): row[0] for row in got if not row[13]}
        for lane, place in last.items():
            self._floors.taken(lane, place)
        return got

    async def _these(self, session: Session, ask: Ask, until: int, now: int) -> list[Claimed]:
        types = None if ask.types is None else list(ask.types)
        ids, unwanted = list(ask.ids or ()), _unwanted(ask)
        got = await session.only(
            _SQL["these"], list(ask.queues), ids, types, unwanted, now, ask.slots, ask.worker, until
        )
        return [rows.claimed(row) for row in got]


def joins(one: Arguments, other: Arguments) -> bool:
    """Whether a job has expired is asked once for all."""
    return abs(one[2] - other[2]) < SECOND // 10


def _fits(row: Any, ask: Ask, now: int) -> bool:
    return (
        (row["worker"], row["started_at"]) == (ask.worker, now)
        and row["queue"] in ask.queues
        and (row["type"] in ask.types if ask.types is not None else row["type"] not in ask.except_types)
        and (ask.ids is None or row["id"] in ask.ids)
    )


def _unwanted(ask: Ask) -> list[str]:
    return list(ask.except_types) if ask.types is None else []


def _groups(asks: Sequence[tuple[Ask, int, int]]) -> list[list[int]]:
    """Neighbours that want the same, by index."""
    groups: list[list[int]] = []
    last: _Key | None = None
    for i, (ask, _, _) in enumerate(asks):
        key = None if ask.ids is not None else (ask.queues, ask.types, ask.except_types)
        if not ask.slots > 0 or not ask.queues:
            continue
        if key is not None and key == last:
            groups[-1].append(i)
        else:
            groups.append([i])
        last = key
    return groups
