"""OpenAPI 3.1, made from the code when it is first asked for."""

from __future__ import annotations

from functools import cache

import msgspec

from rota.web.route import Route


@cache
def page(routes: tuple[Route, ...]) -> bytes:
    """The document as JSON."""
    from rota.web.openapi.build import document

    return msgspec.json.encode(document(routes))
