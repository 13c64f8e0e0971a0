"""A catalogue of archives that are hostile or broken, made here byte by byte."""

from __future__ import annotations

import random
import stat

from rota.programs.archive import ArchiveLimits
from tests.programs import zips
from tests.programs.zips import ALL16, ALL32, FOLDER, LINK, Item, build

MAKEFILE = Item("Makefile", b"run:\n\techo hello\n")
# Where the directory of an archive of this one file begins, and how long it is.
START, LENGTH = len(MAKEFILE.header() + MAKEFILE.packed), len(MAKEFILE.listing(0))
LIMITS = ArchiveLimits(entries=50, bytes=4 << 20)
ZEROS = bytes(3 << 20)
NOISE = random.Random(1).randbytes(200_000)
HONEST = build(MAKEFILE, Item("src/", mode=FOLDER), Item("src/a", b"a" * 500), Item("b", b"b", method=0))


def unreadable(archive: bytes) -> tuple[bytes, str, str | None]:
    return archive, "archive_unreadable", None


def at_fault(
    item: Item, code: str, *, before: tuple[Item, ...] = (MAKEFILE,)
) -> tuple[bytes, str, str | None]:
    return build(*before, item), code, item.raw.decode(errors="backslashreplace")


def bad_name(name: str | bytes) -> tuple[bytes, str, str | None]:
    return at_fault(Item(name, b"x"), "archive_bad_name")


def bad_kind(mode: int, name: str = "thing") -> tuple[bytes, str, str | None]:
    return at_fault(Item(name, b"/etc/passwd", mode=mode), "archive_bad_kind")


def twice(first: Item, second: Item) -> tuple[bytes, str, str | None]:
    return at_fault(second, "archive_duplicate_name", before=(MAKEFILE, first))


def damaged(item: Item) -> tuple[bytes, str, str | None]:
    return at_fault(item, "archive_damaged")


def one(**told: int) -> Item:
    return Item("one", b"content", central=told, local=told)


