"""The sixty seconds of the README, typed as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.server import PROGRAMS, Server, running_server

ROOT = Path(__file__).parents[2]


def test_the_tour_does_what_it_says(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        done = type_along(
            "tour", tmp_path, server, "trap 'kill $(jobs -p)' EXIT", "kill %1; wait %1; trap - EXIT"
        )
    assert done.returncode == 0, done.stderr
    assert '"slept_ms":300' in done.stdout
    assert "Hello Ada!" in done.stdout
    assert "Hello Grace! Hello Grace!" in done.stdout
    assert "Hello Edsger!" in done.stdout
    assert "greet" in done.stdout.partition("Hello Edsger!")[2]


def test_a_program_runs(tmp_path: Path) -> None:
    with running_server(tmp_path, env=PROGRAMS) as server:
        done = type_along("program", tmp_path, server)
    assert done.returncode == 0, done.stderr
    first, answer = done.stdout.split("\n", 1)
    assert first == "hello"
    assert "Exit status 0: " in done.stderr
    job = json.loads(answer)
    assert (job["type"], job["state"], job["result"]["output"]) == ("program_zip", "done", "hello\n")


def type_along(
    part: str, folder: Path, server: Server, before: str = "", after: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a part of the README. The only thing changed is the port, which the test cannot choose."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [found] = re.findall(rf"<!-- {part} -->\n```sh\n(.*?)```\n<!-- /{part} -->", readme, re.DOTALL)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    script = found.replace("http://127.0.0.1:8080", server.url)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{before}\n{script}\n{after}"],
        cwd=folder,
        env={**os.environ, "ROTA_URL": server.url},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
