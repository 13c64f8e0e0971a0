"""A report as a picture: throughput as bars, times as curves. SVG, and a page around it.

Plain shapes and text; nothing is loaded from anywhere, nothing runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from rota.bench.figures import KINDS, Figure, Spread
from rota.bench.report import Report

WIDTH = 960
_LEFT, _RIGHT = 220, 30
_ROW = 40
_CURVES = 260
_INK, _FAINT, _GRID = "#1f2933", "#5b6770", "#dde3e8"
_COLOURS = ("#1d6fa5", "#c2571a", "#2f855a", "#7b4ab0")
_EARLIER = "#c9d3db"
_NAMES = {
    "enqueue_1": "enqueue, 1 connection",
    "enqueue_64": "enqueue, 64 connections",
    "enqueue_bulk": "enqueue in hundreds",
    "pickup": "request to handler",
}


def svg(report: Report, earlier: Report | None = None) -> str:
    """The picture. With an earlier report its bars stand behind."""
    parts: list[str] = []
    y = _head(parts, report)
    rates = [(name, figure) for name, figure in report.figures.items() if name.endswith("_rate")]
    if rates:
        y = _bars(parts, y, rates, {} if earlier is None else dict(earlier.figures))
    if report.times:
        y = _curves(parts, y, [(_NAMES.get(name, name), spread) for name, spread in report.times.items()])
    title = f"Rota {report.rota}: throughput and times"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
        f"role=\"img\" font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n"
        f"<title>{escape(title)}</title>\n"
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def page(report: Report, earlier: Report | None = None) -> str:
    """The picture with all figures below it."""
    rows = "".join(
        f"<tr><td>{escape(KINDS[name].title)}</td><td class=n>{number(figure.value)}</td>"
        f"<td>{escape(figure.unit)}</td>"
        f"<td class=n>{number(min(figure.rounds))} to {number(max(figure.rounds))}</td></tr>\n"
        for name, figure in report.figures.items()
    )
    notes = "".join(f"<p>{escape(text)}</p>\n" for text in report.warnings)
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rota {escape(report.rota)}, measured {escape(report.at[:10])}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: {_INK}; margin: 2rem auto; max-width: {WIDTH}px;
  padding: 0 1rem; }}
svg {{ width: 100%; height: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid {_GRID}; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
</style>
{svg(report, earlier)}
{notes}<table>
<tr><th>what</th><th class=n>median</th><th>unit</th><th class=n>rounds</th></tr>
{rows}</table>
</html>
"""


