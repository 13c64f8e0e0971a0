"""Many pages that ask for the same at the same time are answered with one answer.

Only who says that an answer may be a little old gets one that was made for another (``Cache-Control:
max-age=1``), and never one that was begun before a pulse told of a change: it asks because of that. Everybody
else, and who has just changed something, gets one that is made after the request came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from rota.web.answers import Json

MAX_AGE = 5.0
"""Seconds for which an answer is kept at most."""
MAX_KEPT = 500
"""Answers that are kept."""
MAX_BYTES = 32 * 1024 * 1024
"""What they may take together."""
MAX_BODY = 4 * 1024 * 1024
"""A larger one is not kept."""

_TOLD_APART = (b"authorization", b"host")
"""Nobody gets what was made for others; and what is told of this server is told by the name that it has for
them.
"""

Make = Callable[[], Awaitable[Response]]
_Key = tuple[str, bytes, tuple[bytes, ...]]


class _Kept(NamedTuple):
    """An answer; ``began``: when it began to be made."""

    began: float
    answer: Response


class Shared:
    """Answers by path, query, credentials and host: nobody gets what was made for somebody with other
    rights.
    """

    def __init__(self, outdated: Callable[[], float] = lambda: 0.0) -> None:
        """``outdated``: what was begun before that time is too old for anybody."""
        self._outdated = outdated
        self._kept: dict[_Key, _Kept] = {}
        self._bytes = 0
        self._making: dict[_Key, tuple[float, asyncio.Task[Response]]] = {}

    def kept(self, scope: Scope) -> Response | None:
        """One that is there and as young as the request wants it: the way of almost all, so a short one."""
        if not self._kept or scope["method"] != "GET":
            return None
        key, wanted = _asked(scope)
        kept = self._kept.get(key)
        if kept is None or wanted is None or not (age := _age(wanted)):
            return None
        return kept.answer if kept.began >= max(time.monotonic() - age, self._outdated()) else None

    async def answer(self, request: Request, make: Make) -> Response:
        """One that is as young as the request wants it. Raises what ``make`` raises."""
        key, wanted = _asked(request.scope)
        if wanted is None:
            return await make()
        if (found := self.kept(request.scope)) is not None:
            return found
        age, now = _age(wanted), time.monotonic()
        youngest = max(now - age, self._outdated())
        began, making = self._making.get(key, (now, None))
        if making is None or not age or began < youngest:
            began, making = now, asyncio.ensure_future(make())
            self._making[key] = (began, making)
            making.add_done_callback(lambda done: self._made(key, now, done))
            return await asyncio.shield(making)
        answer = await asyncio.shield(making)
        # What is told bit by bit can be told to one only.
        return answer if isinstance(answer, Json) else await make()

    def _made(self, key: _Key, began: float, making: asyncio.Task[Response]) -> None:
        if self._making.get(key, (0.0, None))[1] is making:
            del self._making[key]
        if making.cancelled() or making.exception() is not None:
            return
        answer = making.result()
        before = self._kept.get(key)
        if not isinstance(answer, Json) or answer.status_code != 200 or len(answer.body) > MAX_BODY:
            return
        if before is None or before.began < began:
            self._drop(key)
            self._make_room(len(answer.body), time.monotonic())
            self._kept[key] = _Kept(began, answer)
            self._bytes += len(answer.body)

    def _make_room(self, size: int, now: float) -> None:
        """The oldest go first, and all that are too old for anybody."""
        for key, one in list(self._kept.items()):
            full = len(self._kept) >= MAX_KEPT or self._bytes + size > MAX_BYTES
            if not full and now - one.began <= MAX_AGE:
                return
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        if (gone := self._kept.pop(key, None)) is not None:
            self._bytes -= len(gone.answer.body)


def _asked(scope: Scope) -> tuple[_Key, str | None]:
    """What a request asks for, and its ``Cache-Control``."""
    asked: tuple[bytes, ...] = ()
    wanted = None
    for name, value in scope["headers"]:
        if name in _TOLD_APART:
            asked += (value,)
        elif name == b"cache-control":
            wanted = value.decode("latin-1") if wanted is None else f"{wanted},{value.decode('latin-1')}"
    return (scope["path"], scope["query_string"], asked), wanted


@lru_cache(100)
def _age(wanted: str) -> float:
    """How many seconds old an answer may be, by a ``Cache-Control`` of a request."""
    age = 0.0
    for word in wanted.lower().split(","):
        name, _, value = word.strip().partition("=")
        if name in ("no-cache", "no-store"):
            return 0.0
        if name == "max-age" and value.isascii() and value.isdigit():
            age = min(float(value[:9]), MAX_AGE)
    return age
