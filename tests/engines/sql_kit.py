"""Programs' own connections beside an engine, for the tests of ``rota.enqueue``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from rota.engines.open import verify
from rota.model.clock import SECOND

MANY = "SELECT * FROM rota.enqueue_many($1)"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def waits(connection: Any, pid: int) -> None:
    """Until the session of this number waits for a lock."""
    deadline = asyncio.get_running_loop().time() + 10
    while not await connection.fetchval(
        "SELECT count(*) > 0 FROM pg_locks WHERE pid = $1 AND NOT granted", pid
    ):
        assert asyncio.get_running_loop().time() < deadline, "nobody waits"
        await asyncio.sleep(0.005)


async def sound(store: str) -> None:
    verdict = await asyncio.to_thread(verify, store)
    assert not verdict.findings


def clock() -> int:
    return int(datetime.now(UTC).timestamp() * SECOND)


def dsn(connection: Any) -> str:
    host, port = connection._addr
    return f"postgresql://rota@{host}:{port}/{connection._params.database}"
