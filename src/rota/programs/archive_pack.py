"""What a program left behind, packed into a zip archive; see ``rota.programs.archive``."""

from __future__ import annotations

import itertools
import os
import stat
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rota.programs.archive_rules import ArchiveLimits, name_fault, too_large, too_many

_CHUNK = 1 << 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class Packed:
    """Files and folders in the archive, bytes of content, and what was left out: each path with why."""

    entries: int = 0
    bytes: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def pack(folder: Path | int, out: BinaryIO, limits: ArchiveLimits | None = None) -> Packed:
    """Pack what is in a folder, where no program runs any more, into a zip archive.

    Only regular files and folders; links, devices, what cannot be read and what has a name that no
    archive may hold are left out and told in ``skipped``. So is the folder itself (``.``), if it is a link
    or no folder; one that is missing is an empty one. Raises BadArchive for more than ``limits`` allow in
    entries or bytes: what is in ``out`` then is not to be used.
    """
    limits = limits or ArchiveLimits()
    packed = Packed()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        try:
            top = (
                os.open(".", _FOLDER, dir_fd=folder) if isinstance(folder, int) else os.open(folder, _FOLDER)
            )
        except FileNotFoundError:
            return packed
        except OSError:
            packed.skipped.append((".", "is not a folder that can be read"))
            return packed
        try:
            _pack_folder(archive, top, "", packed, limits)
        finally:
            os.close(top)
    return packed


def _pack_folder(
    archive: zipfile.ZipFile, place: int, above: str, packed: Packed, limits: ArchiveLimits
) -> None:
    with os.scandir(place) as found:
        # As many as would be too many, not all: it was a program that filled this folder.
        names = sorted(entry.name for entry in itertools.islice(found, limits.entries + 1))
    for name in names:
        if packed.entries + len(packed.skipped) >= limits.entries:
            raise too_many(limits)
        path = above + name
        why = name_fault(path, limits) or _pack_one(archive, place, path, packed, limits)
        if why:
            packed.skipped.append((path.encode(errors="backslashreplace").decode(), why))


def _pack_one(
    archive: zipfile.ZipFile, place: int, path: str, packed: Packed, limits: ArchiveLimits
) -> str | None:
    """Pack a file, or a folder with what is in it. The answer is why it was left out, if it was."""
    name = path.rpartition("/")[2]
    try:
        # Opening some devices does something, so they are never opened, not even to look.
        mode = os.stat(name, dir_fd=place, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return "is a link" if stat.S_ISLNK(mode) else "is neither file nor folder"
        fd = os.open(name, _OLD, dir_fd=place)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    try:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            packed.entries += 1
            archive.writestr(_info(path + "/", found), b"")
            _pack_folder(archive, fd, path + "/", packed, limits)
        elif not stat.S_ISREG(found.st_mode):
            return "is neither file nor folder"
        elif found.st_nlink > 1 and found.st_uid != os.fstat(place).st_uid:
            return "is another name of somebody else's file"
        else:
            if packed.bytes + found.st_size > limits.bytes:
                raise too_large(path, limits)
            packed.entries += 1
            packed.bytes += _pack_file(archive, fd, _info(path, found))
    finally:
        os.close(fd)
    return None


def _pack_file(archive: zipfile.ZipFile, fd: int, info: zipfile.ZipInfo) -> int:
    size = 0
    with archive.open(info, "w") as packing:
        # No more than it had when it was measured, should it grow.
        while size < info.file_size and (piece := os.read(fd, min(_CHUNK, info.file_size - size))):
            size += len(piece)
            packing.write(piece)
    return size


def _info(path: str, found: os.stat_result) -> zipfile.ZipInfo:
    # The format knows the years 1980 to 2107.
    changed = time.gmtime(min(max(found.st_mtime, 315532800), 4354819198))
    info = zipfile.ZipInfo(path, changed[:6])
    info.create_system = 3
    info.compress_type = zipfile.ZIP_DEFLATED
    permissions = 0o755 if found.st_mode & 0o111 else 0o644
    info.external_attr = (stat.S_IFMT(found.st_mode) | permissions) << 16
    if stat.S_ISREG(found.st_mode):
        info.file_size = found.st_size
    return info
