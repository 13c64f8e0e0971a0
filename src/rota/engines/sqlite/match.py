"""From a Match to a WHERE clause. Values are always bound, never written into the text."""

from __future__ import annotations

from typing import Any

import msgspec

from rota.model.job import Match

MOST_DUE = 1000
"""Jobs past their expiry or retention that are looked at in one go, the most overdue ones first."""


def where(match: Match) -> tuple[str, list[Any]]:
    """The condition and its values."""
    terms: list[str] = []
    values: list[Any] = []
    # Where ids are given they are the way to the jobs; the sign keeps SQLite from thinking of another index.
    plus = "" if match.ids is None else "+"

    def add(term: str, *bound: Any) -> None:
        terms.append(term)
        values.extend(bound)

    if match.ids is not None:
        add("id IN (SELECT value FROM json_each(?))", msgspec.json.encode(match.ids).decode())
    if match.states is not None:
        if len(match.states) == 1:
            # A literal, so that SQLite can see that a partial index fits; states come from an enum.
            add(f"{plus}state = '{match.states[0].value}'")
        else:
            add(f"{plus}state IN (" + ",".join(f"'{state.value}'" for state in match.states) + ")")
    if match.holds is not None:
        add("unique_held = ?", match.holds)
    for column in ("queue", "type", "worker", "fingerprint"):
        value = getattr(match, column)
        if value is not None:
            add(f"{plus}{column} = ?", value)
    if match.tag is not None:
        add("EXISTS (SELECT 1 FROM tags WHERE tags.tag = ? AND tags.seq = jobs.seq)", match.tag)
    for term, at in (
        ("created_at >= ?", match.since),
        ("created_at < ?", match.until),
        ("state = 'running' AND lease_until < ?", match.lease_before),
    ):
        if at is not None:
            add(term, at)
    if match.text is not None:
        tags = "EXISTS (SELECT 1 FROM tags WHERE tags.seq = jobs.seq AND instr(tags.tag, ?))"
        add(f"(instr(id, ?) = 1 OR instr(type, ?) OR {tags})", match.text, match.text, match.text)
    if match.tried:
        add("(state IN ('done', 'failed', 'cancelled') OR attempt > (state = 'running'))")
    if match.overdue_at is not None:
        add("state = 'running' AND timeout IS NOT NULL AND started_at + timeout < ?", match.overdue_at)
    if match.expired_at is not None:
        # By its own index, and no more than a step of upkeep takes: the loop waits for this every second.
        add(
            "seq IN (SELECT seq FROM jobs INDEXED BY jobs_expiry WHERE expires_at IS NOT NULL "
            "AND state IN ('scheduled', 'pending') AND expires_at <= ? ORDER BY expires_at LIMIT ?)",
            match.expired_at,
            MOST_DUE,
        )
    if match.delete_at is not None:
        add(
            "seq IN (SELECT seq FROM jobs INDEXED BY jobs_delete WHERE delete_at IS NOT NULL "
            "AND delete_at <= ? ORDER BY delete_at LIMIT ?)",
            match.delete_at,
            MOST_DUE,
        )
    return (" AND ".join(terms) or "true"), values
