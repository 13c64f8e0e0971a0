"""From a Match to a WHERE clause. Values are always bound, never written into the text.

Of jobs past their expiry or retention the thousand most overdue are looked at in one go.
"""

from __future__ import annotations

from typing import Any

from rota.engines.postgres.rows import plain
from rota.model.job import Match


def where(match: Match, first: int) -> tuple[str, list[Any]]:
    """The condition on ``jobs`` and its values, the first of which is ``$first``."""
    terms: list[str] = []
    values: list[Any] = []

    def add(term: str, value: Any) -> None:
        terms.append(term.replace("?", f"${first + len(values)}"))
        values.append(plain(value) if isinstance(value, str) else value)

    # Ids and keys are looked up first and lead to the jobs; no plan can then go by age and hope to meet them.
    if match.ids is not None:
        add(
            "jobs.seq = ANY (ARRAY (SELECT i.seq FROM rota.jobs AS i WHERE i.id = ANY (?::text[])))",
            [plain(id) for id in match.ids],
        )
    if match.states is not None:
        # Literals, so that a partial index can be seen to fit, but where ids lead to the jobs.
        words = ", ".join(f"'{state.value}'" for state in match.states)
        column = "jobs.state" if match.ids is None and match.holds is None else "jobs.state || ''"
        terms.append(f"{column} IN ({words})" if words else "false")
    if match.holds is not None:
        add(
            "jobs.seq = ANY (ARRAY (SELECT i.seq FROM rota.jobs AS i WHERE i.unique_held = ?::text))",
            match.holds,
        )
    for column in ("queue", "type", "worker", "fingerprint"):
        value = getattr(match, column)
        if value is not None:
            add(f"jobs.{column} = ?::text", value)
    if match.tag is not None:
        add(
            "EXISTS (SELECT 1 FROM rota.tags AS t WHERE t.tag = ?::text AND t.seq = jobs.seq)",
            match.tag,
        )
    for term, at in (
        ("jobs.created_at >= ?::bigint", match.since),
        ("jobs.created_at < ?::bigint", match.until),
        ("jobs.state = 'running' AND jobs.lease_until < ?::bigint", match.lease_before),
    ):
        if at is not None:
            add(term, at)
    if match.text is not None:
        tags = "EXISTS (SELECT 1 FROM unnest(jobs.tags) AS t (tag) WHERE strpos(t.tag, ?::text) > 0)"
        add(f"(starts_with(jobs.id, ?::text) OR strpos(jobs.type, ?::text) > 0 OR {tags})", match.text)
    if match.tried:
        terms.append(
            "(jobs.state IN ('done', 'failed', 'cancelled') "
            "OR jobs.attempt > (jobs.state = 'running')::integer)"
        )
    if match.overdue_at is not None:
        add(
            "jobs.state = 'running' AND jobs.timeout IS NOT NULL "
            "AND jobs.started_at + jobs.timeout < ?::bigint",
            match.overdue_at,
        )
    if match.expired_at is not None:
        add(
            "jobs.seq = ANY (ARRAY (SELECT i.seq FROM rota.jobs AS i WHERE i.expires_at IS NOT NULL "
            "AND i.state IN ('scheduled', 'pending') AND i.expires_at <= ?::bigint "
            "ORDER BY i.expires_at LIMIT 1000))",
            match.expired_at,
        )
    if match.delete_at is not None:
        add(
            "jobs.seq = ANY (ARRAY (SELECT i.seq FROM rota.jobs AS i WHERE i.delete_at IS NOT NULL "
            "AND i.delete_at <= ?::bigint ORDER BY i.delete_at LIMIT 1000))",
            match.delete_at,
        )
    return (" AND ".join(terms) or "true"), values


def overdue(match: Match) -> bool:
    """Whether upkeep asks: what another server has its hands on is its business."""
    return match.expired_at is not None or match.delete_at is not None
