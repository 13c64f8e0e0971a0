"""The settings of programs that others sent; ``docs/configuration.md`` has a line for each."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

import msgspec

from rota.config import kinds
from rota.model.errors import BadInput
from rota.model.policy import DEFAULT_QUEUE

KiB, MiB, GiB = 1024, 1024**2, 1024**3
HOUR, DAY = 3600, 86400
PROFILES = ("basic", "standard", "strict")


class Cores(kinds.Kind):
    """A number of processor cores, also parts of one."""

    allowed = "a number of cores from 0.01 to 1024, such as 0.5 or 2"

    def parse(self, value: object) -> float:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4})?", value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise kinds.Refused
        if not (math.isfinite(value) and 0.01 <= value <= 1024):
            raise kinds.Refused
        return float(value)

    def show(self, value: Any) -> str:
        return f"{value:g}"


class Paths(kinds.Kind):
    """Paths of this machine that programs may see."""

    allowed = "a list of absolute paths that exist, such as /opt/toolchain"

    def parse(self, value: object) -> tuple[str, ...]:
        # Read only where somebody says something: a server that starts has no need of it.
        from rota.programs import toolchain

        if isinstance(value, str):
            items: list[object] = [item for item in re.split(r"[,\s]+", value) if item]
        elif isinstance(value, list | tuple):
            items = list(value)
        else:
            raise kinds.Refused
        paths = tuple(dict.fromkeys(kinds.Text().parse(item) for item in items))
        try:
            toolchain.check(paths, "")
        except BadInput as error:
            raise kinds.Refused(f"has a path that cannot be shown: {error.detail}") from None
        return paths

    def show(self, value: Any) -> str:
        return ", ".join(value) or "none"


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """Programs that others sent, and the sandbox they run in. Most are limits: of what a job gets, and
    of what it may ask for.

    ``folder`` None: one in the system's temporary folder. ``cpu_seconds`` None: as long as the wall time
    allows.
    """

    enabled: Annotated[bool, kinds.Truth()] = True
    queues: Annotated[dict[str, int], kinds.Slots(1000)] = msgspec.field(
        default_factory=lambda: {DEFAULT_QUEUE: 4}
    )
    require: Annotated[str, kinds.Choice(*PROFILES)] = "basic"
    unsafe: Annotated[bool, kinds.Truth()] = False
    folder: Annotated[str | None, kinds.Text()] = None
    readonly_paths: Annotated[tuple[str, ...], Paths()] = ()
    network: Annotated[bool, kinds.Truth()] = False
    timeout: Annotated[float, kinds.Duration(0.1, 30 * DAY)] = 60.0
    max_timeout: Annotated[float, kinds.Duration(0.1, 30 * DAY)] = float(HOUR)
    cpu_seconds: Annotated[float | None, kinds.Duration(0.1, 300 * DAY)] = None
    cpus: Annotated[float, Cores()] = 1.0
    memory: Annotated[int, kinds.Size(1 * MiB, 1024 * GiB)] = 512 * MiB
    processes: Annotated[int, kinds.Whole(1, 1_000_000)] = 64
    open_files: Annotated[int, kinds.Whole(16, 1_000_000)] = 256
    file_size: Annotated[int, kinds.Size(1 * KiB, 1024 * GiB)] = 256 * MiB
    disk: Annotated[int, kinds.Size(1 * KiB, 1024 * GiB)] = 512 * MiB
    tmp: Annotated[int, kinds.Size(0, 1024 * GiB)] = 64 * MiB
    shm: Annotated[int, kinds.Size(0, 1024 * GiB)] = 64 * MiB
    output: Annotated[int, kinds.Size(0, 64 * MiB)] = 1 * MiB
