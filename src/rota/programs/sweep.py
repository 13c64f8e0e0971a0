"""Cleaning up after servers that were killed: their folders, control groups and processes. Safe beside
living servers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rota.model.errors import BadInput
from rota.programs import cgroup, folder, procs, slots

LOCK = "lock"
# Seconds that a folder may be half-made.
_FRESH = 600


@dataclass(frozen=True, slots=True)
class Swept:
    """How much was cleaned: folders of servers, control groups, users whose processes were killed."""

    folders: int = 0
    groups: int = 0
    users: int = 0


def default_root() -> Path:
    """Where jobs have their folders unless the configuration says so."""
    return Path(tempfile.gettempdir()) / f"rota-programs-{os.geteuid()}"


def claim(root: Path) -> tuple[Path, int]:
    """Make this server's own folder under the root: it, and the descriptor whose lock says that the server
    lives.

    Its name tells pid and start time for people; only the lock counts, because pids repeat and mean nothing
    in another container that shares the folder.
    """
    check(root)
    own = root / f"{os.getpid()}-{procs.started(os.getpid())}-{secrets.token_hex(4)}"
    # Complete before it can be taken for one that a crash left: a sweep looks at names without a dot only.
    hidden = root / f".{own.name}"
    hidden.mkdir(mode=0o711)
    hidden.chmod(0o711)
    lock = os.open(hidden / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    hidden.rename(own)
    return own, lock


def check(root: Path) -> None:
    """Make the root folder, or see that it is a real folder of this user's that nobody else can write."""
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o711, parents=True)
        root.chmod(0o711)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise BadInput(
            f"{root} must be a folder of the server's user, writable by nobody else, and no link",
            field="programs.folder",
        )


def sweep(root: Path | None = None, first_uid: int | None = None) -> Swept:
    """Remove what dead servers left below the root, and processes of slot users from ``first_uid`` on whom
    no one holds.

    Order matters: processes, then control groups, then the folder that tells of them.
    """
    root = root or default_root()
    users = _sweep_users(first_uid) if first_uid is not None and os.geteuid() == 0 else 0
    if not root.is_dir():
        return Swept(users=users)
    check(root)
    folders = groups = 0
    found = cgroup.places()
    for own in sorted(root.iterdir()):
        if own.name.startswith(".") and time.time() - own.lstat().st_mtime < _FRESH:
            continue
        lock = _take_over(own)
        if lock is None:
            continue
        try:
            left = cgroup.left_by(own.name.lstrip("."), found)
            gone = [cgroup.remove(path) for path in left]
            groups += sum(gone)
            if all(gone):
                folder.wipe(own)
                folders += 1
        finally:
            os.close(lock)
    return Swept(folders, groups, users)


def _take_over(own: Path) -> int | None:
    """The lock of a server's folder, if it can be had: then its server and all its overseers are dead."""
    try:
        lock = os.open(own / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _sweep_users(first: int) -> int:
    swept = 0
    for uid in procs.of_users(first, first + slots.COUNT - 1):
        # Who can take the user for himself has proved that no overseer holds it.
        slot = slots.take(uid, 1)
        if slot is not None:
            procs.kill_user(uid)
            slot.holder.close()
            swept += 1
    return swept
