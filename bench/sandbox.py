"""What the sandbox costs at the start of a program: ``python -m bench.sandbox``.

Runs the same ``make run`` bare and in the sandbox, in turns, and prints the median of each and of their
difference.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from rota.programs.ask import Ask
from rota.programs.sandbox import Sandbox

MAKEFILE = "run:\n\t@echo hello\n"


# The least that bubblewrap can be asked for: what is above it is ours.
BUBBLEWRAP = (
    *("bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--ro-bind", "/usr", "/usr"),
    *("--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
    *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", ".", "/job", "--chdir", "/job"),
)


def bare(folder: Path, *before: str) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        [*before, "make", "run"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == b"hello\n"
    return time.perf_counter() - begun


async def boxed(sandbox: Sandbox, folder: Path) -> float:
    said = bytearray()
    begun = time.perf_counter()
    ran = await sandbox.run(Ask(["make", "run"], folder), said.extend)
    took = time.perf_counter() - begun
    assert ran.ok
    assert said == b"hello\n"
    return took


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sandbox", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", action="append", default=[], metavar="LAYER", help="do without this layer")
    args = parser.parse_args()
    async with (
        Sandbox(leave_out=args.out, unsafe=True) as sandbox,
        sandbox.workplace() as folder,
        sandbox.workplace() as other,
    ):
        for place in (folder, other):
            (place / "Makefile").write_text(MAKEFILE)
        plain = shutil.which("bwrap") is not None
        pairs, boxes = [], []
        for turn in range(args.rounds + 5):
            pair = bare(other), await boxed(sandbox, folder)
            box = bare(other, *BUBBLEWRAP) if plain else 0.0
            if turn >= 5:
                pairs.append(pair)
                boxes.append(box)
        profile = (await sandbox.probe()).profile
    costs = sorted(inside - outside for outside, inside in pairs)
    for name, times in (
        ("bare", [outside for outside, _ in pairs]),
        ("bwrap", boxes),
        (profile, [inside for _, inside in pairs]),
        ("cost", costs),
    ):
        ninth = statistics.quantiles(times, n=20)[17]
        print(f"{name:10} p50 {statistics.median(times) * 1e3:6.1f} ms   p90 {ninth * 1e3:6.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
