"""Whether a store is sound: what belongs together in it, and the counters, all at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from rota.engines.care import Finding, Verdict
from rota.engines.places import postgres, shown
from rota.engines.postgres import statements
from rota.engines.postgres.errors import DRIVER, cannot_open
from rota.engines.postgres.link import Gate
from rota.engines.postgres.migrate import done, examine, first
from rota.engines.steps import AHEAD, pending
from rota.model.errors import StoreError

_SQL = statements.load("verify")
SHOWN = 5
"""Examples of each fault."""
REPAIRABLE = "wrong_count"

FAULTS: Mapping[str, str] = {
    "wrong_count": "counters do not say how many jobs there are",
    "attempt_without_job": "attempts belong to no job",
    "log_without_job": "log lines belong to no job",
    "tag_without_job": "tags belong to no job",
    "file_without_job": "files belong to a job that is not there",
    "part_without_file": "files are not there, but parts of them are",
    "wrong_file": "files of jobs have not the bytes that they should have",
    "wrong_tags": "jobs cannot be found by their tags",
    "unknown_state": "jobs are in a state that does not exist",
    "running_without_lease": "jobs run without a lease, a worker or an attempt",
    "wrong_end": "jobs have ended without a time of their end, or have one without having ended",
    "wrong_unique_key": "jobs hold a unique key that is not theirs",
    "wrong_lane": "jobs stand in no line from which claims take them",
    "wrong_kind": "jobs cannot be found by their queue and type, or by their time",
    "wrong_event": "events say what cannot have happened",
    "event_without_feed": "events are for nobody",
}
"""What is looked for, in the order in which it is told: the names of the statements."""


_LONG = 3600.0
_PATIENT = (
    "SET LOCAL statement_timeout = '1h'; SET LOCAL lock_timeout = '10s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '60s'"
)
"""It looks at every job there is, which takes longer than anything that servers do."""


async def verify(url: str, *, repair: bool = False) -> Verdict:
    """Check everything at one moment; servers may be at work meanwhile. ``repair`` sets the counters right,
    while servers wait. Raises StoreError when there is no store, or none that can be read.
    """
    gate = Gate(postgres(url), url)
    try:
        connection = await gate.connect(bare=True, answer=_LONG)
        try:
            await examine(gate, connection)
            return await _verify(url, connection, repair)
        finally:
            await connection.close(timeout=5)
    except DRIVER as error:
        raise cannot_open(url, error) from error


async def faults(connection: Any, timeout: float | None = None) -> list[Finding]:
    """All faults in a store of this schema, as the open transaction sees it; ``timeout`` in seconds, for
    each look.
    """
    findings = []
    for code, sentence in FAULTS.items():
        rows = await connection.fetch(_SQL[code], timeout=timeout)
        if rows:
            examples = tuple(str(row[0]) for row in rows[:SHOWN])
            told = f"{len(rows)} {sentence}."
            findings.append(Finding(code, told, len(rows), examples, code == REPAIRABLE))
    return findings


async def reach(url: str) -> str:
    """Try the connection, and say what is there. Raises StoreError."""
    gate = Gate(postgres(url), url)
    try:
        connection = await first(gate)
        try:
            async with connection.transaction():
                name = await connection.fetchval("SELECT current_setting('server_version')")
            left = pending(f"The store {shown(url)}", statements.migrations(), await done(gate, connection))
        finally:
            connection.terminate()
    except DRIVER as error:
        raise cannot_open(url, error) from error
    schema = "the next start makes or updates the schema" if left else "the schema is up to date"
    pooled = ", behind a pooler" if gate.pooled else ""
    return f"PostgreSQL {name.split()[0]}{pooled}; {schema}"


async def _verify(url: str, connection: Any, repair: bool) -> Verdict:
    if not await connection.fetchval("SELECT to_regclass('rota.migrations') IS NOT NULL"):
        raise StoreError(f"There is no store at {shown(url)}: no server has begun one.")
    verdict = await _look(url, connection)
    if not repair or REPAIRABLE not in {finding.code for finding in verdict.findings}:
        return verdict
    async with connection.transaction():
        await connection.execute(_PATIENT)
        # Whoever writes counters has to wait until this is over.
        # Jobs may have been stored in a transaction of somebody else's that stays open: servers do not wait
        # behind us for it.
        await connection.execute("SET LOCAL lock_timeout = '1s'")
        try:
            await connection.execute(
                "LOCK TABLE rota.changes, rota.counts, rota.jobs IN SHARE ROW EXCLUSIVE MODE"
            )
        except asyncpg.LockNotAvailableError:
            raise StoreError(
                "A transaction that is still open has stored jobs; nothing was repaired. "
                "Try again when it has ended."
            ) from None
        wrong = len(await connection.fetch(_SQL["wrong_count"]))
        await connection.execute(_SQL["forget_counts"])
        await connection.execute(_SQL["recount"])
    again = await _look(url, connection)
    return Verdict(
        path=again.path,
        size=again.size,
        schema=again.schema,
        known=again.known,
        live=again.live,
        jobs=again.jobs,
        findings=again.findings,
        repaired=wrong,
    )


async def _look(url: str, connection: Any) -> Verdict:
    known = statements.migrations()[-1].number
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_PATIENT)
        schema = await connection.fetchval("SELECT max(number) FROM rota.migrations")
        size = await connection.fetchval(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'rota' AND c.relkind = 'r'"
        )
        others = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()"
        )
        jobs: dict[str, int] = {}
        findings: list[Finding] = []
        if schema is not None and known <= schema <= known + AHEAD:
            jobs = dict(await connection.fetch(_SQL["state_counts"]))
            findings = await faults(connection)
    return Verdict(
        path=shown(url),
        size=size,
        schema=schema or 0,
        known=known,
        live=bool(others),
        jobs=jobs,
        findings=tuple(findings),
    )
