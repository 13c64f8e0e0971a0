"""What handlers answer with: JSON, and problems."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.model.errors import RotaError
from rota.web import wire
from rota.web.asgi import BROKEN

PROBLEM = "application/problem+json"


class Json(Response):
    """A JSON answer."""

    media_type = "application/json"

    def __init__(self, shape: object, status: int = 200) -> None:
        super().__init__(wire.encode(shape), status)


def problem(request: Request, error: Exception) -> Response:
    """A refusal."""
    assert isinstance(error, RotaError)
    headers = {"retry-after": "1"} if error.status == 503 else None
    return Response(wire.problem(error), error.status, headers, PROBLEM)


def fault(request: Request, error: Exception) -> Response:
    """Something that should never happen."""
    return problem(request, RotaError(BROKEN))
