"""Where to look for jobs that match: which index leads to the fewest candidates.

A source gives jobs by age; every job that matches is in one of the sources of a plan. Whether a candidate
really matches is then looked up, so a source may give too many, never too few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import apsw
import msgspec

from rota.engines.sqlite import statements
from rota.model.job import Match, State

_PLAN = statements.load("plan")
_encode = msgspec.json.Encoder().encode

Slots = Mapping[tuple[str, str, str], int]
"""Jobs by queue, type and state, as the counters say."""

SPARSE = frozenset({"failed", "cancelled", "running", "pending", "scheduled"})
"""States that have an index of their own."""


class Source(NamedTuple):
    """A part of ``plan.sql`` and the values of its first places."""

    part: str
    values: tuple[Any, ...] = ()


Plan = list[Source] | None
"""Sources that together hold every job that matches; None: go through all jobs."""


def plan(db: apsw.Connection, match: Match, slots: Slots) -> Plan:
    """The best way to the jobs that match."""
    states = _states(match)
    fit = {
        slot: jobs
        for slot, jobs in slots.items()
        if jobs > 0
        and (match.queue is None or slot[0] == match.queue)
        and (match.type is None or slot[1] == match.type)
        and (states is None or slot[2] in states)
    }
    if not fit:
        return []
    if match.ids is not None:
        return [Source("ids", (_encode(match.ids).decode(),))]
    if match.fingerprint is not None:
        return [Source("fingerprint", (match.fingerprint,))]
    if match.tag is not None:
        return [Source("tag", (match.tag,))]
    if states is not None and states <= SPARSE:
        return [Source(state) for state in sorted({slot[2] for slot in fit})]
    return None


def _states(match: Match) -> set[str] | None:
    """The states that matching jobs can be in, None for any."""
    states = None if match.states is None else {state.value for state in match.states}
    for narrower, only in (
        (match.fingerprint, {State.FAILED}),
        (match.lease_before, {State.RUNNING}),
        (match.overdue_at, {State.RUNNING}),
        (match.expired_at, {State.PENDING, State.SCHEDULED}),
    ):
        if narrower is not None:
            named = {state.value for state in only}
            states = named if states is None else states & named
    return states


def candidates(
    db: apsw.Connection, sources: list[Source], low: int, high: int, newest_first: bool, limit: int
) -> list[int]:
    """The next ``limit`` jobs (or fewer: there are no more) of all sources together, by age."""
    found: set[int] = set()
    order = "DESC" if newest_first else "ASC"
    for source in sources:
        sql = _PLAN[source.part].format(order=order)
        found.update(row[0] for row in db.execute(sql, (*source.values, low, high, limit)))
    return sorted(found, reverse=newest_first)[:limit]
