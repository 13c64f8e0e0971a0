"""Runs the catalogue in a sandbox and tells how each program ended, as JSON: a program of its own, so that
it can be run as another user. ``python -m tests.programs.play [--root FOLDER] [--out LAYER]... [NAME]...``
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from rota.model.errors import RotaError
from rota.programs import cgroup
from rota.programs.ask import Ask
from rota.programs.sandbox import Sandbox
from tests.programs.host import CANARY, Host, host, with_environment
from tests.programs.hostile import CASES, PYTHON, Case

COMMANDS = {
    "sh": ["/bin/sh", "program.sh"],
    "py": ["python3", "program.py"],
    "c": ["/bin/sh", "-c", "cc -w -O1 -o program program.c && exec ./program"],
}


async def play(sandbox: Sandbox, place: Host, case: Case) -> list[str]:
    """Run one case; what is wrong with how it ended."""
    said = bytearray()
    async with sandbox.workplace() as folder:
        program = folder / f"program.{case.kind}"
        program.write_text(PYTHON + case.source if case.kind == "py" else case.source)
        ask = Ask(COMMANDS[case.kind], folder, place.env, limits=case.limits, grace_seconds=case.grace)
        try:
            ran = await sandbox.run(ask, said.extend)
        except RotaError as error:
            return [f"{error.code}: {error}"]
    text = said.decode(errors="replace")
    wrong = [line for line in text.splitlines() if "BROKEN" in line]
    if CANARY in text:
        wrong.append("it read a secret")
    if ran.ended not in case.ends:
        wrong.append(f"ended by {ran.ended}, not {' or '.join(case.ends)}")
    if case.held and "held" not in text:
        wrong.append("did not get to its end")
    if len(said) > case.limits.output or (ran.output_bytes > len(said)) != ran.output_cut:
        wrong.append(f"{len(said)} of {ran.output_bytes} bytes were passed on")
    if ran.ended == "timeout" and not ran.wall_seconds > 0.3:
        wrong.append(f"timed out after {ran.wall_seconds}")
    return [*wrong, f"{ran}: {text[-1500:]}"] if wrong else []


async def play_all(
    names: Sequence[str], leave_out: Collection[str] = (), *, unsafe: bool = False, root: Path | None = None
) -> dict[str, Any]:
    """Run cases by name: name to what is wrong with each; the profile; and what is left of them or was done
    to the host."""
    os.environ["CANARY"] = CANARY
    found: dict[str, Any] = {"cases": {}}
    with host() as place:
        async with Sandbox(root, leave_out=leave_out, unsafe=unsafe) as sandbox:
            table = await sandbox.probe()
            found["profile"] = table.profile
            found["missing"] = table.missing
            found["layers"] = [dataclasses.asdict(layer) for layer in table.layers]
            two = asyncio.Semaphore(2)

            async def one(name: str) -> None:
                async with two:
                    found["cases"][name] = await play(sandbox, place, CASES[name])

            await asyncio.gather(*(one(name) for name in names))
            own = sandbox._home()
            # The lock of the server is all that may be left.
            left = [f"file {path}" for path in own.iterdir() if path.name != "lock"]
            left += [f"process {pid}" for pid in with_environment(f"ABSTRACT={place.env['ABSTRACT']}")]
        # One overseer was waiting for the next job, and had a group for it.
        left += [f"group {path}" for path in cgroup.left_by(own.name, cgroup.places())]
        if own.exists():
            left.append(f"folder {own}")
        found["left"] = left
        found["harm"] = place.harm()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", action="append", default=[])
    parser.add_argument("--root", type=Path)
    parser.add_argument("--unsafe", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    found = asyncio.run(play_all(args.names or list(CASES), args.out, unsafe=args.unsafe, root=args.root))
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
