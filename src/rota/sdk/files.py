"""The files of jobs for a worker elsewhere: plain HTTP, whatever its jobs come by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rota.model.protocol import Lease
from rota.sdk import calls

if TYPE_CHECKING:
    from rota.sdk.aclient import AsyncClient

RETRIES = 16
"""After so many pauses, which grow to 5 s, about a minute has passed."""


class RemoteFiles:
    """A :class:`rota.sdk.source.Files` at the server with this address."""

    def __init__(self, url: str | None, token: str | None) -> None:
        self._url = url
        self._token = token
        self._client: AsyncClient | None = None

    async def read_upload(self, lease: Lease, path: Path) -> None:
        await self._connections().send(calls.upload_of(lease.id, path))

    async def keep_artifact(self, worker: str, lease: Lease, path: Path) -> None:
        """``worker``: who holds the lease."""
        await self._connections().send(calls.keep_artifact(worker, lease, path))

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connections(self) -> AsyncClient:
        if self._client is None:
            # Most workers never need one.
            from rota.sdk.aclient import AsyncClient

            self._client = AsyncClient(self._url, self._token, retries=RETRIES)
        return self._client
