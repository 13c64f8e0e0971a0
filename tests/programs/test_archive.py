"""Archives of strangers: what is refused, by which code, and that nothing is left of it."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.programs.archive import ArchiveLimits, BadArchive, Unpacked, pack, unpack
from tests.programs import zips
from tests.programs.hostile_zips import HONEST, HOSTILE, LIMITS, MAKEFILE, NOISE, WORDS
from tests.programs.zips import ALL16, ALL32, FOLDER, LINK, Item, build


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


def test_zip64_where_it_only_repeats_the_sizes(job: Path) -> None:
    unpacked(build(Item("one", b"content", local_extra=zips.long(7, len(zips.deflate(b"content"))))), job)
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


# --- packing; more in test_archive_pack.py ---


def test_what_was_packed_can_be_unpacked(job: Path, project: Path) -> None:
    (project / "hollow").mkdir(mode=0o755)
    os.utime(project / "go", (0, 0))
    os.utime(project / "Makefile", (1 << 33, 1 << 33))
    out = io.BytesIO()
    said = pack(project, out)
    done = unpacked(archive := out.getvalue(), job)
    assert (said.entries, said.bytes, said.skipped) == (done.entries, done.bytes, [])
    assert tree(job) == tree(project)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert opened.getinfo("go").date_time[0] == 1980
