"""What has to be said of a route, beyond what its line in the table and its handler say themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rota.web.openapi.codes import Codes

JSON = "application/json"
BINARY = {"type": "string", "format": "binary"}
"""The schema of bytes as they are."""


class Answer(NamedTuple):
    """What a route answers when all is well. ``body``: a type, or a schema as it is."""

    status: int
    told: str
    body: Any = None
    media: str = JSON
    example: Any = None
    """As the type, or as it goes over the wire."""
    links: tuple[str, ...] = ()
    """Operations that take the ``id`` of this answer, by name."""


class Example(NamedTuple):
    """A request that works. What stands in ``path`` has to be there."""

    name: str
    status: int
    body: Any = None
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    archive: bytes | None = None
    """The body, in place of ``body``."""


class Header(NamedTuple):
    """A header that a request may have."""

    name: str
    told: str
    schema: Mapping[str, Any]
    example: str


class Said(NamedTuple):
    """About one route. ``told``: in place of the handler's docstring."""

    name: str
    tag: str
    answers: tuple[Answer, ...]
    examples: tuple[Example, ...]
    codes: tuple[Codes, ...] = ()
    body: tuple[Any, ...] = ()
    """Types that the body may have."""
    archive: str | None = None
    """What a zip archive as body is, if there may be one."""
    headers: tuple[Header, ...] = ()
    told: str | None = None
    open: bool = False
    """It needs no token."""
    path: Mapping[str, str] = {}
    """Examples of what stands in the path."""
    ticket: bool = False
    """A ticket in the query will do in place of the token."""


Routes = Mapping[tuple[str, str], Said]
"""By method and path, as they stand in the table of routes."""
