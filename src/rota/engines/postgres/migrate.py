"""Bringing the schema up to date, by however many servers start at once."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from rota.engines.places import postgres, shown
from rota.engines.postgres.errors import DRIVER, cannot_open, said
from rota.engines.postgres.link import Gate
from rota.engines.postgres.statements import migrations
from rota.engines.steps import Done, Schema, Told, behind, failed, listed, pending, silent
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
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500)
"""
# From the catalogue itself: a function that looks names up may remember that there was none a moment ago.
_TABLES = (
    "SELECT count(*) > 0 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'rota'"
)
_HAS = _TABLES + " AND c.relname = 'migrations'"
BUSY = 60.0
"""Seconds for which a step is tried again and again while others use what it changes."""
_LOCKED, _PAUSE, _LONG = "2s", 0.5, 86400.0
_WHICH = (
    "SELECT number, name, checksum, (extract(epoch FROM at) * 1000000)::bigint AS at "
    "FROM rota.migrations ORDER BY number"
)
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
    # Without what a distribution says behind it.
    gate.version = row["name"].partition(" ")[0]
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


async def migrate(gate: Gate, connection: Any, *, run: bool = True, told: Told = silent) -> None:
    """Bring the schema up to date: all that is left, or nothing of it. One server does it, the others wait.

    ``run``: otherwise it has to be up to date already. Raises StoreError.
    """
    where, steps = f"The store {shown(gate.url)}", migrations()
    left = pending(where, steps, await done(gate, connection))
    if left and not run:
        raise behind(where, steps, left)
    began = time.monotonic()
    while left:
        try:
            await _run(gate, connection, told)
            return
        except asyncpg.LockNotAvailableError:
            # While we wait for a lock, everybody else waits behind us; so we do not wait for long.
            if time.monotonic() - began > BUSY:
                raise StoreError(
                    f"{where} is in use by a transaction that does not end; nothing was changed. Look for "
                    "it in pg_stat_activity, and try again."
                ) from None
            await asyncio.sleep(_PAUSE)


async def _run(gate: Gate, connection: Any, told: Told) -> None:
    where = f"The store {shown(gate.url)}"
    async with connection.transaction():
        # However long the others take, and however much there is to change.
        await connection.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK}, -2)", timeout=_LONG)
        left = pending(where, migrations(), await done(gate, connection, alone=True))
        if not left:
            return
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCKED}'")
        await connection.execute("CREATE SCHEMA IF NOT EXISTS rota")
        if not await connection.fetchval(_HAS):
            await connection.execute(_TABLE)
        for number, step in enumerate(left, 1):
            told(step, number, len(left))
            try:
                await connection.execute(step.text, timeout=_LONG)
            except (asyncpg.LockNotAvailableError, asyncpg.InsufficientPrivilegeError):
                raise
            except asyncpg.PostgresError as error:
                raise failed(where, step, said(error)) from error
            await connection.execute(_DONE, step.number, step.name, step.checksum)


async def done(gate: Gate, connection: Any, *, alone: bool = False) -> dict[int, Done]:
    """The steps that were run. Raises StoreError when the schema is none of ours. ``alone``: nobody else of
    us is at it meanwhile.
    """
    foreign = StoreError(
        f"The schema 'rota' in {shown(gate.url)} belongs to another program; nothing was changed."
    )
    async with connection.transaction():
        if not await connection.fetchval(_HAS):
            if alone and await connection.fetchval(_TABLES):
                raise foreign
            return {}
        try:
            rows = await connection.fetch(_WHICH)
        except asyncpg.UndefinedColumnError:
            raise foreign from None
    return {row["number"]: Done(row["name"], row["checksum"], row["at"]) for row in rows}


async def look(url: str) -> Schema:
    """The steps of a store, and whether they were run. Raises StoreError when it cannot be reached."""
    return await _at(url, _listed)


async def bring(url: str, told: Told) -> Schema:
    """Run what is left; the steps after that. Raises StoreError."""

    async def both(gate: Gate, connection: Any) -> Schema:
        await migrate(gate, connection, told=told)
        return await _listed(gate, connection)

    return await _at(url, both)


async def _at(url: str, work: Callable[[Gate, Any], Awaitable[Schema]]) -> Schema:
    gate = Gate(postgres(url), url)
    try:
        connection = await first(gate)
        try:
            return await work(gate, connection)
        finally:
            connection.terminate()
    except DRIVER as error:
        raise cannot_open(url, error) from error


async def _listed(gate: Gate, connection: Any) -> Schema:
    where = shown(gate.url)
    return listed(where, f"The store {where}", migrations(), await done(gate, connection))
