"""Where to look for jobs that match: which index leads to the fewest candidates.

A source gives jobs by age; every job that matches is in one of the sources of a plan. Whether a candidate
really matches is then looked up, so a source may give too many, never too few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from rota.engines.postgres import statements
from rota.engines.postgres.link import Session
from rota.engines.postgres.rows import plain
from rota.model.job import Match, State

_PLAN = statements.load("plan")
_KINDS = statements.load("kinds")

Slots = Mapping[tuple[str, str, str], int]
"""Jobs by queue, type and state, as the counters say."""
Kind = tuple[str, str]
"""A queue and a type."""

SPARSE = frozenset({"failed", "cancelled", "running", "scheduled"})
"""States that have an index by age."""
PENDING = "pending"
"""The state that has one by lane, and age within it."""
LANES = 50
"""Queues and types whose lanes are merged; of more, jobs are sorted if there are few."""
SMALL = 5000
"""Jobs that are counted rather than guessed at."""
FEW = 50_000
"""Jobs that may be sorted by age."""
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


async def plan(session: Session, match: Match, slots: Slots) -> Plan:
    """The best way to the jobs that match."""
    states = _states(match)
    kinds: Counter[Kind] = Counter()
    fit: Counter[str] = Counter()
    for (queue, type, state), jobs in slots.items():
        if wanted(match, queue, type):
            kinds[queue, type] += jobs
            if states is None or state in states:
                fit[state] += jobs
    if not fit:
        return []
    if match.ids is not None:
        return [Source("ids", ([plain(id) for id in match.ids],))]
    if match.holds is not None:
        return [Source("holder", (plain(match.holds),))]
    if match.fingerprint is not None:
        return [Source("fingerprint", (plain(match.fingerprint),))]
    # Ways with the number of jobs on them, as far as that is known.
    ways: list[tuple[int, list[Source]]] = [
        await _tag(session, plain(tag), slots) for tag in match.tags or ()
    ]
    if match.error is not None:
        jobs = (await session.only(_PLAN["tries"], SMALL))[0][0]
        # Of many only so much is known: most that failed have not come back.
        ways.append((jobs if jobs < SMALL else max(jobs, fit["failed"] + fit["running"]), [Source("tried")]))
    if match.begins is not None:
        ways += await _begun(session, plain(match.begins))
    if states is not None and states <= SPARSE | {PENDING}:
        jobs = sum(n for (_, _, state), n in slots.items() if state in fit and state != PENDING)
        sources = [Source(state) for state in sorted(fit) if state != PENDING]
        way = _pending(match, slots) if PENDING in fit else (0, [])
        if way is not None:
            ways.append((jobs + way[0], sources + way[1]))
    if (match.queues is not None or match.types is not None) and len(kinds) <= MANY:
        ways.append((kinds.total(), [Source(KIND, kind) for kind in sorted(kinds)]))
    if match.text is not None:
        ways += await _worded(session, plain(match.text), slots)
    return min(ways, key=lambda way: way[0])[1] if ways else None


def wanted(match: Match, queue: str, type: str) -> bool:
    """Whether jobs of this queue and type may match."""
    return (match.queues is None or queue in match.queues) and (match.types is None or type in match.types)


def _pending(match: Match, slots: Slots) -> tuple[int, list[Source]] | None:
    """By lanes, of the queue and type that are wanted; None where there are too many for that."""
    lines = [
        n for (queue, type, state), n in slots.items() if state == PENDING and wanted(match, queue, type)
    ]
    if len(lines) <= LANES:
        names = [
            None if some is None else [plain(name) for name in some] for some in (match.queues, match.types)
        ]
        return sum(lines), [Source(PENDING, tuple(names))]
    jobs = sum(n for (_, _, state), n in slots.items() if state == PENDING)
    return (jobs, [Source("sorted")]) if jobs <= FEW else None


async def _tag(session: Session, tag: str, slots: Slots) -> tuple[int, list[Source]]:
    jobs = (await session.only(_PLAN["tagged"], tag, SMALL))[0][0]
    return (jobs if jobs < SMALL else sum(slots.values()) // 2), [Source("tag", (tag,))]


async def _begun(session: Session, text: str) -> list[tuple[int, list[Source]]]:
    bounds = _bounds(text)
    if bounds is None:
        return []
    jobs = (await session.only(_PLAN["begun"], *bounds, FEW))[0][0]
    return [(jobs, [Source("begins", bounds)])] if jobs < FEW else []


async def _worded(session: Session, text: str, slots: Slots) -> list[tuple[int, list[Source]]]:
    everything: Counter[Kind] = Counter()
    for (queue, type, _), n in slots.items():
        everything[queue, type] += n
    found = await _text(session, text, everything)
    if found is None:
        return []
    return [(sum(everything[one.values] if one.part == KIND else SMALL for one in found), found)]


async def _text(session: Session, text: str, kinds: Mapping[Kind, int]) -> list[Source] | None:
    """Where jobs with a text in type or tags, or at the beginning of the id, are; None: anywhere."""
    sources = [Source(KIND, kind) for kind, jobs in kinds.items() if jobs and text in kind[1]]
    names = [row[0] for row in await session.only(_PLAN["tags"], TAGS)]
    sources += [Source("tag", (name,)) for name in names if text in name]
    if len(names) >= TAGS or len(sources) > MANY:
        return None
    bounds = _bounds(text)
    if bounds is not None:
        ids = (await session.only(_PLAN["begun"], *bounds, SMALL))[0][0]
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


async def candidates(
    session: Session, sources: list[Source], low: int, high: int, newest_first: bool, limit: int
) -> tuple[list[int], int | None]:
    """The next jobs of all sources together, by age, and how far they reach (None: to the end)."""
    found: set[int] = set()
    reached: list[int] = []
    order = "DESC" if newest_first else "ASC"
    for source in sources:
        sql = _KINDS["jobs"] if source.part == KIND else _PLAN[source.part]
        got = await session.only(sql.format(order=order), *source.values, low, high, limit)
        found.update(row[0] for row in got)
        if len(got) == limit:
            reached.append(got[-1][0])
    if not reached:
        return sorted(found, reverse=newest_first), None
    # What lies behind the nearest edge may not be complete.
    edge = max(reached) if newest_first else min(reached)
    kept = [seq for seq in found if (seq >= edge if newest_first else seq <= edge)]
    return sorted(kept, reverse=newest_first), edge
