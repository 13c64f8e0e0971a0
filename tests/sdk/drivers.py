"""What a user's program does in a transaction, through every driver that the SDK knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import psycopg
import sqlalchemy
import sqlalchemy.ext.asyncio as sa_async
from sqlalchemy import orm

import rota


class Program:
    """What a user's program does, in words that all drivers share."""

    def __init__(self, connection: Any, awaited: bool, way: str) -> None:
        self.connection = connection
        self.awaited = awaited
        self.way = way

    async def enqueue(self, task: Any, *args: Any, **named: Any) -> rota.Handle[Any]:
        if self.awaited:
            return await task.aenqueue(*args, connection=self.connection, **named)
        return task.enqueue(*args, connection=self.connection, **named)

    async def enqueue_many(self, task: Any, calls: Any) -> list[rota.Handle[Any]]:
        if self.awaited:
            return await task.aenqueue_many(calls, connection=self.connection)
        return task.enqueue_many(calls, connection=self.connection)

    async def run(self, sql: str) -> None:
        await self._do(self.connection.execute(sql if self.way != "sqlalchemy" else sqlalchemy.text(sql)))

    async def begin(self) -> None:
        if self.way == "asyncpg":
            await self.run("BEGIN")

    async def commit(self) -> None:
        await (self.run("COMMIT") if self.way == "asyncpg" else self._do(self.connection.commit()))

    async def rollback(self) -> None:
        await (self.run("ROLLBACK") if self.way == "asyncpg" else self._do(self.connection.rollback()))

    async def _do(self, answer: Any) -> None:
        if self.awaited:
            await answer


@asynccontextmanager
async def psycopg_sync(url: str) -> AsyncIterator[Program]:
    with psycopg.connect(url) as connection:
        yield Program(connection, False, "psycopg")
        connection.rollback()


@asynccontextmanager
async def psycopg_async(url: str) -> AsyncIterator[Program]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield Program(connection, True, "psycopg")
        await connection.rollback()


@asynccontextmanager
async def asyncpg_plain(url: str) -> AsyncIterator[Program]:
    connection = await asyncpg.connect(url)
    yield Program(connection, True, "asyncpg")
    await connection.close()


@asynccontextmanager
async def asyncpg_pool(url: str) -> AsyncIterator[Program]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        yield Program(connection, True, "asyncpg")
        await connection.execute("ROLLBACK")


@asynccontextmanager
async def alchemy(url: str, session: bool) -> AsyncIterator[Program]:
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with orm.Session(engine) if session else engine.connect() as connection:
        yield Program(connection, False, "sqlalchemy")
    engine.dispose()


@asynccontextmanager
async def alchemy_async(url: str, driver: str, session: bool) -> AsyncIterator[Program]:
    engine = sa_async.create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
    async with sa_async.AsyncSession(engine) if session else engine.connect() as connection:
        yield Program(connection, True, "sqlalchemy")
    await engine.dispose()


DRIVERS: dict[str, Callable[[str], Any]] = {
    "psycopg": psycopg_sync,
    "psycopg, awaited": psycopg_async,
    "asyncpg": asyncpg_plain,
    "asyncpg, from a pool": asyncpg_pool,
    "SQLAlchemy": lambda url: alchemy(url, False),
    "SQLAlchemy session": lambda url: alchemy(url, True),
    "SQLAlchemy on asyncpg": lambda url: alchemy_async(url, "asyncpg", False),
    "SQLAlchemy session on asyncpg": lambda url: alchemy_async(url, "asyncpg", True),
    "SQLAlchemy session on psycopg": lambda url: alchemy_async(url, "psycopg", True),
}
