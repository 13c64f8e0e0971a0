"""Zip archives of strangers: unpacked into a folder, and what a program left behind packed into one.

::

    unpacked = unpack(upload, folder)
    ran = await sandbox.run(Ask(["make", "run"], folder / unpacked.root), print)
    packed = pack(folder / "out", artifact)

Both wait for disks: call them in a thread.
"""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rota.programs import folder as folders
from rota.programs.archive_index import STORED, Entry, read_index
from rota.programs.archive_pack import Packed, pack
from rota.programs.archive_rules import ArchiveLimits, BadArchive

__all__ = ["ArchiveLimits", "BadArchive", "Packed", "Unpacked", "pack", "unpack"]

MAKEFILES = frozenset({"GNUmakefile", "makefile", "Makefile"})
_CHUNK = 1 << 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Unpacked:
    """``entries`` of the archive with ``bytes`` of content; ``root``, below the folder, is where to start.

    The root is the folder itself (``.``) if a makefile lies there or there is no folder in it; otherwise
    the first folder in name order, leaving aside ``__MACOSX``, which one system adds on its own.
    """

    entries: int
    bytes: int
    root: Path


def unpack(source: BinaryIO, folder: Path | int, limits: ArchiveLimits | None = None) -> Unpacked:
    """Unpack a zip archive into an empty folder (a path, or an open descriptor) that nobody else writes to.

    ``source`` can seek. Files get the permissions 0644 or, if anybody may execute them, 0755; folders
    0755. Raises BadArchive, which names the entry at fault; OSError when the disk does not take it;
    ValueError for a folder that is not empty. Whatever is raised, the folder is empty again.
    """
    limits = limits or ArchiveLimits()
    top = os.open(".", _FOLDER, dir_fd=folder) if isinstance(folder, int) else os.open(folder, _FOLDER)
    try:
        if os.listdir(top):
            raise ValueError("the folder to unpack into is not empty")
        entries = read_index(source, limits)
        try:
            _write(source, entries, top, limits)
        except BaseException:
            folders.empty(top)
            raise
    finally:
        os.close(top)
    return Unpacked(len(entries), sum(entry.size for entry in entries), _root(entries))


def _write(source: BinaryIO, entries: list[Entry], top: int, limits: ArchiveLimits) -> None:
    # Folder by folder, so that each is entered once.
    ordered = sorted(entries, key=lambda entry: (_parent(entry), entry.parts))
    flow = _Flow(limits)
    for parent, inside in itertools.groupby(ordered, _parent):
        place = _make_folders(top, parent)
        try:
            for entry in inside:
                if not entry.folder:
                    _write_file(source, entry, place, flow)
        finally:
            os.close(place)


def _parent(entry: Entry) -> tuple[str, ...]:
    return entry.parts if entry.folder else entry.parts[:-1]


def _make_folders(top: int, parts: Iterable[str]) -> int:
    place = os.open(".", _FOLDER, dir_fd=top)
    for part in parts:
        try:
            new = _make_folder(place, part)
        finally:
            os.close(place)
        place = new
    return place


def _make_folder(place: int, name: str) -> int:
    try:
        os.mkdir(name, 0o700, dir_fd=place)
    except FileExistsError:
        return os.open(name, _FOLDER, dir_fd=place)
    made = os.open(name, _FOLDER, dir_fd=place)
    os.fchmod(made, 0o755)
    return made


def _write_file(source: BinaryIO, entry: Entry, place: int, flow: _Flow) -> None:
    crc = size = 0
    with open(os.open(entry.parts[-1], _NEW, 0o600, dir_fd=place), "wb", buffering=0) as file:
        os.fchmod(file.fileno(), 0o755 if entry.executable else 0o644)
        flow.start(entry)
        for piece, used in _pieces(source, entry):
            size += len(piece)
            if size > entry.size:
                raise _damaged(entry, "holds more than it says")
            flow.count(len(piece), used)
            crc = zlib.crc32(piece, crc)
            while piece:
                piece = piece[file.write(piece) :]
    if size < entry.size:
        raise _damaged(entry, "holds less than it says")
    if crc != entry.crc:
        raise _damaged(entry, "is damaged: its checksum (CRC) does not fit")


def _pieces(source: BinaryIO, entry: Entry) -> Iterator[tuple[bytes, int]]:
    """The content in pieces of at most _CHUNK bytes, each with how many packed bytes it came from."""
    source.seek(entry.data)
    left = entry.packed
    if entry.method == STORED:
        while left and (piece := source.read(min(left, _CHUNK))):
            left -= len(piece)
            yield piece, len(piece)
        return
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflating.eof:
        if not (data := inflating.unconsumed_tail):
            data = source.read(min(left, _CHUNK))
            left -= len(data)
        try:
            piece = inflating.decompress(data, _CHUNK)
        except zlib.error as error:
            raise _damaged(entry, "is damaged: it cannot be inflated") from error
        if not data and not piece and not inflating.eof:
            raise _damaged(entry, "is damaged: it ends too early")
        yield piece, len(data) - len(inflating.unconsumed_tail) - len(inflating.unused_data)
    if left or inflating.unused_data:
        raise _damaged(entry, "is damaged: something lies behind its end")


class _Flow:
    """How much came out of how much, in the present file and in all of them."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._all = [0, 0]
        self.start(None)

    def start(self, entry: Entry | None) -> None:
        self._entry = entry
        self._one = [0, 0]

    def count(self, size: int, used: int) -> None:
        for both in (self._one, self._all):
            both[0] += size
            both[1] += used
            if both[0] > self._limits.ratio_from and both[0] > both[1] * self._limits.ratio:
                assert self._entry is not None
                raise BadArchive(
                    f"unpacks to more than {self._limits.ratio} times its size",
                    entry=self._entry.name,
                    code="archive_bomb",
                    status=413,
                )


def _damaged(entry: Entry, said: str) -> BadArchive:
    return BadArchive(said, entry=entry.name, code="archive_damaged")


def _root(entries: list[Entry]) -> Path:
    inside = {entry.parts[0] for entry in entries if len(entry.parts) > 1 or (entry.folder and entry.parts)}
    if any(entry.parts[0] in MAKEFILES for entry in entries if len(entry.parts) == 1 and not entry.folder):
        return Path()
    return Path(min(inside - {"__MACOSX"}, default="."))
