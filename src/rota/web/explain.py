"""Why a job does not run, and when it will."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core.facts import explain_job
from rota.core.service import Service
from rota.web import wire
from rota.web.answers import Json
from rota.web.parameters import Asked
from rota.web.takes import takes


@takes()
async def get_explanation(service: Service, request: Request, asked: Asked) -> Response:
    """Why a job is not running, and when it will: all causes by importance, the first is the headline. `at`
    is when it is expected to start, `certainty` what that is worth.
    """
    return Json(wire.explanation(await explain_job(service, request.path_params["id"])))
