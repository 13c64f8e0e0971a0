"""``make bench ARGS="--store postgresql"``: ``rota bench`` on a PostgreSQL of its own, as durable as it
comes; with ``--drivers FOLDER`` other queues on the same server, by turns (see :mod:`bench.rivals`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from bench import rivals
from rota.bench.chart import number
from rota.bench.figures import KINDS, Figure
from rota.bench.run import Plan, measure
from rota.bench.site import Broken
from rota.bench.steps import STEPS
from tests import postgres

HERE = Path(__file__).resolve().parent.parent
OURS = "Rota"


def main(arguments: list[str]) -> int:
    """Measure, and print a table or, with ``--json``, figures by name and system."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--store", choices=["postgresql"], required=True, help="one of its own")
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the work")
    parser.add_argument("--rounds", type=int, default=1, help="how often (the median is shown)")
    parser.add_argument("--only", default=",".join(STEPS), help="only these steps of Rota's")
    parser.add_argument("--drivers", type=Path, help="a folder with drivers of other queues")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args(arguments)
    scale = options.scale * (0.2 if options.quick else 1)
    bin = rivals.install(HERE / ".venv-rivals") if options.drivers else Path()
    found: dict[str, list[Mapping[str, float]]] = {OURS: []}
    try:
        with postgres.Cluster(durable=True, shared_buffers="128MB") as cluster:
            for turn in range(options.rounds):
                store = cluster.database(f"rota_{turn}")
                report = measure(Plan(store=store, steps=tuple(options.only.split(",")), scale=scale))
                found[OURS].append({name: one.value for name, one in report.figures.items()})
                for name, rival in rivals.RIVALS.items() if options.drivers else ():
                    drivers = options.drivers.resolve()
                    figures = rivals.measure(rival, drivers, bin, cluster, scale)
                    found.setdefault(name, []).append(figures)
    except (Broken, RuntimeError) as error:
        sys.exit(str(error))
    medians = {
        name: {
            kind: Figure.of(kind, [one[kind] for one in rounds]).value for kind in KINDS if kind in rounds[0]
        }
        for name, rounds in found.items()
    }
    if options.json:
        print(json.dumps(medians))
        return 0
    print(f"{report.machine.text()}; PostgreSQL on the same machine, as durable as it comes")
    print(f"{'':42}" + "".join(f"{name:>16}" for name in medians))
    for kind in (kind for kind in KINDS if kind in medians[OURS]):
        values = [number(one[kind]) if kind in one else "-" for one in medians.values()]
        print(
            f"{KINDS[kind].title:42}" + "".join(f"{value:>16}" for value in values) + f" {KINDS[kind].unit}"
        )
    return 0
