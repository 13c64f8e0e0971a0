"""One connection to the database, opened when it is needed and again when it is lost, and a transaction on
it.

No state is kept in a session, so a pooler may stand in between: behind one every statement runs inside a
transaction that sets what it needs for itself, and no statement is kept prepared.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import asyncpg

from rota.engines.places import Postgres
from rota.engines.postgres.errors import DRIVER, cannot_open, lost
from rota.model.errors import StoreError

CONNECT = 5.0
"""Seconds for a connection to be made."""
ANSWER = 35.0
"""Seconds for an answer; the server gives up sooner by itself, unless it cannot be reached any more."""
PATIENCE = 2.0
"""Seconds for which calls wait for a database that has just gone, before they fail."""
_PAUSE = 0.05

SETTINGS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    # Every statement has an index that leads to its rows, and tables grow faster than their statistics. A
    # plan that was good for a hundred jobs must not be met again with a million.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # No value would lead to another plan, and to plan anew costs a single job as much as to store it.
    "plan_cache_mode": "force_generic_plan",
}
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"


class Gate:
    """What all connections of an engine know together: how to connect, and since when that fails."""

    def __init__(self, place: Postgres, url: str) -> None:
        self.place = place
        self.url = url
        self.pooled = bool(place.pooler)
        self.settings = dict(SETTINGS)
        self._down_since: float | None = None

    @property
    def begin(self) -> str:
        """Begins a transaction, in one message."""
        if not self.pooled:
            return _BEGIN
        return "; ".join(
            (_BEGIN, *(f"SET LOCAL {name} = '{value}'" for name, value in self.settings.items()))
        )

    async def connect(self, dsn: str | None = None, *, bare: bool = False) -> Any:
        """A new connection; raises what the driver raises. ``bare``: as a pooler needs it."""
        pooled = self.pooled or bare
        settings = {} if pooled else {**self.settings, "default_transaction_isolation": "read committed"}
        return await asyncpg.connect(
            dsn or self.place.dsn,
            timeout=CONNECT,
            command_timeout=ANSWER,
            statement_cache_size=0 if pooled else 500,
            max_cached_statement_lifetime=0,
            target_session_attrs="read-write",
            server_settings={"application_name": self.place.name, **settings},
        )

    async def patiently(self) -> Any:
        """A new connection, waited for a little while where the database has just gone. Raises StoreError."""
        while True:
            try:
                connection = await self.connect()
            except DRIVER as error:
                now = time.monotonic()
                if self._down_since is None:
                    self._down_since = now
                worth_waiting = lost(error) or isinstance(error, asyncpg.TargetServerAttributeNotMatched)
                if not worth_waiting or now - self._down_since > PATIENCE:
                    raise cannot_open(self.url, error) from error
                await asyncio.sleep(_PAUSE)
            else:
                self._down_since = None
                return connection


class Link:
    """One connection, for one user at a time."""

    def __init__(self, gate: Gate, connection: Any = None) -> None:
        self._gate = gate
        self._connection = connection

    async def session(self) -> Session:
        """Something to run statements with. Raises StoreError when there is no connection to be had."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._gate.patiently()
        return Session(self._gate, self._connection)

    def drop(self) -> None:
        """Let go of a connection that is no good any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=2)


class Session:
    """Statements on one connection: one alone, or several in a transaction."""

    def __init__(self, gate: Gate, connection: Any) -> None:
        self._gate = gate
        self._connection = connection
        self._open = False
        self.committing = False
        """Whether it is unknown what became of the transaction, should the connection be lost now."""

    async def begin(self) -> None:
        """Put all that follows into one transaction."""
        if not self._open:
            await self._connection.execute(self._gate.begin)
            self._open = True

    async def only(self, sql: str, *values: Any) -> list[Any]:
        """A statement that may be a transaction of its own, where none is open."""
        if self._open or self._gate.pooled:
            return await self.fetch(sql, *values)
        self.committing = True
        rows: list[Any] = await self._connection.fetch(sql, *values)
        self.committing = False
        return rows

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """A statement within the transaction; all its rows."""
        await self.begin()
        rows: list[Any] = await self._connection.fetch(sql, *values)
        return rows

    async def execute(self, sql: str) -> None:
        """Statements without values within the transaction."""
        await self.begin()
        await self._connection.execute(sql)

    async def commit(self) -> None:
        if self._open:
            self.committing = True
            await self._connection.execute("COMMIT")
            self._open = self.committing = False

    async def rollback(self) -> None:
        if self._open:
            self._open = False
            await self._connection.execute("ROLLBACK")


class Readers:
    """A few connections that read, each used by one call at a time."""

    def __init__(self, gate: Gate, size: int) -> None:
        self._gate = gate
        self._free = [Link(gate) for _ in range(size)]
        self._all = list(self._free)
        self._room = asyncio.Semaphore(size)
        self.closed = False

    @contextlib.asynccontextmanager
    async def session(self) -> Any:
        """A session of one of them."""
        async with self._room:
            if self.closed:
                raise StoreError("The store is closed.")
            link = self._free.pop()
            session: Session | None = None
            try:
                session = await link.session()
                yield session
                await session.commit()
            except BaseException as error:
                # Also when the caller does not wait any more: what the server still sends is not for the
                # next one.
                if lost(error) or isinstance(error, asyncio.CancelledError | GeneratorExit):
                    link.drop()
                elif session is not None:
                    try:
                        await session.rollback()
                    except Exception:
                        link.drop()
                raise
            finally:
                self._free.append(link)

    async def close(self) -> None:
        self.closed = True
        for link in self._all:
            await link.close()
