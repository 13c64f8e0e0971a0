"""rota health tells what is the matter, and what it tells to type works."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from tests.cli.kit import Cli, wait_until
from tests.server import environment, running_server

APP = """
import rota

app = rota.App()


@app.task
def greet(name: str) -> str:
    return f"Hello, {name}"
"""


def test_the_command_of_a_finding_mends_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with running_server(tmp_path) as server:
        rota = Cli(tmp_path, server.url)
        at = "2026-01-31T08:30:00Z"
        id = rota.put("greet", '{"name": "Ann"}', queue="emails", run_at=at)
        ran = rota("health")
        assert ran.status == 0
        ready, sentence, command = ran.out.splitlines()
        assert ready == f"ready: {server.url}"
        assert sentence.startswith("error: 1 job waits in emails, the oldest for ")
        assert sentence.endswith(", and no worker serves it.")
        command = command.strip()
        assert command == f"rota work app:app --queues emails --url {server.url}"
        assert rota("health", "--json").json["condition"]["findings"][0]["command"] == command
        # As somebody types it: in a shell, without a word of where the server is.
        bin = str(Path(sys.executable).parent)
        env = environment({"ROTA_URL": None, "PATH": f"{bin}:/usr/bin:/bin"})
        worker = subprocess.Popen(shlex.split(command), cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: rota.job(id)["state"] == "done", "that it is done")
        finally:
            worker.terminate()
            worker.wait()
        assert rota.job(id)["result"] == "Hello, Ann"
