"""What is asked of the sandbox and what comes back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from rota.model.errors import BadInput, RotaError, Unavailable

Ended = Literal["exit", "timeout", "cpu", "memory", "disk", "output", "cancelled"]
MIB = 1 << 20

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = ("memory", "processes", "open_files", "file_size", "disk", "tmp", "shm", "output", "output_total")


class SandboxUnavailable(Unavailable):
    """This machine cannot run programs safely enough; the detail names the missing piece."""

    code = "sandbox_unavailable"


class NotStarted(RotaError):
    """The sandbox stood, but the program did not start in it: no such command, no such path."""

    code = "program_not_started"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use; sizes in bytes."""

    wall_seconds: float = 60.0
    cpu_seconds: float = 60.0  # of all its processes together
    cpus: float = 1.0  # cores at once; only where control groups can be written
    memory: int = 512 * MIB  # of all its processes together; with control groups /tmp and /dev/shm count, too
    processes: int = 64
    open_files: int = 256  # of each process
    file_size: int = 256 * MIB
    disk: int = 512 * MIB  # of the job's folder, with what was in it at the start
    tmp: int = 64 * MIB
    shm: int = 64 * MIB
    output: int = 1 * MIB  # passed on; what comes after it is read and dropped
    output_total: int = 256 * MIB  # written at all: more ends the program

    def check(self) -> None:
        """Refuse (BadInput) what makes no sense, naming the limit."""
        for limit in fields(self):
            value: float = getattr(self, limit.name)
            kinds = (int,) if limit.name in _WHOLE else (int, float)
            if type(value) not in kinds:
                raise BadInput(
                    f"{limit.name} must be a {'whole ' if len(kinds) == 1 else ''}number", field=limit.name
                )
            least = 0 if limit.name in ("output", "tmp", "shm") else 1 if limit.name in _WHOLE else 0.001
            if not (math.isfinite(value) and least <= value < 1 << 62):
                raise BadInput(f"{limit.name} must be at least {least}, not {value}", field=limit.name)


@dataclass(frozen=True, slots=True)
class Ask:
    """One program to run: ``command`` in ``folder``, which is ``/job`` for it and the only thing it can
    change for good.

    ``network`` gives it the machine's network, all of it. ``readonly`` are paths that it sees besides the
    toolchain. ``grace_seconds`` is the time from the polite request to end (SIGTERM to all its processes) to
    the end.
    """

    command: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    network: bool = False
    limits: Limits = field(default_factory=Limits)
    readonly: Sequence[str] = ()
    grace_seconds: float = 5.0

    def check(self) -> None:
        """Refuse (BadInput) what cannot be run, naming the field."""
        if isinstance(self.command, str) or not self.command or not self.command[0]:
            raise BadInput("command must be a list of at least one word", field="command")
        for word in self.command:
            if "\0" in word:
                raise BadInput("command must not hold a NUL character", field="command")
        for name, value in self.env.items():
            if not _ENV_NAME.fullmatch(name):
                raise BadInput(
                    f"env must have names of letters, digits and _, not {name!r}", field=f"env.{name}"
                )
            if "\0" in value:
                raise BadInput("env must not hold a NUL character", field=f"env.{name}")
        if not (math.isfinite(self.grace_seconds) and 0 <= self.grace_seconds <= 3600):
            raise BadInput("grace_seconds must be between 0 and 3600", field="grace_seconds")
        self.limits.check()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended.

    ``status`` is as a shell shows it (128 + the signal for one that died of a signal); None when it was
    killed from outside. With ``ended`` "exit" it ended by itself. ``peak_memory`` is in bytes: of all its
    processes together where control groups count it, else of the largest one.
    """

    ended: Ended
    status: int | None
    wall_seconds: float
    cpu_seconds: float
    peak_memory: int
    output_bytes: int  # written by the program, passed on or not
    output_cut: bool
    forks_refused: bool  # it wanted more processes than it may have (known where control groups count them)

    @property
    def signal(self) -> int | None:
        """The signal that ended it, if one did (a shell's convention: exit status 137 reads as signal 9)."""
        return self.status - 128 if self.status is not None and 128 < self.status <= 192 else None

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.ended == "exit" and self.status == 0
