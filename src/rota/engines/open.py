"""From a store's URL to its engine; the only module that names the engines."""

from __future__ import annotations

from rota.engines.base import Engine
from rota.model.errors import BadInput


async def open_engine(url: str) -> Engine:
    """Open (and create or migrate) a store.

    ``sqlite:///relative.db``, ``sqlite:////absolute.db``; ``?vfs=NAME`` chooses a registered SQLite VFS.
    Raises BadInput for a URL that is none of these and StoreError when the store cannot be used.
    """
    scheme, found, rest = url.partition("://")
    if scheme == "sqlite" and found and rest.startswith("/") and len(rest) > 1:
        from rota.engines.sqlite.engine import SqliteEngine

        path, _, query = rest[1:].partition("?")
        if query and not query.startswith("vfs="):
            raise BadInput(
                f"A sqlite store knows only ?vfs=, not ?{query[:100]}.", code="invalid_store", field="store"
            )
        return SqliteEngine(path, vfs=query.removeprefix("vfs=") or None)
    raise BadInput(
        f"store must be sqlite:///relative.db or sqlite:////absolute.db, not {url[:100]!r}.",
        code="invalid_store",
        field="store",
    )
