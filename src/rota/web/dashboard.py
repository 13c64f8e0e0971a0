"""The dashboard: one page at ``/`` and the files that it is made of, built from ``ui/`` with the package.

Neither needs a token: a browser cannot send one with an address, and they tell nothing of this server. What
the page shows it asks for like everybody else, under ``/v1``.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.model.errors import NotFound, RotaError
from rota.web.docs import GUARDED, PAGE_HEADERS, POLICY, tagged

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Pictures that jobs left are shown from memory, where nothing in them can run.
HEADERS = {
    **PAGE_HEADERS,
    "content-security-policy": POLICY.replace("img-src 'self'", "img-src 'self' blob:"),
}
FOR_EVER = {**GUARDED, "cache-control": "public, max-age=31536000, immutable"}


async def get_page(service: Service, request: Request) -> Response:
    """The dashboard. Needs no token itself, and asks for one where the server has one."""
    if (body := _built().get("index.html")) is None:
        raise RotaError(
            "This Rota was installed without its dashboard; /docs describes the interface.",
            code="no_dashboard",
            status=404,
        )
    return tagged(request, body[0], KINDS[".html"], HEADERS)


async def get_file(service: Service, request: Request) -> Response:
    """A script, style or picture of the dashboard. Its name changes with its content."""
    name = f"ui/{request.path_params['file']}"
    if (found := _built().get(name)) is None:
        raise NotFound(f"The page has no file {name[:100]!r}.", code="not_found")
    headers, (plain, small) = dict(FOR_EVER if "-" in name else GUARDED), found
    headers["vary"] = "accept-encoding"
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(small, 200, headers, KINDS[PurePosixPath(name).suffix])
    return tagged(request, plain, KINDS[PurePosixPath(name).suffix], headers)


@cache
def _built() -> dict[str, tuple[bytes, bytes]]:
    """Every file by its address, as it is and packed; empty where the dashboard was left out."""
    root = resources.files("rota.web").joinpath("ui")
    if not root.is_dir():
        return {}
    places = [(one.name, one) for one in root.iterdir() if one.is_file()]
    inner = root.joinpath("ui")
    if inner.is_dir():
        places += [(f"ui/{one.name}", one) for one in inner.iterdir()]
    read = {name: place.read_bytes() for name, place in places}
    return {
        name: (body, read[f"{name}.gz"])
        for name, body in read.items()
        if PurePosixPath(name).suffix in KINDS and f"{name}.gz" in read
    }
