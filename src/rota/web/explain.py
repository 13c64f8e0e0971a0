"""Why a job does not run, and when it will."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from rota.core.causes import Cause
from rota.core.explain import Explanation
from rota.core.facts import explain_job
from rota.core.service import Service
from rota.model.clock import to_text
from rota.web.answers import Json
from rota.web.parameters import Asked, takes


@takes()
async def get_explanation(service: Service, request: Request, asked: Asked) -> Response:
    """Why a job is not running, and when it will: all causes by importance, the first is the headline. `at`
    is when it is expected to start, `certainty` what that is worth.
    """
    return Json(shape(await explain_job(service, request.path_params["id"])))


def shape(told: Explanation) -> dict[str, Any]:
    """The headline first, then all causes in the order of their importance."""
    job = told.job
    return {
        "id": job.id,
        "type": job.type,
        "queue": job.queue,
        "state": job.state,
        "now": to_text(told.now),
        "cause": told.causes[0].code,
        "sentence": told.causes[0].sentence,
        "at": _time(told.at),
        "certainty": told.certainty,
        "causes": [_cause(one) for one in told.causes],
    }


def _cause(one: Cause) -> dict[str, Any]:
    return {
        "cause": one.code,
        "sentence": one.sentence,
        "at": _time(one.at),
        "numbers": _numbers(one.numbers),
    }


def _numbers(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _time(value) if name.endswith("_at") else value for name, value in numbers.items()}


def _time(at: int | None) -> str | None:
    return None if at is None else to_text(at)
