"""Archives of strangers: what is refused, by which code, and that nothing is left of it."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import socket
import stat
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.programs.archive import ArchiveLimits, BadArchive, Packed, Unpacked, pack, unpack
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


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, and the certainty that nothing beside it changes."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("here")
    place = tmp_path / "jobs" / "job"
    place.mkdir(parents=True)
    before = tree(tmp_path, but=place)
    descriptors = os.listdir("/proc/self/fd")
    yield place
    assert tree(tmp_path, but=place) == before
    assert os.listdir("/proc/self/fd") == descriptors


def tree(top: Path, *, but: Path | None = None) -> dict[str, str]:
    """Every path below, with permissions and a digest of what it holds."""
    found = {}
    for folder, folders, files in os.walk(top):
        if but is not None and Path(folder) == but.parent:
            folders.remove(but.name)
        for name in [*folders, *files]:
            path = Path(folder, name)
            kept = path.lstat()
            regular = stat.S_ISREG(kept.st_mode)
            held = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
            found[str(path.relative_to(top))] = f"{kept.st_mode:o} {held}"
    return found


def test_the_catalogue_is_as_long_as_promised() -> None:
    assert len(HOSTILE) >= 30
    assert set(WORDS) <= set(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_and_leaves_nothing(job: Path, name: str) -> None:
    archive, code, entry = HOSTILE[name]
    with pytest.raises(BadArchive) as refused:
        unpack(io.BytesIO(archive), job, LIMITS)
    assert (refused.value.code, refused.value.entry) == (code, entry)
    assert refused.value.status in (413, 422)
    assert WORDS.get(name, "") in refused.value.detail
    # The sentence is for a terminal: no control characters, whatever the names have.
    assert refused.value.detail.isprintable()
    assert (repr(entry)[1:-1][:50] if entry else "the archive") in refused.value.detail
    assert len(refused.value.detail) < 500
    assert not os.listdir(job)


def test_the_overlapping_bombs_would_work_elsewhere() -> None:
    # Otherwise they would prove nothing.
    archive = zips.quoted(100, b"x" * 100_000)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert len({info.header_offset for info in opened.infolist()}) == 100
        assert sum(info.file_size for info in opened.infolist()) > 500 * len(archive)
    header = zips.Item("0001").header()
    inflated = zlib.decompressobj(-15).decompress(archive[len(header) :])
    assert inflated.endswith(b"x" * 100_000)
    assert b"PK\3\4" in inflated


# --- what is welcome ---


def unpacked(archive: bytes, job: Path) -> Unpacked:
    return unpack(io.BytesIO(archive), job, LIMITS)


def test_content_and_permissions_are_those_of_the_archive(job: Path) -> None:
    items = [
        MAKEFILE,
        Item("go", b"#!/bin/sh\n", mode=0o106755),
        Item("mine", b"secret", mode=0o100600),
        Item("bare", b"", mode=0, method=0),
        Item("src/deep/größe", NOISE),
        Item("src/", mode=0o040000),
        Item("empty/", mode=FOLDER),
    ]
    old = os.umask(0o077)
    try:
        done = unpacked(build(*items), job)
    finally:
        os.umask(old)
    assert done == Unpacked(7, sum(len(item.content) for item in items), Path())
    assert {path: kept.split()[0] for path, kept in tree(job).items()} == {
        "Makefile": "100644",
        "go": "100755",
        "mine": "100644",
        "bare": "100644",
        "src": "40755",
        "src/deep": "40755",
        "src/deep/größe": "100644",
        "empty": "40755",
    }
    assert (job / "src/deep/größe").read_bytes() == NOISE


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["Makefile", "a/b"], "."),
        (["makefile", "a/Makefile"], "."),
        (["project/Makefile", "project/src/a"], "project"),
        (["b/Makefile", "a/Makefile", "readme"], "a"),
        (["__MACOSX/._x", "project/Makefile"], "project"),
        (["project/", "project/Makefile"], "project"),
        (["./Makefile", "./a/b"], "."),
        (["./project/Makefile"], "project"),
        (["readme"], "."),
        ([], "."),
    ],
)
def test_the_root_is_the_folder_or_the_first_one_in_it(job: Path, names: list[str], root: str) -> None:
    done = unpacked(build(*(Item(name, mode=0) for name in names)), job)
    assert done.root == Path(root)
    assert (job / done.root).is_dir()


def test_a_dot_for_the_folder_itself_is_nothing(job: Path) -> None:
    unpacked(build(Item("./", mode=FOLDER), Item("./a", b"x")), job)
    assert list(tree(job)) == ["a"]


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_entries_packed_into_a_pipe(job: Path, mark: bool, wide: bool) -> None:
    tail = zips.descriptor(b"content", mark=mark, wide=wide)
    unpacked(build(zips.streamed("one", b"content", tail), MAKEFILE), job)
    assert (job / "one").read_bytes() == b"content"


def test_zip64_where_it_says_the_truth(job: Path) -> None:
    packed = zips.deflate(b"content")
    fields = {"size": ALL32, "packed": ALL32, "header": ALL32}
    item = Item(
        "one",
        b"content",
        extra=zips.long(7, len(packed), 0),
        central=fields,
        local_extra=zips.long(7, len(packed)),
        local={"size": ALL32, "packed": ALL32},
    )
    start = len(item.header() + packed)
    end = {"here": ALL16, "count": ALL16, "length": ALL32, "start": ALL32}
    unpacked(build(item, end=end, before_end=zips.end64(1, len(item.listing(0)), start)), job)
    assert (job / "one").read_bytes() == b"content"


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("projects") / "project"
    (place / "src" / "größe ü").mkdir(parents=True)
    (place / "Makefile").write_text("run:\n\techo hello\n")
    (place / "src" / "größe ü" / "日本.txt").write_bytes(NOISE)
    (place / "src" / "empty").touch()
    (place / "go").write_text("#!/bin/sh\n")
    for path in (place, *place.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.name == "go" else 0o644)
    return place


@pytest.mark.parametrize("kind", ["flat", "in a folder", "to a pipe", "stored"])
def test_archives_of_the_zip_command(job: Path, project: Path, kind: str) -> None:
    options = {"flat": ["-qr"], "in a folder": ["-qr"], "to a pipe": ["-qr"], "stored": ["-q0r"]}[kind]
    place, what = (project.parent, project.name) if kind == "in a folder" else (project, ".")
    made = subprocess.run(["zip", *options, "-", what], cwd=place, capture_output=True, check=True)
    done = unpacked(made.stdout, job)
    assert tree(job / done.root) == tree(project)


class Pipe(io.BytesIO):
    """What zipfile cannot go back in."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("a pipe")

    def tell(self) -> int:
        raise OSError("a pipe")


