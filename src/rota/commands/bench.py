"""``rota bench``: the figures of this machine."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rota.commands import output
from rota.commands.common import Misused, as_json, json_option
from rota.commands.output import Cell, Column, Styled

if TYPE_CHECKING:
    from rota.bench.figures import Figure
    from rota.bench.report import Report

STEPS = ("start", "enqueue", "pickup", "both", "drain", "across")
"""Those of :data:`rota.bench.steps.STEPS`, which is not loaded for a page of help."""
QUICK = 0.2
_SAME = 0.05
_WORDS = {
    "fsync": "measuring fsync",
    "start": "starting a server",
    "enqueue": "enqueue: 1 connection, 64 connections, in hundreds",
    "pickup": "pickup: from the request to the handler",
    "both": "both: enqueue and run at once",
    "drain": "drain: a backlog",
    "across": "across: from the request at one server to the handler at another",
    "stop": "cleaning up",
}


def _steps(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return STEPS
    asked = [one.strip() for one in value.split(",") if one.strip()]
    for one in asked:
        if one not in STEPS:
            raise click.BadParameter(f"{one!r} is no step; there are: {', '.join(STEPS)}.")
    if not asked:
        raise click.BadParameter(f"names no step; there are: {', '.join(STEPS)}.")
    return tuple(one for one in STEPS if one in asked)


def _chart(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value)
    if path.suffix not in (".svg", ".html"):
        raise click.BadParameter(f"{value!r} must end in .svg or .html.")
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"{str(path.parent)!r} is no folder.")
    return path


@click.command()
@click.option(
    "--store", metavar="URL", help="Measure on this store. [a fresh SQLite file, removed afterwards]"
)
@click.option("--force", is_flag=True, help="Also on a store that holds jobs; those are left alone.")
@click.option(
    "--only", metavar="STEP,...", callback=_steps, help=f"Only these steps: {', '.join(STEPS)}. [all]"
)
@click.option("--quick", is_flag=True, help=f"A fifth of the work; the same as --scale {QUICK:g}.")
@click.option(
    "--scale",
    type=click.FloatRange(0.001, 100),
    default=1.0,
    show_default=True,
    metavar="X",
    help="So many times the work.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=1, show_default=True, help="Repeat and show medians."
)
@click.option(
    "--pending",
    type=click.IntRange(0, 100_000_000),
    default=0,
    metavar="N",
    help="With so many jobs waiting in the queue meanwhile.",
)
@click.option("--chart", metavar="FILE", callback=_chart, help="Draw the figures: FILE.svg or FILE.html.")
@click.option("--compare", metavar="FILE", help="Show ratios to an earlier run, saved with --json.")
@json_option
def bench(
    store: str | None,
    force: bool,
    only: tuple[str, ...],
    quick: bool,
    scale: float,
    rounds: int,
    pending: int,
    chart: Path | None,
    compare: str | None,
) -> None:
    """Measure what this machine does: jobs in, jobs through, a backlog drained, the way to the handler; on
    PostgreSQL also from one server to another.

    Starts a server and a worker as processes of their own, measures with no-op jobs through the public
    interfaces, and removes all it made. About a minute. Machines are noisy: ratios within one hour count,
    not numbers from different days.
    """
    from rota.bench.run import Plan, Used, measure
    from rota.bench.site import Broken
    from rota.model.errors import BadInput

    earlier = None if compare is None else _earlier(compare)
    plan = Plan(
        store=store,
        steps=only,
        scale=QUICK * scale if quick else scale,
        rounds=rounds,
        pending=pending,
        force=force,
    )
    # Whoever ends us, what we started and wrote has to go.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with _progress() as tell:
            report = measure(plan, tell)
    except Used as used:
        raise Misused(
            f"The store holds {used.jobs} {'job' if used.jobs == 1 else 'jobs'}. Name another one, or measure"
            " there all the same with --force: they are left alone, but they are not nothing."
        ) from None
    except BadInput as error:
        raise Misused(error.detail) from None
    except Broken as broken:
        raise click.ClickException(output.inert(str(broken), lines=True)) from None
    if chart is not None:
        _draw(chart, report, earlier)
    if as_json():
        import msgspec

        output.document(msgspec.json.encode(report))
    else:
        _print(report, earlier)
    for text in report.warnings if earlier is None else (*report.warnings, *_differences(report, earlier)):
        output.note(f"Note: {text}")


def _print(report: Report, earlier: Report | None) -> None:
    store = report.store
    values: list[tuple[str, Cell]] = [
        ("machine", report.machine.text()),
        (
            "store",
            f"{store.kind}, {store.place}" + (f", on {store.file_system}" if store.file_system else ""),
        ),
        ("durability", store.durability),
    ]
    if store.fsync_in_a_row is not None and store.fsync_after_pause is not None:
        values.append(("fsync", f"in a row {store.fsync_in_a_row.text()}"))
        values.append(("", f"after a pause {store.fsync_after_pause.text()}"))
    if report.options.pending:
        values.append(("pending", f"{report.options.pending:,} jobs"))
    values.append(("load", f"{report.load_before[0]:g} before, {report.load_after[0]:g} after"))
    output.pairs(values)
    output.say()
    columns = [
        Column(f"ROTA {report.rota}", whole=True),
        Column("VALUE", right=True, whole=True),
        Column("UNIT"),
    ]
    if report.options.rounds > 1:
        columns.append(Column("ROUNDS", right=True))
    if earlier is not None:
        columns += [Column(f"EARLIER ({earlier.rota})", right=True), Column("RATIO", right=True)]
    output.table(columns, [_row(name, one, report, earlier) for name, one in report.figures.items()])


def _row(name: str, figure: Figure, report: Report, earlier: Report | None) -> list[Cell]:
    from rota.bench.chart import number
    from rota.bench.figures import KINDS
    from rota.bench.report import ratio

    row: list[Cell] = [KINDS[name].title, number(figure.value), figure.unit]
    if report.options.rounds > 1:
        row.append(f"{number(min(figure.rounds))} to {number(max(figure.rounds))}")
    if earlier is not None:
        then = earlier.figures.get(name)
        by = None if then is None else ratio(figure, then)
        row.append("-" if then is None else number(then.value))
        if by is None:
            row.append("-")
        else:
            good = by > 1 if figure.better == "more" else by < 1
            row.append(Styled(f"x{by:.2f}", "" if abs(by - 1) < _SAME else "green" if good else "red"))
    return row


def _earlier(name: str) -> Report:
    from rota.bench.report import Unusable, read

    try:
        return read(Path(name).read_bytes())
    except OSError as error:
        raise Misused(f"{name!r} cannot be read: {error.strerror}.") from None
    except Unusable as error:
        raise Misused(f"{name!r} {error}.") from None


def _differences(report: Report, earlier: Report) -> list[str]:
    from rota.bench.report import differences

    return differences(report, earlier)


def _draw(chart: Path, report: Report, earlier: Report | None) -> None:
    from rota.bench.chart import page, svg

    drawn = page(report, earlier) if chart.suffix == ".html" else svg(report, earlier)
    try:
        chart.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{str(chart)!r} cannot be written: {error.strerror}.") from None
    output.note(f"Drawn: {chart}")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Tells on standard error what is being done, if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console

    console = Console(stderr=True, width=output.width(), highlight=False)
    started = time.monotonic()
    with console.status("") as status:

        def tell(step: str) -> None:
            name, _, part = step.partition(" ")
            passed = output.span(time.monotonic() - started) if step != "fsync" else "0s"
            status.update(f"{_WORDS.get(name, name)} {part}".rstrip() + f", {passed} so far")

        yield tell
