"""Reaching a database, of several hosts the one that takes writes.

All hosts are tried at once: one whose machine is gone gives no answer at all, and must not use up the time
that the others need.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from typing import Any

import asyncpg

_HOSTS = re.compile(r"(?<=://)((?:[^/?@]*@)?)([^/?]*)")
KEEPALIVE = {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 5000}
"""For a peer that is gone without a word: seconds, and milliseconds for what was sent."""


async def reach(dsn: str, **options: Any) -> Any:
    """A connection to a server that takes writes; raises what the driver raises. ``options`` are those of
    the driver.
    """
    one_each = _each(dsn)
    tries = [asyncio.ensure_future(asyncpg.connect(each, **options)) for each in one_each]
    errors: list[BaseException] = []
    chosen: Any = None
    try:
        for next_one in asyncio.as_completed(tries):
            try:
                chosen = await next_one
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                errors.append(error)
            else:
                _keep_alive(chosen)
                return chosen
    finally:
        for one in tries:
            one.cancel()
            one.add_done_callback(lambda done: _unwanted(done, chosen))
    raise _told(errors)


def _each(dsn: str) -> list[str]:
    """A URL for each host."""
    match = _HOSTS.search(dsn)
    hosts = match[2].split(",") if match else []
    if len(hosts) < 2:
        return [dsn]
    return [_HOSTS.sub(lambda found, host=host: found[1] + host, dsn, count=1) for host in hosts]  # type: ignore[misc]


def _unwanted(attempt: asyncio.Future[Any], chosen: Any) -> None:
    """A connection that came second."""
    if not attempt.cancelled() and attempt.exception() is None and attempt.result() is not chosen:
        attempt.result().terminate()


def _told(errors: list[BaseException]) -> BaseException:
    """Of what several hosts said, that which says most: who answers knows better than who does not."""
    for kind in (asyncpg.TargetServerAttributeNotMatched, OSError):
        rest = [error for error in errors if not isinstance(error, kind)]
        errors = rest or errors
    return errors[0]


def _keep_alive(connection: Any) -> None:
    """The driver has no word for this."""
    transport = getattr(connection, "_transport", None)
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None or found.family == socket.AF_UNIX:
        return
    # One that was reset meanwhile is found out by whoever uses it; uvloop says so with a ValueError.
    with contextlib.suppress(OSError, ValueError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
