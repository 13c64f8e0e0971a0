"""Where a worker gets its jobs: the interface between :class:`rota.sdk.worker.Worker` and the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from rota.model.protocol import Answer, Ending, Hello, Lease, Line, Progress, Stop, Welcome, Work


class Disconnected(Exception):
    """The connection is gone or could not be made. The worker goes on with its jobs and opens again."""


class Files(Protocol):
    """The files of jobs. Unlike the rest of a source it keeps trying for itself, over connections of its own:
    a server that is away for a moment costs no job its upload. Raises what is left then: Unavailable, or the
    server's refusal.
    """

    async def read_upload(self, lease: Lease, path: Path) -> None:
        """Write the file that came with a job to ``path``, a new file; whatever is raised, there is none."""
        ...

    async def keep_artifact(self, lease: Lease, path: Path) -> None:
        """Keep a copy of a file with a job that is in hand under just this lease."""
        ...


class Source(Files, Protocol):
    """Jobs in, endings out.

    All methods but ``open`` may be called at the same time as each other, ``finish`` and those of
    :class:`Files` also several times at once. All but those of :class:`Files` may raise :class:`Disconnected`
    or :class:`rota.model.errors.Unavailable`, after which ``open`` comes next. Whatever was under way then
    has failed, and endings without an answer will be given again. Any other error ends the worker.
    """

    drained: asyncio.Event
    """Set when the server asks this worker to take no more jobs. ``open`` of a network source clears it."""

    async def open(self, hello: Hello) -> Welcome:
        """Connect, or connect again: ``hello.held`` names the jobs still in hand, all others are not ours any
        more.

        A refusal that will not pass by itself (token, bad queue name) raises a RotaError.
        """
        ...

    async def claim(self, slots: int) -> list[Work]:
        """Wait for at least one job; at most ``slots``. After ``drain``: only jobs that were under way."""
        ...

    async def finish(self, outcomes: list[Ending]) -> list[Answer]:
        """Report endings; one answer per ending, in order, once they are on stable storage."""
        ...

    async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        """A heartbeat. Returns once the server is known to have got it; its stops may come here or by
        ``stops``.
        """
        ...

    async def log(self, lines: list[Line]) -> None:
        """Lines to keep with jobs."""
        ...

    async def stops(self) -> list[Stop]:
        """Wait for jobs to give up; may wait for ever."""
        ...

    async def drain(self) -> None:
        """Tell the server: no more jobs."""
        ...

    async def close(self) -> None:
        """Leave. May be called twice, and when the connection is gone."""
        ...
