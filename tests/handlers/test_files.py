"""process_file: right answers in constant memory, and nothing left behind."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import tempfile
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.handlers import files
from rota.handlers.files import CHUNK, FilePayload, decompressed, process_file
from rota.handlers.settings import FileSettings
from rota.sdk.control import JobStopped
from rota.sdk.signature import BadPayload
from tests.handlers.bench import MIB, Bench
from tests.handlers.record import JOB_ID, Record


@pytest.mark.parametrize("algorithm", [None, "sha256", "sha512", "sha3_256", "blake2b", "sha1", "md5"])
def test_checksums(bench: Bench, algorithm: str | None) -> None:
    data = os.urandom(CHUNK * 2 + 17)
    (bench.inside / "sub/data").write_bytes(data)
    given: dict[str, Any] = {"algorithm": algorithm} if algorithm else {}
    result = bench.run(operation="checksum", path="sub/data", **given)
    assert result.algorithm == (algorithm or "sha256")
    assert result.checksum == hashlib.new(algorithm or "sha256", data).hexdigest()
    assert result.bytes == len(data)


def test_counts(bench: Bench) -> None:
    result = bench.run(operation="count", path="a.txt")
    assert (result.bytes, result.lines, result.words) == (14, 2, 3)
    (bench.inside / "empty").touch()
    result = bench.run(operation="count", path="empty")
    assert (result.bytes, result.lines, result.words) == (0, 0, 0)
    (bench.inside / "no-end").write_bytes("ein Wort mit ü und\u00a0Leerraum".encode())
    assert bench.run(operation="count", path="no-end").words == 5


@given(
    st.binary(max_size=200).map(lambda b: bytes(b"ab \t\n\v\f\r\x1c\x85\xff\x00"[c % 12] for c in b)),
    st.integers(1, 9),
)
def test_words_are_counted_right_wherever_a_chunk_ends(data: bytes, chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "CHUNK", chunk)
        Path(folder, "f").write_bytes(data)
        result = process_file(FileSettings(folder=folder))(Record().context(), FilePayload("count", "f"))
    assert (result.words, result.lines, result.bytes) == (len(data.split()), data.count(b"\n"), len(data))


def test_gzip_and_back(bench: Bench) -> None:
    data = os.urandom(CHUNK) + b"x" * CHUNK * 3
    (bench.inside / "data").write_bytes(data)
    (bench.inside / "data").chmod(0o640)
    packed = bench.run(operation="gzip", path="data")
    file = bench.inside / "data.gz"
    assert (packed.output, packed.bytes, packed.output_bytes) == ("data.gz", len(data), file.stat().st_size)
    assert gzip.decompress(file.read_bytes()) == data
    assert file.stat().st_mode & 0o777 == 0o640
    (bench.inside / "data").unlink()
    plain = bench.run(operation="gunzip", path="data.gz")
    assert (plain.output, plain.bytes, plain.output_bytes) == ("data", file.stat().st_size, len(data))
    assert (bench.inside / "data").read_bytes() == data
    assert bench.names() == {"a.txt", "sub", "data", "data.gz"}


def test_the_same_content_gives_the_same_gzip(bench: Bench) -> None:
    bench.run(operation="gzip", path="a.txt", output="one.gz")
    (bench.inside / "b.txt").write_bytes((bench.inside / "a.txt").read_bytes())
    os.utime(bench.inside / "b.txt", (1, 1))
    bench.run(operation="gzip", path="b.txt", output="sub/two.gz")
    one, two = (bench.inside / "one.gz").read_bytes(), (bench.inside / "sub/two.gz").read_bytes()
    assert one == two
    assert one[3:8] == b"\0\0\0\0\0"


def test_an_existing_output_is_replaced_in_one_step(bench: Bench) -> None:
    target = bench.inside / "a.txt.gz"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        seen: list[bytes] = []
        record = Record(on_progress=lambda value: seen.append(target.read_bytes()))
        bench.run(record, operation="gzip", path="a.txt")
        assert seen
        assert set(seen) == {b"old"}
        assert reader.read() == b"old"
    assert gzip.decompress(target.read_bytes()) == b"one two\nthree\n"


def test_several_members_and_padding(bench: Bench) -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two" * CHUNK) + b"\0" * 700
    (bench.inside / "m.gz").write_bytes(packed)
    assert bench.run(operation="gunzip", path="m.gz").output_bytes == 4 + 3 * CHUNK
    assert (bench.inside / "m").read_bytes() == b"one " + b"two" * CHUNK


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 64))
def test_gunzip_is_right_wherever_a_chunk_ends(parts: list[bytes], chunk: int) -> None:
    source = b"".join(map(gzip.compress, parts))
    chunks = (source[at : at + chunk] for at in range(0, len(source), chunk))
    assert b"".join(decompressed(chunks)) == b"".join(parts)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"no gzip at all", "is not sound gzip data"),
        (b"", "ends too early"),
        (gzip.compress(b"x" * 1000)[:-1], "ends too early"),
        (gzip.compress(os.urandom(1000))[:500], "ends too early"),
        (gzip.compress(b"x" * 1000)[:-8] + b"sum, len", "is not sound gzip data"),
        (gzip.compress(b"x") + b"garbage", "is not sound gzip data"),
    ],
    ids=["other", "empty", "one byte short", "half", "wrong checksum", "garbage behind"],
)
def test_broken_gzip_is_refused_and_leaves_nothing(bench: Bench, data: bytes, told: str) -> None:
    (bench.inside / "b.gz").write_bytes(data)
    with pytest.raises(BadPayload, match=f"path: 'b.gz' .*{told}"):
        bench.run(operation="gunzip", path="b.gz")
    assert bench.names() == {"a.txt", "sub", "b.gz"}


def test_a_bomb_stops_at_the_limit_and_leaves_nothing(bench: Bench) -> None:
    (bench.inside / "bomb.gz").write_bytes(gzip.compress(b"\0" * 64 * MIB))
    with pytest.raises(
        BadPayload, match="output: 'bomb' would have more than the 1048576 bytes allowed here"
    ):
        bench.run(most=MIB, operation="gunzip", path="bomb.gz")
    assert bench.names() == {"a.txt", "sub", "bomb.gz"}


def test_a_file_over_the_limit_is_not_read(bench: Bench) -> None:
    with pytest.raises(BadPayload, match=r"path: 'a\.txt' has 14 bytes; at most 13 are allowed here"):
        bench.run(most=13, operation="checksum", path="a.txt")


def test_a_file_that_grows_past_the_limit_is_not_followed(bench: Bench) -> None:
    grown = bench.inside / "grows"
    grown.write_bytes(b"x" * CHUNK)

    def grow(value: float) -> None:
        with grown.open("ab") as file:
            file.write(b"x" * CHUNK)

    with pytest.raises(BadPayload, match="has more than the"):
        bench.run(Record(grow), most=CHUNK * 5, operation="checksum", path="grows")


@pytest.mark.parametrize("operation", ["checksum", "count", "gzip"])
def test_progress_rises_to_one(bench: Bench, operation: str) -> None:
    (bench.inside / "big").write_bytes(b"line of words\n" * 100_000)
    record = Record()
    bench.run(record, operation=operation, path="big")
    assert len(record.reports) == 6
    assert record.reports == sorted(record.reports)
    assert record.reports[-1] == 1


@pytest.mark.parametrize("operation", ["checksum", "count", "gzip"])
def test_stops_between_chunks_and_leaves_nothing(bench: Bench, operation: str) -> None:
    (bench.inside / "big").write_bytes(b"x" * CHUNK * 8)
    record = Record()

    def stop(value: float) -> None:
        record.stop = "cancelled"

    record._on_progress = stop
    with pytest.raises(JobStopped):
        bench.run(record, operation=operation, path="big")
    assert len(record.reports) == 1
    assert bench.names() == {"a.txt", "sub", "big"}


def test_a_bomb_can_be_stopped_inside_one_chunk(bench: Bench) -> None:
    (bench.inside / "bomb.gz").write_bytes(gzip.compress(b"\0" * 64 * MIB))
    record = Record()
    temps: list[Path] = []

    def watch() -> None:
        while not temps:
            temps.extend(p for p in bench.inside.iterdir() if p.name.endswith(".tmp") and p.stat().st_size)
        record.stop = "cancelled"

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with pytest.raises(JobStopped):
        bench.run(record, operation="gunzip", path="bomb.gz")
    watcher.join(5)
    assert record.reports == []
    assert bench.names() == {"a.txt", "sub", "bomb.gz"}


@pytest.mark.parametrize("operation", ["checksum", "count", "gzip", "gunzip"])
def test_fifty_megabytes_take_no_more_memory_than_a_few_chunks(bench: Bench, operation: str) -> None:
    line = hashlib.sha256(b"seed").hexdigest().encode() + b" and more\n"
    big = bench.inside / "big"
    big.write_bytes(line * (50 * MIB // len(line)))
    if operation == "gunzip":
        bench.run(operation="gzip", path="big")
        big = bench.inside / "big.gz"
    tracemalloc.start()
    try:
        bench.run(operation=operation, path=big.name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * CHUNK


def test_a_disk_that_takes_no_more_leaves_nothing(bench: Bench) -> None:
    (bench.inside / "noise").write_bytes(os.urandom(CHUNK * 4))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK + 17, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            bench.run(operation="gzip", path="noise")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert bench.names() == {"a.txt", "sub", "noise"}


def test_what_a_killed_try_left_is_removed_by_the_next(bench: Bench) -> None:
    mine, other = bench.inside / f".rota-{JOB_ID}-12345678.tmp", bench.inside / ".rota-other-1.tmp"
    mine.touch()
    other.touch()
    bench.run(operation="gzip", path="a.txt", attempt=2)
    assert bench.names() == {"a.txt", "a.txt.gz", "sub", ".rota-other-1.tmp"}


def test_a_forgotten_try_cannot_publish_after_a_later_one(bench: Bench) -> None:
    """A frozen worker thaws: its half-written file is gone, and what the later try wrote stays."""
    (bench.inside / "big").write_bytes(b"x" * CHUNK * 3)
    record = Record()

    def meanwhile(value: float) -> None:
        record._on_progress = None
        bench.run(operation="gzip", path="big", attempt=2)

    record._on_progress = meanwhile
    with pytest.raises(FileNotFoundError):
        bench.run(record, operation="gzip", path="big")
    assert gzip.decompress((bench.inside / "big.gz").read_bytes()) == b"x" * CHUNK * 3
    assert bench.names() == {"a.txt", "sub", "big", "big.gz"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"operation": "checksum", "algorithm": "crc32"}, "algorithm must be one of sha256, sha512"),
        ({"operation": "count", "algorithm": "md5"}, "algorithm goes with operation checksum only"),
        ({"operation": "count", "output": "x"}, "output goes with operation gzip and gunzip only"),
        ({"operation": "gunzip"}, "output must be given, because path does not end in .gz"),
    ],
)
def test_fields_that_do_not_fit_are_refused(bench: Bench, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(BadPayload, match=told):
        bench.run(path="a.txt", **fields)
