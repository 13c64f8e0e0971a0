"""Control groups, version 1 or 2: what a whole job may use of memory, processes and CPU, counted by the
kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rota.programs.ask import Limits

PREFIX = "rota-job-"
_SERVER = "rota-server"
_PERIOD = 100_000
_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process may make groups: the controller's name to a folder (version 2: the same one for
    all)."""

    version: int
    folders: dict[str, str]


def places(text: str | None = None, mounts: str | None = None) -> list[Place]:
    """The groups that this process is in, by version, from ``/proc/self/cgroup`` and
    ``/proc/self/mountinfo``."""
    text = Path("/proc/self/cgroup").read_text() if text is None else text
    mounts = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
    inside = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            inside[name] = path
    old: dict[str, str] = {}
    new: dict[str, str] = {}
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2" and "" in inside:
            # A server that moved out of its group (below) has the groups of its jobs beside itself.
            path = inside[""].removesuffix("/" + _SERVER) or "/"
            new.update(dict.fromkeys(("memory", "pids", "cpu"), _below(point, root, path)))
        elif kind == "cgroup":
            for name in set(options.split(",")) & set(_CONTROLLERS) & set(inside):
                old[name] = _below(point, root, inside[name])
    found = [Place(1, old)] if old else []
    if new:
        found.append(Place(2, new))
    return found


def _below(point: str, root: str, path: str) -> str:
    rest = path.removeprefix(root.rstrip("/")) if root != "/" else path
    return str(Path(point + "/" + rest))


def prepare(place: Place) -> str | None:
    """Make the place ready for groups with memory and processes; why it is not, or None.

    Version 2 gives controllers only to groups whose parent has no processes of its own: what is in it, this
    process and its children, moves into a group beside those of the jobs. That is done only in a group that
    is ours to write.
    """
    if lacking := [name for name in ("memory", "pids") if name not in place.folders]:
        return f"version {place.version} has no {' and no '.join(lacking)} controller"
    if place.version == 1:
        bad = [folder for folder in set(place.folders.values()) if not os.access(folder, os.W_OK)]
        return f"{bad[0]} may not be written" if bad else None
    folder = Path(place.folders["memory"])
    try:
        known = (folder / "cgroup.controllers").read_text().split()
        if lacking := [name for name in ("memory", "pids") if name not in known]:
            return f"version 2 has no {' and no '.join(lacking)} controller in {folder}"
        wanted = " ".join(f"+{name}" for name in ("memory", "pids", "cpu") if name in known)
        switch = folder / "cgroup.subtree_control"
        try:
            switch.write_text(wanted)
        except OSError:
            beside = folder / _SERVER
            beside.mkdir(exist_ok=True)
            for pid in (folder / "cgroup.procs").read_text().split():
                (beside / "cgroup.procs").write_text(pid)
            switch.write_text(wanted)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return None


class Group:
    """The groups of one job, one folder per controller: ``make``, ``limit``, ``join``, at the end
    ``remove``."""

    def __init__(self, place: Place, name: str) -> None:
        self.version = place.version
        self.name = name
        self.of = {kind: Path(folder) / (PREFIX + name) for kind, folder in place.folders.items()}
        self.folders = list(dict.fromkeys(self.of.values()))

    def make(self) -> None:
        """Create the folders, all or none."""
        made = []
        try:
            for folder in self.folders:
                folder.mkdir()
                made.append(folder)
        except OSError:
            for folder in made:
                folder.rmdir()
            raise

    def limit(self, limits: Limits) -> None:
        """Write the limits; OSError when one of them is refused."""
        quota = int(limits.cpus * _PERIOD)
        # bubblewrap itself is two processes of the job.
        processes = limits.processes + 2
        if self.version == 1:
            self._write("memory", "memory.limit_in_bytes", limits.memory)
            self._write("memory", "memory.memsw.limit_in_bytes", limits.memory, may_lack=True)
            self._write("pids", "pids.max", processes)
            self._write("cpu", "cpu.cfs_period_us", _PERIOD, may_lack=True)
            self._write("cpu", "cpu.cfs_quota_us", quota, may_lack=True)
        else:
            self._write("memory", "memory.max", limits.memory)
            self._write("memory", "memory.swap.max", 0, may_lack=True)
            self._write("memory", "memory.oom.group", 1, may_lack=True)
            self._write("pids", "pids.max", processes)
            self._write("cpu", "cpu.max", f"{quota} {_PERIOD}", may_lack=True)

    def join(self) -> None:
        """Move the process that calls into the groups."""
        for folder in self.folders:
            _put(folder / "cgroup.procs", "0")

    def cpu_seconds(self) -> float | None:
        """CPU seconds of all that ran in the group so far."""
        if self.version == 1:
            used = self._read("cpuacct", "cpuacct.usage")
            return None if used is None else int(used) / 1e9
        used = self._fields("memory", "cpu.stat").get("usage_usec")
        return None if used is None else int(used) / 1e6

    def peak_memory(self) -> int | None:
        """The most bytes that were in use at once."""
        text = self._read("memory", "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak")
        return None if text is None else int(text)

    def out_of_memory(self) -> bool:
        """Whether a process was killed because the job's memory was used up."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        return self._fields("memory", name).get("oom_kill", "0") != "0"

    def forks_refused(self) -> bool:
        """Whether a process was not started because the job had too many."""
        return self._fields("pids", "pids.events").get("max", "0") != "0"

    def kill(self) -> None:
        """SIGKILL to all in the groups."""
        _kill_all(self.folders[0])

    def remove(self) -> None:
        """Kill what is left in the groups and remove them."""
        for folder in self.folders:
            remove(folder)

    def _write(self, kind: str, name: str, value: object, *, may_lack: bool = False) -> None:
        try:
            _put(self.of[kind] / name, str(value))
        except (KeyError, FileNotFoundError):
            if not may_lack:
                raise

    def _read(self, kind: str, name: str) -> str | None:
        try:
            return (self.of[kind] / name).read_text()
        except (KeyError, OSError):
            return None

    def _fields(self, kind: str, name: str) -> dict[str, str]:
        text = self._read(kind, name) or ""
        return dict(line.split(None, 1) for line in text.splitlines() if " " in line)


def _put(path: Path, text: str) -> None:
    # Not write_text: it would create, and control files take one write.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def remove(folder: Path, *, seconds: float = 5.0) -> bool:
    """Kill all in one group and remove its folder; whether it is gone."""
    until = time.monotonic() + seconds
    pause = 0.001
    while True:
        try:
            folder.rmdir()
            return True
        except FileNotFoundError:
            return True
        except OSError:
            if time.monotonic() > until:
                return False
        _kill_all(folder)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


def _kill_all(folder: Path) -> None:
    with contextlib.suppress(OSError):
        _put(folder / "cgroup.kill", "1")
        return
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)


def left_by(token: str, found: Iterable[Place]) -> list[Path]:
    """The groups of jobs whose names begin with the token, in all places."""
    folders = dict.fromkeys(folder for place in found for folder in place.folders.values())
    return [path for folder in folders for path in sorted(Path(folder).glob(f"{PREFIX}{token}-*"))]
