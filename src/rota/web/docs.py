"""The description of the interface for programs (``/openapi.json``) and for people (``/docs``).

The page is a few files of ours without anything from elsewhere. It needs no token, because a browser that
opens it has no way to send one and it tells nothing of this server; the description it reads is guarded like
the rest.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.model.errors import NotFound
from rota.web.auth import PAGE
from rota.web.parameters import Asked
from rota.web.takes import takes

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
GUARDED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
    "cross-origin-resource-policy": "same-origin",
}
PAGE_HEADERS = {
    **GUARDED,
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}


@takes()
async def get_openapi(service: Service, request: Request, asked: Asked) -> Response:
    """This description, in OpenAPI 3.1. It is made from the code of the server that answers."""
    # Imported when first asked for: a server that nobody asks need not load it.
    from rota.web import openapi

    return tagged(request, openapi.page(request.app.state.routes), "application/json", GUARDED)


async def get_page(service: Service, request: Request) -> Response:
    """The interface for people: browse, search, and try requests. Works offline; needs no token itself, and
    asks for one where the server has one.
    """
    return tagged(request, file("index.html"), KINDS["html"], PAGE_HEADERS)


async def get_file(service: Service, request: Request) -> Response:
    """A style, script or picture of the page."""
    name = request.path_params["file"]
    if f"/docs/{name}" not in PAGE:
        raise NotFound(f"The page has no file {name[:100]!r}.", code="not_found")
    return tagged(request, file(name), KINDS[name.rpartition(".")[2]], PAGE_HEADERS)


@cache
def file(name: str) -> bytes:
    return resources.files("rota.web").joinpath("page", name).read_bytes()


def tagged(request: Request, body: bytes, media: str, headers: dict[str, str]) -> Response:
    """With a tag, so that what has not changed is not sent again."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {**headers, "etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    return Response(body, 200, headers, media)
