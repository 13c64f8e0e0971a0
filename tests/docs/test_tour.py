"""The sixty seconds of the README, typed as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.server import running_server

ROOT = Path(__file__).parents[2]


def test_the_tour_does_what_it_says(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [tour] = re.findall(r"<!-- tour -->\n```sh\n(.*?)```\n<!-- /tour -->", readme, re.DOTALL)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    with running_server(tmp_path) as server:
        # The only thing changed is the port, which the test cannot choose.
        script = tour.replace("http://127.0.0.1:8080", server.url)
        env = {**os.environ, "ROTA_URL": server.url}
        done = subprocess.run(
            [
                "bash",
                "-euo",
                "pipefail",
                "-c",
                f"trap 'kill $(jobs -p)' EXIT\n{script}\nkill %1; wait %1; trap - EXIT",
            ],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert done.returncode == 0, done.stderr
    assert '"slept_ms":300' in done.stdout
    assert "Hello Ada!" in done.stdout
    assert "Hello Grace! Hello Grace!" in done.stdout
    assert "Hello Edsger!" in done.stdout
    assert "greet" in done.stdout.partition("Hello Edsger!")[2]
