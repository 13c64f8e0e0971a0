"""The headers of a request on their way to the worker: with the job in the store, or, where they prove who
somebody is, in memory until it has ended, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rota.core.bus import Bus, Waiting
from rota.model.errors import Unavailable
from rota.web.auth import carries

Headers = Mapping[str, str]

NAMES = frozenset({"Authorization", "Proxy-Authorization", "Cookie"})
MOST = 64 * 1024 * 1024
"""Bytes of all that is kept, about."""
_EACH = 1000
"""Bytes that those of one job take besides their text."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def split(raw: Iterable[tuple[bytes, bytes]], token: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """The headers that may be stored, and the credentials among them, without our own ``token``. Names are
    written ``Like-This``; of a header that is there more than once the last one counts.
    """
    ours = None if token is None else token.encode()
    headers: dict[str, str] = {}
    secret: dict[str, str] = {}
    for lower, value in raw:
        name = "-".join(part.capitalize() for part in lower.decode("latin-1").split("-"))
        text = _CONTROL.sub(" ", value.decode("utf-8", "replace"))
        if name not in NAMES:
            headers[name] = text
        elif ours is None or not carries(value, ours):
            secret[name] = text
    return headers, secret


class _Kept(NamedTuple):
    headers: Headers
    size: int
    waiting: Waiting


class Credentials:
    """By job."""

    def __init__(self, bus: Bus, most: int = MOST) -> None:
        self._bus = bus
        self._left = most
        self._kept: dict[str, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, id: str) -> Headers:
        """Those of a job that has not ended."""
        kept = self._kept.get(id)
        return {} if kept is None else kept.headers

    def keep(self, id: str, headers: Headers) -> None:
        """Until the job has ended. Call it before the job is stored; Unavailable when there is no room."""
        if not headers:
            return
        size = _EACH + sum(len(name) + len(value) for name, value in headers.items())
        if size > self._left:
            raise Unavailable("Too many jobs with credentials wait; nothing was stored.")
        waiting = self._bus.waiting(id)
        waiting.__enter__().add_done_callback(lambda ended: self.forget(id))
        self._kept[id] = _Kept(headers, size, waiting)
        self._left -= size

    def forget(self, id: str) -> None:
        """The job was not stored, or has ended."""
        kept = self._kept.pop(id, None)
        if kept is not None:
            kept.waiting.__exit__()
            self._left += kept.size
