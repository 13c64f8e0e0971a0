"""The schema of a file, without a server."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import apsw

from rota.engines.sqlite import statements
from rota.engines.sqlite.steps import done, migrate
from rota.engines.sqlite.store import lock, open_connection
from rota.engines.sqlite.verify import open_reading
from rota.engines.steps import Schema, Told, listed
from rota.model.errors import StoreError


def look(path: str, vfs: str | None) -> Schema:
    """The steps of a file, which may not be there yet. Raises StoreError when it cannot be read."""
    if not Path(path).exists() or _is_empty(path, vfs):
        return listed(path, f"The store {path}", statements.migrations(), {})
    with closing(open_reading(path, vfs)) as db:
        try:
            return listed(path, f"The store {path}", statements.migrations(), done(db))
        except apsw.Error as error:
            raise StoreError(f"The store {path} cannot be read: {error}.") from error


def _is_empty(path: str, vfs: str | None) -> bool:
    """Whether the file holds nothing, of anybody."""
    with closing(open_connection(path, vfs, apsw.SQLITE_OPEN_READONLY)) as db:
        try:
            return not db.execute("SELECT 1 FROM sqlite_schema").fetchall()
        except apsw.Error:
            return False


def bring(path: str, vfs: str | None, told: Told) -> Schema:
    """Run what is left; no server may have the file open. Raises StoreError."""
    held = lock(path)
    try:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        with closing(open_connection(path, vfs, flags)) as db:
            migrate(db, path, told=told)
            return listed(path, f"The store {path}", statements.migrations(), done(db))
    except apsw.Error as error:
        raise StoreError(f"The store {path} cannot be brought up to date: {error}.") from error
    finally:
        os.close(held)
