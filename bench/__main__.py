"""``make bench``: ``rota bench`` of this checkout.

With ``--peer FOLDER`` in turn with another checkout. Both must have been set up (``make setup``). The load
comes from this one for both, so that a change is judged by its own cost. Machines are noisy: ratios within
one run count, not numbers between runs. With ``--store postgresql`` (and no address) on a PostgreSQL that is
started for it, see :mod:`bench.postgres`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bench import postgres
from rota.bench.chart import number
from rota.bench.figures import KINDS, Figure
from rota.bench.run import Plan, measure
from rota.bench.site import Broken
from rota.bench.steps import STEPS

HERE = Path(__file__).resolve().parent.parent


def main() -> int:
    if _asks_for_postgresql(sys.argv[1:]):
        return postgres.main(sys.argv[1:])
    if not any(argument.startswith("--peer") for argument in sys.argv[1:]):
        return subprocess.call([sys.executable, "-m", "rota", "bench", *sys.argv[1:]])
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="another checkout to compare with")
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the work")
    parser.add_argument("--rounds", type=int, default=1, help="how often (the median is shown)")
    parser.add_argument("--pending", type=int, default=0, help="jobs that wait meanwhile")
    parser.add_argument("--only", default=",".join(STEPS), help="only these steps")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args()
    plans = [
        Plan(
            python=str(checkout / ".venv/bin/python"),
            scale=options.scale * (0.2 if options.quick else 1),
            pending=options.pending,
            steps=tuple(options.only.split(",")),
        )
        for checkout in (HERE, options.peer.resolve())
    ]
    try:
        reports = [[measure(plan) for plan in plans] for _ in range(options.rounds)]
    except Broken as broken:
        sys.exit(str(broken))
    figures = {
        name: [
            Figure.of(name, [pair[side].figures[name].value for pair in reports])
            for side in range(len(plans))
        ]
        for name in KINDS
        if name in reports[0][0].figures
    }
    if options.json:
        print(json.dumps({name: [one.value for one in sides] for name, sides in figures.items()}))
        return 0
    print(f"{reports[0][0].machine.text()}; this checkout, then {options.peer}")
    for name, (ours, theirs) in figures.items():
        by = f"x{ours.value / theirs.value:.2f}" if theirs.value else "-"
        print(
            f"{KINDS[name].title:32}{number(ours.value):>12}{number(theirs.value):>12} {ours.unit:8}{by:>8}"
        )
    return 0


def _asks_for_postgresql(arguments: list[str]) -> bool:
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return "--store=postgresql" in arguments or ("--store", "postgresql") in pairs


if __name__ == "__main__":
    sys.exit(main())
