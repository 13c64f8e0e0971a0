"""A plan that was made while tables were empty is kept when they fill up: it must not go through them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from rota.engines.postgres import statements
from rota.engines.postgres.link import SETTINGS
from rota.engines.postgres.match import where
from rota.model.job import Match
from tests import postgres

_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'rota'::regnamespace AND relkind = 'r'"
_FILES = (
    "cancel", "claim", "count", "delete", "drop_events", "enqueue", "extend", "files", "finish", "log",
    "promote", "read_parts", "retry", "sweep_files", "trim_events",
)  # fmt: skip
_LARGE = {"jobs", "changes", "events", "attempts", "logs", "tags", "keys", "files", "parts"}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


@pytest.fixture
async def empty(database: str) -> AsyncIterator[asyncpg.Connection]:
    """As a server is connected, to tables in which a vacuum has found nothing at all."""
    connection = await asyncpg.connect(database, server_settings=SETTINGS)
    for (table,) in await connection.fetch(_TABLES):
        await connection.execute(f"VACUUM ANALYZE rota.{table}")
    yield connection
    await connection.close()


def whole(plan: dict[str, Any]) -> list[str]:
    """The large tables that a plan goes through from end to end; partial indexes are not all of a table."""
    found = [name for step in plan.get("Plans", ()) for name in whole(step)]
    index = plan.get("Index Name", "")
    keyed = "Index Cond" in plan or "TID Cond" in plan or (index and not index.endswith("_pkey"))
    if plan.get("Relation Name") in _LARGE and "Scan" in plan["Node Type"] and not keyed:
        found.append(f"{plan['Relation Name']} as {plan['Alias']}: {plan['Node Type']} {index}")
    return found


def count(sql: str) -> int:
    """Parameters."""
    return max([0, *map(int, re.findall(r"\$(\d+)", sql))])


def parts(file: str) -> Iterator[tuple[str, str]]:
    """The statements of a verb, of those that are about jobs that match: by id."""
    loaded = statements.load(file)
    for name, sql in loaded.items():
        condition, _ = where(Match(ids=("a", "b")), count(sql) + 1)
        if "{source}" in sql:
            yield name, sql.format(source=loaded["each"])
        else:
            yield name, sql.replace("{match}", condition).replace("{skip}", "")


@pytest.mark.parametrize("file", _FILES)
async def test_no_plan_made_on_empty_tables_goes_through_full_ones(
    empty: asyncpg.Connection, file: str
) -> None:
    for part, sql in parts(file):
        values = ", ".join(["NULL"] * count(sql))
        await empty.execute(f"PREPARE one AS {sql}")
        plan = await empty.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE one{f'({values})' if values else ''}")
        await empty.execute("DEALLOCATE one")
        assert not whole(json.loads(plan)[0]["Plan"]), f"{file}.{part}"
