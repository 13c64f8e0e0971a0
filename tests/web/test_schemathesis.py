"""Schemathesis asks a real server what /openapi.json allows, and what it does not, thousands of times.

It looks for answers of 5xx, answers that are not described, faulty requests that are taken, and methods that
should be refused.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import environment, running_server
from tests.web.conformance import DESCRIPTION

HERE = Path(__file__).parent
TOKEN = "sesame"
ENDLESS = "/v1/events"
"""Left out: its answers have no end. What it refuses is tested in test_edges.py."""


@pytest.mark.timeout(400)
def test_every_answer_is_as_described(tmp_path: Path) -> None:
    operations = sum(len(item) for item in DESCRIPTION.document["paths"].values())
    path = os.pathsep.join([str(HERE.parents[1]), environment()["PYTHONPATH"]])
    with running_server(tmp_path, env={"ROTA_TOKEN": TOKEN}) as server:
        run = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("--config-file", str(HERE / "schemathesis.toml")),
                *("run", f"{server.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {TOKEN}"),
                *("--exclude-path", ENDLESS),
                "--no-color",
            ],
            cwd=tmp_path,
            env=environment({"SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"), "PYTHONPATH": path}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        # It did what it was asked for: every operation (but the endless one and the description's own), every
        # phase, thousands of requests.
        assert f"Tested: {operations - 2}" in run.stdout, run.stdout
        for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
            assert f"✅ {phase}" in run.stdout, run.stdout
        assert int(re.findall(r"(\d+) generated", run.stdout)[0]) > 1000
        assert not [one for one in server.records() if one["event"] == "request failed"], server.text