def number(value: float) -> str:
    """For people: as many digits as are worth it."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _head(parts: list[str], report: Report) -> int:
    store = report.store
    where = store.kind + (f" on {store.file_system}" if store.file_system else "")
    lines = [report.machine.text(), f"Store: {where}; {store.durability}"]
    if store.fsync_in_a_row is not None and store.fsync_after_pause is not None:
        lines.append(
            f"fsync in a row: {store.fsync_in_a_row.text()}; after a pause: {store.fsync_after_pause.text()}"
        )
    asked = report.options
    pending = f", {asked.pending:,} jobs pending" if asked.pending else ""
    rounds = f"{asked.rounds} rounds" if asked.rounds > 1 else "1 round"
    lines.append(f"{report.at[:16].replace('T', ' ')} UTC, {rounds}, scale {asked.scale:g}{pending}")
    lines += [f"Note: {text}" for text in report.warnings]
    parts.append(_text(30, 40, f"Rota {report.rota}", size=22, weight=600))
    y = 64
    for line in lines:
        for piece in _wrapped(line, 125):
            parts.append(_text(30, y, piece, size=13, fill=_FAINT))
            y += 19
    return y + 12


def _bars(parts: list[str], top: int, rates: Sequence[tuple[str, Figure]], earlier: dict[str, Figure]) -> int:
    parts.append(_text(30, top + 16, "Jobs per second", size=16, weight=600))
    values = [figure.value for _, figure in rates]
    values += [earlier[name].value for name, _ in rates if name in earlier]
    most = max(values) or 1
    room = WIDTH - _LEFT - _RIGHT - 110
    y = top + 34
    for name, figure in rates:
        parts.append(_text(_LEFT - 12, y + 19, KINDS[name].title, size=14, anchor="end"))
        if name in earlier:
            wide = room * earlier[name].value / most
            parts.append(f'<rect x="{_LEFT}" y="{y - 2}" width="{wide:.1f}" height="32" fill="{_EARLIER}"/>')
        wide = max(1.0, room * figure.value / most)
        parts.append(f'<rect x="{_LEFT}" y="{y + 3}" width="{wide:.1f}" height="22" fill="{_COLOURS[0]}"/>')
        end = max(wide, room * earlier[name].value / most if name in earlier else 0)
        told = number(figure.value)
        if name in earlier and earlier[name].value:
            told += f" (×{figure.value / earlier[name].value:.2f})"
        parts.append(_text(_LEFT + end + 8, y + 19, told, size=14, weight=600))
        y += _ROW
    if earlier:
        parts.append(_text(_LEFT, y + 8, "pale: the earlier run", size=12, fill=_FAINT))
        y += 20
    return y + 14


def _curves(parts: list[str], top: int, times: Sequence[tuple[str, Spread]]) -> int:
    """For each name, the share of the samples (upwards) that took at most so long (to the right, log)."""
    parts.append(_text(30, top + 16, "Share of answers within so many milliseconds", size=16, weight=600))
    top += 36
    left, right, bottom = 70, WIDTH - 330, top + _CURVES
    limits = [limit for _, spread in times for limit, _ in spread.histogram]
    low, high = math.floor(math.log10(min(limits) * 0.999)), math.ceil(math.log10(max(limits)))
    high = max(high, low + 1)

    def x_of(ms: float) -> float:
        return left + (right - left) * (math.log10(max(ms, 1e-9)) - low) / (high - low)

    def y_of(share: float) -> float:
        return bottom - (bottom - top) * share

    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(left, y_of(share), right, y_of(share), _GRID))
        parts.append(_text(left - 8, y_of(share) + 4, f"{share:.0%}", size=12, fill=_FAINT, anchor="end"))
    for power in range(low, high + 1):
        parts.append(_line(x_of(10**power), top, x_of(10**power), bottom, _GRID))
        parts.append(
            _text(x_of(10**power), bottom + 18, f"{10.0**power:g}", size=12, fill=_FAINT, anchor="middle")
        )
    parts.append(
        _text((left + right) / 2, bottom + 38, "milliseconds", size=12, fill=_FAINT, anchor="middle")
    )
    for index, (name, spread) in enumerate(times):
        colour = _COLOURS[index % len(_COLOURS)]
        seen = 0
        points = [(x_of(spread.histogram[0][0] / 10 ** (1 / 20)), y_of(0))]
        for limit, count in spread.histogram:
            seen += count
            points.append((x_of(limit), y_of(seen / spread.samples)))
        drawn = " ".join(f"{max(x, left):.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        y = top + 8 + index * 58
        parts.append(f'<rect x="{right + 28}" y="{y}" width="14" height="14" fill="{colour}"/>')
        parts.append(_text(right + 50, y + 12, name, size=14, weight=600))
        told = f"p50 {number(spread.p50)}   p99 {number(spread.p99)}   max {number(spread.max)} ms"
        parts.append(_text(right + 50, y + 31, told, size=13, fill=_FAINT))
    return bottom + 56


def _text(
    x: float, y: float, text: str, *, size: int, fill: str = _INK, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}" xml:space="preserve">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _wrapped(text: str, most: int) -> Iterable[str]:
    line = ""
    for word in text.split(" "):
        if line and len(line) + len(word) >= most:
            yield line
            line = ""
        line += (" " if line else "") + word
    yield line
