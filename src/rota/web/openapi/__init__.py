"""OpenAPI 3.1, made from the code when it is first asked for."""

from __future__ import annotations

from functools import cache

import msgspec


@cache
def page() -> bytes:
    """The document as JSON."""
    from rota.web.openapi.build import document

    return msgspec.json.encode(document())
