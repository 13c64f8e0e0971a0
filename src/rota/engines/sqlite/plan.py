"""Where to look for jobs that match: which index leads to the fewest candidates.

A source gives jobs by age; every job that matches is in one of the sources of a plan. Whether a candidate
really matches is then looked up, so a source may give too many, never too few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import apsw
import msgspec

from rota.engines.sqlite import statements
from rota.engines.sqlite.kinds import jobs as jobs_of
from rota.engines.sqlite.statements import run
from rota.model.job import Match, State

_PLAN = statements.load("plan")
_encode = msgspec.json.Encoder().encode

Slots = Mapping[tuple[str, str, str], int]
"""Jobs by queue, type and state, as the counters say."""

Kind = tuple[str, str]
"""A queue and a type."""

SPARSE = frozenset({"failed", "cancelled", "running", "pending", "scheduled"})
"""States that have an index of their own."""
SMALL = 5000
"""Jobs that are counted rather than guessed at."""
FEW = 50_000
"""Jobs whose ids may be sorted by age."""
MANY = 200
"""Sources that are not worth merging any more."""
TAGS = 10_000
"""Different tags among which a text is looked for."""
KIND = "kind"


class Source(NamedTuple):
    """A part of ``plan.sql`` and the values of its first places."""

    part: str
    values: tuple[Any, ...] = ()


Plan = list[Source] | None
"""Sources that together hold every job that matches; None: go through all jobs."""


def plan(db: apsw.Connection, match: Match, slots: Slots) -> Plan:
    """The best way to the jobs that match."""
    states = _states(match)
    kinds: Counter[Kind] = Counter()
    fit: Counter[str] = Counter()
    fitting = {
        (queue, type)
        for queue, type, _ in slots
        if (match.queues is None or queue in match.queues) and (match.types is None or type in match.types)
    }
    for (queue, type, state), jobs in slots.items():
        kinds[queue, type] += max(jobs, 0)
        if jobs > 0 and (queue, type) in fitting and (states is None or state in states):
            fit[state] += jobs
    if not fit:
        return []
    if match.ids is not None:
        return [Source("ids", (_encode(match.ids).decode(),))]
    if match.holds is not None:
        return [Source("holder", (match.holds,))]
    if match.fingerprint is not None:
        return [Source("fingerprint", (match.fingerprint,))]
    # Ways with the number of jobs on them, as far as that is known.
    ways: list[tuple[int, list[Source]]] = []
    for tag in match.tags or ():
        jobs = run(db, _PLAN["tagged"], (tag, SMALL))[0][0]
        ways.append((jobs if jobs < SMALL else sum(kinds.values()) // 2, [Source("tag", (tag,))]))
    if match.error is not None:
        jobs = run(db, _PLAN["tries"], (SMALL,))[0][0]
        # Of many only so much is known: most that failed have not come back.
        ways.append((jobs if jobs < SMALL else max(jobs, fit["failed"] + fit["running"]), [Source("tried")]))
    if match.begins is not None and (bounds := _bounds(match.begins)) is not None:
        jobs = run(db, _PLAN["begun"], (*bounds, FEW))[0][0]
        if jobs < FEW:
            ways.append((jobs, [Source("begins", bounds)]))
    if states is not None and states <= SPARSE:
        jobs = sum(n for (_, _, state), n in slots.items() if state in fit and n > 0)
        ways.append((jobs, [Source(state) for state in sorted(fit)]))
    if (match.queues is not None or match.types is not None) and len(fitting) <= MANY:
        ways.append((sum(kinds[kind] for kind in fitting), [Source(KIND, kind) for kind in sorted(fitting)]))
    if match.text is not None:
        sources = _text(db, match.text, kinds)
        if sources is not None:
            jobs = sum(kinds[one.values] if one.part == KIND else SMALL for one in sources)
            ways.append((jobs, sources))
    return min(ways, key=lambda way: way[0])[1] if ways else None


def _text(db: apsw.Connection, text: str, kinds: Mapping[Kind, int]) -> list[Source] | None:
    """Where jobs with a text in type or tags, or at the beginning of the id, are; None: anywhere."""
    sources = [Source(KIND, kind) for kind, jobs in kinds.items() if jobs and text in kind[1]]
    names = run(db, _PLAN["tags"], (TAGS,))
    sources += [Source("tag", (name,)) for (name,) in names if name is not None and text in name]
    if len(names) >= TAGS or len(sources) > MANY:
        return None
    bounds = _bounds(text)
    if bounds is not None:
        ids = run(db, _PLAN["begun"], (*bounds, SMALL))[0][0]
        if ids >= SMALL:
            return None
        if ids:
            sources.append(Source("begins", bounds))
    return sources


def _bounds(text: str) -> tuple[str, str] | None:
    """Between which texts those lie that begin with this one; None where that cannot be said."""
    if not text or text[-1] == "\U0010ffff" or "\ud7ff" <= text[-1] < "\ue000":
        return None
    return text, text[:-1] + chr(ord(text[-1]) + 1)


def _states(match: Match) -> set[str] | None:
    """The states that matching jobs can be in, None for any."""
    states = None if match.states is None else {state.value for state in match.states}
    for narrower, only in (
        (match.fingerprint, {State.FAILED}),
        (match.error, set(State) - {State.DONE}),
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
) -> tuple[list[int], int | None]:
    """The next jobs of all sources together, by age, and how far they reach (None: to the end)."""
    found: set[int] = set()
    reached: list[int] = []
    order = "DESC" if newest_first else "ASC"
    for source in sources:
        if source.part == KIND:
            queue, type = source.values
            got, edge = jobs_of(db, queue, type, low, high, newest_first, limit)
        else:
            sql = _PLAN[source.part].format(order=order)
            got = [row[0] for row in run(db, sql, (*source.values, low, high, limit))]
            edge = got[-1] if len(got) == limit else None
        found.update(got)
        if edge is not None:
            reached.append(edge)
    if not reached:
        return sorted(found, reverse=newest_first), None
    # What lies behind the nearest edge may not be complete.
    edge = max(reached) if newest_first else min(reached)
    kept = [seq for seq in found if (seq >= edge if newest_first else seq <= edge)]
    return sorted(kept, reverse=newest_first), edge
