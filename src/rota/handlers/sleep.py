"""``sleep``: waits, shows how far it is, and stops when asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from rota.handlers.settings import SleepSettings
from rota.sdk.context import Context
from rota.sdk.signature import BadPayload

_STEP_SECONDS = 0.25


class SleepResult(msgspec.Struct, frozen=True):
    """How long it slept: what was asked for."""

    slept_ms: int


def sleep(settings: SleepSettings) -> Callable[[Context, int], Awaitable[SleepResult]]:
    """The handler for these settings."""

    async def sleep(ctx: Context, ms: int) -> SleepResult:
        if not 0 <= ms <= settings.max_ms:
            raise BadPayload(f"ms must be from 0 to {settings.max_ms} milliseconds, not {ms}.")
        await pause(ctx, ms / 1000)
        return SleepResult(ms)

    return sleep


async def pause(ctx: Context, seconds: float) -> None:
    """Let time pass, show how much of it has, and stop soon when asked to."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        ctx.raise_if_cancelled()
        # Of one look at the clock: by a second one the time may be over, and more than all is no progress.
        ctx.progress(max(0.0, 1 - left / seconds))
        await asyncio.sleep(min(left, _STEP_SECONDS))
