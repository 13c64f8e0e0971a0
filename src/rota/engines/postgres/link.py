"""One connection to the database, opened when it is needed and again when it is lost, and a transaction on
it.

No state is kept in a session, so a pooler may stand in between: behind one every statement runs inside a
transaction that sets what it needs for itself, and no statement is kept prepared.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from typing import Any

import asyncpg

from rota.engines.places import Postgres
from rota.engines.postgres.errors import DRIVER, Unconfirmed, cannot_open, lost
from rota.engines.postgres.reach import reach
from rota.model.errors import StoreError

CONNECT, CONNECT_AGAIN = 2.5, 5.0
"""Seconds for a connection to be made; the second while none could be made the time before."""
ANSWER = 35.0
"""Seconds for an answer; the server gives up sooner by itself, unless it cannot be reached any more."""
PATIENCE = 2.0
"""Seconds for which calls wait for a database that has just gone, before they fail."""
_PAUSE = 0.05

SETTINGS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    # A server that stands still holds up nobody for longer than one that was killed.
    "idle_in_transaction_session_timeout": "5s",
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
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
_ALIVE = {
    # What a client held whose machine is gone without a word is free again soon.
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "5000",
}
"""Of a session, not of its transactions: only where the session is ours."""
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"


class Gate:
    """What all connections of an engine know together: how to connect, and since when that fails."""

    def __init__(self, place: Postgres, url: str) -> None:
        self.place = place
        self.url = url
        self.pooled = bool(place.pooler)
        self.settings = dict(SETTINGS)
        self.version = ""
        """Of the server, once it was examined."""
        self.wires: weakref.WeakSet[Wire] = weakref.WeakSet()
        """Connections on which somebody may wait for an answer."""
        self.epoch = 0
        """Grows when the server that we are connected to turns out to take no writes any more."""
        self._down_since: float | None = None

    @property
    def begin(self) -> str:
        """Begins a transaction, in one message."""
        if not self.pooled:
            return _BEGIN
        return "; ".join(
            (_BEGIN, *(f"SET LOCAL {name} = '{value}'" for name, value in self.settings.items()))
        )

    async def connect(
        self, dsn: str | None = None, *, bare: bool = False, answer: float | None = None
    ) -> Any:
        """A new connection; raises what the driver raises. ``bare``: as a pooler needs it. ``dsn``: to
        listen, on a server that may be another one. ``answer``: seconds for each.
        """
        pooled = self.pooled or bare
        settings: dict[str, str] = {}
        if not pooled:
            settings = {**self.settings, **_ALIVE, "default_transaction_isolation": "read committed"}
        elif dsn is not None:
            settings = {**{name: self.settings[name] for name in TIMEOUTS}, **_ALIVE}
        return await reach(
            dsn or self.place.dsn,
            timeout=CONNECT if self._down_since is None else CONNECT_AGAIN,
            command_timeout=ANSWER if answer is None else answer,
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


class Wire:
    """A connection, and since when it owes an answer (None: it does not)."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.pid: int = connection.get_server_pid()
        self.since: float | None = None
        self.warned = False
        connection.add_log_listener(self._told)

    def _told(self, connection: Any, message: Any) -> None:
        self.warned = self.warned or getattr(message, "severity_en", None) == "WARNING"

    def cut(self) -> None:
        """Whoever waits for an answer gets an error."""
        self.connection.terminate()


class Link:
    """One connection, for one user at a time."""

    def __init__(self, gate: Gate, connection: Any = None) -> None:
        self._gate = gate
        self._epoch = gate.epoch
        self._wire = None if connection is None else self._tied(connection)

    async def session(self) -> Session:
        """Something to run statements with. Raises StoreError when there is no connection to be had."""
        if self._epoch != self._gate.epoch:
            self.drop()
        if self._wire is None or self._wire.connection.is_closed():
            self._epoch = self._gate.epoch
            self._wire = self._tied(await self._gate.patiently())
        return Session(self._gate, self._wire)

    def moved(self) -> None:
        """The server takes no writes any more: nobody stays connected to it."""
        self._gate.epoch += 1

    def drop(self) -> None:
        """Let go of a connection that is no good any more."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.cut()

    async def close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            with contextlib.suppress(Exception):
                await wire.connection.close(timeout=2)

    def _tied(self, connection: Any) -> Wire:
        wire = Wire(connection)
        self._gate.wires.add(wire)
        return wire


class Session:
    """Statements on one connection: one alone, or several in a transaction."""

    def __init__(self, gate: Gate, wire: Wire) -> None:
        self._gate = gate
        self._wire = wire
        self._connection = wire.connection
        self._open = False
        self.committing = False
        """Whether it is unknown what became of the transaction, should the connection be lost now."""

    async def begin(self) -> None:
        """Put all that follows into one transaction."""
        if not self._open:
            await self._execute(self._gate.begin)
            self._open = True

    async def only(self, sql: str, *values: Any) -> list[Any]:
        """A statement that may be a transaction of its own, where none is open."""
        if self._open or self._gate.pooled:
            return await self.fetch(sql, *values)
        self.committing, self._wire.warned = True, False
        rows = await self._rows(sql, values)
        self._confirm()
        return rows

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """A statement within the transaction; all its rows."""
        await self.begin()
        return await self._rows(sql, values)

    async def execute(self, sql: str) -> None:
        """Statements without values within the transaction."""
        await self.begin()
        await self._execute(sql)

    async def commit(self) -> None:
        if self._open:
            self.committing, self._wire.warned = True, False
            await self._execute("COMMIT")
            self._open = False
            self._confirm()

    async def rollback(self) -> None:
        if self._open:
            self._open = False
            await self._execute("ROLLBACK")

    def _confirm(self) -> None:
        """A commit whose wait for a standby was cut short comes with a warning, and with nothing else."""
        if self._wire.warned:
            raise Unconfirmed("a standby did not confirm in time")
        self.committing = False

    async def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        self._wire.since = time.monotonic()
        try:
            rows: list[Any] = await self._connection.fetch(sql, *values)
        finally:
            self._wire.since = None
        return rows

    async def _execute(self, sql: str) -> None:
        self._wire.since = time.monotonic()
        try:
            await self._connection.execute(sql)
        finally:
            self._wire.since = None


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
