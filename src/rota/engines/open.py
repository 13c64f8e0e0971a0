"""From a store's URL to its engine, and to what can be done with a store besides serving from it; the only
module that names the engines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from importlib import util
from typing import TypeVar

from rota.engines import moving, places
from rota.engines.base import Engine
from rota.engines.care import Copied, Verdict
from rota.engines.carry import Source, Target
from rota.engines.moving import Moved
from rota.engines.steps import Schema, Told
from rota.model.errors import StoreError

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


async def open_engine(url: str, *, migrate: bool = True) -> Engine:
    """Open (and create or migrate) a store. Without ``migrate`` one whose schema is older raises StoreError.

    ``sqlite:///relative.db``, ``sqlite:////absolute.db``; ``?vfs=NAME`` chooses a registered SQLite VFS.
    ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, several hosts with commas between them, and options
    of TLS. Raises BadInput for a URL that is none of these and StoreError when the store cannot be used.
    """
    if places.is_postgres(url):
        places.postgres(url)
        _need_driver(url)
        from rota.engines.postgres.engine import open_postgres

        return await open_postgres(url, run=migrate)
    path, vfs = places.sqlite(url)
    from rota.engines.sqlite.engine import SqliteEngine

    return SqliteEngine(path, vfs=vfs, migrate=migrate)


def backup(
    url: str,
    target: str,
    *,
    replace: bool = False,
    progress: Progress = lambda done, total: None,
) -> Copied:
    """Copy a store to the file ``target``, while a server may be at work on it; the copy is of one moment,
    checked, and on stable storage.

    ``replace``: put it in the place of a file that is there. ``progress`` is called now and then.
    Raises StoreError, having changed nothing, when that is not possible.
    """
    if places.is_postgres(url):
        raise StoreError(
            "A store on PostgreSQL is copied by its own tools: pg_dump --schema=rota, or a base backup."
        )
    path, vfs = places.sqlite(url)
    from rota.engines.sqlite.backup import backup

    return backup(path, vfs, target, replace=replace, progress=progress)


def verify(url: str, *, repair: bool = False) -> Verdict:
    """Whether a store is sound; nothing is changed, and a server may be at work on it.

    ``repair`` sets maintained counters right, for which no server may have a file open. Raises StoreError
    when there is no store, or none that can be read.
    """
    if places.is_postgres(url):
        places.postgres(url)
        _need_driver(url)
        from rota.engines.postgres import verify as postgres

        return _wait(postgres.verify(url, repair=repair))
    path, vfs = places.sqlite(url)
    from rota.engines.sqlite.verify import verify

    return verify(path, vfs, repair=repair)


def reach(url: str) -> str | None:
    """Try the connection to a database, changing nothing: what is there, in a few words; None for a store
    that is a file. Raises StoreError when no server could use it.
    """
    if not places.is_postgres(url):
        return None
    places.postgres(url)
    _need_driver(url)
    from rota.engines.postgres import verify as postgres

    return _wait(postgres.reach(url))


def schema(url: str) -> Schema:
    """The steps of a store's schema, changing nothing; a server may be at work on it. Raises StoreError when
    it cannot be read.
    """
    if places.is_postgres(url):
        places.postgres(url)
        _need_driver(url)
        from rota.engines.postgres import migrate as postgres

        return _wait(postgres.look(url))
    path, vfs = places.sqlite(url)
    from rota.engines.sqlite import migrate as sqlite

    return sqlite.look(path, vfs)


def bring(url: str, told: Told) -> Schema:
    """Create a store or bring it up to date, wholly or not at all; its steps after that. ``told`` before each
    step that is run. Raises StoreError.
    """
    if places.is_postgres(url):
        places.postgres(url)
        _need_driver(url)
        from rota.engines.postgres import migrate as postgres

        return _wait(postgres.bring(url, told))
    path, vfs = places.sqlite(url)
    from rota.engines.sqlite import migrate as sqlite

    return sqlite.bring(path, vfs, told)


async def move(source: str, target: str, progress: moving.Progress) -> Moved:
    """Carry all that is in one store into another one, which is empty or not there yet, and compare both.

    No server may have either of them open, and none can open one meanwhile. The source is not changed. The
    target is a store when this is done, and as empty as before when it is not, whatever ends it. Raises
    StoreError, and BadInput for URLs that are none.
    """
    async with _source(source) as one, _target(target, one.identity) as other:
        done = await moving.move(one, other, progress)
        await moving.to_the_end(other.publish())
        return done


def _source(url: str) -> AbstractAsyncContextManager[Source]:
    if places.is_postgres(url):
        places.postgres(url)
        _need_driver(url)
        from rota.engines.postgres import carry as postgres

        return postgres.source(url)
    path, vfs = places.sqlite(url)
    from rota.engines.sqlite import carry as sqlite

    return sqlite.source(url, path, vfs)


def _target(url: str, other: str) -> AbstractAsyncContextManager[Target]:
    if places.is_postgres(url):
        places.postgres(url)
        _need_driver(url)
        from rota.engines.postgres import carry as postgres

        return postgres.target(url, other)
    path, vfs = places.sqlite(url)
    from rota.engines.sqlite import carry as sqlite

    return sqlite.target(url, path, vfs, other)


def _wait(work: Coroutine[None, None, T]) -> T:
    """Do it on a loop of its own, also where one is running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _need_driver(url: str) -> None:
    if util.find_spec("asyncpg") is None:
        raise StoreError(
            f"The store {places.shown(url)} needs the package asyncpg: pip install 'rota[postgres]'."
        )
