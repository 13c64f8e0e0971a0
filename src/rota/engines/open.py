"""From a store's URL to its engine, and to what can be done with a store besides serving from it; the only
module that names the engines.
"""

from __future__ import annotations

from collections.abc import Callable

from rota.engines.base import Engine
from rota.engines.care import Copied, Verdict
from rota.model.errors import BadInput

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


async def open_engine(url: str) -> Engine:
    """Open (and create or migrate) a store.

    ``sqlite:///relative.db``, ``sqlite:////absolute.db``; ``?vfs=NAME`` chooses a registered SQLite VFS.
    Raises BadInput for a URL that is none of these and StoreError when the store cannot be used.
    """
    path, vfs = _file(url)
    from rota.engines.sqlite.engine import SqliteEngine

    return SqliteEngine(path, vfs=vfs)


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
    path, vfs = _file(url)
    from rota.engines.sqlite.backup import backup

    return backup(path, vfs, target, replace=replace, progress=progress)


def verify(url: str, *, repair: bool = False) -> Verdict:
    """Whether a store is sound; nothing is changed, and a server may be at work on it.

    ``repair`` sets maintained counters right, for which no server may have the store open. Raises StoreError
    when there is no store, or none that can be read.
    """
    path, vfs = _file(url)
    from rota.engines.sqlite.verify import verify

    return verify(path, vfs, repair=repair)


def _file(url: str) -> tuple[str, str | None]:
    """Path and VFS of a SQLite store; BadInput for a URL of nothing we know."""
    scheme, found, rest = url.partition("://")
    if scheme != "sqlite" or not found or not rest.startswith("/") or len(rest) < 2:
        raise BadInput(
            f"store must be sqlite:///relative.db or sqlite:////absolute.db, not {url[:100]!r}.",
            code="invalid_store",
            field="store",
        )
    path, _, query = rest[1:].partition("?")
    if query and not query.startswith("vfs="):
        raise BadInput(
            f"A sqlite store knows only ?vfs=, not ?{query[:100]}.", code="invalid_store", field="store"
        )
    return path, query.removeprefix("vfs=") or None
