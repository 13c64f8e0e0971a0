"""Zip archives written byte by byte, so that every field of them can lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

FILE, FOLDER, LINK = 0o100644, 0o040755, 0o120777
ALL16, ALL32 = 0xFFFF, 0xFFFFFFFF

LOCAL = ["mark", "need", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra"]
CENTRAL = ["mark", "made", *LOCAL[1:], "comment", "disk", "internal", "attributes", "header"]
END = ["mark", "disk", "first", "here", "count", "length", "start", "comment"]


def deflate(content: bytes) -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packing.compress(content) + packing.flush()


@dataclass
class Item:
    """An entry. What ``central`` and ``local`` hold is put in place of the true fields, ``data`` in place of
    the packed content, ``tail`` behind it."""

    name: str | bytes
    content: bytes = b""
    mode: int = FILE
    method: int = 8
    flags: int = 0
    data: bytes | None = None
    tail: bytes = b""
    extra: bytes = b""
    local_extra: bytes = b""
    local_name: bytes | None = None
    central: Mapping[str, int] = field(default_factory=dict)
    local: Mapping[str, int] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        return self.name if isinstance(self.name, bytes) else self.name.encode()

    @property
    def packed(self) -> bytes:
        if self.data is not None:
            return self.data
        return deflate(self.content) if self.method == 8 else self.content

    def fields(self) -> dict[str, int]:
        return {
            "made": 3 << 8 | 20,
            "need": 20,
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.content),
            "packed": len(self.packed),
            "size": len(self.content),
            "attributes": self.mode << 16,
        }

    def header(self) -> bytes:
        name = self.raw if self.local_name is None else self.local_name
        told = self.fields() | {"name": len(name), "extra": len(self.local_extra)} | dict(self.local)
        values = [told.get(word, 0) for word in LOCAL[1:]]
        return struct.pack("<4s5H3I2H", b"PK\3\4", *values) + name + self.local_extra

    def listing(self, header: int) -> bytes:
        told = self.fields() | {"name": len(self.raw), "extra": len(self.extra), "header": header}
        values = [(told | dict(self.central)).get(word, 0) for word in CENTRAL[1:]]
        return struct.pack("<4s6H3I5H2I", b"PK\1\2", *values) + self.raw + self.extra


def build(
    *items: Item, end: Mapping[str, int] | None = None, comment: bytes = b"", before_end: bytes = b""
) -> bytes:
    """An archive of the items; ``end`` replaces fields of its end."""
    body, places = b"", []
    for item in items:
        places.append(len(body))
        body += item.header() + item.packed + item.tail
    return close(body, list(zip(items, places, strict=True)), end=end, comment=comment, before_end=before_end)


def close(
    body: bytes,
    placed: list[tuple[Item, int]],
    *,
    end: Mapping[str, int] | None = None,
    comment: bytes = b"",
    before_end: bytes = b"",
) -> bytes:
    """A body with the directory that says what lies where in it."""
    listing = b"".join(item.listing(place) for item, place in placed)
    told = {"here": len(placed), "count": len(placed), "length": len(listing), "start": len(body)}
    told |= {"comment": len(comment)} | dict(end or {})
    ending = struct.pack("<4s4H2IH", b"PK\5\6", *(told.get(word, 0) for word in END[1:]))
    return body + listing + before_end + ending + comment


def end64(count: int, length: int, start: int, *, disks: int = 1, record: int | None = None) -> bytes:
    """A zip64 record and the locator that leads to it."""
    here = start + length if record is None else record
    return struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start) + struct.pack(
        "<4sIQI", b"PK\6\7", 0, here, disks
    )


def same_place(count: int, content: bytes) -> bytes:
    """Entries that all are the same bytes of the archive, each under the name of its own that the directory
    gives."""
    one = Item("0", content)
    named = [Item(str(number), content) for number in range(count)]
    return close(one.header() + one.packed, [(item, 0) for item in named])


def quoted(count: int, content: bytes) -> bytes:
    """Entries each of which quotes the header of the next, and goes on with what that one holds: all headers
    are at places of their own, all checksums are right."""
    last = Item(f"{count:04}", content)
    body, inside, items = last.header() + last.packed, content, [(last, len(last.header() + last.packed))]
    for number in range(count - 1, 0, -1):
        header = items[0][0].header()
        data = struct.pack("<BHH", 0, len(header), len(header) ^ ALL16) + body
        inside = header + inside
        item = Item(f"{number:04}", inside, data=data)
        body = item.header() + data
        items.insert(0, (item, len(body)))
    return close(body, [(item, len(body) - behind) for item, behind in items])


def descriptor(content: bytes, *, mark: bool = True, wide: bool = False, crc: int | None = None) -> bytes:
    sizes = struct.pack("<2Q" if wide else "<2I", len(deflate(content)), len(content))
    told = struct.pack("<I", zlib.crc32(content) if crc is None else crc)
    return (b"PK\7\10" if mark else b"") + told + sizes


def streamed(name: str, content: bytes, tail: bytes) -> Item:
    """An entry that was packed into a pipe."""
    return Item(name, content, flags=8, tail=tail, local={"crc": 0, "packed": 0, "size": 0})


def long(*values: int) -> bytes:
    """A zip64 field."""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)
