"""Tickets: a pass for one request by those who cannot send a header.

A browser opens a WebSocket, or saves what a link names, without a header of ours. Whoever has the token asks
for a ticket (``POST /v1/tickets``) and puts it into the address, once: ``/v1/live?ticket=...``. A ticket is
for one path, and for nothing but reading; it lasts for half a minute; a server takes it once.

Nothing is kept of a ticket that was given out. It carries its end, a nonce and a seal over these and its
path, made with a key that comes of the token: each server with the same token takes it. What was used is
remembered until it has run out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import struct
from collections import deque
from collections.abc import Callable

from starlette.types import Message, Scope, Send

from rota.model.clock import SECOND
from rota.model.errors import BadInput, Unauthorized, Unavailable

LIVE = "/v1/live"
PATTERN = r"/v1/live|/v1/jobs/export|/v1/jobs/[0-9A-Za-z-]{1,100}/(?:result|upload|artifact)"
"""What there are tickets for: a WebSocket that only tells, and what people save."""
PATHS = re.compile(PATTERN)
LIFETIME = 30 * SECOND
"""From the answer to the request that it is for: a page uses it at once, a slow phone a little later."""
SKEW = 5 * SECOND
"""By which the clocks of two servers may differ."""
MAX_USED = 10_000
"""Used tickets that are remembered; 250 a second. Beyond that no ticket is taken until some run out."""

_VERSION = 1
_HEAD = struct.Struct(">BQ16s")
_SEAL = 32
_TEXT = re.compile(rb"[A-Za-z0-9_-]{76}")
_NAME = b"ticket="


class Tickets:
    """Gives tickets and takes them. ``token`` None: nobody needs one, and none is looked at."""

    def __init__(self, token: bytes | None, now: Callable[[], int]) -> None:
        """``now``: microseconds UTC; servers that share a store share its clock."""
        self._now = now
        # Not the token itself: what leaves the house is sealed with something that opens nothing else.
        self._key = hmac.digest(token or secrets.token_bytes(32), b"rota tickets 1", "sha256")
        self._used: set[bytes] = set()
        self._order: deque[tuple[int, bytes]] = deque()
        self._forgotten = 0
        """Tickets that end here or before may have been used, however the clock is set."""

    def issue(self, path: str) -> str:
        """A ticket for one GET of this path. Raises BadInput for a path that has no tickets."""
        if PATHS.fullmatch(path) is None:
            raise BadInput(
                "path must be /v1/live, /v1/jobs/export or /v1/jobs/ID/result, .../upload or .../artifact, "
                "without a query.",
                code="invalid_path",
                field="path",
            )
        head = _HEAD.pack(_VERSION, self._now() + LIFETIME, secrets.token_bytes(16))
        return base64.urlsafe_b64encode(head + self._seal(head, path)).decode()

    def take(self, path: str, ticket: bytes) -> None:
        """Use a ticket up. Raises Unauthorized, or Unavailable when too many were used lately."""
        if _TEXT.fullmatch(ticket) is None:
            raise _refused()
        raw = base64.urlsafe_b64decode(ticket)
        head = raw[: _HEAD.size]
        if not hmac.compare_digest(raw[_HEAD.size :], self._seal(head, path)):
            raise _refused()
        version, until, nonce = _HEAD.unpack(head)
        now = self._now()
        self._forget(now)
        if (
            version != _VERSION
            or until <= max(now - SKEW, self._forgotten)
            or until > now + LIFETIME + SKEW
            or nonce in self._used
        ):
            raise _refused()
        if len(self._used) >= MAX_USED:
            raise Unavailable("Too many tickets were used in the last moments.", code="too_many_tickets")
        self._used.add(nonce)
        self._order.append((until, nonce))

    def _forget(self, now: int) -> None:
        """They come about in the order of their ends; one behind a later one is kept a little longer."""
        while self._order and self._order[0][0] <= now - SKEW:
            until, nonce = self._order.popleft()
            self._used.discard(nonce)
            self._forgotten = max(self._forgotten, until)

    def _seal(self, head: bytes, path: str) -> bytes:
        return hmac.digest(self._key, head + path.encode(), hashlib.sha256)


def cut(scope: Scope) -> bytes | None:
    """Take the ticket out of the query of a request that may have one, so that nobody behind sees it."""
    query: bytes = scope["query_string"]
    if _NAME not in query or not _may(scope):
        return None
    parts = query.split(b"&")
    given = [part.removeprefix(_NAME) for part in parts if part.startswith(_NAME)]
    if not given:
        return None
    scope["query_string"] = b"&".join(part for part in parts if not part.startswith(_NAME))
    if len(given) > 1:
        raise BadInput("There are two tickets.", code="ambiguous_credentials", status=400)
    return given[0]


def unlinked(send: Send) -> Send:
    """The answer to a ticket: its address is told to nobody, and it is not kept under it."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"cache-control"]
            extra = [(b"referrer-policy", b"no-referrer"), (b"cache-control", b"private, no-store")]
            message = {**message, "headers": [*kept, *extra]}
        await send(message)

    return answer


def _may(scope: Scope) -> bool:
    path: str = scope["path"]
    if scope["type"] == "websocket":
        return path == LIVE
    return scope["method"] == "GET" and path != LIVE and PATHS.fullmatch(path) is not None


def _refused() -> Unauthorized:
    return Unauthorized(
        "The ticket is not, or no longer, good for this: it is for one request of one path, and for half a "
        "minute. POST /v1/tickets gives another.",
        code="invalid_ticket",
    )
