"""`rota bench`, really run, with little work: what it prints and draws, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from rota.bench.figures import KINDS
from rota.bench.report import Report
from rota.engines.open import open_engine
from rota.model.job import Match
from tests.cli.kit import Cli, alive, children_of, end_all, wait_until

LITTLE = ("bench", "--scale", "0.002")


@pytest.fixture
def cli(tmp_path: Path) -> object:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    yield Cli(tmp_path, "http://127.0.0.1:1", TMPDIR=str(temporary), TERM="xterm")
    end_all()


def store_of(folder: Path) -> str:
    return f"sqlite:///{folder}/jobs.db"


async def fill(store: str, jobs: int = 1) -> None:
    """A store that holds jobs of somebody's."""
    from rota.model.spec import JobSpec, Limits, request

    engine = await open_engine(store)
    await engine.enqueue([request([JobSpec(type="theirs")] * jobs, 1_000, Limits())], 1_000)
    await engine.close()


async def held(store: str) -> list[tuple[str, str]]:
    engine = await open_engine(store)
    try:
        assert not await engine.notes("paused")
        return [(job.type, str(job.state)) for job in (await engine.find(Match(), 500)).jobs]
    finally:
        await engine.close()


def test_it_measures_everything_prints_json_draws_and_leaves_nothing(cli: Cli) -> None:
    ran = cli(*LITTLE, "--json", "--rounds", "2", "--chart", "figures.svg")
    assert ran.status == 0, ran
    report = msgspec.json.decode(ran.out, type=Report, strict=True)
    assert (report.format, report.options.rounds, report.options.pending) == (1, 2, 0)
    assert list(report.figures) == [name for name in KINDS if not name.startswith("across")]
    for name, figure in report.figures.items():
        assert len(figure.rounds) == 2
        assert figure.value == min(figure.rounds) > 0
        assert (figure.unit, figure.better) == (KINDS[name].unit, KINDS[name].better)
    assert set(report.times) == {"enqueue_1", "enqueue_64", "enqueue_bulk", "pickup"}
    for spread in report.times.values():
        assert spread.samples == sum(count for _, count in spread.histogram) > 0
        assert 0 < spread.p50 <= spread.p90 <= spread.p99 <= spread.p999 <= spread.max < 20_000
        limits = [limit for limit, _ in spread.histogram]
        assert limits == sorted(limits)
        assert limits[-1] >= spread.max * 0.999
    assert report.machine.cores > 0
    assert report.machine.memory > 2**28
    assert report.store.kind == "sqlite"
    assert report.store.fsync_in_a_row is not None
    assert 0 < report.store.fsync_in_a_row.p50_ms <= report.store.fsync_in_a_row.p99_ms
    assert len(report.load_before) == len(report.load_after) == 3
    drawing = ET.parse(cli.folder / "figures.svg").getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    texts = "".join(drawing.itertext())
    assert report.machine.cpu.split()[0] in texts
    assert "drain a backlog" in texts
    assert f"{report.figures['drain_rate'].value:,.0f}" in texts
    assert len(drawing.findall("{http://www.w3.org/2000/svg}polyline")) == 4
    assert sorted(path.name for path in cli.folder.iterdir()) == ["figures.svg", "temporary"]
    assert not list((cli.folder / "temporary").iterdir())


def test_a_table_with_ratios_to_an_earlier_run(cli: Cli) -> None:
    first = cli(*LITTLE, "--only", "drain,start", "--json")
    assert first.json["options"]["steps"] == ["start", "drain"]
    earlier = first.json
    earlier["figures"]["drain_rate"]["value"] = 0.5
    earlier["machine"]["cpu"] = "Abacus"
    (cli.folder / "then.json").write_text(json.dumps(earlier))
    ran = cli(*LITTLE, "--only", "drain", "--pending", "500", "--compare", "then.json", "--chart", "b.html")
    assert ran.status == 0, ran
    lines = ran.out.splitlines()
    head = next(line for line in lines if "EARLIER" in line)
    assert head.split()[-1] == "RATIO"
    (drain,) = [line.split() for line in lines if line.startswith("drain a backlog")]
    rate, unit, then, ratio = drain[3:]
    assert (unit, then) == ("jobs/s", "0.50")
    assert float(ratio.removeprefix("x")) == pytest.approx(float(rate.replace(",", "")) / 0.5, rel=0.05)
    assert "server starts" not in ran.out
    assert "pending" in ran.out
    assert "Another machine than in the earlier run" in ran.err
    assert "Another pending than in the earlier run: 500 now, 0 then." in ran.err
    page = (cli.folder / "b.html").read_text()
    assert "pale: the earlier run" in page
    ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])


