"""``webhook``: one HTTP request, with its answer as the result."""

from __future__ import annotations

import asyncio
import base64
import binascii
import codecs
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import msgspec

from rota.handlers.addresses import Guard, Resolver, resolve
from rota.handlers.outcomes import AGENT, as_endings, refusal
from rota.handlers.request import Courier, Reply, check_url
from rota.handlers.settings import WebhookSettings
from rota.sdk import trace
from rota.sdk.context import Context
from rota.sdk.signature import BadPayload

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_SECONDS = 600.0
MAX_HEADERS = 50
MAX_HEADER_CHARS = 16 * 1024

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_CLASS = re.compile(r"[1-5]xx")
# They frame the message or belong to the connection, or they are what receivers know us by.
_OWN_HEADERS = frozenset(
    {
        *(
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
        ),
        *("expect", "proxy-authorization", "proxy-connection", "webhook-id", "webhook-timestamp"),
    }
)
_CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16"})


class WebhookPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to send, where, and which status is a success; at most one of the three bodies."""

    url: str
    method: str = "POST"
    headers: dict[str, str] = {}
    body: Any = msgspec.UNSET
    body_text: str | None = None
    body_base64: str | None = None
    timeout: float | None = None
    expected_status: int | str | list[int | str] = "2xx"


class WebhookResult(msgspec.Struct, frozen=True):
    """``encoding`` of ``body`` is ``text`` or ``base64``; ``truncated``: the answer was longer."""

    status: int
    headers: dict[str, str]
    body: str
    encoding: str
    truncated: bool
    url: str
    elapsed_ms: int


def webhook(
    settings: WebhookSettings, *, resolver: Resolver = resolve, context: ssl.SSLContext | None = None
) -> Callable[[Context, WebhookPayload], Awaitable[WebhookResult]]:
    """The handler for these settings."""
    guard = Guard(allow_private=settings.allow_private, networks=settings.allow_networks)
    courier = Courier(guard, settings.max_response_bytes, resolver=resolver, context=context)

    async def webhook(ctx: Context, payload: WebhookPayload) -> WebhookResult:
        url, method = _url(payload.url), _method(payload.method)
        content, content_type = _body(payload)
        headers = {"user-agent": AGENT, "accept": "*/*"}
        headers |= trace.carried(ctx.headers)
        if content_type is not None:
            headers["content-type"] = content_type
        headers |= _headers(payload.headers)
        headers |= {"webhook-id": ctx.id, "webhook-timestamp": str(int(time.time()))}
        expected = _expected(payload.expected_status)
        seconds = _timeout(payload.timeout, settings.timeout)
        started = time.monotonic()
        with as_endings(url, seconds):
            async with asyncio.timeout(seconds):
                reply = await courier.send(method, url, headers, content, expected)
        elapsed = round((time.monotonic() - started) * 1000)
        body, encoding = _text(reply)
        if not expected(reply.status):
            raise refusal(reply, body if encoding == "text" else f"{len(reply.body)} bytes of no text")
        return WebhookResult(reply.status, reply.headers, body, encoding, reply.truncated, reply.url, elapsed)

    return webhook


def _url(text: str) -> httpx2.URL:
    try:
        return check_url(text)
    except ValueError as error:
        raise BadPayload(f"url {error}.") from None


def _method(text: str) -> str:
    method = text.upper()
    if method not in METHODS:
        raise BadPayload(f"method must be one of {', '.join(METHODS)}, not {text[:100]!r}.")
    return method


def _timeout(asked: float | None, usual: float) -> float:
    if asked is not None and not 0 < asked <= MAX_SECONDS:
        raise BadPayload(f"timeout must be more than 0 and at most {MAX_SECONDS:g} seconds, not {asked}.")
    return usual if asked is None else asked


def _headers(given: dict[str, str]) -> dict[str, str]:
    if len(given) > MAX_HEADERS or sum(len(n) + len(v) for n, v in given.items()) > MAX_HEADER_CHARS:
        raise BadPayload(
            f"headers may hold at most {MAX_HEADERS} names and {MAX_HEADER_CHARS} characters in all."
        )
    for name, value in given.items():
        if _TOKEN.fullmatch(name) is None:
            raise BadPayload(f"headers: {name[:100]!r} is not a header name.")
        if _VALUE.fullmatch(value) is None:
            raise BadPayload(f"headers.{name} may hold printable ASCII characters only; no line breaks.")
        if name.lower() in _OWN_HEADERS:
            raise BadPayload(f"headers.{name} is set by Rota and cannot be given.")
    return {name.lower(): value.strip() for name, value in given.items()}


def _body(payload: WebhookPayload) -> tuple[bytes | None, str | None]:
    """The bytes to send and their content type."""
    given = [
        name
        for name, value in (
            ("body", None if payload.body is msgspec.UNSET else ...),
            ("body_text", payload.body_text),
            ("body_base64", payload.body_base64),
        )
        if value is not None
    ]
    if len(given) > 1:
        raise BadPayload(f"Give one of body, body_text and body_base64, not {' and '.join(given)}.")
    if payload.body_text is not None:
        return payload.body_text.encode(), "text/plain; charset=utf-8"
    if payload.body_base64 is not None:
        try:
            return base64.b64decode(payload.body_base64, validate=True), "application/octet-stream"
        except (binascii.Error, ValueError):
            raise BadPayload("body_base64 is not base64.") from None
    if payload.body is not msgspec.UNSET:
        return msgspec.json.encode(payload.body), "application/json"
    return None, None


def _expected(given: int | str | list[int | str]) -> Callable[[int], bool]:
    """Whether a status is a success."""
    choices = given if isinstance(given, list) else [given]
    for choice in choices:
        good = 100 <= choice <= 599 if isinstance(choice, int) else _CLASS.fullmatch(choice) is not None
        if not good:
            raise BadPayload(
                "expected_status must be a status from 100 to 599, a class such as '2xx', or a list of them,"
                f" not {str(choice)[:100]!r}."
            )
    if not choices:
        raise BadPayload("expected_status must name at least one status.")
    return lambda status: any(
        status == choice if isinstance(choice, int) else str(status)[0] == choice[0] for choice in choices
    )


def _text(reply: Reply) -> tuple[str, str]:
    """The body as JSON can hold it, and how: text in its charset where that works, base64 otherwise."""
    charset = re.search(r"charset\s*=\s*\"?([\w.:-]+)", reply.headers.get("content-type", ""), re.IGNORECASE)
    try:
        name = codecs.lookup(charset[1] if charset else "utf-8").name
        if name in _CHARSETS and reply.headers.get("content-encoding", "identity") == "identity":
            # A cut in the middle of a character loses that character, not the text.
            return codecs.getincrementaldecoder(name)().decode(reply.body, not reply.truncated), "text"
    except (LookupError, UnicodeError):
        pass
    return base64.b64encode(reply.body).decode("ascii"), "base64"
