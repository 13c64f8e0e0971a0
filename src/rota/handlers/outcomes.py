"""What became of an outgoing request, as the ending of a try: again later, or never."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version

import httpcore2
import httpx2

from rota.handlers.addresses import AddressRefused
from rota.handlers.request import RedirectRefused, Reply, place
from rota.sdk.control import Fail, Retry

MAX_RETRY_AFTER = 24 * 3600.0

_AGAIN = frozenset({408, 425, 429})


def _version() -> str:
    try:
        return version("rota")
    except PackageNotFoundError:
        return "0"


AGENT = f"rota/{_version()}"
"""The User-Agent of outgoing requests."""


@contextmanager
def as_endings(url: httpx2.URL, seconds: float) -> Iterator[None]:
    """What :class:`~rota.handlers.request.Courier` raises, and a TimeoutError after ``seconds``, as Fail or
    Retry.
    """
    try:
        yield
    except AddressRefused as error:
        raise Fail(str(error)) from None
    except RedirectRefused as error:
        raise Retry(message=str(error)) from None
    except TimeoutError:
        raise Retry(message=f"{place(url)} gave no complete answer within {seconds:g} s.") from None
    except httpcore2.LocalProtocolError as error:
        raise Fail(f"{place(url)} cannot be asked this way: {error}") from None
    except (
        httpcore2.NetworkError,
        httpcore2.TimeoutException,
        httpcore2.RemoteProtocolError,
        OSError,
    ) as error:
        raise Retry(message=f"{place(url)}: {str(error) or type(error).__name__}") from None


def refusal(reply: Reply, body: str) -> Exception:
    """The error for a status that was not expected: try again later, or never."""
    try:
        phrase = f"{reply.status} {HTTPStatus(reply.status).phrase}"
    except ValueError:
        phrase = str(reply.status)
    piece = " ".join("".join(c if c.isprintable() else " " for c in body[:1000]).split())[:300]
    message = f"{place(httpx2.URL(reply.url))} answered {phrase}{': ' + piece if piece else '.'}"
    if reply.status in _AGAIN or reply.status >= 500:
        return Retry(delay=retry_after(reply.headers.get("retry-after"), time.time()), message=message)
    return Fail(message)


def retry_after(text: str | None, now: float) -> float | None:
    """Seconds, 1 to a day, that a Retry-After header (seconds or an HTTP date) asks for; None if unusable.

    ``now`` is Unix time in seconds.
    """
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,18}", text):
        wait = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    # Not below a second: "0" from an overloaded receiver is no wish to be asked in a tight loop.
    return min(max(wait, 1.0), MAX_RETRY_AFTER)