async def test_a_store_that_holds_jobs_is_refused_and_with_force_left_as_it_was(cli: Cli) -> None:
    store = store_of(cli.folder)
    await fill(store)
    refused = await asyncio.to_thread(cli, *LITTLE, "--store", "sqlite:///jobs.db", "--only", "enqueue")
    assert (refused.status, refused.out) == (2, "")
    assert "holds 1 job." in refused.err
    assert "--force" in refused.err
    before = await held(store)
    forced = await asyncio.to_thread(
        cli, *LITTLE, "--store", "sqlite:///jobs.db", "--only", "enqueue,pickup", "--force"
    )
    assert forced.status == 0, forced
    assert await held(store) == before == [("theirs", "pending")]


def test_a_store_that_was_not_there_is_removed_and_a_bad_one_refused(cli: Cli) -> None:
    ran = cli(*LITTLE, "--store", store_of(cli.folder), "--only", "start", "--json")
    assert ran.json["store"]["place"] == store_of(cli.folder)
    assert [path.name for path in cli.folder.iterdir()] == ["temporary"]
    for store in ("mongodb://here", f"sqlite:///{cli.folder}/no/such/folder.db"):
        bad = cli(*LITTLE, "--store", store)
        assert bad.status == 2
        assert "Traceback" not in bad.err
        assert "Error: " in bad.err
    assert [path.name for path in cli.folder.iterdir()] == ["temporary"]
    assert not list((cli.folder / "temporary").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_an_interrupted_run_leaves_no_process_and_no_file(cli: Cli, number: int) -> None:
    process = cli.start("bench", "--scale", "5", "--only", "pickup", "--store", store_of(cli.folder))
    wait_until(lambda: len(children_of(process.pid)) == 2, "a server and a worker")
    children = children_of(process.pid)
    assert len(list((cli.folder / "temporary").iterdir())) == 1
    process.send_signal(number)
    assert process.wait(30) == 130
    assert not [child for child in children if alive(child)]
    assert [path.name for path in cli.folder.iterdir()] == ["temporary"]
    assert not list((cli.folder / "temporary").iterdir())
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()


def test_a_killed_run_takes_its_processes_along(cli: Cli) -> None:
    process = cli.start("bench", "--scale", "5", "--only", "pickup")
    wait_until(lambda: len(children_of(process.pid)) == 2, "a server and a worker")
    children = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not [child for child in children if alive(child)], "the end of the children")


def test_a_terminal_sees_what_is_being_done(cli: Cli) -> None:
    terminal = cli.terminal(*LITTLE, "--only", "enqueue", columns=120)
    terminal.until("enqueue: 1 connection")
    ran = terminal.end()
    assert ran.status == 0
    assert "ROTA 0.1.0" in ran.out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--only", "speed"), "'speed' is no step; there are: start, enqueue, pickup, both, drain, across."),
        (("--only", " ,"), "names no step"),
        (("--chart", "figures.png"), "must end in .svg or .html"),
        (("--chart", "no/such/figures.svg"), "is no folder"),
        (("--scale", "0"), "--scale"),
        (("--compare", "missing.json"), "cannot be read"),
        (("--compare", "other.json"), "is no report of 'rota bench --json'"),
    ],
    ids=str,
)
def test_wrong_use_is_told_before_anything_is_measured(
    cli: Cli, arguments: tuple[str, ...], hint: str
) -> None:
    (cli.folder / "other.json").write_text('{"figures": {}}')
    ran = cli("bench", *arguments)
    assert ran.status == 2
    assert hint in ran.err
    assert "Traceback" not in ran.err
