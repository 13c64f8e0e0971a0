"""Failed jobs by what they failed of."""

from __future__ import annotations

from rota.core.service import BATCH, Service, check_queue
from rota.model.errors import BadInput
from rota.model.failure import FailurePage


async def page(
    service: Service, queue: str | None, type: str | None, limit: int, cursor: str | None
) -> FailurePage:
    """Groups of failed jobs, last seen first; of one queue the figures are those of that queue."""
    if queue is not None:
        check_queue(queue)
    if not 1 <= limit <= BATCH:
        raise BadInput(f"limit must be 1 to {BATCH}.", code="invalid_limit", field="limit")
    return await service.engine.failures(queue, type, service.clock.now(), limit, cursor)
