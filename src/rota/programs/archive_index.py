"""The directory of a zip archive, read once and believed only as far as the rest of the file says the same.

Layouts are those of PKWARE's APPNOTE.TXT, section 4.3. Everything is little-endian.
"""

from __future__ import annotations

import itertools
import stat
import struct
from dataclasses import dataclass
from typing import BinaryIO

from rota.programs.archive_rules import ArchiveLimits, BadArchive, Names, parts_of, too_large, too_many

STORED, DEFLATED = 0, 8

_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_ALL16, _ALL32 = 0xFFFF, 0xFFFFFFFF

_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_DESCRIPTOR = 1 << 3
# Besides: how hard deflate tried, and names in UTF-8.
_KNOWN = _DESCRIPTOR | 1 << 1 | 1 << 2 | 1 << 11
# What the two headers of an entry have to agree on.
_AGREED = _ENCRYPTED | _DESCRIPTOR | 1 << 11
_DOS_LABEL, _DOS_FOLDER = 0x08, 0x10


@dataclass(slots=True)
class Entry:
    """One file or folder: ``size`` bytes, which are made of the ``packed`` ones from ``data`` on."""

    raw: bytes
    parts: tuple[str, ...]
    folder: bool
    executable: bool
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int
    data: int = 0

    @property
    def name(self) -> str:
        return self.raw.decode()


@dataclass(frozen=True, slots=True)
class _Directory:
    start: int
    stop: int
    count: int


def read_index(source: BinaryIO, limits: ArchiveLimits) -> list[Entry]:
    """The entries in the order in which they lie, each with a place of its own. Raises BadArchive.

    All but the content itself has been checked then. The sizes are what the archive claims; their sum is
    within ``limits.bytes``.
    """
    directory = _find(source)
    if directory.count > limits.entries:
        raise too_many(limits)
    entries = []
    names = Names(limits)
    total = 0
    at = directory.start
    for _ in range(directory.count):
        entry, at = _central(source, at, directory, limits)
        if entry.parts:
            names.add(entry.raw, entry.parts, folder=entry.folder)
        total += entry.size
        if total > limits.bytes:
            raise too_large(entry.name, limits)
        entries.append(entry)
    if at != directory.stop:
        raise BadArchive("has a directory of another size than it says")
    entries.sort(key=lambda entry: entry.header)
    for entry, after in itertools.zip_longest(entries, entries[1:]):
        _local(source, entry, after.header if after else directory.start)
    return entries


def _at(source: BinaryIO, at: int, length: int) -> bytes:
    source.seek(at)
    found = bytearray()
    while len(found) < length and (more := source.read(length - len(found))):
        found += more
    if len(found) < length:
        raise BadArchive("ends too early")
    return bytes(found)


def _find(source: BinaryIO) -> _Directory:
    size = source.seek(0, 2)
    tail = _at(source, at := max(0, size - _END.size - _ALL16), size - at)
    # A comment may hold whatever looks like an end; two that fit would be two archives in one.
    ends = []
    found = tail.find(b"PK\5\6")
    while 0 <= found <= len(tail) - _END.size:
        end = _END.unpack_from(tail, found)
        if found + _END.size + end[-1] == len(tail):
            ends.append((at + found, end))
        found = tail.find(b"PK\5\6", found + 1)
    if len(ends) != 1:
        raise BadArchive("has two ends" if ends else "is no zip archive, or its end is missing")
    stop, (_, disk, first_disk, here, count, length, start, _) = ends[0]
    if stop >= _LOCATOR.size:
        mark, end_disk, record, disks = _LOCATOR.unpack(_at(source, stop - _LOCATOR.size, _LOCATOR.size))
        if mark == b"PK\6\7":
            stop -= _LOCATOR.size
            if end_disk != 0 or disks > 1:
                raise BadArchive("is one part of several")
            if not 0 <= record <= stop - _END64.size:
                raise BadArchive("has a zip64 record that is not where it says")
            long = _END64.unpack(_at(source, record, _END64.size))
            if long[0] != b"PK\6\6" or record + 12 + long[1] != stop:
                raise BadArchive("has a zip64 record that is not where it says")
            short = (disk, first_disk, here, count, length, start)
            for told, most, truth in zip(short, [_ALL16] * 4 + [_ALL32] * 2, long[4:], strict=True):
                if told not in (most, truth):
                    raise BadArchive("says one thing in its end and another in its zip64 record")
            disk, first_disk, here, count, length, start = long[4:]
            stop = record
    if disk or first_disk or here != count:
        raise BadArchive("is one part of several")
    if start + length != stop:
        raise BadArchive(
            "has a directory that is not where it says: something is missing, or was put in front"
        )
    return _Directory(start, stop, count)


