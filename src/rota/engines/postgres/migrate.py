"""Bringing the schema up to date, by however many servers start at once."""

from __future__ import annotations

import zlib
from typing import Any

import asyncpg

from rota.engines.places import shown
from rota.engines.postgres.link import Gate
from rota.engines.postgres.statements import migrations
from rota.model.errors import StoreError

LOCK = zlib.crc32(b"rota") - 2**31
"""The first number of our advisory locks; the second is the bucket of a key, or less than zero."""
OLDEST = 140000
"""The server's version that is needed at least."""

_TABLE = """
CREATE TABLE rota.migrations (
  number   integer PRIMARY KEY,
  name     text NOT NULL,
  checksum text NOT NULL,
  at       timestamptz NOT NULL DEFAULT now()
)
"""
# From the catalogue itself: a function that looks names up may remember that there was none a moment ago.
_TABLES = (
    "SELECT count(*) > 0 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'rota'"
)
_HAS = _TABLES + " AND c.relname = 'migrations'"
_DONE = "INSERT INTO rota.migrations (number, name, checksum) VALUES ($1, $2, $3)"


async def first(gate: Gate) -> Any:
    """The first connection of an engine, by which it gets to know the server. Raises StoreError, and
    what the driver raises.
    """
    try:
        connection = await gate.connect()
    except asyncpg.ProtocolViolationError:
        # A pooler that takes no settings at the beginning of a session.
        if gate.pooled:
            raise
        connection = await gate.connect(bare=True)
    try:
        before = (gate.pooled, dict(gate.settings))
        await examine(gate, connection)
        if (gate.pooled, gate.settings) == before:
            return connection
    except BaseException:
        connection.terminate()
        raise
    await connection.close(timeout=5)
    return await gate.connect()


async def examine(gate: Gate, connection: Any) -> None:
    """Whether this is a server that we can use, and how it is to be spoken to. Raises StoreError."""
    async with connection.transaction():
        row = await connection.fetchrow(
            "SELECT current_setting('server_version_num')::integer AS version, "
            "current_setting('server_encoding') AS encoding, current_setting('synchronous_commit') AS sync, "
            "pg_backend_pid() AS pid, current_setting('server_version') AS name"
        )
    where = shown(gate.url)
    if row["version"] < OLDEST:
        raise StoreError(f"The store {where} is on PostgreSQL {row['name']}; Rota needs 14 or later.")
    if row["encoding"] != "UTF8":
        raise StoreError(
            f"The database of the store {where} has the encoding {row['encoding']}; create one with UTF8."
        )
    if row["sync"] == "off":
        # An acknowledged job is on stable storage, whatever others want who use this server.
        gate.settings["synchronous_commit"] = "on"
    if gate.place.pooler is None:
        # A pooler gives the numbers of its own to its clients.
        gate.pooled = row["pid"] != connection.get_server_pid()


async def migrate(gate: Gate, connection: Any) -> None:
    """Bring the schema up to date; one server does it, the others wait. Raises StoreError."""
    if await state(gate, connection):
        return
    async with connection.transaction():
        # However long the others take, and however much there is to change.
        await connection.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK}, -2)")
        if await state(gate, connection, alone=True):
            return
        await connection.execute("CREATE SCHEMA IF NOT EXISTS rota")
        if not await connection.fetchval(_HAS):
            await connection.execute(_TABLE)
        newest = await connection.fetchval("SELECT coalesce(max(number), 0) FROM rota.migrations")
        for step in migrations():
            if step.number > newest:
                await connection.execute(step.text)
                await connection.execute(_DONE, step.number, step.name, step.checksum)


async def state(gate: Gate, connection: Any, *, alone: bool = False) -> bool:
    """Whether nothing is left to do. Raises StoreError when the schema is none of ours. ``alone``: nobody
    else of us is at it meanwhile.
    """
    where = shown(gate.url)
    async with connection.transaction():
        ours = await connection.fetchval(_HAS)
        if not ours:
            taken = alone and await connection.fetchval(_TABLES)
            if taken:
                raise StoreError(
                    f"The schema 'rota' in {where} belongs to another program; nothing was changed."
                )
            return False
        try:
            rows = await connection.fetch("SELECT number, checksum FROM rota.migrations ORDER BY number")
        except asyncpg.UndefinedColumnError:
            raise StoreError(
                f"The schema 'rota' in {where} belongs to another program; nothing was changed."
            ) from None
    done = {row["number"]: row["checksum"] for row in rows}
    steps = {step.number: step for step in migrations()}
    newest = max(steps)
    # One step ahead is what a server of the release before this one meets while its successors start.
    if done and max(done) > newest + 1:
        raise StoreError(
            f"The store {where} was written by a newer Rota (schema {max(done)}, this one knows {newest}); "
            "nothing was changed."
        )
    for number, step in steps.items():
        if number in done and done[number] != step.checksum:
            raise StoreError(
                f"The schema of the store {where} is not the one of this Rota: {step.name} differs from what "
                "was run; nothing was changed."
            )
    return set(steps) <= set(done)
