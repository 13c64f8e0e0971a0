"""The machine under the figures: without it they say nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec

BUSY = 0.5
"""Running programs per core, in the last minute, from which on other work disturbs the figures."""


class Machine(msgspec.Struct, frozen=True):
    """``cores``: how many this process may use; ``memory`` in bytes."""

    cpu: str
    cores: float
    memory: int
    architecture: str
    system: str
    python: str

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.cpu}, {self.cores:g} cores, {self.memory / 2**30:.1f} GiB, {self.system}, {self.python}"
        )


def this_machine() -> Machine:
    """What can be told without asking anybody."""
    return Machine(
        cpu=_cpu(),
        cores=_cores(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def load_average() -> tuple[float, ...]:
    """Running programs over the last 1, 5 and 15 minutes."""
    return tuple(round(one, 2) for one in os.getloadavg())


def _cpu() -> str:
    told = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in _read("/proc/cpuinfo").splitlines())
    }
    return told.get("model name") or told.get("Hardware") or platform.processor() or platform.machine()


def _cores() -> float:
    """Processors that the scheduler gives us, or fewer when the control group caps their time."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = float(len(usable(0)) if usable else os.cpu_count() or 1)
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit():
        cores = min(cores, round(int(quota) / int(period), 2))
    return cores


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
