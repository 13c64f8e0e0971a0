"""What the server knows of a running program that takes jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from rota.core.dispatch import Taker
from rota.model import protocol
from rota.model.protocol import Stop

Transport = Literal["socket", "poll", "inside"]


class Worker:
    """A running program that takes jobs."""

    def __init__(self, hello: protocol.Hello | protocol.Fetch, transport: Transport, now: int) -> None:
        self.id = hello.worker
        self.name = hello.name or hello.worker[:12]
        self.version = hello.version
        self.transport: Transport = transport
        self.queues = hello.queues
        self.types = hello.types
        self.except_types: tuple[str, ...] = ()
        """Types that it does not take although ``types`` is None."""
        self.stand_in = False
        """Whether it works only as long as no other worker serves its queue."""
        self.slots = hello.slots
        self.connected_at = now
        self.last_beat = now
        # By lease, not by job: a job that was lost and came back is in hand twice until the old run has
        # stopped.
        self.taken: dict[tuple[str, int], tuple[str, str, int]] = {}
        """Leases in hand, each with queue, type and since when."""
        self.draining = False
        self.taker: Taker | None = None
        self.stop: Callable[[list[Stop]], None] = lambda stops: None
        self.drain: Callable[[], None] = lambda: None

    def knows(self, type: str) -> bool:
        """Whether jobs of this type may go to it."""
        return type not in self.except_types if self.types is None else type in self.types
