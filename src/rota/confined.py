"""Who runs programs of others, in the server and in ``rota work --programs``: the sandbox that the settings
ask for, what it amounts to, and the handlers in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from rota.config import Settings
from rota.config.programs import Programs
from rota.model.errors import RotaError
from rota.model.protocol import MAX_REASON, Layer, Sandbox

if TYPE_CHECKING:
    from rota.handlers.settings import ProgramSettings
    from rota.programs.probe import Table
    from rota.programs.sandbox import Sandbox as Opened
    from rota.sdk.app import App

log = logging.getLogger("rota")

IDLE = 60.0
"""Seconds without a program after which the sandbox's own processes go; the next one starts them again."""


class Verdict(NamedTuple):
    """What a sandbox amounts to here. ``refused``: why no program runs, None where they do. ``unsafe``: what
    would refuse them but for the setting of that name.
    """

    shown: Sandbox | None
    refused: str | None
    unsafe: str | None = None

    def in_words(self) -> str:
        """One sentence."""
        if self.refused is not None:
            return f"Programs are refused: {self.refused}."
        box = self.shown
        assert box is not None
        if self.unsafe is not None:
            return f"Programs run here UNSAFE, as programs.unsafe says: {self.unsafe}."
        better = f"; {box.missing}" if box.missing else ""
        return f"Programs run here, with the profile {box.profile}{better}."


async def tried(sandbox: Opened) -> Verdict:
    """What an open sandbox amounts to."""
    why, lacking = await sandbox.refusal(), await sandbox.lacking()
    return Verdict(shown(await sandbox.probe()), why, lacking if why is None else None)


def shown(table: Table) -> Sandbox:
    """As people and other programs see it."""
    layers = (Layer(one.name, one.works, _cut(one.why_not)) for one in table.layers)
    return Sandbox(table.profile, tuple(layers), _cut(table.missing))


@contextlib.asynccontextmanager
async def opened(settings: Programs) -> AsyncIterator[tuple[Opened | None, Verdict]]:
    """The sandbox and what it amounts to; None when it cannot be opened at all. Closed when all that ran in
    it has ended.
    """
    async with contextlib.AsyncExitStack() as held:
        sandbox: Opened | None = None
        try:
            # What a server loads that never runs a program is not worth holding it up.
            sandbox = await held.enter_async_context(await asyncio.to_thread(_made, settings))
            verdict = await tried(sandbox)
            swept = sandbox.swept
            told = {"folders": swept.folders, "groups": swept.groups, "users": swept.users}
            if any(told.values()):
                log.info("cleaned up after a server that was killed", extra=told)
            await sandbox.rest()
        except (RotaError, OSError) as error:
            why = error.detail if isinstance(error, RotaError) else f"the sandbox does not open ({error})"
            sandbox, verdict = None, Verdict(None, why.rstrip("."))
        if sandbox is not None:
            held.push_async_callback(_ended, sandbox)
        yield sandbox, verdict


def log_verdict(verdict: Verdict) -> None:
    """Say once whether programs run, and if not, why."""
    box = verdict.shown
    if verdict.refused is not None or box is None:
        log.warning("programs are refused", extra={"why": verdict.refused})
    elif verdict.unsafe is not None:
        log.warning("programs run unsafe", extra={"why": verdict.unsafe})
    else:
        log.info("programs run in a sandbox", extra={"profile": box.profile, "missing": box.missing})


def handlers(settings: Settings, sandbox: Opened) -> App:
    """The app whose tasks run programs."""
    from rota.handlers import program

    return program.build_programs(_limits(settings), sandbox)


def jqgo_handlers(settings: Settings, sandbox: Opened) -> App:
    """The same as JobQueueGo's own worker does it."""
    from rota.handlers import program

    limits, longest = _limits(settings), settings.fronts.jqgo.program_timeout
    limits = msgspec.structs.replace(limits, timeout=longest, max_timeout=max(longest, limits.max_timeout))
    return program.jqgo_programs(limits, sandbox)


def _made(settings: Programs) -> Opened:
    from rota.handlers import program  # noqa: F401 (loaded here, in a thread, to be there when it is needed)
    from rota.programs.sandbox import Sandbox as Opened

    return Opened(
        None if settings.folder is None else Path(settings.folder).absolute(),
        readonly=settings.readonly_paths,
        network=settings.network,
        require=settings.require,  # type: ignore[arg-type]
        unsafe=settings.unsafe,
        rest_after=IDLE,
    )


async def _ended(sandbox: Opened) -> None:
    """Whoever was told to stop is about to."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sandbox.unused(), 10)


def _limits(settings: Settings) -> ProgramSettings:
    from rota.handlers.settings import ProgramSettings

    ours, webhook = settings.programs, settings.handlers.webhook
    return ProgramSettings(
        timeout=ours.timeout,
        max_timeout=ours.max_timeout,
        cpu_seconds=ours.cpu_seconds,
        cpus=ours.cpus,
        memory=ours.memory,
        processes=ours.processes,
        open_files=ours.open_files,
        file_size=ours.file_size,
        disk=ours.disk,
        tmp=ours.tmp,
        shm=ours.shm,
        output=ours.output,
        network=ours.network,
        result_limit=settings.result_limit,
        log_lines=settings.log_lines,
        artifact_limit=settings.artifact_limit,
        allow_private=webhook.allow_private,
        allow_networks=webhook.allow_networks,
    )


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:MAX_REASON]
