"""Whether all is well, in words."""

from __future__ import annotations

import re

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rota.core.finding import Finding
from rota.core.service import Service
from rota.model.clock import to_text
from rota.web.answers import Json
from rota.web.parameters import Asked
from rota.web.takes import takes

_USUAL = frozenset({"127.0.0.1:8080", "localhost:8080"})
"""Where commands look for a server by themselves."""
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
_NO_SERVER = ("rota check",)


@takes()
async def get_condition(service: Service, request: Request, asked: Asked) -> Response:
    """Whether all is well, and if not, what is the matter, the worst first: jobs that nobody will run, slots
    that are all taken, failures, workers that were lost, a full disk, and so on, on all servers of the store.
    An answer stands for two seconds; `Cache-Control: no-cache` asks for a new one.
    """
    fresh = "no-cache" in request.headers.get("cache-control", "")
    found = await service.condition.look(fresh=fresh)
    where = _where(request)
    told = {
        "level": found.level,
        "at": to_text(found.at),
        "sentence": found.sentence,
        "findings": [_shape(one, where) for one in found.findings],
    }
    return Json(told)


def _shape(one: Finding, where: str) -> dict[str, object]:
    shape = msgspec.structs.asdict(one)
    shape["numbers"] = {
        name: to_text(value) if name.endswith("_at") else value for name, value in one.numbers.items()
    }
    if one.command is not None and one.command not in _NO_SERVER:
        shape["command"] = one.command + where
    return shape


def _where(request: Request) -> str:
    """The server as the one who asks has named it, where it has to be said."""
    host = request.headers.get("host", "")
    if host in _USUAL or _HOST.fullmatch(host) is None:
        return ""
    return f" --url {request.url.scheme}://{host}"
