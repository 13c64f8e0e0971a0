"""Who answers in place of the server at a URL: how a test reaches a service inside its own process."""

from __future__ import annotations

from typing import Any, Protocol

from rota.sdk.calls import Answer, Call


class StandIn(Protocol):
    """Carries out calls of clients; see :mod:`rota.testing`."""

    def send(self, call: Call[Any]) -> Answer:
        """Carry out a call; may come from any thread."""
        ...

    async def asend(self, call: Call[Any]) -> Answer:
        """As :meth:`send`, awaited; may come from any event loop."""
        ...

    def uptime(self) -> float:
        """Seconds, by the clock that waits are counted on."""
        ...


stand_ins: dict[str, StandIn] = {}
"""By the URL of the server whose place they take. Clients look here before every call."""
