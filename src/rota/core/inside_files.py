"""The files of jobs for a worker inside the server: between the store and its own, without a connection."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from rota.core.files import Files
from rota.core.spool import in_thread
from rota.model.errors import StoreError
from rota.model.protocol import Lease

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class InsideFiles:
    """What a ``rota.sdk.source.Files`` needs."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def read_upload(self, lease: Lease, path: Path) -> None:
        """As the source's."""
        upload = await self._files.upload(lease.id)
        digest = hashlib.sha256()
        # For its owner only.
        file = os.fdopen(await in_thread(os.open, path, _NEW, 0o600), "wb")
        try:
            async for piece in self._files.pieces(upload):
                digest.update(piece)
                await in_thread(file.write, piece)
            await in_thread(file.flush)
            if digest.hexdigest() != upload.sha256:
                raise StoreError(f"The upload of job {lease.id} is damaged in the store.")
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
        finally:
            with suppress(OSError):
                file.close()

    async def keep_artifact(self, worker: str, lease: Lease, path: Path) -> None:
        """As the source's; ``worker``: who holds the lease."""
        with await in_thread(path.open, "rb") as file:
            await self._files.keep_artifact(lease.id, lease.lease, worker, file)
