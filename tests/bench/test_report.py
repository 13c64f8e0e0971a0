"""The arithmetic and the drawing of a report, without a measurement."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from rota.bench import disk
from rota.bench.chart import page, svg
from rota.bench.disk import Store, absolute, file_system
from rota.bench.figures import Figure, Spread, at, median
from rota.bench.machine import Machine
from rota.bench.report import Options, Report, Unusable, load_warnings, read, store_warnings
from rota.bench.steps import STEPS
from rota.commands import bench as command

MACHINE = Machine('Evil <script> & "CPU"', 2.0, 2**33, "x86_64", "Linux 6", "CPython 3.13")


def report(*, store: Store | None = None, times: list[float] | None = None) -> Report:
    return Report(
        at="2026-01-31T08:30:00Z",
        seconds=1.0,
        machine=MACHINE,
        load_before=(0.0, 0.0, 0.0),
        load_after=(0.0, 0.0, 0.0),
        store=store or Store("postgresql", "postgresql://db/rota", "as its server is configured"),
        options=Options(("drain",), 1.0, 1, 0, 200),
        figures={"drain_rate": Figure.of("drain_rate", [1234.5]), "both_rate": Figure.of("both_rate", [0.0])},
        times={"pickup": Spread.of(times or [0.001, 0.002, 0.004])},
        warnings=("A note <b>.",),
    )


def test_percentiles_are_values_that_were_measured() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert [at(hundred, share) for share in (0, 50, 90, 99, 99.9, 100)] == [1, 50, 90, 99, 100, 100]
    assert at([7.0], 99) == 7
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2


def test_a_spread_counts_every_sample_once() -> None:
    spread = Spread.of([0.0, 0.00099, 0.001, 0.00101, 0.1, 12.0])
    assert (spread.samples, spread.max) == (6, 12000)
    counts = dict(spread.histogram)
    assert counts[1.0] == 2
    assert counts[100.0] == 1
    assert sum(counts.values()) == 6


def test_a_report_survives_json_and_another_format_is_refused() -> None:
    text = msgspec.json.encode(report())
    assert read(text) == report()
    with pytest.raises(Unusable, match="format 2"):
        read(text.replace(b'"format":1', b'"format":2'))
    with pytest.raises(Unusable, match="no report"):
        read(b"\xff")


@pytest.mark.parametrize("times", [[0.001], [1e-9, 30.0], [0.5] * 1000], ids=["one", "far apart", "same"])
def test_drawings_are_well_formed_whatever_is_in_them(times: list[float]) -> None:
    one = report(times=times)
    root = ET.fromstring(svg(one, one))
    texts = "".join(root.itertext())
    assert 'Evil <script> & "CPU"' in texts
    assert "1,234 (×1.00)" in texts
    assert "<script" not in page(one)
    assert "<b>" not in page(one)
    width = float(root.attrib["width"])
    for shape in root:
        for name in ("x", "x1", "x2"):
            assert 0 <= float(shape.attrib.get(name, 0)) <= width
        assert "nan" not in str(shape.attrib)


def test_a_loaded_machine_and_a_store_in_memory_are_told() -> None:
    assert not load_warnings(MACHINE, (0.9, 9, 9))
    assert "other work (load 1.1, 2 cores)" in load_warnings(MACHINE, (1.1, 0, 0))[0]
    assert "in memory" in store_warnings(report().store, True)[0]
    assert not store_warnings(report().store, False)
    assert file_system(Path("/proc")) == "proc"


def test_the_store_of_a_relative_url_is_the_one_of_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:///a/b.db?vfs=x") == f"sqlite:///{tmp_path}/a/b.db?vfs=x"
    assert absolute("sqlite:////a.db") == "sqlite:////a.db"
    assert absolute("postgresql://u:p@h/d") == "postgresql://u:p@h/d"
    assert disk.file_of("postgresql://h/d") is None
    assert disk.describe("postgresql://h/d", "postgresql://h/d", 5).fsync_in_a_row is None


def test_temporary_stores_keep_away_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "file_system", lambda folder: "tmpfs" if folder == tmp_path else "ext4")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert disk.temporary_home() != tmp_path


def test_the_command_knows_the_steps_there_are() -> None:
    assert tuple(STEPS) == command.STEPS
