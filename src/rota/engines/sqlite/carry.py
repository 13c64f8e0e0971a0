"""A file as a source or a target of :mod:`rota.engines.carry`.

A target is made beside its place, without a journal, and put there when it is whole: until then there is no
store, or the empty one from before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from rota.engines.care import Finding
from rota.engines.carry import (
    BYTES,
    LEFT_OUT_NOTES,
    LONGEST_BLOB,
    LONGEST_NAME,
    ROWS,
    TABLES,
    Row,
    Rows,
    Slot,
    Unfit,
)
from rota.engines.sqlite import backup, statements
from rota.engines.sqlite.statements import run, run_many
from rota.engines.sqlite.steps import migrate
from rota.engines.sqlite.store import lock
from rota.engines.sqlite.verify import examine, open_reading
from rota.model.errors import StoreError

_SQL = statements.load("carry")
PARTIAL = ".moving"
"""What the name of a target ends in while it is made."""
_SHOWN = 5
_LEFT_OUT = (msgspec.json.encode(LEFT_OUT_NOTES).decode(),)
_encode = msgspec.json.Encoder().encode
_texts = msgspec.json.Decoder(tuple[str, ...]).decode


def identity(path: str) -> str:
    """The same for every way to write the same place."""
    return f"file {Path(path).resolve()}"


@asynccontextmanager
async def source(name: str, path: str, vfs: str | None) -> AsyncIterator[SqliteSource]:
    """Open a file to be read. Raises StoreError: none there, in use, damaged, of another schema."""
    if not Path(path).is_file():
        raise StoreError(f"There is no store at {path}.")
    with _held(path), _told(name, "read"), closing(open_reading(path, vfs)) as db:
        _of_this_schema(db, name)
        _interruptible(db)
        db.execute("BEGIN")
        yield SqliteSource(name, path, db)


@asynccontextmanager
async def target(name: str, path: str, vfs: str | None, other: str) -> AsyncIterator[SqliteTarget]:
    """Make a file that is to be written. Raises StoreError: in use, not empty, of another program; the same
    as ``other``.
    """
    if identity(path) == other:
        raise StoreError(f"{name} is the source itself.")
    goal = Path(path)
    if goal.is_dir():
        raise StoreError(f"{path} is a folder; name a file.")
    partial = goal.with_name(goal.name + PARTIAL)
    with _held(path), _told(name, "written"):
        _empty(path, vfs, name)
        _remove(partial)
        try:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with closing(apsw.Connection(str(partial), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)) as db:
                yield SqliteTarget(name, goal, partial, db)
        finally:
            _remove(partial)


class _Side:
    """A connection whose rows are neutral ones."""

    def __init__(self, name: str, db: apsw.Connection) -> None:
        self.name = name
        self._db = db

    async def rows(self, table: str) -> AsyncIterator[Rows]:
        columns, make = TABLES[table].columns, _NEUTRAL.get(table)
        bulky = [columns.index(column) for column in TABLES[table].bulky]
        batch: list[Row] = []
        size = 0
        for row in self._read(table):
            batch.append(row if make is None else make(row))
            for i in bulky:
                if row[i] is not None:
                    size += len(row[i])
            if size >= BYTES or len(batch) >= ROWS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def findings(self) -> Sequence[Finding]:
        with _told(self.name, "read"):
            return examine(self._db)

    def _read(self, table: str) -> Iterator[Row]:
        with _told(self.name, "read"):
            yield from self._db.execute(_SQL[table], _LEFT_OUT if table == "notes" else ())


class SqliteSource(_Side):
    """A file of which we hold the lock, all of one moment."""

    def __init__(self, name: str, path: str, db: apsw.Connection) -> None:
        super().__init__(name, db)
        self.identity = identity(path)

    async def owed(self) -> int:
        with _told(self.name, "read"):
            [(events,)] = run(self._db, "SELECT count(*) FROM events")
        return int(events)

    async def sizes(self) -> Mapping[str, int]:
        sizes = {}
        with _told(self.name, "read"):
            for table in TABLES:
                values = _LEFT_OUT if table == "notes" else ()
                [(sizes[table],)] = run(self._db, f"SELECT count(*) FROM ({_SQL[table]})", values)  # noqa: S608
        return sizes

    async def unfit(self) -> Unfit:
        sentences: list[str] = []
        tables: set[str] = set()
        with _told(self.name, "read"):
            for id, names, free, tags in self._db.execute(_SQL["names"]):
                if "\0" in names or (
                    tags is not None and "\\u0000" in tags and "\0" in "".join(_texts(tags))
                ):
                    sentences.append(f"job {_short(id)} has U+0000 in a name, a key or a tag.")
                if "\0" in free:
                    tables.add("jobs")
            for what, names in self._db.execute(_SQL["other_names"]):
                if "\0" in names:
                    sentences.append(f"{_short(what)} has U+0000 in a text that has to be kept as it is.")
            for table in ("logs", "failures"):
                if any("\0" in text for (text,) in self._db.execute(_SQL["free_" + table])):
                    tables.add(table)
            for (what,) in self._db.execute(_SQL["too_large"], (LONGEST_NAME, LONGEST_BLOB)):
                sentences.append(f"{_short(what)} is larger than PostgreSQL can keep it.")
        more = [f"... and {len(sentences) - _SHOWN} more."] if len(sentences) > _SHOWN else []
        return Unfit((*sentences[:_SHOWN], *more), frozenset(tables))


class SqliteTarget(_Side):
    """A file that is no store yet."""

    narrow = False

    def __init__(self, name: str, goal: Path, partial: Path, db: apsw.Connection) -> None:
        super().__init__(name, db)
        self._goal, self._partial = goal, partial
        # Nobody else sees it before it is whole: no journal, and one fsync at the end.
        db.execute("PRAGMA journal_mode = off")
        db.execute("PRAGMA synchronous = off")
        db.execute("PRAGMA cache_size = -65536")
        migrate(db, str(partial))
        _interruptible(db)
        # Sorting once is far quicker than finding each row's place.
        self._indexes = run(db, _SQL["indexes"])
        for index, _ in self._indexes:
            db.execute(f'DROP INDEX "{index}"')
        db.execute("BEGIN")

    async def write(self, table: str, rows: Rows) -> None:
        with _told(self.name, "written"):
            if table == "jobs":
                _add_jobs(self._db, rows)
            elif table == "keys":
                run_many(self._db, _SQL["add_keys"], ((*row[:3], _encode(row[3]).decode()) for row in rows))
            else:
                run_many(self._db, _SQL["add_" + table], rows)

    async def complete(self) -> None:
        with _told(self.name, "written"):
            for made in ("tags", "counts", "kinds", "ages"):
                run(self._db, _SQL["make_" + made])
                await asyncio.sleep(0)
            for _, sql in self._indexes:
                self._db.execute(sql)
                await asyncio.sleep(0)
            self._db.execute("COMMIT")

    async def counts(self) -> Mapping[Slot, int]:
        with _told(self.name, "read"):
            return {(queue, type, state): jobs for queue, type, state, jobs in run(self._db, _SQL["counts"])}

    async def publish(self) -> None:
        with _told(self.name, "written"):
            self._db.close()
            if self._goal.exists():
                shutil.copymode(self._goal, self._partial)
                before = self._goal.stat()
                with contextlib.suppress(PermissionError):
                    os.chown(self._partial, before.st_uid, before.st_gid)
            backup.sync(self._partial)
            backup.put(self._partial, self._goal, replace=True)


def _job(row: Row) -> Row:
    tags = None if row[32] is None else _texts(row[32])
    return (*row[:32], tags or None, bool(row[33]), bool(row[34]))


_NEUTRAL: Mapping[str, Callable[[Row], Row]] = {
    "jobs": _job,
    "keys": lambda row: (*row[:3], _texts(row[3])),
}


def _add_jobs(db: apsw.Connection, rows: Rows) -> None:
    # See TABLES: 27 columns of the job, then payload, content_type, headers, result, result_type, tags,
    # cancel_requested.
    run_many(
        db,
        _SQL["add_jobs"],
        ((*row[:27], _encode(row[32]).decode() if row[32] else None, int(row[33])) for row in rows),
    )
    run_many(db, _SQL["add_bodies"], ((row[0], *row[27:30]) for row in rows))
    run_many(db, _SQL["add_results"], ((row[0], *row[30:32]) for row in rows if row[30] is not None))


@contextmanager
def _held(path: str) -> Iterator[None]:
    """No server can open it meanwhile."""
    try:
        handle = lock(path)
    except StoreError as error:
        if error.__cause__ is not None:
            raise
        raise StoreError(
            f"A server (or another move) has the store {path} open; stop it first. Nothing was changed."
        ) from None
    try:
        yield
    finally:
        os.close(handle)


def _of_this_schema(db: apsw.Connection, name: str) -> None:
    schema, known = db.pragma("user_version"), statements.migrations()[-1].number
    if schema != known:
        remedy = (
            "move it with the Rota that wrote it"
            if schema > known
            else "bring it up to date first ('rota migrate')"
        )
        raise StoreError(
            f"The store {name} has schema {schema}, this Rota knows {known}: {remedy}. Nothing was changed."
        )


def _empty(path: str, vfs: str | None, name: str) -> None:
    """That nothing is there, or a store with nothing in it; all of that is in the file then."""
    there = Path(path)
    if not there.exists() or not there.stat().st_size:
        return
    with closing(open_reading(path, vfs)) as db:
        _of_this_schema(db, name)
        [(jobs, keys)] = run(db, _SQL["held"], (time.time_ns() // 1000,))
    if jobs or keys:
        raise StoreError(
            f"The store {name} is not empty (jobs: {jobs}, idempotency keys: {keys}): choose a file that is "
            "not there yet. Nothing was changed."
        )
    # So that no log of writes is left which would be taken for one of the new file.
    with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _interruptible(db: apsw.Connection) -> None:
    """A long statement ends when the task is cancelled, as by Ctrl-C."""
    task = asyncio.current_task()
    db.set_progress_handler(lambda: task is not None and task.cancelling() > 0, 100_000)


@contextmanager
def _told(name: str, done: str) -> Iterator[None]:
    """What goes wrong, as people want to read it."""
    try:
        yield
    except apsw.InterruptError:
        raise asyncio.CancelledError from None
    except apsw.FullError:
        raise StoreError(
            f"The store {name} cannot be {done}: the disk is full.", code="storage_full", status=507
        ) from None
    except (apsw.Error, UnicodeDecodeError) as error:
        raise StoreError(f"The store {name} cannot be {done}: {error}.") from error
    except OSError as error:
        raise StoreError(f"The store {name} cannot be {done}: {error.strerror or error}.") from error


def _remove(partial: Path) -> None:
    for left in (partial, *(Path(f"{partial}{side}") for side in backup.SIDES)):
        left.unlink(missing_ok=True)


def _short(text: Any) -> str:
    return str(text)[:100]
