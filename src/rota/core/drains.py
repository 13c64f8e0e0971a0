"""What is told in notes besides the servers themselves: workers that shall drain, wherever they are; and what
a server has counted.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from rota.core.servers import Counted
from rota.model.clock import SECOND
from rota.model.job import Note

if TYPE_CHECKING:
    from rota.core.service import Service

NOTES = "drains"
KEPT = 60 * SECOND
"""For so long it is told: a worker that polls may speak to another server next."""
MOST_KINDS = 200
"""Kinds of jobs of which a server tells how long they run."""


class Drain(msgspec.Struct):
    """Who was there at this time shall drain."""

    at: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Drain).decode


async def ask(service: Service, worker: str) -> None:
    """Let the server of a worker know. Raises StoreError."""
    await service.engine.save([Note(NOTES, worker, _encode(Drain(service.clock.now())))])


async def look(service: Service) -> None:
    """Tell the workers that are here. Raises StoreError."""
    now = service.clock.now()
    old: list[Note] = []
    for note in await service.engine.notes(NOTES):
        at = 0
        with contextlib.suppress(msgspec.DecodeError):
            at = _decode(note.body or b"").at
        if not now - KEPT < at < now + KEPT:
            old.append(Note(NOTES, note.key, None))
            continue
        worker = service.workers.roster.get(note.key)
        if worker is not None and not worker.draining and worker.connected_at <= at:
            service.workers.ask_to_drain(note.key)
    if old:
        await service.engine.save(old)


def counted(service: Service) -> Counted:
    """What happened here since the start."""
    meter = service.workers.meter
    runs = [
        (*kind, tries, round(one.sum, 6))
        for kind, one in list(meter.runs.items())[:MOST_KINDS]
        if (tries := sum(one.counts))
    ]
    return Counted(
        meter.enqueued.total(),
        service.dispatch.started,
        meter.requeued.total(),
        meter.totals(),
        service.series.rates(),
        runs,
        meter.expired_leases,
    )
