"""What a line in the table of routes says."""

from __future__ import annotations

from typing import NamedTuple

from rota.web.takes import Handler


class Route(NamedTuple):
    """One line of the interface. Without a handler: a hot request or a WebSocket."""

    method: str
    path: str
    summary: str
    handler: Handler | None = None
