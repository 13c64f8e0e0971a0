"""Whether the server's own workers run programs of others, and why not."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rota.core.causes import Cause
from rota.model.job import Job
from rota.model.protocol import Sandbox

State = Literal["off", "opening", "on", "refused"]


class Programs(msgspec.Struct, frozen=True):
    """``off``: the configuration says no. ``opening``: the sandbox is being tried. ``refused``: it does not
    hold, for ``reason``.

    ``queues`` are those with workers for ``types`` as soon as it is ``on``.
    """

    state: State = "off"
    reason: str | None = None
    sandbox: Sandbox | None = None
    queues: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()

    def cause(self, job: Job) -> Cause | None:
        """Why a job that waits for a worker of ours has none; None for any other job."""
        if self.state == "on" or job.queue not in self.queues or job.type not in self.types:
            return None
        numbers: dict[str, Any] = {"reason": self.reason}
        match self.state:
            case "off":
                return Cause("programs_off", f"This server runs no programs: {self.reason}.", numbers=numbers)
            case "opening":
                told = "The sandbox of this server's programs is being opened."
                return Cause("programs_opening", told, numbers=numbers)
            case _:
                box = self.sandbox
                numbers |= {} if box is None else {"profile": box.profile, "missing": box.missing}
                told = f"This server refuses to run programs: {self.reason}."
                return Cause("programs_refused", told, numbers=numbers)
