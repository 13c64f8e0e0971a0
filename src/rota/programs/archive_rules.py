"""What an archive may hold: how much, under which names; and the error that says which entry breaks it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from rota.model.errors import BadInput

_SHOWN = 120
_LINE_BREAKERS = {"Cc", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much an archive may hold.

    ``entries`` counts files and folders, those too that are only part of a path; ``bytes`` is the content,
    unpacked. Content may be ``ratio`` times as large as what it is packed in, in each file and in all
    together; below ``ratio_from`` bytes that is not looked at. ``part_bytes`` is for a name between
    slashes, ``path_bytes`` for all of it; ``depth`` counts such names.
    """

    entries: int = 10_000
    bytes: int = 512 << 20
    ratio: int = 100
    ratio_from: int = 1 << 20
    part_bytes: int = 255
    path_bytes: int = 1024
    depth: int = 32


class BadArchive(BadInput):
    """An archive that is not accepted; ``entry`` is the name of what is at fault, None for the whole."""

    code = "archive_unreadable"

    def __init__(
        self, said: str, *, entry: str | bytes | None = None, code: str | None = None, status: int = 422
    ) -> None:
        if isinstance(entry, bytes):
            entry = entry.decode(errors="backslashreplace")
        self.entry = entry
        what = "the archive" if entry is None else f"{_cut(entry)!r} in the archive"
        super().__init__(f"{what} {said}", code=code, status=status)


def too_many(limits: ArchiveLimits) -> BadArchive:
    """The error for more entries than ``limits.entries``."""
    return BadArchive(
        f"holds more than {limits.entries} files and folders", code="archive_too_many", status=413
    )


def too_large(entry: str, limits: ArchiveLimits) -> BadArchive:
    """The error for more content than ``limits.bytes``, which ``entry`` is one too many for."""
    return BadArchive(
        f"is too large: all files together may have {limits.bytes} bytes",
        entry=entry,
        code="archive_too_large",
        status=413,
    )


def parts_of(raw: bytes, limits: ArchiveLimits) -> tuple[str, ...]:
    """The names that an entry's name is made of; () for the top folder itself. Raises BadArchive.

    A ``./`` in front is passed over, since some tools write it; nothing else is made good.
    """
    if raw == b"./":
        return ()
    # What is no UTF-8 becomes halves of surrogate pairs, which are told below.
    name = raw.decode(errors="surrogateescape").removeprefix("./")
    if fault := name_fault(name, limits):
        raise BadArchive(fault, entry=raw, code="archive_bad_name")
    return tuple(name.removesuffix("/").split("/"))


def name_fault(name: str, limits: ArchiveLimits) -> str | None:
    """What is wrong with the name of an entry, to be read behind it; None if nothing is."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    parts = name.removesuffix("/").split("/")
    if length > limits.path_bytes:
        return f"has a name of more than {limits.path_bytes} bytes"
    if any(unicodedata.category(letter) in _LINE_BREAKERS for letter in name):
        return "has a control character in its name"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/"):
        return "has an absolute path"
    if re.match("[A-Za-z]:", name):
        return "has a drive in its name"
    if ".." in parts:
        return "has '..' in its path"
    if "." in parts or "" in parts:
        return "has an empty name or '.' in its path"
    if len(parts) > limits.depth:
        return f"is deeper than {limits.depth} folders"
    if any(len(part.encode()) > limits.part_bytes for part in parts):
        return f"has a name of more than {limits.part_bytes} bytes in its path"
    return None


class Names:
    """The names met so far, so that no two mean the same place on any file system."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        # By the folded name: as it was written, whether a folder, whether an entry of its own.
        self._known: dict[str, tuple[str, bool, bool]] = {}

    def add(self, entry: bytes, parts: tuple[str, ...], *, folder: bool) -> None:
        """Take the path of an entry, and those of the folders above it. Raises BadArchive."""
        folded = [_folded(part) for part in parts]
        for length in range(1, len(parts) + 1):
            own = length == len(parts)
            name = "/".join(parts[:length])
            fault = self._add(name, "/".join(folded[:length]), folder=folder or not own, own=own)
            if fault:
                above = "" if own else f"lies in {_cut(name)!r}, which "
                raise BadArchive(above + fault, entry=entry, code="archive_duplicate_name")

    def _add(self, name: str, folded: str, *, folder: bool, own: bool) -> str | None:
        was, was_folder, was_own = self._known.setdefault(folded, (name, folder, False))
        self._known[folded] = was, was_folder, was_own or own
        if len(self._known) > self._limits.entries:
            raise too_many(self._limits)
        if was != name:
            return f"differs from {_cut(was)!r} only in case or in Unicode form"
        if was_folder != folder:
            return "is a file and a folder"
        return "is there twice" if was_own and own else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _cut(name: str) -> str:
    return name if len(name) <= _SHOWN else name[: _SHOWN - 1] + "…"