def _central(source: BinaryIO, at: int, directory: _Directory, limits: ArchiveLimits) -> tuple[Entry, int]:
    if at + _CENTRAL.size > directory.stop:
        raise BadArchive("has fewer entries than it says")
    mark, _, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, attributes, header = (
        _CENTRAL.unpack(_at(source, at, _CENTRAL.size))
    )
    after = at + _CENTRAL.size + sum(lengths)
    if mark != b"PK\1\2" or after > directory.stop:
        raise BadArchive("has a directory that cannot be read")
    raw, extra = _cut(_at(source, at + _CENTRAL.size, lengths[0] + lengths[1]), lengths[0])
    size, packed, header, disk = _long(
        raw, extra, [(size, _ALL32), (packed, _ALL32), (header, _ALL32), (disk, _ALL16)]
    )
    if disk:
        raise BadArchive("lies in another part of the archive", entry=raw)
    parts = parts_of(raw, limits)
    folder = raw.endswith(b"/")
    if flags & _ENCRYPTED:
        raise BadArchive("is encrypted", entry=raw, code="archive_encrypted")
    if method not in (STORED, DEFLATED) or flags & ~_KNOWN:
        raise BadArchive(
            f"is packed in a way that is not supported (method {method}, flags {flags:#x}): "
            "use deflate, or store it",
            entry=raw,
            code="archive_unsupported",
        )
    _check_kind(raw, folder, attributes, size)
    if method == STORED and packed != size:
        raise BadArchive("is stored, but has two sizes", entry=raw, code="archive_damaged")
    executable = bool(attributes >> 16 & 0o111)
    return Entry(raw, parts, folder, executable, flags, method, crc, packed, size, header), after


def _check_kind(raw: bytes, folder: bool, attributes: int, size: int) -> None:
    """Only files and folders. What the system is that packed it does not matter: readers differ in that."""
    kind = stat.S_IFMT(attributes >> 16)
    fault = None
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        names = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        fault = f"is {names.get(kind, 'a device')}; only files and folders are accepted"
    elif attributes & _DOS_LABEL:
        fault = "is the label of a disk; only files and folders are accepted"
    elif folder and (kind == stat.S_IFREG or size):
        fault = "has the name of a folder but is a file"
    elif not folder and (kind == stat.S_IFDIR or attributes & _DOS_FOLDER):
        fault = "has the name of a file but is a folder"
    if fault:
        raise BadArchive(fault, entry=raw, code="archive_bad_kind")


def _local(source: BinaryIO, entry: Entry, limit: int) -> None:
    """Check the header in front of an entry's content, and that nothing of it is behind ``limit``."""
    overlap = BadArchive("overlaps what comes after it", entry=entry.raw, code="archive_overlap")
    if entry.header + _LOCAL.size > limit:
        raise overlap
    mark, _, flags, method, _, _, crc, packed, size, *lengths = _LOCAL.unpack(
        _at(source, entry.header, _LOCAL.size)
    )
    differs = BadArchive(
        "differs from what the archive's directory says of it", entry=entry.raw, code="archive_damaged"
    )
    if mark != b"PK\3\4":
        raise differs
    entry.data = entry.header + _LOCAL.size + sum(lengths)
    if entry.data + entry.packed > limit:
        raise overlap
    raw, extra = _cut(_at(source, entry.header + _LOCAL.size, sum(lengths)), lengths[0])
    size, packed = _long(entry.raw, extra, [(size, _ALL32), (packed, _ALL32)])
    if raw != entry.raw or method != entry.method or (flags ^ entry.flags) & _AGREED:
        raise differs
    # Whoever packs into a pipe knows these only afterwards, and leaves them empty here.
    later = bool(flags & _DESCRIPTOR)
    for told, truth in ((crc, entry.crc), (size, entry.size), (packed, entry.packed)):
        if told != truth and not (later and told == 0):
            raise differs
    if later:
        end = entry.data + entry.packed
        found = _at(source, end, min(24, limit - end)).removeprefix(b"PK\7\10")
        if not found.startswith(
            (
                struct.pack("<3I", entry.crc, entry.packed & _ALL32, entry.size & _ALL32),
                struct.pack("<I2Q", entry.crc, entry.packed, entry.size),
            )
        ):
            raise differs


def _long(raw: bytes, extra: bytes, told: list[tuple[int, int]]) -> list[int]:
    """Values with those of the zip64 field in place of what is at its most; others it may not hold."""
    lie = BadArchive("has a zip64 field that does not fit", entry=raw, code="archive_damaged")
    fields: list[bytes] = []
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            fields.append(extra[at + 4 : at + 4 + length])
            if len(fields[0]) != length or len(fields) > 1:
                raise lie
        at += 4 + length
    field = fields[0] if fields else b""
    if field == struct.pack("<2Q", told[0][0], told[1][0]):
        # Older Pythons say it twice where it would not have been needed.
        return [value for value, _ in told]
    values = []
    for value, most in told:
        if value == most and fields:
            width = 8 if most == _ALL32 else 4
            if len(field) < width:
                raise lie
            value = int.from_bytes(field[:width], "little")
            field = field[width:]
        values.append(value)
    if field:
        raise lie
    return values


def _cut(joined: bytes, length: int) -> tuple[bytes, bytes]:
    return joined[:length], joined[length:]
