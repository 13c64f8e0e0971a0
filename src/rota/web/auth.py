"""Who may: the bearer token, and which web pages may speak to us."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

from rota.model.errors import BadInput, Forbidden, RotaError, Unauthorized
from rota.web.ticket import Tickets

PROBES = frozenset({"/livez", "/readyz", "/health"})
"""Answered without credentials, so that an orchestrator needs no secret; they tell nothing but their own
name.
"""

PAGE = frozenset(
    {"/docs"}
    | {f"/docs/{name}" for name in ("docs.css", "docs.js", "dom.js", "schema.js", "try.js", "icon.svg")}
)
"""The page of documentation: the same for everybody, and opened by browsers, which cannot send a token."""
_OPEN = PROBES | PAGE | {"/"}
UI = "/ui/"
"""What the dashboard is made of; the same for everybody, too."""
_IN_URL = re.compile(rb"(?:^|&)(?:token|access_token|api_key|apikey|key|authorization)=", re.IGNORECASE)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Gate:
    """Lets a request pass or says why not. ``token`` None: everybody may who can reach us."""

    def __init__(
        self,
        token: str | None,
        hosts: Iterable[str] | None,
        open: Callable[[str], bool] | None = None,
        anyone: Callable[[str], bool] | None = None,
        tickets: Tickets | None = None,
    ) -> None:
        """``hosts``: names under which pages may call what needs no token; None: any. ``open``: further paths
        that need none. ``anyone``: the only paths, besides probes, that other machines may ask for, by
        whatever name they know this one; None: all. ``tickets``: what stands in for the token; None: nothing.
        """
        self.tickets = tickets
        self._anyone = anyone
        self._open = open or (lambda path: False)
        self._token = None if token is None else token.encode()
        self._hosts = None if hosts is None else _LOCAL | {host.lower() for host in hosts}

    def check(self, scope: Scope, ticket: bytes | None = None) -> None:
        """Raises Unauthorized, Forbidden or BadInput. A ``ticket`` is looked at where there is no header."""
        host = origin = None
        given: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:
                    raise BadInput("There are two Host headers.", code="bad_host", status=400)
                host = value.decode("latin-1")
            elif name == b"origin":
                origin = value.decode("latin-1")
            elif name == b"authorization":
                given.append(value)
            elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
                # What is inside would count as it is, and the next server may see another end of it.
                raise BadInput("Transfer-Encoding may only be chunked.", code="bad_framing", status=400)
        _check_version(scope.get("http_version", "1.0"), host)
        path = scope["path"]
        guarded = self._token is not None and not self._open(path)
        self._check_place(path, scope.get("client"), None if guarded else host)
        if (
            origin is not None
            and origin != "null"
            and _authority(origin) != host
            and not (scope["type"] == "websocket" and _from_a_program(origin))
        ):
            raise Forbidden("A page of another origin may not call this server.", code="origin_not_allowed")
        if origin == "null":
            raise Forbidden("A page without an origin may not call this server.", code="origin_not_allowed")
        if self._token is None or not guarded or path in _OPEN or path.startswith(UI):
            return
        if not given:
            if ticket is not None and self.tickets is not None:
                self.tickets.take(path, ticket)
                return
            if _IN_URL.search(scope["query_string"]):
                raise BadInput(
                    "A token does not go into the URL, where logs keep it: send Authorization: Bearer TOKEN.",
                    code="credentials_in_url",
                    status=400,
                )
            raise Unauthorized("This server needs a token: send Authorization: Bearer TOKEN.")
        if len(given) > 1:
            raise BadInput("There are two Authorization headers.", code="ambiguous_credentials", status=400)
        if not carries(given[0], self._token):
            raise Unauthorized("The token is not valid.", code="invalid_credentials")

    def _check_place(self, path: str, client: Sequence[object] | None, host: str | None) -> None:
        """From where, and under which name (None: any will do)."""
        if self._anyone is not None:
            if path in PROBES or self._anyone(path):
                return
            if not _is_here(client):
                raise Forbidden(
                    "This server has no token, so it answers this only to its own machine: start it with one "
                    "(ROTA_TOKEN or ROTA_TOKEN_FILE), and send Authorization: Bearer TOKEN.",
                    code="local_only",
                )
        if self._hosts is not None and host is not None and _name(host) not in self._hosts:
            # A page whose name was made to point here would otherwise count as our own.
            raise RotaError(
                f"This server does not answer to the name {host[:100]!r}; add it to allowed_hosts.",
                code="unknown_host",
                status=421,
            )


def _is_here(client: Sequence[object] | None) -> bool:
    """Whether a peer, as the server of ASGI names it, is this machine: any loopback address. Another address
    of its own does not count: what forwards ports may use it for everybody.
    """
    try:
        address = ipaddress.ip_address(str(client[0]) if client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def carries(value: bytes, token: bytes) -> bool:
    """Whether a header gives this token."""
    scheme, _, given = value.partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token)


def _check_version(version: str, host: str | None) -> None:
    if version not in ("1.1", "1.0"):
        raise BadInput("This server speaks HTTP/1.1.", code="bad_framing", status=400)
    if host is None and version == "1.1":
        raise BadInput("There is no Host header.", code="bad_host", status=400)


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _from_a_program(origin: str) -> bool:
    """``http://localhost/``, which WebSocket libraries have their users write. No browser ends an origin with
    a slash, so it is not that of a page.
    """
    return origin.endswith("/") and _name(_authority(origin) or "") in _LOCAL


@lru_cache(256)
def _name(host: str) -> str:
    # Clients send the same few again and again.
    try:
        return (urlsplit("//" + host).hostname or "").lower()
    except ValueError:
        return ""
