"""From a Match to a WHERE clause. Values are always bound, never written into the text.

Of payloads and errors it only says which jobs may have what is looked for; :mod:`sift` tells which have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from rota.engines.sqlite import statements
from rota.model.job import Match
from rota.model.search import Sift

_FIND = statements.load("find")
_encode = msgspec.json.Encoder().encode

MOST_DUE = 1000
"""Jobs past their expiry or retention that are looked at in one go, the most overdue ones first."""
ERROR = f"({_FIND['error']})"
"""The last error of a job."""
PAYLOAD = f"({_FIND['short']})"
"""Its payload, unless that is long."""

# No blob is like anything.
_POWER = "(CAST(b.payload AS TEXT) GLOB '*e[-+0-9]*' OR CAST(b.payload AS TEXT) GLOB '*E[-+0-9]*')"
_ONE_OF = "{column} IN (SELECT value FROM json_each(?))"
_MOST_DUE = "seq IN (SELECT seq FROM jobs INDEXED BY {by} <= ? ORDER BY {column} LIMIT ?)"

Term = tuple[str, tuple[Any, ...]]


def where(match: Match) -> tuple[str, list[Any]]:
    """The condition and its values."""
    terms = [*_named(match), *_plain(match), *_due(match), *_inside(match)]
    return (" AND ".join(term for term, _ in terms) or "true"), [one for _, bound in terms for one in bound]


def _named(match: Match) -> Iterator[Term]:
    """Ids, states, queues and the like."""
    # Where ids are given they are the way to the jobs; the sign keeps SQLite from thinking of another index.
    plus = "" if match.ids is None else "+"
    if match.ids is not None:
        yield "id IN (SELECT value FROM json_each(?))", (_encode(match.ids).decode(),)
    if match.states is not None:
        if len(match.states) == 1:
            # A literal, so that SQLite can see that a partial index fits; states come from an enum.
            yield f"{plus}state = '{match.states[0].value}'", ()
        else:
            yield f"{plus}state IN (" + ",".join(f"'{state.value}'" for state in match.states) + ")", ()
    if match.holds is not None:
        yield "unique_held = ?", (match.holds,)
    for column, names in (("queue", match.queues), ("type", match.types)):
        if names is not None and len(names) == 1:
            yield f"{plus}{column} = ?", names
        elif names is not None:
            yield _ONE_OF.format(column=plus + column), (_encode(names).decode(),)
    for column, value in (("worker", match.worker), ("fingerprint", match.fingerprint)):
        if value is not None:
            yield f"{plus}{column} = ?", (value,)


def _plain(match: Match) -> Iterator[Term]:
    """Tags, times and texts."""
    for tag in match.tags or ():
        yield "EXISTS (SELECT 1 FROM tags WHERE tags.tag = ? AND tags.seq = jobs.seq)", (tag,)
    if match.since is not None:
        yield "created_at >= ?", (match.since,)
    if match.until is not None:
        yield "created_at < ?", (match.until,)
    if match.text is not None:
        tags = "EXISTS (SELECT 1 FROM tags WHERE tags.seq = jobs.seq AND instr(tags.tag, ?))"
        yield f"(instr(id, ?) = 1 OR instr(type, ?) OR {tags})", (match.text,) * 3
    if match.begins is not None:
        yield "instr(id, ?) = 1", (match.begins,)
    if match.tried:
        yield "(state IN ('done', 'failed', 'cancelled') OR attempt > (state = 'running'))", ()


def _due(match: Match) -> Iterator[Term]:
    """What upkeep asks for."""
    if match.lease_before is not None:
        yield "state = 'running' AND lease_until < ?", (match.lease_before,)
    if match.overdue_at is not None:
        yield "state = 'running' AND timeout IS NOT NULL AND started_at + timeout < ?", (match.overdue_at,)
    if match.expired_at is not None:
        # By its own index, and no more than a step of upkeep takes: the loop waits for this every second.
        by = "jobs_expiry WHERE expires_at IS NOT NULL AND state IN ('scheduled', 'pending') AND expires_at"
        yield _MOST_DUE.format(by=by, column="expires_at"), (match.expired_at, MOST_DUE)
    if match.delete_at is not None:
        by = "jobs_delete WHERE delete_at IS NOT NULL AND delete_at"
        yield _MOST_DUE.format(by=by, column="delete_at"), (match.delete_at, MOST_DUE)


def _inside(match: Match) -> Iterator[Term]:
    """What may be inside."""
    if match.error is not None:
        yield "state <> 'done'", ()
    sift = match.sift()
    if sift is not None and sift.looks_at_payload:
        term, bound = _may_hold(sift)
        yield "EXISTS (" + _FIND["may_hold"].format(term=term) + ")", tuple(bound)


def _may_hold(sift: Sift) -> tuple[str, list[Any]]:
    """What payload ``b`` holds if it fits; see :class:`Needle`. Most lack the value, so that comes first."""
    terms: list[str] = []
    values: list[Any] = []
    for needle in sift.needles:
        if needle.value is not None:
            held = ["instr(b.payload, ?)", *("instr(b.payload, ?)" for _ in needle.powers)]
            powers = f" OR ({' OR '.join(held[1:])}) AND {_POWER}" if needle.powers else ""
            terms.append(f"({held[0]}{powers})")
            values += [needle.value, *needle.powers]
        if needle.name is not None:
            terms.append("instr(b.payload, ?)")
            values.append(needle.name)
    return (f"({' AND '.join(terms)} OR instr(b.payload, x'5c'))" if terms else "true"), values
