"""Processes around ours: the children that run the user's tasks (started, watched, started again, told to
drain), and the service manager above.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

log = logging.getLogger("rota.supervise")

UNUSABLE = 2
"""Exit status of a worker that cannot run as it was told: starting it again would not help."""
PARENT = "ROTA_SUPERVISOR"
"""Tells a child the process that started it, and how many of its kind were started before it."""
SLOWEST = 30.0
STEADY = 10.0


class Unusable(Exception):
    """A child ended with :data:`UNUSABLE`; it has said why on standard error."""


async def run(
    commands: Sequence[Sequence[str]],
    env: Mapping[str, str],
    stop: asyncio.Event,
    grace: float,
    pass_fds: Sequence[int] = (),
) -> None:
    """Keep one process per command running until ``stop``; then SIGTERM, and SIGKILL after ``grace`` seconds.
    The processes inherit the files ``pass_fds``.

    Raises Unusable, with the last word of the command, when a child cannot run at all.
    """
    siblings: Counter[str] = Counter()
    try:
        async with asyncio.TaskGroup() as group:
            for command in commands:
                told = {**env, PARENT: f"{os.getpid()}:{siblings[command[-1]]}"}
                siblings[command[-1]] += 1
                group.create_task(_keep(command, told, stop, grace, pass_fds))
    except ExceptionGroup as errors:
        if (unusable := errors.subgroup(Unusable)) is not None:
            raise Unusable(str(unusable.exceptions[0])) from None
        raise


def python(*arguments: str) -> list[str]:
    """A command of ours in a fresh interpreter."""
    return [sys.executable, "-m", "rota", *arguments]


def die_with_parent() -> int:
    """In a child: have the system send SIGTERM when the supervisor ends, however it ends (Linux).

    Answers how many of its kind were started before it; 0 also for a process that nobody supervises.
    """
    parent, _, before = os.environ.pop(PARENT, "").partition(":")
    if not parent:
        return 0
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM, 0, 0, 0)
        if str(os.getppid()) != parent:
            # It ended before it could be watched.
            os.kill(os.getpid(), signal.SIGTERM)
    return int(before)


def tell_system(state: str) -> None:
    """Tell systemd ``READY=1`` or ``STOPPING=1``, where it has asked for that (Type=notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An @ stands for a name that is no file.
    target = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(state.encode(), target)


async def _keep(
    command: Sequence[str],
    env: Mapping[str, str],
    stop: asyncio.Event,
    grace: float,
    pass_fds: Sequence[int],
) -> None:
    loop = asyncio.get_running_loop()
    delay = 0.2
    while not stop.is_set():
        # A session of its own: Ctrl-C in the terminal must reach the children through us, in order.
        child = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **env},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        started = loop.time()
        try:
            status = await _until(child, stop, grace)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if stop.is_set():
            return
        if status == UNUSABLE:
            raise Unusable(command[-1])
        delay = 0.2 if loop.time() - started > STEADY else min(delay * 2, SLOWEST)
        log.warning("worker process ended; starting another", extra={"status": status, "delay": delay})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)


async def _until(child: asyncio.subprocess.Process, stop: asyncio.Event, grace: float) -> int | None:
    ended = asyncio.ensure_future(child.wait())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            child.send_signal(signal.SIGTERM)
            await asyncio.wait([ended], timeout=grace + 5)
        return ended.result() if ended.done() else None
    finally:
        stopping.cancel()
        ended.cancel()