# What is hostile or broken, the code it is refused with, and the entry that is named (None: the whole).
HOSTILE: dict[str, tuple[bytes, str, str | None]] = {
    "nothing": unreadable(b""),
    "text": unreadable(b"run:\n\techo hello\n" * 9),
    "cut in the end": unreadable(HONEST[:-1]),
    "cut in the directory": unreadable(HONEST[:-60]),
    "cut at the front": unreadable(HONEST[10:]),
    "something in front": unreadable(b"#!/bin/sh\n" + HONEST),
    "something behind": unreadable(HONEST + b"\n"),
    "two ends": unreadable(build(MAKEFILE, comment=build())),
    "part of several": unreadable(build(MAKEFILE, end={"disk": 1})),
    "directory in another part": unreadable(build(MAKEFILE, end={"first": 1})),
    "entries in another part": unreadable(build(MAKEFILE, end={"count": 2})),
    "an entry in another part": (build(one(disk=3)), "archive_unreadable", "one"),
    "fewer entries than told": unreadable(build(MAKEFILE, end={"here": 2, "count": 2})),
    "more entries than told": unreadable(build(MAKEFILE, Item("b"), end={"here": 1, "count": 1})),
    "zip64 elsewhere": unreadable(build(MAKEFILE, before_end=zips.end64(1, LENGTH, START, record=1 << 63))),
    "zip64 that is none": unreadable(build(MAKEFILE, before_end=zips.end64(1, LENGTH, START, record=0))),
    "zip64 contradicts": unreadable(build(MAKEFILE, before_end=zips.end64(7, LENGTH, START))),
    "zip64 in parts": unreadable(build(MAKEFILE, before_end=zips.end64(1, LENGTH, START, disks=2))),
    "zip64 field missing values": damaged(
        Item("one", b"x", extra=zips.long(1), central={"size": ALL32, "packed": ALL32})
    ),
    "zip64 field unasked": damaged(Item("one", b"x", extra=zips.long(1 << 40))),
    "zip64 field twice": damaged(
        Item("one", b"x", extra=zips.long(1) + zips.long(2), central={"size": ALL32, "packed": ALL32})
    ),
    "zip64 field cut": damaged(Item("one", b"x", extra=zips.long(1)[:-2], central={"size": ALL32})),
    "zip64 field shorter than told": damaged(
        Item("one", b"x", extra=b"\1\0\12\0" + zips.long(1)[4:], central={"size": ALL32})
    ),
    "zip64 field twice the same": damaged(
        Item("one", b"x", extra=zips.long(1) + zips.long(1), central={"size": ALL32})
    ),
    "directory of something else": unreadable(HONEST.replace(b"PK\1\2", b"PK\1\3", 1)),
    "directory entry beyond its end": unreadable(build(MAKEFILE, Item("one", central={"comment": 500}))),
    "zip64 size a lie": (
        build(Item("one", b"x", extra=zips.long(1 << 62), central={"size": ALL32})),
        "archive_too_large",
        "one",
    ),
    "climbs": bad_name("../outside/precious"),
    "climbs in the middle": bad_name("a/../../outside/precious"),
    "climbs at the end": bad_name("a/.."),
    "absolute": bad_name("/etc/cron.d/job"),
    "absolute behind a dot": bad_name(".//etc/cron.d/job"),
    "backslash": bad_name("..\\outside\\precious"),
    "drive": bad_name("C:windows"),
    "NUL": bad_name("Makefile\0.txt"),
    "line break": bad_name("a\nb"),
    "escape sequence": bad_name("\x1b[2Jgone"),
    "line separator": bad_name("a\u2028b"),
    "no name": bad_name(""),
    "dot": bad_name("."),
    "dots in the middle": bad_name("a/./b"),
    "empty part": bad_name("a//b"),
    "no UTF-8": bad_name(b"caf\xe9"),
    "long part": bad_name("x" * 256),
    "long part in letters of two bytes": bad_name("é" * 128),
    "long path": bad_name("/".join(["x" * 200] * 6)),
    "deep": bad_name("/".join("d" * 33)),
    "link": bad_kind(LINK),
    "named pipe": bad_kind(stat.S_IFIFO | 0o644),
    "socket": bad_kind(stat.S_IFSOCK | 0o644),
    "character device": bad_kind(stat.S_IFCHR | 0o644),
    "block device": bad_kind(stat.S_IFBLK | 0o644),
    "link by a system that has none": at_fault(
        Item("thing", b"/etc", central={"made": 20, "attributes": LINK << 16}), "archive_bad_kind"
    ),
    "label of a disk": at_fault(Item("DISK", central={"attributes": 8}), "archive_bad_kind"),
    "file named as a folder": bad_kind(zips.FILE, "folder/"),
    "empty file named as a folder": at_fault(Item("folder/", method=0), "archive_bad_kind"),
    "folder with content": bad_kind(FOLDER, "folder/"),
    "folder named as a file": bad_kind(FOLDER),
    "folder of another system named as a file": at_fault(
        Item("thing", central={"attributes": 0x10}), "archive_bad_kind"
    ),
    "same name twice": twice(Item("a", b"1"), Item("a", b"2")),
    "same folder twice": twice(Item("a/", mode=FOLDER), Item("a/", mode=FOLDER)),
    "case": twice(Item("a"), Item("A")),
    "case of a folder": twice(Item("Src/a"), Item("src/b")),
    "folding to more letters": twice(Item("straße"), Item("STRASSE")),
    "Unicode form": twice(Item("caf\u00e9"), Item("cafe\u0301")),
    "file, then folder": twice(Item("a"), Item("a/b")),
    "folder, then file": twice(Item("a/b"), Item("a")),
    "dot in front": twice(Item("a"), Item("./a")),
    "encrypted": at_fault(Item("one", b"x", flags=1), "archive_encrypted"),
    "strongly encrypted": at_fault(Item("one", b"x", flags=1 << 6 | 1), "archive_encrypted"),
    "directory encrypted": at_fault(Item("one", b"x", flags=1 << 13), "archive_encrypted"),
    "bzip2": at_fault(Item("one", b"x", method=12), "archive_unsupported"),
    "AES": at_fault(Item("one", b"x", method=99), "archive_unsupported"),
    "a patch": at_fault(Item("one", b"x", flags=1 << 5), "archive_unsupported"),
    "checksum": damaged(one(crc=1)),
    "checksum of an empty file": damaged(Item("one", method=0, central={"crc": 1}, local={"crc": 1})),
    "inflates to more": damaged(one(size=6)),
    "inflates to less": damaged(one(size=8)),
    "stored with two sizes": damaged(Item("one", b"content", method=0, central={"size": 3})),
    "no deflate": damaged(Item("one", b"content", data=b"\xff" * 20)),
    "deflate cut": damaged(Item("one", NOISE, data=zips.deflate(NOISE)[:-5])),
    "deflate and more": damaged(Item("one", b"content", data=zips.deflate(b"content") + b"hidden")),
    "deflate and much more": damaged(Item("one", b"content", data=zips.deflate(b"content") + NOISE)),
    "deflate to the end of what is read at once, and more": damaged(
        Item("one", NOISE[:65_531], data=b"\1\xfb\xff\x04\0" + NOISE[:65_531] + NOISE)
    ),
    "no deflate at all": damaged(Item("one", b"", data=b"")),
    "local name differs": damaged(Item("one", b"x", local_name=b"../one")),
    "local method differs": damaged(Item("one", b"x", local={"method": 0})),
    "local checksum differs": damaged(Item("one", b"x", local={"crc": 5})),
    "local size differs": damaged(Item("one", b"x", local={"size": 5})),
    "local packed size differs": damaged(Item("one", b"x", local={"packed": 0})),
    "local zip64 size differs": damaged(
        Item("one", b"x", local_extra=zips.long(9, 3), local={"size": ALL32, "packed": ALL32})
    ),
    "local zip64 size unasked": damaged(Item("one", b"x", local_extra=zips.long(9, 3))),
    "encrypted by the local header": damaged(Item("one", b"x", local={"flags": 1})),
    "no local header": (HONEST.replace(b"PK\3\4", b"PK\3\5", 1), "archive_damaged", "Makefile"),
    "descriptor missing": damaged(zips.streamed("one", b"content", b"")),
    "descriptor differs": damaged(zips.streamed("one", b"content", zips.descriptor(b"content", crc=9))),
    "local says otherwise though streamed": damaged(
        Item("one", b"x", flags=8, tail=zips.descriptor(b"x"), local={"crc": 0, "packed": 0, "size": 7})
    ),
    "overlap: the same bytes": (zips.same_place(40, b"x" * 1000), "archive_overlap", "0"),
    "overlap: quoted headers": (zips.quoted(40, b"x" * 1000), "archive_overlap", "0001"),
    "overlap: into the directory": (
        build(Item("one", b"x", method=0, central={"size": 50, "packed": 50})),
        "archive_overlap",
        "one",
    ),
    "overlap: header in the directory": (build(one(header=40)), "archive_overlap", "one"),
    "overlap: header beyond all": (build(one(header=ALL32)), "archive_overlap", "one"),
    "too many": (build(*(Item(str(number)) for number in range(51))), "archive_too_many", None),
    "too many folders in paths": (
        build(*(Item(f"{number}/b/c/d/e/f") for number in range(9))),
        "archive_too_many",
        None,
    ),
    "too many by zip64": (
        build(MAKEFILE, end={"here": ALL16, "count": ALL16}, before_end=zips.end64(1 << 60, LENGTH, START)),
        "archive_too_many",
        None,
    ),
    "too large in one": (build(Item("one", bytes(5 << 20))), "archive_too_large", "one"),
    "too large together": (build(Item("one", ZEROS), Item("two", ZEROS)), "archive_too_large", "two"),
    "bomb": (build(MAKEFILE, Item("one", ZEROS)), "archive_bomb", "one"),
    "bomb behind noise": (
        build(Item("noise", NOISE, method=0), Item("one", ZEROS)),
        "archive_bomb",
        "one",
    ),
    "bomb of many": (
        build(*(Item(f"{number:02}", bytes(1 << 19)) for number in range(4))),
        "archive_bomb",
        "02",
    ),
    "bomb that says it is small": (
        build(Item("one", ZEROS, central={"size": 100}, local={"size": 100})),
        "archive_damaged",
        "one",
    ),
    "bomb in a bomb": (
        build(Item("inner.zip", build(Item("one", ZEROS), Item("two", ZEROS)) * 400)),
        "archive_bomb",
        "inner.zip",
    ),
}