@pytest.mark.parametrize("out", [io.BytesIO, Pipe])
@pytest.mark.parametrize("zip64", [True, False])
def test_archives_of_the_standard_module(
    job: Path, project: Path, out: type[io.BytesIO], zip64: bool
) -> None:
    made = out()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(project.rglob("*")):
            info = zipfile.ZipInfo.from_file(path, path.relative_to(project))
            if path.is_dir():
                archive.writestr(info, b"")
            else:
                with archive.open(info, "w", force_zip64=zip64) as file:
                    file.write(path.read_bytes())
        archive.comment = "größe".encode()
    unpacked(made.getvalue(), job)
    assert tree(job) == tree(project)


# --- around it ---


def test_a_folder_by_descriptor(job: Path) -> None:
    fd = os.open(job, os.O_RDONLY)
    try:
        assert unpack(io.BytesIO(HONEST), fd).entries == 4
        assert pack(fd, io.BytesIO()).entries == 4
    finally:
        os.close(fd)


def test_a_folder_that_is_not_empty_or_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="not empty"):
        unpack(io.BytesIO(HONEST), tmp_path)
    with pytest.raises(OSError, match="link"):
        unpack(io.BytesIO(HONEST), tmp_path / "link")
    assert (tmp_path / "file").read_text() == "mine"


