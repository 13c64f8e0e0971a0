"""Folders that a program may have done anything to: owned, measured and removed without following a link."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

# What a file costs at least: an empty one takes its place in the folder and its inode.
SMALLEST = 4096
DEEPEST = 100
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Odd(Exception):
    """A folder holds what a freshly filled one cannot hold."""


def give(path: str | Path, uid: int, gid: int) -> None:
    """Make a user the owner of a folder and all in it. Nothing else may write there meanwhile.

    Refused (Odd): a file with a second name, which might be anybody's file; a device.
    """
    top = os.open(path, _OPEN)
    try:
        for fd, names in _walk(top):
            for name in names:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                kind = stat.S_IFMT(found.st_mode)
                if kind == stat.S_IFREG and found.st_nlink > 1:
                    raise Odd(f"{name!r} in the job's folder has more than one name")
                if kind in (stat.S_IFBLK, stat.S_IFCHR):
                    raise Odd(f"{name!r} in the job's folder is a device")
                os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
        os.fchown(top, uid, gid)
        os.fchmod(top, 0o700)
    finally:
        os.close(top)


def size(path: str | Path, most: int) -> int:
    """Bytes on disk of all in a folder, at least SMALLEST for each thing; counting stops above ``most``.

    What is nested deeper than DEEPEST counts as too much: nobody packs it, and each level would cost a
    descriptor.
    """
    total = 0
    top = os.open(path, _OPEN)
    try:
        for fd, names in _walk(top):
            for name in names:
                with contextlib.suppress(OSError):
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    total += max(found.st_blocks * 512, SMALLEST)
                if total > most:
                    return total
    except Odd:
        return most + 1
    finally:
        os.close(top)
    return total


def wipe(path: str | Path) -> None:
    """Remove a folder and all in it, however deep and whatever its permissions. No process may use it any
    more."""
    try:
        top = _enter(os.fspath(path), None)
    except FileNotFoundError:
        return
    try:
        empty(top)
    finally:
        os.close(top)
    os.rmdir(path)


def empty(top: int) -> None:
    """Remove all that is in an open folder, as ``wipe`` does."""
    # Folders in folders are first moved to the top, so that neither depth nor path length matters.
    while True:
        folders = []
        for name in os.listdir(top):
            if stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
                folders.append(name)
            else:
                os.unlink(name, dir_fd=top)
        if not folders:
            break
        for folder in folders:
            fd = _enter(folder, top)
            try:
                for name in os.listdir(fd):
                    if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                        _enterable(name, fd)
                        os.rename(name, os.urandom(16).hex(), src_dir_fd=fd, dst_dir_fd=top)
                    else:
                        os.unlink(name, dir_fd=fd)
            finally:
                os.close(fd)
            os.rmdir(folder, dir_fd=top)


def _enter(name: str, parent: int | None) -> int:
    """A folder, opened; its owner's permissions are added where they lack."""
    try:
        return os.open(name, _OPEN, dir_fd=parent)
    except PermissionError:
        _enterable(name, parent)
        return os.open(name, _OPEN, dir_fd=parent)


def _enterable(name: str, parent: int | None) -> None:
    # By descriptor: a name might lead elsewhere by the time it is used.
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if (mode := stat.S_IMODE(os.fstat(fd).st_mode)) & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{fd}", mode | 0o700)
    finally:
        os.close(fd)


def _walk(top: int) -> Iterator[tuple[int, list[str]]]:
    """Each folder from the top down, opened, with the names in it; links are names, never ways."""
    stack: list[tuple[int, list[str]]] = []
    try:
        fd = os.open(".", _OPEN, dir_fd=top)
        while True:
            with os.scandir(fd) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            stack.append((fd, [name for name, is_folder in found if is_folder]))
            yield fd, [name for name, _ in found]
            while not (fd := _next(stack)):
                if not stack:
                    return
            if len(stack) >= DEEPEST:
                os.close(fd)
                raise Odd(f"folders are nested deeper than {DEEPEST}")
    finally:
        for open_, _ in stack:
            os.close(open_)


def _next(stack: list[tuple[int, list[str]]]) -> int:
    """The next folder below the last of the stack, opened; 0 after leaving one that has no more."""
    fd, ahead = stack[-1]
    while ahead:
        with contextlib.suppress(OSError):
            return _enter(ahead.pop(), fd)
    stack.pop()
    os.close(fd)
    return 0
