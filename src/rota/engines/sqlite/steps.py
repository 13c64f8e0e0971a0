"""Bringing a file's schema up to date."""

from __future__ import annotations

import time

import apsw

from rota.engines import steps as common
from rota.engines.sqlite import statements
from rota.engines.steps import Done, Told, silent

APPLICATION_ID = 0x526F7461  # "Rota"
_THERE = "SELECT 1 FROM sqlite_schema WHERE name = 'migrations'"
_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, at INTEGER NOT NULL
) STRICT
"""
_DONE = "INSERT INTO migrations (number, name, checksum, at) VALUES (?, ?, ?, ?)"


def migrate(db: apsw.Connection, path: str, *, run: bool = True, told: Told = silent) -> None:
    """Run what is left, all of it or nothing; without ``run`` nothing may be left. Raises StoreError."""
    where, steps = f"The store {path}", statements.migrations()
    left = common.pending(where, steps, done(db))
    if left and not run:
        raise common.behind(where, steps, left)
    if not left:
        return
    with db:
        db.execute(_TABLE)
        for number, step in enumerate(left, 1):
            told(step, number, len(left))
            try:
                db.execute(step.text)
            except apsw.SQLError as error:
                raise common.failed(where, step, str(error)) from error
            db.execute(_DONE, (step.number, step.name, step.checksum, time.time_ns() // 1000))
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", steps[-1].number)


def done(db: apsw.Connection) -> dict[int, Done]:
    """The steps that were run, whether or not that was written down."""
    found = {number: Done() for number in range(1, db.pragma("user_version") + 1)}
    if db.execute(_THERE).fetchall():
        for number, *rest in db.execute("SELECT number, name, checksum, at FROM migrations"):
            found[number] = Done(*rest)
    return found
