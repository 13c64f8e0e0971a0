"""A database as a source or a target of :mod:`rota.engines.carry`: one transaction each, from the first look
to the commit. Whatever ends it before that, nothing has happened.

Servers are kept away by a lock that they try when they open a store (:func:`refuse_while_moved`), and where
one is at work that nobody noticed, the tables are locked against its writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import msgspec

from rota.engines.care import Finding
from rota.engines.carry import BYTES, LEFT_OUT_NOTES, MADE_ANEW, ROWS, TABLES, Row, Rows, Slot, Table, Unfit
from rota.engines.places import postgres, shown
from rota.engines.postgres import statements
from rota.engines.postgres.errors import DRIVER, cannot_open, refused
from rota.engines.postgres.link import Gate
from rota.engines.postgres.migrate import LOCK, done, examine, migrate
from rota.engines.postgres.verify import faults
from rota.engines.steps import pending
from rota.model.errors import StoreError

T = TypeVar("T")

_SQL = statements.load("carry")
_NAME = "rota-move"
_SHORT, _LONG = 60.0, 86400.0
"""Seconds for a batch, and for what goes through everything."""
_LEAVING = 2.0
"""Seconds for which a connection that was closed may still be shown, or a server may take to open."""
_WATCH = 2.5
"""Seconds in which every server at work does something that can be seen."""
_PAUSE = 0.05
_WHERE: Mapping[str, str] = {
    "notes": "kind NOT IN (" + ", ".join(f"'{kind}'" for kind in LEFT_OUT_NOTES) + ")",
    "files": "job IS NOT NULL",
    "parts": "EXISTS (SELECT 1 FROM rota.files AS f WHERE f.n = file AND f.job IS NOT NULL)",
}


async def refuse_while_moved(gate: Gate, connection: Any) -> None:
    """Raises StoreError when the store is the source or the target of a move."""
    async with connection.transaction():
        if not await connection.fetchval(_SQL["free"], LOCK):
            raise StoreError(
                f"The store {shown(gate.url)} is being moved ('rota move' is at work on it): start again "
                "when that is over."
            )


@asynccontextmanager
async def source(url: str) -> AsyncIterator[PostgresSource]:
    """Open a database to be read. Raises StoreError: none there, in use, of another schema."""
    async with _transaction(url) as side:
        if not await side.exists():
            raise StoreError(f"There is no store at {shown(url)}: no server has begun one.")
        await side.enter("")
        await side.lock("SHARE")
        yield PostgresSource(side)


@asynccontextmanager
async def target(url: str, other: str) -> AsyncIterator[PostgresTarget]:
    """Open a database to be written, with our schema in it. Raises StoreError: in use, not empty, of another
    program; the same as ``other``.
    """
    async with _transaction(url, schema=True) as side:
        await side.enter(other)
        await side.lock("EXCLUSIVE")
        one = PostgresTarget(side)
        await one.clear()
        yield one


class _Side:
    """A connection, and the transaction on it."""

    def __init__(self, gate: Gate, connection: Any, names: list[str]) -> None:
        self.name = shown(gate.url)
        self.db = connection
        self._gate = gate
        self._names = names
        self._tables: list[str] = []
        self.pid = 0

    async def ask(self, asked: Awaitable[T]) -> T:
        """Whatever goes wrong is a StoreError."""
        try:
            return await asked
        except asyncpg.LockNotAvailableError:
            raise StoreError(
                f"Somebody works on the store {self.name} and does not let go of it. Nothing was changed."
            ) from None
        except DRIVER as error:
            told = refused(error)
            assert isinstance(told, StoreError)
            raise StoreError(f"{self.name}: {told.detail}", code=told.code, status=told.status) from error

    async def fetch(self, sql: str, *values: Any, timeout: float = _SHORT) -> list[Any]:
        rows: list[Any] = await self.ask(self.db.fetch(sql, *values, timeout=timeout))
        return rows

    async def execute(self, sql: str, timeout: float = _SHORT) -> None:
        await self.ask(self.db.execute(sql, timeout=timeout))

    async def exists(self) -> bool:
        """Whether there is a store, of just this schema or of another."""
        there = await self.fetch("SELECT to_regclass('rota.migrations') IS NOT NULL")
        return bool(there[0][0])

    async def enter(self, other: str) -> None:
        """Keep servers away, and see that there is none."""
        [(self.pid,)] = await self.fetch("SELECT pg_backend_pid()")
        await self._of_this_schema()
        await self._turn(other)
        if not self._gate.pooled:
            await self._alone()
        await self._quiet()

    async def lock(self, mode: str) -> None:
        """Nobody else writes from here on."""
        self._tables = [row[0] for row in await self.fetch(_SQL["tables"])]
        names = ", ".join(f"rota.{_quoted(name)}" for name in self._tables)
        await self.execute(f"LOCK TABLE {names} IN {mode} MODE")
        await self.execute(_SQL["walking"])

    async def empty(self, tables: frozenset[str]) -> None:
        for name in self._tables:
            if name in tables:
                await self.execute(f"DELETE FROM rota.{_quoted(name)}", _LONG)  # noqa: S608

    async def rows(self, name: str) -> AsyncIterator[Rows]:
        """Batches of neutral rows."""
        table = TABLES[name]
        key = len(table.key)
        last: Row | None = None
        while True:
            sql = _batch(name, table, last is not None)
            got = await self.fetch(sql, ROWS, BYTES, *(() if last is None else last[:key]))
            if not got:
                return
            yield [tuple(row) for row in got]
            last = tuple(got[-1])

    async def findings(self) -> Sequence[Finding]:
        await self.execute(_SQL["gathering"])
        found = await self.ask(faults(self.db, _LONG))
        await self.execute(_SQL["walking"])
        return found

    async def _of_this_schema(self) -> None:
        known = statements.migrations()[-1].number
        [(schema,)] = await self.fetch("SELECT coalesce(max(number), 0) FROM rota.migrations")
        if schema != known:
            remedy = (
                "move it with the Rota that wrote it"
                if schema > known
                else "bring it up to date first ('rota migrate')"
            )
            raise StoreError(
                f"The store {self.name} has schema {schema}, this Rota knows {known}: {remedy}. Nothing was "
                "changed."
            )

    async def _turn(self, other: str) -> None:
        """Take the lock; a server that opens the store at this moment has it for an instant."""
        deadline = time.monotonic() + _LEAVING
        while not (await self.fetch(_SQL["turn"], LOCK))[0][0]:
            movers = await self.fetch(_SQL["mover"], LOCK)
            if any(_identity(row[0]) == other for row in movers):
                raise StoreError(f"{self.name} is the source itself.")
            if movers or time.monotonic() > deadline:
                raise StoreError(f"Another 'rota move' is at work on the store {self.name}.")
            await asyncio.sleep(_PAUSE)

    async def _others(self) -> list[tuple[Any, ...]]:
        await self.execute("SELECT pg_stat_clear_snapshot()")
        return sorted(tuple(row) for row in await self.fetch(_SQL["others"], self._names))

    async def _alone(self) -> None:
        deadline = time.monotonic() + _LEAVING
        while others := await self._others():
            if time.monotonic() > deadline:
                pids = ", ".join(str(row[0]) for row in others)
                raise StoreError(
                    f"Servers or workers have the store {self.name} open (connections {pids}); stop them "
                    "first. Nothing was changed."
                )
            await asyncio.sleep(_PAUSE)

    async def _quiet(self) -> None:
        """Behind a pooler connections stay when servers have gone; but whoever lives gives signs of life."""
        before = await self._signs()
        if not before:
            return
        deadline = time.monotonic() + _WATCH
        while time.monotonic() < deadline:
            await asyncio.sleep(4 * _PAUSE)
            if await self._signs() != before:
                raise StoreError(
                    f"Servers or workers are at work on the store {self.name}; stop them first. Nothing was "
                    "changed."
                )

    async def _signs(self) -> list[tuple[Any, ...]]:
        said = sorted(tuple(row) for row in await self.fetch(_SQL["signs"]))
        return said + (await self._others() if self._gate.pooled else [])


class PostgresSource:
    """A database that nobody writes to."""

    def __init__(self, side: _Side) -> None:
        self._side = side
        self.name = side.name
        self.identity = _identity(side.pid)
        self.rows = side.rows
        self.findings = side.findings

    async def unfit(self) -> Unfit:
        """Whatever one database keeps another one keeps."""
        return Unfit()

    async def owed(self) -> int:
        return int((await self._side.fetch("SELECT count(*) FROM rota.events", timeout=_LONG))[0][0])

    async def sizes(self) -> Mapping[str, int]:
        sizes = {}
        await self._side.execute(_SQL["gathering"])
        for table in TABLES:
            sql = f"SELECT count(*) FROM rota.{table} WHERE {_WHERE.get(table, 'true')}"  # noqa: S608
            sizes[table] = (await self._side.fetch(sql, timeout=_LONG))[0][0]
        await self._side.execute(_SQL["walking"])
        return sizes


class PostgresTarget:
    """A database that is no store yet, or an empty one."""

    narrow = True

    def __init__(self, side: _Side) -> None:
        self._side = side
        self.name = side.name
        self.rows = side.rows
        self.findings = side.findings

    async def clear(self) -> None:
        """What a server may have left that had no jobs."""
        [(jobs, keys)] = await self._side.fetch(_SQL["held"], time.time_ns() // 1000, timeout=_LONG)
        if jobs or keys:
            raise StoreError(
                f"The store {self.name} is not empty (jobs: {jobs}, idempotency keys: {keys}): choose "
                "another database, or remove what is in this one (DROP SCHEMA rota CASCADE). Nothing was "
                "changed."
            )
        await self._side.empty(MADE_ANEW.union(TABLES))

    async def write(self, table: str, rows: Rows) -> None:
        columns = TABLES[table].columns
        copying = self._side.db.copy_records_to_table(
            table, records=rows, columns=columns, schema_name="rota", timeout=_SHORT
        )
        await self._side.ask(copying)

    async def complete(self) -> None:
        await self._side.execute(_SQL["gathering"])
        for made in ("tags", "counts", "lanes", "kinds", "ages"):
            await self._side.execute(_SQL["make_" + made], _LONG)
        for sequence in ("next_jobs", "next_files"):
            await self._side.execute(_SQL[sequence], _LONG)
        await self._side.execute("ANALYZE " + ", ".join(f"rota.{table}" for table in TABLES), _LONG)
        await self._side.execute(_SQL["walking"])

    async def counts(self) -> Mapping[Slot, int]:
        return {
            (queue, type, state): jobs for queue, type, state, jobs in await self._side.fetch(_SQL["counts"])
        }

    async def publish(self) -> None:
        try:
            await self._side.db.execute("COMMIT", timeout=_LONG)
        except DRIVER as error:
            raise StoreError(
                f"{self.name} did not answer when all was to be kept, so that it is unknown whether it was: "
                f"'rota check --store' tells ({refused(error)})."
            ) from error


@asynccontextmanager
async def _transaction(url: str, *, schema: bool = False) -> AsyncIterator[_Side]:
    """A connection in a transaction, rolled back at the end unless it was committed. ``schema``: make ours
    where there is none.
    """
    place = postgres(url)
    gate = Gate(msgspec.structs.replace(place, name=_NAME), url)
    try:
        connection = await gate.connect(bare=True)
    except DRIVER as error:
        raise cannot_open(url, error) from error
    side = _Side(gate, connection, [place.name, "rota"])
    try:
        try:
            await examine(gate, connection)
            if schema and not await side.exists():
                await migrate(gate, connection)
            elif await side.exists():
                pending(f"The store {shown(url)}", statements.migrations(), await done(gate, connection))
        except DRIVER as error:
            raise cannot_open(url, error) from error
        await side.execute(_SQL["prepare"])
        if "synchronous_commit" in gate.settings:
            await side.execute("SET LOCAL synchronous_commit = on")
        yield side
    finally:
        await _leave(connection)


async def _leave(connection: Any) -> None:
    """Undo what was not committed."""
    try:
        if not connection.is_closed():
            await connection.execute("ROLLBACK", timeout=10)
            await connection.close(timeout=5)
    except BaseException as error:
        connection.terminate()
        if not isinstance(error, Exception):
            raise


def _batch(name: str, table: Table, further: bool) -> str:
    """The next rows by key, up to $1 of them, or as many as have up to $2 bytes; behind the key in $3..."""
    columns = ", ".join(map(_quoted, table.columns))
    key = ", ".join(map(_quoted, table.key))
    size = " + ".join(f"coalesce({_size(column)}, 0)" for column in table.bulky) or "0"
    conditions = [_WHERE[name]] if name in _WHERE else []
    if further:
        places = ", ".join(f"${3 + n}" for n in range(len(table.key)))
        conditions.append(f"({key}) > ({places})")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return (
        f"SELECT {columns} FROM (SELECT *, sum({size}) OVER (ORDER BY {key}) - ({size}) AS before "  # noqa: S608
        f"FROM (SELECT * FROM rota.{name} {where} ORDER BY {key} LIMIT $1) AS batch) AS counted "
        f"WHERE before < $2::bigint ORDER BY {key}"
    )


def _size(column: str) -> str:
    return "cardinality(ids) * 40" if column == "ids" else f"octet_length({_quoted(column)})"


def _identity(pid: int) -> str:
    """Of the transaction that holds a store; there is none like it in the database."""
    return f"process {pid}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
