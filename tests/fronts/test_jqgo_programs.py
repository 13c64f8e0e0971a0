"""Programs of JobQueueGo's clients, run by the server: the whole way, what they cannot reach, and where
nobody runs them.
"""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.kit import until
from tests.programs.kit import AS_ROOT
from tests.programs.serving import Place, packed, place
from tests.programs.test_ending import wait_gone

Json = dict[str, Any]
TOKEN = "a-token-of-this-server-0123456789"


@pytest.fixture(params=["root", "ordinary"] if AS_ROOT else ["ordinary"])
def here(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place(ordinary=request.param == "ordinary") as made:
        yield made


@pytest.fixture
def alone() -> Iterator[Place]:
    """Where it does not matter who serves."""
    with place() as made:
        yield made


def post(here: Place, **job: Any) -> str:
    answer = here.http.post("/job", json=job)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def completed(here: Place, id: str, tries: int = 1) -> Json:
    """The job's row, once it has been tried so often."""

    def row() -> Json | None:
        rows = here.http.get("/completedJobs").json()["jobs"] or []
        return next((one for one in rows if one["job"]["id"] == id and one["job"]["attempts"] == tries), None)

    found: Json = until(row, f"try {tries} of {id}")
    return found


def test_a_program_is_run_and_its_output_is_the_result(here: Place) -> None:
    with here.server() as server:
        row = completed(here, post(here, type="program_zip", input=packed("echo out; echo err >&2; id -u")))
        assert (row["result"], row["success"]) == ("out\nerr\n1000\n", True)
        assert "Traceback" not in server.text


def test_a_program_may_be_larger_than_other_payloads(alone: Place) -> None:
    """It is listed beside others, too."""
    with alone.server():
        zipped = io.BytesIO(base64.b64decode(packed("wc -c < blob")))
        with zipfile.ZipFile(zipped, "a") as archive:
            archive.writestr("blob", os.urandom(5 * 1024 * 1024))
        text = base64.b64encode(zipped.getvalue()).decode()
        small = post(alone, type="program_zip", input=packed("echo small"))
        large = post(alone, type="program_zip", input=text)
        row = completed(alone, large)
        assert (row["result"], row["success"]) == ("5242880\n", True)
        assert row["job"]["input"] == text
        assert completed(alone, small)["result"] == "small\n"


def test_a_failure_is_tried_three_times_and_told_in_the_words_of_old(alone: Place) -> None:
    with alone.server():
        broken = post(alone, type="program_zip", input="no base64!")
        failing = post(alone, type="program_zip", input=packed("echo no luck; exit 3"))
        row = completed(alone, broken, tries=3)
        assert (row["result"], row["success"]) == ("failed to decode base64 input", False)
        row = completed(alone, failing, tries=3)
        assert row["result"].startswith("make run error: exit status 2\nOutput: no luck\n")
        assert row["success"] is False


def test_a_program_gets_the_time_that_the_front_gives(alone: Place) -> None:
    with alone.server(env={"ROTA_FRONTS__JQGO__PROGRAM_TIMEOUT": "500ms"}):
        row = completed(alone, post(alone, type="program_zip", input=packed("sleep 50"), attempts=2), tries=3)
        assert (row["result"], row["success"]) == ("make run timed out", False)


def test_as_many_programs_at_once_as_the_front_says(alone: Place) -> None:
    with alone.server(env={"ROTA_FRONTS__JQGO__PROGRAMS": "2"}):
        alone.on()
        waiting = "echo ready; while [ ! -e end ]; do sleep 0.05; done"
        ids = [post(alone, type="program_zip", input=packed(waiting)) for _ in range(3)]

        def ready() -> list[str]:
            return [id for id in ids if "ready" in alone.said(id)]

        until(lambda: len(ready()) == 2, "two programs")
        states = [alone.job(id)["state"] for id in ids]
        assert sorted(states) == ["pending", "running", "running"]
        alone.let_go()
        until(lambda: len(ready()) == 3, "the third program")
        alone.let_go()
        for id in ids:
            assert completed(alone, id)["success"] is True


REACH = """
import glob, json, os, socket
told = json.load(open("told.json"))
found = []
addresses = (
    (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET, told["host"])
)
for family, host in addresses:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as link:
            link.settimeout(2)
            link.connect((host, told["port"]))
            found.append("the port at " + host)
    except OSError:
        pass
for path in told["paths"]:
    try:
        open(path, "rb").read(1)
        found.append("the file " + path)
    except OSError:
        pass
    try:
        open(path + ".new", "w").close()
        found.append("the folder of " + path)
    except OSError:
        pass
for path in [*glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/cmdline"), *told["paths"]]:
    try:
        if told["token"][::-1].encode() in open(path, "rb").read():
            found.append("the token in " + path)
    except OSError:
        pass
for pid in told["pids"]:
    try:
        os.kill(pid, 0)
        found.append("the server's process")
    except OSError:
        pass
print("REACHED", found)
"""


def test_a_program_reaches_nothing_of_its_server(here: Place, tmp_path: Path) -> None:
    """Neither its port, its settings, its store nor its token; outside it would reach them all."""
    settings = here.home / "rota.yaml"
    settings.write_text(f"token: {TOKEN}\nfronts: {{open: true}}\n")
    settings.chmod(0o644)
    with here.server("--config", str(settings), env={"ROTA_TOKEN": TOKEN}) as server:
        store = here.home / "rota.db"
        told = {
            "port": here.port,
            "host": socket.gethostbyname(socket.gethostname()),
            "paths": [str(path) for path in (settings, store, here.home / "rota.db-wal")],
            # Backwards: what a program brings along itself is no find.
            "token": TOKEN[::-1],
            "pids": [server.pid],
        }
        files = {"Makefile": "run:\n\t@python3 reach.py\n", "reach.py": REACH, "told.json": json.dumps(told)}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        outside = subprocess.run(
            [sys.executable, "reach.py"],
            cwd=tmp_path,
            env={**os.environ},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for what in ("port at 127", "rota.yaml", "rota.db", "folder of", "token in", "server's process"):
            assert what in outside, f"outside of the sandbox it reaches its {what}: {outside}"
        for path in here.home.glob("*.new"):
            path.unlink()
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        row = completed(
            here, post(here, type="program_zip", input=base64.b64encode(made.getvalue()).decode())
        )
        assert (row["result"], row["success"]) == ("REACHED []\n", True)
        assert not list(here.home.glob("*.new"))
        # It came by the environment and by the file, and shows nowhere.
        assert TOKEN not in server.text


@pytest.fixture
def bare() -> Iterator[Place]:
    """A host without namespaces and without a user to change to: nothing would hold."""
    with place() as made:
        closed = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
        made.python = ("unshare", "--user", "--map-root-user", "sh", "-c", closed, "sh", sys.executable)
        yield made


def test_where_programs_are_refused_they_wait_and_everything_says_why(bare: Place) -> None:
    with bare.server() as server:
        logged = server.wait_for("programs are refused")
        told = bare.on()
        assert told["state"] == "refused"
        for reason in (told["reason"], logged["why"]):
            assert "bubblewrap: " in reason
            assert "basic: lacks user" in reason
        layers = {one["name"]: one["works"] for one in told["sandbox"]["layers"]}
        assert (layers["bubblewrap"], layers["user"], layers["limits"]) == (False, False, True)
        workers = bare.http.get("/v1/workers").json()["workers"]
        assert [one["name"] for one in workers] == ["stand-in jqgo"]
        for id in (post(bare, type="program_zip", input="x"), bare.send()):
            job = bare.job(id)
            assert job["state"] == "pending"
            assert "basic: lacks user" in job["waiting_because"]
            [first, second] = bare.http.get(f"/v1/jobs/{id}/explain").json()["causes"]
            assert (first["cause"], first["numbers"]["profile"]) == ("programs_refused", "none")
            assert first["numbers"]["reason"] == told["reason"]
            assert second["cause"] in ("unknown_type", "no_worker")
        # All else is served.
        assert completed(bare, post(bare, type="hash", input="a"))["success"] is True
        assert sum(one.get("event") == "programs are refused" for one in server.records()) == 1
        # It is closed again.
        assert list(bare.jobs.iterdir()) == []


def test_only_the_flag_runs_them_there_and_says_so(bare: Place) -> None:
    with bare.server("--unsafe-programs") as server:
        assert "basic: lacks user" in server.wait_for("programs run unsafe")["why"]
        told = bare.on()
        assert (told["state"], told["sandbox"]["profile"]) == ("on", "none")
        row = completed(bare, post(bare, type="program_zip", input=packed("echo unheld")))
        assert (row["result"], row["success"]) == ("unheld\n", True)
        id = bare.send()
        pids = bare.running(id)
        assert bare.http.post(f"/v1/jobs/{id}/cancel").status_code == 202
        wait_gone(pids)


def test_workers_show_their_sandbox(alone: Place) -> None:
    with alone.server(env={"ROTA_PROGRAMS__QUEUES": "default=1,builds=3"}):
        told = alone.on()
        assert (told["state"], told["reason"]) == ("on", None)
        box = told["sandbox"]
        assert box["profile"] in ("strict", "standard", "basic")

        def shown() -> dict[str, Json]:
            workers = alone.http.get("/v1/workers").json()["workers"]
            return {one["name"]: one for one in workers if one["sandbox"] is not None}

        names = {"built-in programs default", "built-in programs builds", "stand-in programs jqgo"}
        until(lambda: set(shown()) == names, "its workers")
        for one in shown().values():
            assert one["sandbox"] == box
            assert one["types"] == ["execurl", "program_zip"]
        slots = {one["queues"][0]: one["slots"] for one in shown().values()}
        assert slots == {"default": 1, "builds": 3, "jqgo": 4}


def test_a_stand_in_leaves_programs_to_workers_of_the_front(alone: Place) -> None:
    """A worker of its own kind that is connected gets the program, whatever the server could do."""
    with alone.server():
        alone.on()
        ask = {"worker": "w1", "queues": ["jqgo"], "slots": 1, "wait": 0}
        assert alone.http.post("/v1/fetch", json=ask).json()["jobs"] == []
        id = post(alone, type="program_zip", input=packed("echo never"))
        [job] = alone.http.post("/v1/fetch", json={**ask, "wait": 10}).json()["jobs"]
        assert job["id"] == id
        outcome = {"id": id, "lease": job["lease"], "end": "done", "result": "by somebody else"}
        assert alone.http.post("/v1/finish", json={"worker": "w1", "outcomes": [outcome]}).status_code == 200
        assert completed(alone, id)["result"] == "by somebody else"
