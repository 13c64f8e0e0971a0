"""``rota work --programs``: programs of others, in a sandbox of this machine."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rota.commands.common import Misused

if TYPE_CHECKING:
    from rota.config import Settings
    from rota.sdk.source import Source
    from rota.sdk.worker import Worker


class Asked(NamedTuple):
    """``queues`` are in place of those of the settings, ``slots`` of the numbers there."""

    settings: Settings
    queues: tuple[str, ...]
    slots: int | None


def asked(
    config: str | None, unsafe: bool | None, queues: str | None, slots: int | None, *, beside_tasks: bool
) -> Asked:
    """From the flags; beside tasks, queues and slots are those of the tasks. Raises BadConfig."""
    from rota.commands.settings import load_settings

    settings = load_settings(config, {"unsafe_programs": unsafe})
    if beside_tasks:
        return Asked(settings, (), None)
    named = [one.strip() for one in (queues or "").split(",") if one.strip()]
    return Asked(settings, tuple(dict.fromkeys(named)), slots)


async def run(
    asked: Asked,
    source: Callable[[], Source],
    tasks: Worker | None,
    grace: float,
    name: str | None,
    begin: Callable[[Worker], None],
) -> None:
    """Open the sandbox, then work, also on the tasks, until drained. ``begin`` is told each worker before it
    runs. Raises Misused where programs are refused.
    """
    from rota import confined
    from rota.sdk.worker import Worker

    settings, ours = asked.settings, asked.settings.programs
    usual = max(ours.queues.values(), default=1)
    numbers = {queue: asked.slots or ours.queues.get(queue, usual) for queue in asked.queues or ours.queues}
    if not numbers:
        raise Misused("There is no queue to take programs from: name some with --queues or programs.queues.")
    async with confined.opened(ours) as (sandbox, verdict):
        if sandbox is None or verdict.refused is not None:
            raise Misused(verdict.in_words())
        confined.log_verdict(verdict)
        alone = tasks is None and len(numbers) == 1
        base = name or f"{socket.gethostname()}:{os.getpid()}"
        workers = [] if tasks is None else [tasks]
        for queue, slots in numbers.items():
            worker = Worker(
                confined.handlers(settings, sandbox),
                source(),
                queues=(queue,),
                slots=slots,
                grace=grace,
                name=base if alone else f"{base} programs {queue}",
                sandbox=verdict.shown,
            )
            begin(worker)
            workers.append(worker)
        await _all(workers)


async def _all(workers: list[Worker]) -> None:
    """Until all have been drained. The first error ends the others, too."""
    runs = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        await asyncio.wait(runs, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
    for run in runs:
        if not run.cancelled():
            run.result()