class Failing(io.BytesIO):
    """A disk that breaks when the content of the last file is read."""

    broken_at = -1

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == self.broken_at:
            raise OSError("the disk broke")
        return super().read(size)


def test_nothing_is_left_when_the_disk_breaks(job: Path) -> None:
    archive = Failing(build(Item("a/b/first", NOISE), Item("z/last", b"content", method=0)))
    archive.broken_at = archive.getvalue().index(b"z/lastcontent") + len("z/last")
    with pytest.raises(OSError, match="the disk broke"):
        unpack(archive, job)
    assert not os.listdir(job)


class Meddling(io.BytesIO):
    """While the content of the first file is read, somebody puts something into the folder."""

    def __init__(self, archive: bytes, meddle: Callable[[], None]) -> None:
        super().__init__(archive)
        self.meddle: Callable[[], None] | None = meddle

    def read(self, size: int | None = -1) -> bytes:
        if self.meddle and self.getvalue().startswith(b"first content", self.tell()):
            self.meddle()
            self.meddle = None
        return super().read(size)


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_appears_meanwhile_is_not_written_through(job: Path, kind: str) -> None:
    outside = job.parent.parent / "outside"

    def meddle() -> None:
        if kind == "file":
            (job / "last").hardlink_to(outside / "precious")
        elif kind == "link":
            (job / "last").symlink_to(outside / "new")
        else:
            (job / "sub").symlink_to(outside)

    last = Item("sub/new" if kind == "folder" else "last", b"evil", method=0)
    archive = Meddling(build(Item("a", b"first content", method=0), last), meddle)
    with pytest.raises(OSError, match=r"exists|link|Not a directory"):
        unpack(archive, job)
    assert archive.meddle is None
    assert not os.listdir(job)


LETTERS = st.sampled_from(["a", "A", "é", "b/", "../", "/", "Makefile", ".", "x" * 90, "\\", "\n"])
ITEMS = st.builds(
    Item,
    st.lists(LETTERS, max_size=5).map("".join),
    st.one_of(st.binary(max_size=50), st.integers(0, 40_000).map(bytes)),
    st.sampled_from([zips.FILE, 0o100755, FOLDER, LINK, 0]),
    st.sampled_from([0, 8]),
)
EDITS = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 4), st.binary(max_size=6)), min_size=1, max_size=6
)
SMALL = ArchiveLimits(entries=6, bytes=30_000, ratio=50, ratio_from=1000, depth=3)


@given(archive=st.one_of(st.binary(max_size=300), st.lists(ITEMS, max_size=4).map(lambda i: build(*i))))
def test_whatever_is_sent_stays_inside(tmp_path_factory: pytest.TempPathFactory, archive: bytes) -> None:
    stays_inside(tmp_path_factory.mktemp("any"), archive)


@given(edits=EDITS, cut=st.integers(0, 20), streamed=st.booleans())
def test_honest_archives_with_bytes_changed_stay_inside(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, bytes]], cut: int, streamed: bool
) -> None:
    archive = HONEST
    if streamed:
        archive = build(MAKEFILE, zips.streamed("one", b"content", zips.descriptor(b"content")))
    changed = bytearray(archive)
    for place, length, new in edits:
        place %= len(changed) or 1
        changed[place : place + length] = new[:length] if cut else new
    stays_inside(tmp_path_factory.mktemp("changed"), bytes(changed))


def test_every_byte_changed_alone_stays_inside(tmp_path: Path) -> None:
    for place in range(len(HONEST)):
        for bits in (0xFF, 0x01):
            changed = bytearray(HONEST)
            changed[place] ^= bits
            stays_inside(tmp_path / f"{place}-{bits}", bytes(changed))


def stays_inside(place: Path, archive: bytes) -> None:
    job = place / "jobs" / "job"
    job.mkdir(parents=True)
    try:
        done = unpack(io.BytesIO(archive), job, SMALL)
    except BadArchive:
        assert not os.listdir(job)
    else:
        found = [path.lstat() for path in job.rglob("*")]
        assert all(stat.S_ISREG(kept.st_mode) or stat.S_ISDIR(kept.st_mode) for kept in found)
        assert {stat.S_IMODE(kept.st_mode) for kept in found} <= {0o644, 0o755}
        assert len(found) <= SMALL.entries
        sizes = sum(kept.st_size for kept in found if stat.S_ISREG(kept.st_mode))
        assert sizes == done.bytes <= SMALL.bytes
        assert sizes <= max(SMALL.ratio_from, SMALL.ratio * len(archive))
    assert list(tree(place, but=job)) == ["jobs"]
    shutil.rmtree(place)


