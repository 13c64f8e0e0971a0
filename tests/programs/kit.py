"""What the tests of programs share: a place for sandboxes, and the catalogue run as whoever is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from typing import Any

from rota.programs.ask import Ask, Limits, Ran
from rota.programs.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
ORDINARY = 60001
# Without what the environment of these tests says about Python.
PLAIN = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user can pass through, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="rota-programs-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def folder_of_the_machine() -> Iterator[Path]:
    """A folder that every user may read, outside of those that every program has of its own."""
    places = [Path(place) for place in ("/opt", "/srv", "/usr/local")] + [Path.home()]
    place = next(place for place in places if os.access(place, os.W_OK))
    with tempfile.TemporaryDirectory(prefix="rota-programs-test-", dir=place) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.asynccontextmanager
async def sandbox(**options: Any) -> AsyncIterator[Sandbox]:
    """A sandbox whose folders are its own."""
    with open_folder() as folder:
        async with Sandbox(folder / "jobs", **options) as opened:
            yield opened


async def run(
    opened: Sandbox,
    program: str,
    *,
    env: dict[str, str] | None = None,
    stop: asyncio.Event | None = None,
    on_output: Any = None,
    grace_seconds: float = 5,
    **limits: Any,
) -> tuple[Ran, str]:
    """Run a shell program; how it ended and what it said."""
    said = bytearray()
    async with opened.workplace() as folder:
        (folder / "program.sh").write_text(program)
        ask = Ask(
            ["/bin/sh", "program.sh"], folder, env or {}, limits=Limits(**limits), grace_seconds=grace_seconds
        )
        ran = await opened.run(ask, on_output or said.extend, stop=stop)
    return ran, said.decode(errors="replace")


def ordinary(folder: Path, module: str, *arguments: str) -> list[str]:
    """The command that runs a module of these tests as an ordinary user, with a copy that this user can read.

    Whoever is one already stays who he is.
    """
    (folder / "src").mkdir()
    shutil.copytree(
        ROOT / "src" / "rota", folder / "src" / "rota", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "tests" / "programs", folder / "tests" / "programs")
    subprocess.run(["chmod", "-R", "go+rX", folder], check=True)
    path = f"import sys; sys.path[:0] = [{str(folder / 'src')!r}, {str(folder)!r}]"
    start = f"{path}; import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    if not AS_ROOT:
        return [sys.executable, "-B", "-c", start, *arguments]
    home = folder / "home"
    home.mkdir()
    os.chown(home, ORDINARY, ORDINARY)
    become = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups"]
    return [*become, interpreter(), "-B", "-c", start, *arguments]


def interpreter() -> str:
    """A Python that the ordinary user can start: this one need not be."""
    # It may start once, by rights that are then lost: it has to start itself, too.
    again = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    for path in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        tried = subprocess.run(
            ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", path, "-c", again],
            capture_output=True,
            cwd="/",
            env=PLAIN,
            check=False,
        )
        if tried.returncode == 0:
            return path
    raise AssertionError("no Python on this machine can be started by an ordinary user")


def play_as_ordinary(leave_out: Collection[str] = ()) -> dict[str, Any]:
    """The catalogue, run by an ordinary user."""
    with open_folder() as folder:
        words = [word for layer in leave_out for word in ("--out", layer)]
        command = ordinary(folder, "tests.programs.play", "--root", str(folder / "home" / "jobs"), *words)
        if not AS_ROOT:
            (folder / "home").mkdir()
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=PLAIN, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found
