"""From a Match to a WHERE clause. Values are always bound, never written into the text.

Of jobs past their expiry or retention the thousand most overdue are looked at in one go. Of payloads and
errors it only says which jobs may have what is looked for; :mod:`sift` tells which have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rota.engines.postgres import statements
from rota.engines.postgres.rows import plain
from rota.model.job import Match
from rota.model.search import Sift

_FIND = statements.load("find")

ERROR = f"({_FIND['error']})"
"""The last error of a job."""
PAYLOAD = f"({_FIND['short']})"
"""Its payload, unless that is long."""

_HOLDS = "position(?::bytea IN jobs.payload) > 0"
_POWER = "encode(jobs.payload, 'escape') ~ '[0-9][eE][-+]?[0-9]+([],}[:space:]]|$)'"

Bind = Callable[[str, Any], str]
"""Takes a term and the value for its ``?``, and gives it as it stands in the statement."""


def where(match: Match, first: int) -> tuple[str, list[Any]]:
    """The condition on ``jobs`` and its values, the first of which is ``$first``."""
    values: list[Any] = []

    def bind(term: str, value: Any) -> str:
        values.append(plain(value) if isinstance(value, str) else value)
        return term.replace("?", f"${first + len(values) - 1}")

    terms = [*_named(match, bind), *_plain(match, bind), *_due(match, bind), *_inside(match, bind)]
    return (" AND ".join(terms) or "true"), values


def _named(match: Match, bind: Bind) -> Iterator[str]:
    """Ids, states, queues and the like."""
    # Ids and keys are looked up first and lead to the jobs; no plan can then go by age and hope to meet them.
    if match.ids is not None:
        yield bind(
            "jobs.seq = ANY (ARRAY (SELECT i.seq FROM rota.jobs AS i WHERE i.id = ANY (?::text[])))",
            [plain(id) for id in match.ids],
        )
    if match.states is not None:
        # Literals, so that a partial index can be seen to fit, but where ids lead to the jobs.
        words = ", ".join(f"'{state.value}'" for state in match.states)
        column = "jobs.state" if match.ids is None and match.holds is None else "jobs.state || ''"
        yield f"{column} IN ({words})" if words else "false"
    if match.holds is not None:
        yield bind(
            "jobs.seq = ANY (ARRAY (SELECT i.seq FROM rota.jobs AS i WHERE i.unique_held = ?::text))",
            match.holds,
        )
    for column, names in (("queue", match.queues), ("type", match.types)):
        if names is not None and len(names) == 1:
            yield bind(f"jobs.{column} = ?::text", names[0])
        elif names is not None:
            yield bind(f"jobs.{column} = ANY (?::text[])", [plain(name) for name in names])
    for column, value in (("worker", match.worker), ("fingerprint", match.fingerprint)):
        if value is not None:
            yield bind(f"jobs.{column} = ?::text", value)


def _plain(match: Match, bind: Bind) -> Iterator[str]:
    """Tags, times and texts."""
    for tag in match.tags or ():
        yield bind("EXISTS (SELECT 1 FROM rota.tags AS t WHERE t.tag = ?::text AND t.seq = jobs.seq)", tag)
    if match.since is not None:
        yield bind("jobs.created_at >= ?::bigint", match.since)
    if match.until is not None:
        yield bind("jobs.created_at < ?::bigint", match.until)
    if match.text is not None:
        tags = "EXISTS (SELECT 1 FROM unnest(jobs.tags) AS t (tag) WHERE strpos(t.tag, ?::text) > 0)"
        yield bind(f"(starts_with(jobs.id, ?::text) OR strpos(jobs.type, ?::text) > 0 OR {tags})", match.text)
    if match.begins is not None:
        yield bind("starts_with(jobs.id, ?::text)", match.begins)
    if match.tried:
        yield (
            "(jobs.state IN ('done', 'failed', 'cancelled') "
            "OR jobs.attempt > (jobs.state = 'running')::integer)"
        )


def _due(match: Match, bind: Bind) -> Iterator[str]:
    """What upkeep asks for."""
    if match.lease_before is not None:
        yield bind("jobs.state = 'running' AND jobs.lease_until < ?::bigint", match.lease_before)
    if match.overdue_at is not None:
        yield bind(
            "jobs.state = 'running' AND jobs.timeout IS NOT NULL "
            "AND jobs.started_at + jobs.timeout < ?::bigint",
            match.overdue_at,
        )
    if match.expired_at is not None:
        yield bind(
            "jobs.seq = ANY (ARRAY (SELECT i.seq FROM rota.jobs AS i WHERE i.expires_at IS NOT NULL "
            "AND i.state IN ('scheduled', 'pending') AND i.expires_at <= ?::bigint "
            "ORDER BY i.expires_at LIMIT 1000))",
            match.expired_at,
        )
    if match.delete_at is not None:
        yield bind(
            "jobs.seq = ANY (ARRAY (SELECT i.seq FROM rota.jobs AS i WHERE i.delete_at IS NOT NULL "
            "AND i.delete_at <= ?::bigint ORDER BY i.delete_at LIMIT 1000))",
            match.delete_at,
        )


def _inside(match: Match, bind: Bind) -> Iterator[str]:
    """What may be inside."""
    if match.error is not None:
        yield "jobs.state <> 'done'"
    sift = match.sift()
    if sift is not None and sift.looks_at_payload:
        yield "(" + _FIND["may_hold"].format(term=_may_hold(sift, bind)) + ")"


def _may_hold(sift: Sift, bind: Bind) -> str:
    """What a payload holds if it fits; see :class:`Needle`. Most lack the value, so that comes first."""
    terms: list[str] = []
    for needle in sift.needles:
        if needle.value is not None:
            held = [bind(_HOLDS, one) for one in (needle.value, *needle.powers)]
            powers = f" OR ({' OR '.join(held[1:])}) AND {_POWER}" if needle.powers else ""
            terms.append(f"({held[0]}{powers})")
        if needle.name is not None:
            terms.append(bind(_HOLDS, needle.name))
    return f"({' AND '.join(terms)} OR position('\\x5c'::bytea IN jobs.payload) > 0)" if terms else "true"


def overdue(match: Match) -> bool:
    """Whether upkeep asks: what another server has its hands on is its business."""
    return match.expired_at is not None or match.delete_at is not None