# What the sentence has to say where other faults have the same code.
WORDS = {
    "something in front": "not where it says",
    "two ends": "two ends",
    "part of several": "one part of several",
    "directory in another part": "one part of several",
    "entries in another part": "one part of several",
    "fewer entries than told": "fewer entries",
    "more entries than told": "another size",
    "directory of something else": "cannot be read",
    "directory entry beyond its end": "cannot be read",
    "zip64 elsewhere": "zip64 record that is not where",
    "zip64 that is none": "zip64 record that is not where",
    "zip64 contradicts": "another in its zip64 record",
    "zip64 in parts": "one part of several",
    "zip64 field missing values": "zip64 field",
    "zip64 field unasked": "zip64 field",
    "climbs": "'..'",
    "absolute": "absolute",
    "absolute behind a dot": "absolute",
    "NUL": "control character",
    "no UTF-8": "not UTF-8",
    "long path": "more than 1024 bytes",
    "deep": "deeper than 32",
    "link": "is a link",
    "named pipe": "is a named pipe",
    "block device": "is a device",
    "case of a folder": "'src', which differs from 'Src' only in case",
    "file, then folder": "'a', which is a file and a folder",
    "checksum": "CRC",
    "inflates to more": "more than it says",
    "inflates to less": "less than it says",
    "stored with two sizes": "two sizes",
    "deflate cut": "too early",
    "deflate and more": "behind its end",
    "deflate and much more": "behind its end",
    "local name differs": "directory says",
    "bomb that says it is small": "more than it says",
}
