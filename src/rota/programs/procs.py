"""Processes of this machine, as /proc shows them: who descends from whom, what they use, and signals to
them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def started(pid: int) -> int | None:
    """When the process started, in clock ticks since boot: with the pid this names it for ever. None: there
    is none."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def below(root: int) -> dict[int, int]:
    """All descendants of a process, without it: pid to the time it started."""
    children: dict[int, list[tuple[int, int]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) is not None and fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append((int(name), int(fields[19])))
    found: dict[int, int] = {}
    ahead = [root]
    while ahead:
        for pid, since in children.get(ahead.pop(), ()):
            if pid not in found:
                found[pid] = since
                ahead.append(pid)
    return found


def of_users(first: int, last: int) -> set[int]:
    """The users between these two (included) who have a process."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                user = os.stat(f"/proc/{name}").st_uid
                if first <= user <= last:
                    found.add(user)
    return found


def send(found: dict[int, int], number: int) -> None:
    """A signal to each of these, unless the pid belongs to another process by now."""
    for pid, since in found.items():
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(pid)
            try:
                if started(pid) == since:
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)


def kill_user(uid: int) -> None:
    """SIGKILL to every process of a user at once, none of which can fork away from it. As root only."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            # This process is not among the receivers.
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def memory(pids: Iterable[int]) -> int:
    """Bytes of memory of these processes that no file backs, shared ones counted once for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                for line in file:
                    if line.startswith(("RssAnon:", "RssShmem:")):
                        total += int(line.split()[1]) << 10
    return total


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU seconds of these processes and of their children that ended."""
    ticks = 0
    for pid in pids:
        if (fields := _stat(pid)) is not None:
            ticks += sum(int(fields[place]) for place in (11, 12, 13, 14))
    return ticks / _TICKS


def nameless(pids: Iterable[int], device: int, mapped: int) -> int:
    """Bytes on a device in files that have no name any more and that these processes hold.

    One that is only mapped does not show its size and counts ``mapped``.
    """
    seen: dict[int, int] = {}
    tag = f"{os.major(device):02x}:{os.minor(device):02x}"
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{name}")
                    if found.st_nlink == 0 and found.st_dev == device:
                        seen[found.st_ino] = found.st_blocks * 512
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/maps", "rb") as file:
                for line in file:
                    if line.endswith(b" (deleted)\n"):
                        fields = line.split(None, 5)
                        if fields[3] == tag.encode():
                            seen.setdefault(int(fields[4]), mapped)
    return sum(seen.values())


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; what is before it may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None
