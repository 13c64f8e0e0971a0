"""What the sandbox costs at the start of a program: ``python -m bench.sandbox``.

Runs the same ``make run`` bare, in the least that bubblewrap can be asked for, and in the sandbox, in turns,
and prints the median of each and of the differences within a turn; then how many end in a second with some at
once. ``--peer CHECKOUT`` puts the sandbox of another checkout into the same turns: only ratios within one run
count, since the machine is never the same twice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rota.programs.ask import Ask
from rota.programs.sandbox import Sandbox

MAKEFILE = "run:\n\t@echo hello\n"
BUBBLEWRAP = (
    *("bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--ro-bind", "/usr", "/usr"),
    *("--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
    *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", ".", "/job", "--chdir", "/job"),
)
WARM = 5

Once = Callable[[], Awaitable[float]]


def outside(folder: Path, *before: str) -> Once:
    """The program without the sandbox, started by what stands before it."""

    async def once() -> float:
        begun = time.perf_counter()
        done = subprocess.run(  # noqa: ASYNC221 - nothing else shall happen meanwhile
            [*before, "make", "run"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        )
        assert done.stdout == b"hello\n"
        return time.perf_counter() - begun

    return once


def inside(sandbox: Sandbox, folder: Path) -> Once:
    """The program in the sandbox."""

    async def once() -> float:
        said = bytearray()
        begun = time.perf_counter()
        ran = await sandbox.run(Ask(["make", "run"], folder), said.extend)
        took = time.perf_counter() - begun
        assert ran.ok
        assert said == b"hello\n"
        return took

    return once


def other(process: subprocess.Popen[str]) -> Once:
    """The program in the sandbox of a process that was started with ``--serve``."""
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def once() -> float:
        stdin.write("\n")
        stdin.flush()
        return float(stdout.readline())

    return once


async def serve(sandbox: Sandbox, folder: Path) -> None:
    """Run it once for each line that comes, and tell the seconds."""
    once = inside(sandbox, folder)
    while await asyncio.to_thread(sys.stdin.readline):
        print(await once(), flush=True)


async def in_turns(ways: dict[str, Once], rounds: int, pause: float) -> dict[str, list[float]]:
    """Seconds of each way, turn by turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + WARM):
        for name in random.sample(list(ways), len(ways)):
            await asyncio.sleep(pause)
            took = await ways[name]()
            if turn >= WARM:
                times[name].append(took)
    return times


def show(times: dict[str, list[float]], profile: str) -> None:
    """Medians, and those of the differences to bare."""
    for name, took in times.items():
        tenth = statistics.quantiles(took, n=10)[8]
        costs = [one - bare for one, bare in zip(took, times["bare"], strict=True)]
        line = f"{name:10} p50 {statistics.median(took) * 1e3:6.1f} ms   p90 {tenth * 1e3:6.1f} ms"
        if name != "bare":
            ninth = statistics.quantiles(costs, n=10)[8]
            line += f"   over bare p50 {statistics.median(costs) * 1e3:6.1f} ms   p90 {ninth * 1e3:6.1f} ms"
        print(line + (f"   ({profile})" if name == "sandbox" else ""))
    if "peer" in times:
        pairs = zip(times["peer"], times["sandbox"], strict=True)
        ratio = statistics.median(peer / ours for peer, ours in pairs)
        print(f"the peer takes {ratio:.2f} times as long")


async def at_once(sandbox: Sandbox, folders: list[Path], count: int) -> None:
    """How many end in a second with one in each folder at a time, in the sandbox and bare."""

    async def bare(folder: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            *("make", "run"),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert (await process.communicate())[0] == b"hello\n"

    async def boxed(folder: Path) -> None:
        await inside(sandbox, folder)()

    for _ in range(2):
        for name, one in (("bare", bare), ("sandbox", boxed)):

            async def some(folder: Path, one: Callable[[Path], Awaitable[None]] = one) -> None:
                for _ in range(count // len(folders)):
                    await one(folder)

            begun = time.perf_counter()
            await asyncio.gather(*(some(folder) for folder in folders))
            rate = count / (time.perf_counter() - begun)
            print(f"{name:10} {rate:6.0f} a second, {len(folders)} at once")


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sandbox", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each start")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--out", action="append", default=[], metavar="LAYER", help="do without this layer")
    parser.add_argument("--peer", type=Path, metavar="CHECKOUT", help="another checkout, for comparison")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    async with Sandbox(leave_out=args.out, unsafe=True) as sandbox, sandbox.workplace() as home:
        folders = [home / str(number) for number in range(max(args.at_once, 2))]
        for folder in folders:
            folder.mkdir()
            (folder / "Makefile").write_text(MAKEFILE)
        home.chmod(0o711)
        if args.serve:
            await serve(sandbox, folders[0])
            return
        ways = {"bare": outside(folders[1]), "sandbox": inside(sandbox, folders[0])}
        if shutil.which("bwrap") is not None:
            ways["bwrap"] = outside(folders[1], *BUBBLEWRAP)
        peer = None
        if args.peer is not None:
            command = [sys.executable, __file__, "--serve", *(f"--out={name}" for name in args.out)]
            env = {**os.environ, "PYTHONPATH": str(args.peer.resolve() / "src")}
            peer = subprocess.Popen(  # noqa: ASYNC220
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
            )
            ways["peer"] = other(peer)
        show(await in_turns(ways, args.rounds, args.pause), (await sandbox.probe()).profile)
        if peer is not None:
            peer.communicate()
        await at_once(sandbox, folders[: args.at_once], 100)


if __name__ == "__main__":
    asyncio.run(main())
