"""There is no way out of the folder: not by names, not by links, not by races."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rota.handlers.files import FilePayload, process_file
from rota.handlers.settings import FileSettings
from rota.sdk.signature import BadPayload
from tests.handlers.bench import Bench
from tests.handlers.record import Record

Way = Callable[[Bench], None]
WAYS_OUT: dict[str, tuple[Way, str]] = {
    "../outside/secret": (lambda b: None, "must be relative"),
    "sub/../../outside/secret": (lambda b: None, "must be relative"),
    "sub/../a.txt": (lambda b: None, "must be relative"),
    "..": (lambda b: None, "must be relative"),
    "link": (lambda b: (b.inside / "link").symlink_to(b.outside / "secret"), "is a link"),
    "relative": (lambda b: (b.inside / "relative").symlink_to("../outside/secret"), "is a link"),
    "within": (lambda b: (b.inside / "within").symlink_to("a.txt"), "is a link"),
    "dir/secret": (lambda b: (b.inside / "dir").symlink_to(b.outside), "leads through a link"),
    "sub/deep/secret": (
        lambda b: (b.inside / "sub/deep").symlink_to("../../outside"),
        "leads through a link",
    ),
    "a.txt/x": (lambda b: None, "leads through a link or something that is no folder"),
    "sub": (lambda b: None, "is a folder"),
    "pipe": (lambda b: os.mkfifo(b.inside / "pipe"), "is no plain file"),
    "missing": (lambda b: None, "does not exist"),
    "sub/missing/x": (lambda b: None, "does not exist"),
    "sub/": (lambda b: None, "must name a file"),
    ".": (lambda b: None, "must name a file"),
    "": (lambda b: None, "must have 1 to 4096 bytes"),
    "a\0.txt": (lambda b: None, "must have 1 to 4096 bytes"),
    "x" * 5000: (lambda b: None, "must have 1 to 4096 bytes"),
    "y" * 300: (lambda b: None, "has a name that is too long"),
}


@pytest.mark.parametrize("path", WAYS_OUT, ids=lambda path: path[:30])
def test_there_is_no_way_out_for_reading(bench: Bench, path: str) -> None:
    prepare, told = WAYS_OUT[path]
    prepare(bench)
    before = time.monotonic()
    with pytest.raises(BadPayload, match=rf"^path.* {told}"):
        bench.run(operation="checksum", path=path)
    assert time.monotonic() - before < 2


def test_absolute_paths_are_refused_even_into_the_folder(bench: Bench) -> None:
    for path in (str(bench.inside / "a.txt"), str(bench.outside / "secret"), "//a.txt"):
        with pytest.raises(BadPayload, match="path must be relative to the folder"):
            bench.run(operation="checksum", path=path)


def test_sockets_and_devices_are_refused(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bench.inside / "sock"))
        with pytest.raises(BadPayload, match="is no plain file"):
            bench.run(operation="checksum", path="sock")
    with pytest.raises(BadPayload, match="is no plain file"):
        process_file(FileSettings(folder="/dev"))(Record().context(), FilePayload("checksum", "zero"))


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("../outside/new", "output must be relative"),
        ("/etc/new", "output must be relative"),
        ("dir/new", "output: 'dir/new' leads through a link"),
        ("link", "output: 'link' is a link"),
        ("pipe", "output: 'pipe' is no plain file"),
        ("sub", "output: 'sub' is a folder"),
        ("a.txt", "output: 'a.txt' is the file that is read"),
        ("./sub/.././a.txt", "output must be relative"),
        ("missing/new", "output: 'missing/new' does not exist"),
    ],
)
def test_there_is_no_way_out_for_writing(bench: Bench, output: str, told: str) -> None:
    (bench.inside / "dir").symlink_to(bench.outside)
    (bench.inside / "link").symlink_to(bench.outside / "secret")
    os.mkfifo(bench.inside / "pipe")
    before = bench.names()
    with pytest.raises(BadPayload, match=told):
        bench.run(operation="gzip", path="a.txt", output=output)
    assert bench.names() == before
    assert (bench.outside / "secret").read_bytes() == b"secret\n"
    assert [p.name for p in bench.outside.iterdir()] == ["secret"]
    assert (bench.inside / "a.txt").read_bytes() == b"one two\nthree\n"


def test_a_link_that_is_swapped_in_meanwhile_is_not_followed(bench: Bench) -> None:
    """A folder that flips between a real one and a link outside: what is read is inside, or nothing."""
    real, link = bench.inside / "real", bench.inside / "flip"
    real.mkdir()
    (real / "secret").write_bytes(b"harmless")
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            link.symlink_to(bench.outside)
            link.unlink()
            real.rename(link)
            link.rename(real)

    flipper = threading.Thread(target=flip)
    flipper.start()
    read = refused = 0
    try:
        deadline = time.monotonic() + 20
        while (read < 20 or refused < 20) and time.monotonic() < deadline:
            try:
                assert bench.run(operation="checksum", path="flip/secret").bytes == len(b"harmless")
                read += 1
            except BadPayload:
                refused += 1
    finally:
        stop.set()
        flipper.join()
    assert read >= 20
    assert refused >= 20


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_file_that_turns_into_something_else_is_not_opened(
    bench: Bench, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after it was looked at, which is the worst moment."""
    look = os.stat

    def look_and_swap(name: str, **options: Any) -> os.stat_result:
        found = look(name, **options)
        if name == "a.txt":
            (bench.inside / "a.txt").unlink()
            if kind == "link":
                (bench.inside / "a.txt").symlink_to(bench.outside / "secret")
            else:
                os.mkfifo(bench.inside / "a.txt")
        return found

    monkeypatch.setattr(os, "stat", look_and_swap)
    with pytest.raises(BadPayload, match="leads through a link" if kind == "link" else "is no plain file"):
        bench.run(operation="checksum", path="a.txt")


def test_the_folder_itself_may_be_a_link(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "door").symlink_to(bench.inside)
    handler = process_file(FileSettings(folder=str(tmp_path / "door")))
    assert handler(Record().context(), FilePayload("count", ".//a.txt")).words == 3


def test_a_missing_folder_is_no_fault_of_the_job(tmp_path: Path) -> None:
    handler = process_file(FileSettings(folder=str(tmp_path / "none")))
    with pytest.raises(FileNotFoundError):
        handler(Record().context(), FilePayload("count", "a.txt"))


def test_no_open_file_is_left_behind(bench: Bench) -> None:
    os.mkfifo(bench.inside / "pipe")
    (bench.inside / "link").symlink_to("a.txt")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a.txt", "pipe", "link", "missing", "sub", "sub/x/y", "../x"):
        for operation in ("checksum", "gzip", "gunzip"):
            with contextlib.suppress(BadPayload):
                bench.run(operation=operation, path=path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