# --- packing ---


def packed(place: Path, limits: ArchiveLimits | None = None) -> tuple[Packed, bytes]:
    out = io.BytesIO()
    return pack(place, out, limits), out.getvalue()


def test_what_was_packed_can_be_unpacked(job: Path, project: Path) -> None:
    (project / "hollow").mkdir(mode=0o755)
    os.utime(project / "go", (0, 0))
    os.utime(project / "Makefile", (1 << 33, 1 << 33))
    said, archive = packed(project)
    done = unpacked(archive, job)
    assert (said.entries, said.bytes, said.skipped) == (done.entries, done.bytes, [])
    assert tree(job) == tree(project)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert opened.getinfo("go").date_time[0] == 1980


def test_what_is_no_file_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "secret").write_text("secret")
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / "fine").write_text("fine")
    (out / "sub" / "link").symlink_to(tmp_path / "secret")
    (out / "folder").symlink_to(tmp_path / "more")
    (out / "dangling").symlink_to("nowhere")
    os.mkfifo(out / "pipe")
    (out / "a\\b").touch()
    (out / "a\nb").touch()
    os.close(os.open(os.fsencode(out) + b"/caf\xe9", os.O_CREAT | os.O_WRONLY))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(out / "socket"))
        said, archive = packed(out)
    assert (said.entries, said.bytes) == (2, 4)
    assert dict(said.skipped) == {
        "sub/link": "is a link",
        "folder": "is a link",
        "dangling": "is a link",
        "pipe": "is neither file nor folder",
        "socket": "is neither file nor folder",
        "a\\b": "has a backslash in its name",
        "a\nb": "has a control character in its name",
        "caf\\udce9": "has a name that is not UTF-8",
    }
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["fine", "sub/"]


def test_a_folder_that_is_a_link_a_file_or_missing(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "file").touch()
    for name in ("out", "file"):
        said, archive = packed(tmp_path / name)
        assert (said.entries, [path for path, _ in said.skipped]) == (0, ["."])
        assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == []
    assert packed(tmp_path / "missing")[0] == Packed()


def test_deep_folders_are_entered_as_far_as_allowed(tmp_path: Path) -> None:
    (tmp_path / "/".join("d" * 40)).mkdir(parents=True)
    said, _ = packed(tmp_path)
    assert said.entries == 32
    assert [why for _, why in said.skipped] == ["is deeper than 32 folders"]


def test_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadArchive) as refused:
        packed(tmp_path)
    assert (refused.value.code, refused.value.entry) == ("archive_too_large", "sparse")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(20)
    assert packed(tmp_path, ArchiveLimits(bytes=30))[0].bytes == 30
    with pytest.raises(BadArchive):
        packed(tmp_path, ArchiveLimits(bytes=29))


def test_too_many_are_refused_links_included(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"file{number}").touch()
        (tmp_path / f"link{number}").symlink_to("x")
    assert packed(tmp_path, ArchiveLimits(entries=6))[0].entries == 3
    with pytest.raises(BadArchive, match="more than 5") as refused:
        packed(tmp_path, ArchiveLimits(entries=5))
    assert refused.value.code == "archive_too_many"


def test_other_names_of_a_file_count_only_if_it_is_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    os.link(tmp_path / "mine", out / "mine")
    if os.geteuid() == 0:
        (tmp_path / "theirs").write_text("theirs")
        os.chown(tmp_path / "theirs", 4711, 4711)
        os.link(tmp_path / "theirs", out / "theirs")
    said, archive = packed(out)
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["mine"]
    assert [path for path, _ in said.skipped] == (["theirs"] if os.geteuid() == 0 else [])
