"""What a program left behind, packed: files only, and what was left out is told."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from pathlib import Path

import pytest

from rota.programs.archive import ArchiveLimits, BadArchive, Packed, pack


def packed(place: Path, limits: ArchiveLimits | None = None) -> tuple[Packed, bytes]:
    out = io.BytesIO()
    return pack(place, out, limits), out.getvalue()


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
