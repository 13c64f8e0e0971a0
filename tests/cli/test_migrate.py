"""rota migrate, servers that start at once, and two releases side by side: real processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

import rota
from rota.engines.postgres import statements
from tests import postgres
from tests.server import DEADLINE, Server, environment, running, running_server

KNOWN = [step.name for step in statements.migrations()]
LAST = statements.migrations()[-1].number
_NUMBERS = itertools.count()


@pytest.fixture
def database() -> Iterator[str]:
    """An empty one."""
    url = postgres.empty()
    yield url
    postgres.drop(url)


def migrate(
    folder: Path, store: str, *flags: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``rota migrate`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "rota", "migrate", "--store", store, *flags],
        cwd=folder,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=DEADLINE * 2,
        check=False,
    )


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_status_and_migrate(tmp_path: Path, database: str, kind: str) -> None:
    store = database if kind == "postgres" else f"sqlite:///{tmp_path / 'rota.db'}"
    before = migrate(tmp_path, store, "--status")
    assert before.returncode == 1
    assert "not yet" in before.stdout
    assert "to run: rota migrate" in before.stdout
    ran = migrate(tmp_path, store)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "schema  up to date")
    steps = [line.split()[0] for line in ran.stdout.splitlines()[1:-2]]
    assert ran.stderr.splitlines() == [
        f"running {name} ({n} of {len(steps)})" for n, name in enumerate(steps, 1)
    ]
    after = migrate(tmp_path, store, "--status", "--json")
    told = json.loads(after.stdout)
    assert after.returncode == 0
    assert (told["current"], told["pending"], told["fault"]) == (True, 0, None)
    assert [(step["name"], step["done"], step["checksum_ok"], step["known"]) for step in told["steps"]] == [
        (name, True, True, True) for name in steps
    ]
    assert all(step["at"].endswith("Z") for step in told["steps"])
    again = migrate(tmp_path, store)
    assert (again.returncode, again.stderr) == (0, "")


def test_what_is_wrong_is_told_in_a_sentence(tmp_path: Path, database: str) -> None:
    nobody = migrate(tmp_path, "postgresql://rota:secret@127.0.0.1:1/x", "--status")
    assert nobody.returncode == 1
    assert "nobody listens there" in nobody.stderr
    assert "secret" not in nobody.stderr
    assert migrate(tmp_path, database).returncode == 0
    postgres.ask(database, "UPDATE rota.migrations SET checksum = 'x' WHERE number = 1")
    for flags in (["--status"], []):
        wrong = migrate(tmp_path, database, *flags)
        assert wrong.returncode == 1
        assert f"{KNOWN[0]} differs from what was run" in wrong.stdout + wrong.stderr
        assert "Traceback" not in wrong.stderr
    server = f"sqlite:///{tmp_path / 'rota.db'}"
    with running_server(tmp_path):
        assert migrate(tmp_path, server, "--status").returncode == 0
        held = migrate(tmp_path, server)
    assert held.returncode == 1
    assert "in use by another server" in held.stderr


def test_a_server_that_is_told_not_to_migrate_names_the_command(tmp_path: Path, database: str) -> None:
    with running(tmp_path, "serve", "--store", database, "--listen", "127.0.0.1:0", "--no-migrate") as one:
        assert one.wait() == 1
    assert "run 'rota migrate' first" in one.text
    assert migrate(tmp_path, database).returncode == 0
    with running_server(tmp_path, store=database, env={"ROTA_MIGRATE": "false"}) as server:
        assert_works(server)


def test_all_that_start_at_once_on_nothing_find_their_schema(tmp_path: Path, database: str) -> None:
    def serve(_: int) -> Server:
        return stack.enter_context(running_server(tmp_path, store=database))

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(6) as threads:
        commands = [threads.submit(migrate, tmp_path, database) for _ in range(3)]
        for server in threads.map(serve, range(3)):
            assert_works(server)
        assert [one.result().returncode for one in commands] == [0, 0, 0]
        told = [line for one in commands for line in one.result().stderr.splitlines()]
        assert len(told) in (0, len(KNOWN)), "one of all ran the steps"
    done = postgres.ask(database, "SELECT name FROM rota.migrations ORDER BY number")
    assert [row[0] for row in done] == KNOWN


@contextlib.contextmanager
def release(folder: Path, *steps: str) -> Iterator[dict[str, str]]:
    """This Rota with further steps: the environment for processes of it."""
    copy = folder / f"release{len(steps)}"
    shutil.copytree(Path(rota.__file__).parent, copy / "rota", ignore=shutil.ignore_patterns("__pycache__"))
    migrations = copy / "rota" / "engines" / "postgres" / "migrations"
    for n, text in enumerate(steps, 1):
        (migrations / f"{LAST + n:04}_made_up.sql").write_text(text)
    yield {"PYTHONPATH": str(copy)}


EXPAND = """
ALTER TABLE rota.jobs ADD COLUMN made_up text COLLATE "C";
ALTER TABLE rota.notes ADD COLUMN made_up bigint;
ALTER TABLE rota.counts ADD COLUMN made_up bigint NOT NULL DEFAULT 0;
CREATE TABLE rota.made_up (a integer PRIMARY KEY);
CREATE INDEX jobs_made_up ON rota.jobs (made_up) WHERE made_up IS NOT NULL;
"""


def test_two_releases_side_by_side(tmp_path: Path, database: str) -> None:
    """The one before serves on, and starts, on the schema of the one after; it refuses that of two after."""
    with contextlib.ExitStack() as stack:
        present = stack.enter_context(running_server(tmp_path, store=database))
        assert_works(present)
        env = stack.enter_context(release(tmp_path, EXPAND))
        following = stack.enter_context(running_server(tmp_path, store=database, env=env))
        assert migrate(tmp_path, database, "--status").stdout.count("of a newer Rota") == 1
        started_late = stack.enter_context(running_server(tmp_path, "--no-migrate", store=database))
        for _ in range(2):
            for server in (present, following, started_late):
                assert_works(server)
    with contextlib.ExitStack() as stack:
        env = stack.enter_context(release(tmp_path, EXPAND, "DROP TABLE rota.made_up;"))
        assert migrate(tmp_path, database, env=env).returncode == 0
        with running(tmp_path, "serve", "--store", database, "--listen", "127.0.0.1:0") as late:
            assert late.wait() == 1
    assert f"written by a newer Rota (schema {LAST + 2}, this one knows {LAST})" in late.text


def assert_works(server: Server) -> None:
    """Most of what a server does with its store."""
    with httpx2.Client(base_url=server.url, timeout=DEADLINE, trust_env=False) as http:

        def post(path: str, body: Any = None) -> Any:
            answer = http.post(path, json=body)
            assert answer.status_code < 300, (path, answer.text)
            return answer.json()

        queue = f"q{next(_NUMBERS)}"
        job = {"type": "t", "queue": queue, "tags": ["x"], "max_attempts": 2}
        ids = [one["id"] for one in post("/v1/jobs", {"jobs": [job] * 3})["jobs"]]
        later = post("/v1/jobs", {**job, "delay": 3600, "unique_key": queue})["id"]
        asked = {"worker": f"w{server.pid}", "queues": [queue], "slots": 2}
        first, second = post("/v1/fetch", asked)["jobs"]
        lease = {"id": first["id"], "lease": first["lease"]}
        ends = [
            {**lease, "end": "done", "result": 1},
            {
                "id": second["id"],
                "lease": second["lease"],
                "end": "failed",
                "error": {"type": "E", "message": "x"},
            },
        ]
        post("/v1/finish", {"worker": f"w{server.pid}", "outcomes": ends})
        post(f"/v1/jobs/{ids[2]}/cancel")
        post(f"/v1/jobs/{ids[0]}/retry")
        post(f"/v1/jobs/{later}/run-now")
        post(f"/v1/queues/{queue}/pause")
        assert len(http.get(f"/v1/jobs?queue={queue}").json()["jobs"]) == 4
        assert len(http.get(f"/v1/jobs?tag=x&queue={queue}&state=pending").json()["jobs"]) >= 2
        assert http.delete(f"/v1/jobs/{ids[2]}").status_code < 300
        assert http.get("/v1/stats").status_code == 200
