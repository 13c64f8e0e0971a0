"""The folder below a store: its file system, its fsync, and what a measurement leaves there.

The only part of the bench that knows kinds of stores. For those on other machines it knows nothing.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import msgspec

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
PAGE = b"\xa5" * 4096
PAUSE = 0.02
_SQLITE = "sqlite:///"
_BESIDE = ("", "-wal", "-shm", ".lock")
_DURABILITY = {"sqlite": "WAL, synchronous=FULL: an fsync at every commit"}


class Fsync(msgspec.Struct, frozen=True):
    """Milliseconds to write a page of 4 KiB and have it on stable storage."""

    p50_ms: float
    p99_ms: float
    samples: int

    def text(self) -> str:
        """For people."""
        return f"p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms"


class Store(msgspec.Struct, frozen=True):
    """Where the jobs were kept. What cannot be known about it from here is None."""

    kind: str
    place: str
    durability: str
    file_system: str | None = None
    fsync_in_a_row: Fsync | None = None
    fsync_after_pause: Fsync | None = None


def describe(url: str, place: str, samples: int) -> Store:
    """Look at a store's home; ``place`` is how to call it. Takes up to a few seconds."""
    kind = url.partition(":")[0]
    durability = _DURABILITY.get(kind, "as its server is configured")
    file = file_of(url)
    if file is None:
        return Store(kind, place, durability)
    folder = file.parent
    return Store(
        kind,
        place,
        durability,
        file_system(folder),
        probe(folder, samples, 0),
        probe(folder, max(5, samples // 4), PAUSE),
    )


def probe(folder: Path, samples: int, pause: float) -> Fsync:
    """Measure fsync in a folder, with so many seconds of rest before each."""
    times = []
    with tempfile.TemporaryFile(dir=folder, prefix="rota-fsync-", buffering=0) as file:
        for _ in range(samples):
            if pause:
                time.sleep(pause)
            started = time.perf_counter()
            file.write(PAGE)
            os.fsync(file.fileno())
            times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return Fsync(round(times[len(times) // 2], 4), round(times[int(len(times) * 0.99)], 4), samples)


def file_of(url: str) -> Path | None:
    """The file of an embedded store."""
    return Path(url.removeprefix(_SQLITE).partition("?")[0]) if url.startswith(_SQLITE) else None


def absolute(url: str) -> str:
    """The same store, wherever the server is started."""
    file = file_of(url)
    if file is None or not file.name:
        return url
    return _SQLITE + str(file.absolute()) + url[len(_SQLITE) + len(str(file)) :]


def remove(url: str) -> None:
    """Remove an embedded store with all that lies beside it."""
    file = file_of(url)
    if file is not None:
        for end in _BESIDE:
            file.with_name(file.name + end).unlink(missing_ok=True)


def temporary_home() -> Path:
    """A folder for temporary files that is on a disk, if there is one: in memory an fsync costs nothing, and
    the figures would promise what no disk keeps.
    """
    usual = Path(tempfile.gettempdir())
    for folder in (usual, Path("/var/tmp"), Path.cwd()):  # noqa: S108
        if folder.is_dir() and os.access(folder, os.W_OK) and file_system(folder) not in IN_MEMORY:
            return folder
    return usual


def file_system(folder: Path) -> str:
    """What kind of file system a folder is on, such as ext4."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return "unknown"
    path = str(folder.resolve())
    best, found = -1, "unknown"
    for line in lines:
        mount, _, rest = line.partition(" - ")
        point = mount.split(" ")[4].encode().decode("unicode_escape")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= best:
            best, found = len(point), rest.split(" ")[0]
    return found
