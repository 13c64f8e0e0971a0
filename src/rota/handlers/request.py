"""One outgoing HTTP request with its redirects: every hop through the guard, every answer capped.

No cookies, no credentials from URLs or files, no proxies from the environment, nothing decoded.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import aclosing

import httpcore2
import httpx2
import msgspec

from rota.handlers.addresses import AddressRefused, Guard, GuardedBackend, Resolver, resolve

MAX_URL = 2048
MAX_REDIRECTS = 3
CONNECT_SECONDS = 5.0
EXCUSE_BYTES = 16 * 1024
"""Of a body that only says why there is none of the kind that was wanted."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Ports where a request could speak to something that is no web server; browsers refuse most of them too.
_PORTS = frozenset(
    {1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104}
    | {
        109,
        110,
        111,
        113,
        115,
        117,
        119,
        123,
        135,
        137,
        139,
        143,
        161,
        179,
        389,
        427,
        445,
        465,
        512,
        513,
        514,
    }
    | {515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723}
    | {2049, 3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
    | {11211}
)
# What goes along to another origin; anything else may be a credential under a name nobody knows.
_HARMLESS = frozenset(
    {
        *("accept", "accept-language", "content-type", "content-language", "user-agent"),
        *("traceparent", "tracestate", "webhook-id", "webhook-timestamp"),
    }
)


class Reply(msgspec.Struct, frozen=True):
    """The last answer. ``headers`` by lower-case name; ``truncated``: there was more body than was read."""

    status: int
    headers: dict[str, str]
    body: bytes
    truncated: bool
    url: str


class RedirectRefused(Exception):
    """An answer pointed somewhere it must not, or too often."""


def check_url(text: str) -> httpx2.URL:
    """A URL that may be called as far as its text can tell; ValueError says what is wrong with it."""
    if len(text) > MAX_URL:
        raise ValueError(f"has {len(text)} characters; at most {MAX_URL} are allowed")
    if "\\" in text or any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise ValueError("must not hold spaces, backslashes or control characters")
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ValueError(f"is not a URL: {error}") from None
    if url.scheme not in ("http", "https"):
        raise ValueError("must start with http:// or https://")
    if "@" in text.partition("//")[2].partition("/")[0].partition("?")[0]:
        raise ValueError("must not hold a user name or password; use the Authorization header")
    if "#" in text:
        raise ValueError("must not hold a fragment (#...), which is never sent")
    if not url.raw_host or len(url.raw_host) > 253:
        raise ValueError("must name a host")
    if url.port is not None and (not 1 <= url.port <= 65535 or url.port in _PORTS):
        raise ValueError(f"names port {url.port}, which is not one for web servers")
    return url


class Courier:
    """Carries requests. ``max_bytes`` of a body are read; ``context`` None trusts what the system trusts."""

    def __init__(
        self,
        guard: Guard,
        max_bytes: int,
        *,
        resolver: Resolver = resolve,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._resolver = resolver
        self._max_bytes = max_bytes
        self._context = context

    async def send(
        self,
        method: str,
        url: httpx2.URL,
        headers: Mapping[str, str],
        body: bytes | None,
        settles: Callable[[int], bool],
        sink: Callable[[bytes], object] | None = None,
    ) -> Reply:
        """Send and follow redirects, except to a status that ``settles`` the matter. The body of an answer
        with such a status goes to ``sink`` piece by piece, where there is one, and is not in the reply.

        Raises AddressRefused for the first hop, RedirectRefused for the others, httpcore2's errors, and
        never gives up on its own: the caller sets the deadline.
        """
        headers = {name.lower(): value for name, value in headers.items()}
        for hop in range(MAX_REDIRECTS + 1):
            try:
                answer = await self._hop(method, url, headers, body, settles, sink)
            except AddressRefused as error:
                if hop == 0:
                    raise
                raise RedirectRefused(f"A redirect was not followed: {error}") from None
            if isinstance(answer, Reply):
                return answer
            status, location = answer
            target = self._target(url, location)
            # RFC 9110, 15.4: 303 asks for a GET; for 301 and 302 clients turn POST, and only POST, into one.
            if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
                method, body = "GET", None
                headers = {name: v for name, v in headers.items() if not name.startswith("content-")}
            if _origin(target) != _origin(url):
                headers = {name: v for name, v in headers.items() if name in _HARMLESS}
            url = target
        raise RedirectRefused(f"More than {MAX_REDIRECTS} redirects; the last one pointed to {place(url)}.")

    async def _hop(
        self,
        method: str,
        url: httpx2.URL,
        headers: Mapping[str, str],
        body: bytes | None,
        settles: Callable[[int], bool],
        sink: Callable[[bytes], object] | None,
    ) -> Reply | tuple[int, str]:
        """The answer, or a redirect's status and Location."""
        if url.scheme == "https" and self._context is None:
            # Reads every certificate that the system trusts, which takes some 20 ms.
            self._context = await asyncio.to_thread(httpcore2.default_ssl_context)
        sent = [(b"Host", url.netloc)]
        sent += [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        if body is not None or method in ("POST", "PUT", "PATCH"):
            sent.append((b"Content-Length", str(len(body or b"")).encode("ascii")))
        # A fresh connection per hop: nothing that was opened under an older judgement is used again.
        backend = GuardedBackend(self._guard, self._resolver)
        async with (
            aclosing(backend),
            httpcore2.AsyncConnectionPool(
                ssl_context=self._context, max_connections=1, network_backend=backend
            ) as pool,
            pool.stream(
                method,
                httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path or b"/"
                ),
                headers=sent,
                content=body or None,
                extensions={"timeout": {"connect": CONNECT_SECONDS}},
            ) as response,
        ):
            received = _by_name(response.headers)
            location = received.get("location")
            if location is not None and response.status in _REDIRECTS and not settles(response.status):
                return response.status, location
            if sink is None:
                content, truncated = await _read(response, self._max_bytes)
            elif settles(response.status):
                content, truncated = b"", await _pour(response, self._max_bytes, sink)
            else:
                content, truncated = await _read(response, min(self._max_bytes, EXCUSE_BYTES))
            return Reply(response.status, received, content, truncated, str(url))

    @staticmethod
    def _target(url: httpx2.URL, location: str) -> httpx2.URL:
        try:
            target = check_url(str(url.join(location.partition("#")[0])))
        except (ValueError, httpx2.InvalidURL) as error:
            raise RedirectRefused(f"A redirect was not followed: its Location {error}.") from None
        if url.scheme == "https" and target.scheme == "http":
            raise RedirectRefused(f"A redirect was not followed: {place(target)} leaves https for http.")
        return target


def place(url: httpx2.URL) -> str:
    """A URL for messages: without its query, which often holds secrets."""
    return str(url.copy_with(query=None))


async def _read(response: httpcore2.Response, most: int) -> tuple[bytes, bool]:
    content = bytearray()
    async for chunk in response.aiter_stream():
        content += chunk
        if len(content) > most:
            return bytes(content[:most]), True
    return bytes(content), False


async def _pour(response: httpcore2.Response, most: int, sink: Callable[[bytes], object]) -> bool:
    """Whether there was more than ``most``."""
    async for chunk in response.aiter_stream():
        most -= len(chunk)
        if most < 0:
            return True
        sink(chunk)
    return False


def _origin(url: httpx2.URL) -> tuple[str, bytes, int]:
    return url.scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80)


def _by_name(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case names; repeated ones joined by a comma (Set-Cookie, which may hold commas, by a newline)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        if name in found:
            value = found[name] + ("\n" if name == "set-cookie" else ", ") + value
        found[name] = value
    return found
