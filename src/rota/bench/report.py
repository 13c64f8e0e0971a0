"""A measurement as a document, and held against an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rota import __version__
from rota.bench.disk import Store
from rota.bench.figures import KINDS, Figure, Spread
from rota.bench.machine import BUSY, Machine
from rota.bench.steps import Measured

FORMAT = 1
_SLOW_FSYNC = 20.0


class Options(msgspec.Struct, frozen=True):
    """What was asked for."""

    steps: tuple[str, ...]
    scale: float
    rounds: int
    pending: int
    slots: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints. Load averages are over 1, 5 and 15 minutes."""

    format: int = FORMAT
    rota: str = __version__
    at: str
    seconds: float
    machine: Machine
    load_before: tuple[float, ...]
    load_after: tuple[float, ...]
    store: Store
    options: Options
    figures: Mapping[str, Figure]
    times: Mapping[str, Spread]
    warnings: tuple[str, ...]


class Unusable(Exception):
    """A file that is no report; the text says why."""


def figures_of(rounds: Sequence[Measured]) -> dict[str, Figure]:
    """All that every round has found, in the order of the table; of times their percentiles."""
    found: list[dict[str, float]] = []
    for one in rounds:
        values = dict(one.figures)
        for name, times in one.times.items():
            spread = Spread.of(times)
            values |= {f"{name}_p50": spread.p50, f"{name}_p99": spread.p99}
        found.append(values)
    return {name: Figure.of(name, [one[name] for one in found]) for name in KINDS if name in found[0]}


def times_of(rounds: Sequence[Measured]) -> dict[str, Spread]:
    """The times of all rounds together."""
    return {name: Spread.of([t for one in rounds for t in one.times[name]]) for name in rounds[0].times}


def load_warnings(machine: Machine, load: Sequence[float]) -> list[str]:
    """What to say of a machine that has other work."""
    if load[0] <= BUSY * machine.cores:
        return []
    return [
        f"The machine has other work (load {load[0]:g}, {machine.cores:g} cores): figures are worth little."
    ]


def store_warnings(store: Store, in_memory: bool) -> list[str]:
    """What to say of a store whose figures will not be those of another one."""
    if in_memory:
        return ["The store lies in memory, where an fsync costs nothing: a disk will give other figures."]
    if store.fsync_after_pause is not None and store.fsync_after_pause.p50_ms > _SLOW_FSYNC:
        return ["This disk takes long for an fsync; single enqueues and pickup wait for it."]
    return []


def read(text: bytes) -> Report:
    """An earlier report. Raises Unusable."""
    try:
        report = msgspec.json.decode(text, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unusable(f"is no report of 'rota bench --json': {error}") from None
    if report.format != FORMAT:
        raise Unusable(f"has format {report.format}; this Rota reads format {FORMAT}")
    return report


def ratio(now: Figure, earlier: Figure) -> float | None:
    """How often the earlier value goes into this one."""
    return None if earlier.value == 0 else now.value / earlier.value


def differences(now: Report, earlier: Report) -> list[str]:
    """Why two reports may not be comparable."""
    pairs = {
        "machine": (now.machine.text(), earlier.machine.text()),
        "store": (now.store.kind, earlier.store.kind),
        "file system": (now.store.file_system, earlier.store.file_system),
        "scale": (now.options.scale, earlier.options.scale),
        "pending": (now.options.pending, earlier.options.pending),
    }
    return [
        f"Another {name} than in the earlier run: {left} now, {right} then."
        for name, (left, right) in pairs.items()
        if left != right
    ]
