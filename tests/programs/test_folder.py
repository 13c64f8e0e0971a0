"""Folders that a program may have done anything to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rota.programs import folder


def test_wiping_follows_no_link_and_minds_no_permission(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("here")
    job = tmp_path / "job"
    (job / "a" / "b").mkdir(parents=True)
    (job / "a" / "b" / "file").write_text("x")
    (job / "a" / "out").symlink_to(outside)
    (job / "out").symlink_to(outside)
    os.mkfifo(job / "fifo")
    (job / "a" / "b").chmod(0)
    (job / "a").chmod(0)
    job.chmod(0)
    folder.wipe(job)
    assert not job.exists()
    assert (outside / "file").read_text() == "here"
    folder.wipe(job)  # there is nothing any more, and that is well


def test_wiping_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="link"):
        folder.wipe(tmp_path / "link")
    assert (tmp_path / "precious" / "file").exists()


def deep(top: Path, levels: int) -> None:
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 200, dir_fd=fd)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def test_any_depth_is_wiped_and_counts_as_too_much(tmp_path: Path) -> None:
    deep(tmp_path / "job", 500)
    assert folder.size(tmp_path / "job", 1 << 40) > 1 << 40
    before = len(os.listdir("/proc/self/fd"))
    folder.wipe(tmp_path / "job")
    assert len(os.listdir("/proc/self/fd")) == before
    assert not (tmp_path / "job").exists()


def test_the_size_counts_every_thing_and_stops_early(tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    for number in range(10):
        (job / str(number)).touch()
    assert folder.size(job, 1 << 40) == 10 * folder.SMALLEST
    (job / "inner").mkdir()
    (job / "inner" / "file").write_bytes(b"x" * 100_000)
    (job / "hole").touch()
    os.truncate(job / "hole", 1 << 40)
    assert 100_000 <= folder.size(job, 1 << 40) < 300_000
    assert folder.size(job, 1000) == folder.SMALLEST


def test_a_file_with_a_second_name_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    job = tmp_path / "job"
    (job / "inner").mkdir(parents=True)
    (job / "inner" / "file").hardlink_to(tmp_path / "elsewhere")
    with pytest.raises(folder.Odd, match="more than one name"):
        folder.give(job, os.getuid(), os.getgid())


def test_a_link_is_given_itself_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    job = tmp_path / "job"
    job.mkdir()
    (job / "link").symlink_to(tmp_path / "elsewhere")
    uid = 1_900_000_500 if os.geteuid() == 0 else os.getuid()
    folder.give(job, uid, os.getgid())
    assert (job / "link").lstat().st_uid == job.stat().st_uid == uid
    assert (tmp_path / "elsewhere").stat().st_uid == os.getuid()
