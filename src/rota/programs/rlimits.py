"""The limits that every process carries by itself: the layer that is there on any machine."""

from __future__ import annotations

import resource

from rota.programs.order import Order

# CPU seconds between the signal that a program may catch and the one that it may not.
_SPARE_CPU = 2


def rules(order: Order, *, memory: bool) -> dict[int, int]:
    """Resource to limit, all but the number of processes; ``memory`` limits the address space of each
    process.

    A process may use as many CPU seconds as the whole job: the sum is watched elsewhere.
    """
    limits = order.limits
    found = {
        resource.RLIMIT_FSIZE: min(limits.file_size, limits.disk),
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: int(limits.cpu_seconds) + 1,
        resource.RLIMIT_MEMLOCK: 64 << 10,
        resource.RLIMIT_MSGQUEUE: 256 << 10,
        resource.RLIMIT_SIGPENDING: 1024,
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_NICE: 0,
    }
    if memory:
        found[resource.RLIMIT_AS] = limits.memory
    return found


def put(found: dict[int, int]) -> None:
    """Give this process the limits; one that is tighter already stays."""
    for kind, value in found.items():
        _, hard = resource.getrlimit(kind)
        most = value + _SPARE_CPU if kind == resource.RLIMIT_CPU else value
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (min(value, most), most))


def put_processes(count: int, pid: int = 0) -> None:
    """How many processes its user may have, on this process or on ``pid`` (of the same user)."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NPROC)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.prlimit(pid, resource.RLIMIT_NPROC, (most, most))
