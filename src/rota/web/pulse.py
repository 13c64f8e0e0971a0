"""``/v1/pulse``: how everything is, in one small picture."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rota.core.pulse import Pulse
from rota.core.service import Service
from rota.model.clock import to_text
from rota.web.answers import Json
from rota.web.parameters import Asked
from rota.web.takes import takes


@takes()
async def get_pulse(service: Service, request: Request, asked: Asked) -> Response:
    """Jobs by state, rates of the last seconds, the fullest queues and the workers: what a page shows at all
    times, in one cheap answer. `/v1/live` tells the same each second while something changes.
    """
    return Json(shape(await service.pulses.now()))


def shape(pulse: Pulse) -> dict[str, Any]:
    """A pulse as the world sees it."""
    return msgspec.structs.asdict(pulse) | {"at": to_text(pulse.at)}
