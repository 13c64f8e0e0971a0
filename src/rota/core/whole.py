"""Jobs with their payloads and results, however many and however large."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence

from rota.core.service import Service
from rota.model.job import Job

FEW = 32
"""Whole jobs that are read in one go, while they are small."""
LARGE = 256 * 1024
"""Bytes of payloads and results in one go after which jobs are read one by one."""


async def whole(service: Service, ids: AsyncIterable[Sequence[str]]) -> AsyncIterator[Job]:
    """These jobs with payload and result: a few in memory at a time, however many there are and however
    large. Each as it is when its turn comes, so it may match no more what it was chosen for.
    """
    few = 1
    async for some in ids:
        start = 0
        while start < len(some):
            found = await service.engine.get(some[start : start + few])
            start += few
            size = sum(len(one.payload) + len(one.result or b"") for one in found)
            few = min(2 * few, FEW) if size < LARGE else 1
            for one in found:
                yield one
