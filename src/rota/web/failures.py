"""Requests about failed jobs, by what they failed of."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core import failures
from rota.core.service import BATCH, Service
from rota.web import wire
from rota.web.answers import Json
from rota.web.parameters import Asked, Name, Parameter, Text, Whole
from rota.web.takes import takes


@takes(
    Parameter("queue", Name(), "only failures in this queue, with its figures", example="default"),
    Parameter("type", Name(), "only failures of this type", example="sleep"),
    Parameter("limit", Whole(1, BATCH), "groups on a page", default=50, example="10"),
    Parameter("cursor", Text(), "the page after the one whose answer had this as `cursor`"),
)
async def list_failures(service: Service, request: Request, asked: Asked) -> Response:
    """Failed jobs in groups that failed alike: same type, same class of error, same place in the user's
    code. Last seen first. `fingerprint` of a group finds its jobs in lists and acts on all of them.
    """
    page = await failures.page(service, asked["queue"], asked["type"], asked["limit"], asked["cursor"])
    return Json(wire.failures(page))
