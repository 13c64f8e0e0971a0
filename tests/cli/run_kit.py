"""Programs for ``rota run``, and a server with a worker that runs them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.cli.kit import Cli, wait_until
from tests.server import DEADLINE, Server, running_server

HELLO = "run:\n\t@echo hello\n"
GATE = "run:\n\t@printf 'half a '\n\t@while [ ! -e {gate} ]; do sleep 0.02; done\n\t@echo line\n"
"""Writes half a line, waits for a file, and writes the rest."""


def serving_programs(folder: Path) -> Iterator[Server]:
    """A server whose worker runs programs."""
    shutil.copy(Path(__file__).with_name("programs.py"), folder)
    with running_server(folder, "--work", "programs:app", "--slots", "4") as server:
        rota = Cli(folder, server.url)
        wait_until(lambda: rota.outside(), "the worker is there")
        yield server


def program(place: Path, makefile: str = HELLO, **files: str | bytes) -> str:
    """A folder with a Makefile and other files."""
    place.mkdir(exist_ok=True)
    (place / "Makefile").write_text(makefile)
    for name, content in files.items():
        (place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(place)


def bytes_of(rota: Cli, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run to the end, with what it writes as bytes."""
    process = rota.start(*arguments)
    out, err = process.communicate(timeout=DEADLINE)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def newest(rota: Cli) -> dict[str, object]:
    job = rota.get("/v1/jobs?limit=1")["jobs"][0]
    return rota.job(job["id"])
