"""The file: one connection that writes, with group commit, and two that read in threads.

Writes run on the event loop's own thread. A writer thread next to a busy loop would be starved, because every
SQLite step takes and drops the interpreter lock; a short transaction per loop tick fights nobody
(``docs/decisions/0003-writes-on-the-loop.md``).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from rota.engines.sqlite.steps import APPLICATION_ID, migrate
from rota.model.errors import StoreError

T = TypeVar("T")

_PRAGMAS = (
    "PRAGMA journal_mode = wal",
    "PRAGMA synchronous = full",
    "PRAGMA temp_store = memory",
    "PRAGMA cache_size = -32768",
    "PRAGMA journal_size_limit = 67108864",
)

Op = tuple["asyncio.Future[Any]", Callable[[], Any]]


class Store:
    """Connections to one SQLite file, and the queue of operations for the next commit."""

    def __init__(self, path: str, vfs: str | None = None, *, run: bool = True) -> None:
        self.path = path
        self.version = apsw.sqlite_lib_version()
        self._lock = lock(path)
        try:
            self.db = open_connection(path, vfs, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            migrate(self.db, path, run=run)
            # Two, so that what takes its time keeps nobody from reading a job.
            self._readers = {
                slow: open_connection(path, vfs, apsw.SQLITE_OPEN_READONLY) for slow in (False, True)
            }
        except BaseException:
            os.close(self._lock)
            raise
        self._threads = {slow: ThreadPoolExecutor(1, "rota-read") for slow in (False, True)}
        self._ops: list[Op] = []
        self._scheduled = False
        self._closed = False
        self.before_commit: Callable[[], None] = lambda: None
        self.after_commit: Callable[[], None] = lambda: None
        self.after_rollback: Callable[[], None] = lambda: None
        self.commits = 0
        self.commit_seconds = 0.0

    def write(self, op: Callable[[], T]) -> asyncio.Future[T]:
        """Run ``op`` in the next transaction. The future is done when that is on stable storage."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._closed:
            future.set_exception(StoreError("The store is closed."))
            return future
        self._ops.append((future, op))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._flush)
        return future

    def near(self, query: Callable[[apsw.Connection], T]) -> T:
        """Run a tiny ``query`` here and now, where the way to a thread and back would cost more."""
        if self._closed:
            raise StoreError("The store is closed.")
        try:
            return query(self.db)
        except apsw.Error as error:
            raise _refused(error) from error

    async def read(self, query: Callable[[apsw.Connection], T], *, slow: bool = False) -> T:
        """Run ``query`` on a reading connection in a thread; it sees one moment, later than every commit made
        so far. ``slow`` ones wait for each other only.
        """
        reader = self._readers[slow]
        loop = asyncio.get_running_loop()
        if self._closed:
            raise StoreError("The store is closed.")

        def snapshot() -> T:
            reader.execute("BEGIN")
            try:
                return query(reader)
            finally:
                reader.execute("COMMIT")

        try:
            return await loop.run_in_executor(self._threads[slow], snapshot)
        except apsw.Error as error:
            raise _refused(error) from error

    async def close(self) -> None:
        while self._ops:
            await asyncio.wait([self._ops[-1][0]])
        if self._closed:
            return
        self._closed = True
        for thread in self._threads.values():
            thread.shutdown()
        for reader in self._readers.values():
            reader.close()
        self.db.close()
        os.close(self._lock)

    def _flush(self) -> None:
        self._scheduled = False
        ops, self._ops = self._ops, []
        ops = [op for op in ops if not op[0].cancelled()]
        if not ops:
            return
        try:
            values = self._transaction(ops)
        except Exception as error:
            if len(ops) == 1:
                _fail(ops[0][0], error)
                return
            # One bad call must not take its neighbours down: nothing was stored, so each goes alone.
            for op in ops:
                try:
                    _done(op[0], self._transaction([op])[0])
                except Exception as alone:
                    _fail(op[0], alone)
            return
        for (future, _), value in zip(ops, values, strict=True):
            _done(future, value)

    def _transaction(self, ops: list[Op]) -> list[Any]:
        execute = self.db.execute
        execute("BEGIN IMMEDIATE")
        try:
            values = [op() for _, op in ops]
            self.before_commit()
            started = time.perf_counter()
            execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                execute("ROLLBACK")
            self.after_rollback()
            raise
        self.commits += 1
        self.commit_seconds += time.perf_counter() - started
        self.after_commit()
        return values


def _done(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(_refused(error) if isinstance(error, apsw.Error) else error)


def _refused(error: apsw.Error) -> StoreError:
    if isinstance(error, apsw.FullError):
        return StoreError("The disk is full; nothing was stored.", code="storage_full", status=507)
    return StoreError(f"The store refused: {error}.")


def lock(path: str) -> int:
    """One server per file: the handle of a lock beside it, held until it is closed. Raises StoreError."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"The store {path} cannot be opened: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StoreError(
            f"The store {path} is in use by another server; stop that one or choose another --store."
        ) from None
    return handle


def open_connection(path: str, vfs: str | None, flags: int) -> apsw.Connection:
    """A connection as all of ours are; one that writes refuses files of other programs. Raises StoreError."""
    try:
        db = apsw.Connection(path, flags=flags, vfs=vfs)
        db.set_busy_timeout(5000)
        if flags & apsw.SQLITE_OPEN_READONLY:
            db.execute("PRAGMA query_only = on")
            return db
        # Before anything is written, journal mode included.
        if (
            db.pragma("application_id") != APPLICATION_ID
            and db.execute("SELECT 1 FROM sqlite_schema").fetchall()
        ):
            db.close()
            raise StoreError(f"{path} is a SQLite file of another program; nothing was changed.")
        for pragma in _PRAGMAS:
            db.execute(pragma)
        return db
    except apsw.NotADBError:
        raise StoreError(f"{path} is not a SQLite file; nothing was changed.") from None
    except apsw.Error as error:
        raise StoreError(f"The store {path} cannot be opened: {error}.") from error
