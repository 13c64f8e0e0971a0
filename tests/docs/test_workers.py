"""The workers of the documentation, in plain Python and in JavaScript, do real jobs and leave when asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.server import running_server

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
WORKERS = {"worker.py": [sys.executable, "-I"], "worker.mjs": ["node"]}


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_of_the_page_works(name: str, tmp_path: Path) -> None:
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 60
    with running_server(tmp_path) as server:
        env = {**os.environ, "ROTA_URL": server.url}
        worker = subprocess.Popen([*WORKERS[name], EXAMPLES / name], env=env, cwd=tmp_path)
        try:
            for text, state in ("grüße", "done"), ("b", "done"), (7, "failed"):
                body = {"type": "upper", "payload": {"text": text}, "max_attempts": 1}
                job = httpx2.post(f"{server.url}/v1/jobs?wait=20", json=body, timeout=30).json()
                assert job["state"] == state, job
                if state == "done":
                    assert job["result"] == str(text).upper()
                else:
                    assert job["error"]["type"] in {"AttributeError", "TypeError"}
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
        finally:
            worker.kill()
            worker.wait()
