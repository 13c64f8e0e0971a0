"""The statements of this engine, read from ``sql/*.sql``: one file per verb, parts named by ``-- name``
lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import apsw

from rota.engines.steps import Migration, read

_NAME = re.compile(r"^-- (\w+)$", re.MULTILINE)


def load(verb: str) -> dict[str, str]:
    """Statements of one verb by name."""
    text = (resources.files("rota.engines.sqlite") / "sql" / f"{verb}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def migrations() -> list[Migration]:
    """Changes of the schema, in order."""
    return read("rota.engines.sqlite")


Row = tuple[Any, ...]


def run(db: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[Row]:
    """All rows of one statement."""
    return db.execute(sql, values).fetchall()


def run_many(db: apsw.Connection, sql: str, rows: Iterable[Sequence[Any]]) -> list[Row]:
    """One statement once per row of values; all rows that came back, in order."""
    return db.executemany(sql, rows).fetchall()
