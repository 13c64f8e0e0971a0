"""The parameters of a request, read before its handler is called.

::

    @takes(LIMIT, Parameter("after", Whole(0), "only lines after this number"))
    async def get_logs(service: Service, request: Request, asked: Asked) -> Response:
        asked["after"]      # 0 when it was not given
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.web.parameters import NOTHING, Asked, Parameter, Query

Handler = Callable[[Service, Request], Awaitable[Response]]


def takes(
    *parameters: Parameter,
) -> Callable[[Callable[[Service, Request, Asked], Awaitable[Response]]], Handler]:
    """Any other parameter is refused by name."""
    query = Query(*parameters) if parameters else NOTHING

    def wrap(handler: Callable[[Service, Request, Asked], Awaitable[Response]]) -> Handler:
        async def checked(service: Service, request: Request) -> Response:
            return await handler(service, request, query.read(request.scope["query_string"]))

        checked.__name__, checked.__doc__ = handler.__name__, handler.__doc__
        checked.query = query  # type: ignore[attr-defined]
        return checked

    return wrap


def query_of(handler: object) -> Query:
    """The parameters of a handler."""
    found = getattr(handler, "query", NOTHING)
    assert isinstance(found, Query)
    return found
