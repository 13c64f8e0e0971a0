"""Programs of others on the command line: what ``rota check`` says of the sandbox, and
``rota work --programs`` on another machine than the server's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.kit import SHOP, Cli
from tests.crash.kit import until
from tests.programs.kit import AS_ROOT
from tests.programs.serving import Place, place

OFF = {"ROTA_PROGRAMS__ENABLED": "false"}


@pytest.fixture
def here() -> Iterator[Place]:
    with place() as made:
        yield made


def cli(here: Place) -> Cli:
    return Cli(here.home, f"http://127.0.0.1:{here.port}", ROTA_PROGRAMS__FOLDER=str(here.jobs))


def test_check_tries_every_layer_and_says_whether_programs_run(here: Place) -> None:
    ran = cli(here)("check")
    assert ran.status == 0, ran
    [head] = [line for line in ran.out.splitlines() if line.startswith("LAYER")]
    assert head.split() == ["LAYER", "WORKS", "WHY", "NOT"]
    for layer in ("bubblewrap", "network", "user", "seccomp", "landlock", "memory and processes", "limits"):
        assert f"\n{layer}  " in ran.out
    assert ran.out.splitlines()[-1].startswith("Programs run here, with the profile ")
    found = cli(here)("check", "--json").json["programs"]
    assert (found["state"], found["reason"]) == ("on", None)
    assert f"with the profile {found['sandbox']['profile']}" in ran.out
    assert list(here.jobs.iterdir()) == []


def test_check_says_why_programs_are_refused(here: Place, tmp_path: Path) -> None:
    if AS_ROOT:
        tmp_path.chmod(0o700)
        env, why = {"ROTA_PROGRAMS__FOLDER": str(tmp_path / "jobs")}, "closed to others (chmod o+x)"
    else:
        env, why = {"ROTA_PROGRAMS__REQUIRE": "strict"}, "programs need the profile strict: strict: lacks"
    ran = cli(here)("check", env=env)
    assert ran.status == 0
    last = ran.out.splitlines()[-1]
    assert last.startswith("Programs are refused: ")
    assert why in last
    assert cli(here)("check", "--json", env=env).json["programs"]["state"] == "refused"


def test_check_says_that_programs_are_switched_off_and_tries_nothing(here: Place) -> None:
    here.jobs.rmdir()
    ran = cli(here)("check", env=OFF)
    assert ran.out.splitlines()[-1] == "Programs do not run here: programs.enabled is false."
    assert "LAYER" not in ran.out
    assert cli(here)("check", "--json", env=OFF).json["programs"]["sandbox"] is None
    assert not here.jobs.exists()
    # As the tests leave the place.
    here.jobs.mkdir()


def test_a_folder_that_cannot_be_one_is_a_sentence(here: Place) -> None:
    ran = cli(here)("check", env={"ROTA_PROGRAMS__FOLDER": os.devnull})
    told = ran.out.splitlines()[-1]
    assert told.startswith(f"Programs are refused: {os.devnull} must be a folder of the server's user")
    assert "Traceback" not in ran.out + ran.err


@pytest.mark.parametrize("poll", [False, True])
def test_a_worker_elsewhere_runs_programs(here: Place, poll: bool) -> None:
    with here.server(env=OFF):
        id = here.send("echo from afar")
        rota = cli(here)
        told = rota("jobs", "explain", id)
        assert "programs.enabled is false" in told.out
        with here.worker("--name", "mill", *(["--poll"] if poll else [])) as worker:
            assert here.job(id, wait=20)["result"]["output"] == "from afar\n"
            [one] = here.http.get("/v1/workers").json()["workers"][-1:]
            assert (one["name"], one["queues"], one["types"]) == (
                "mill",
                ["default"],
                ["execurl", "program_zip"],
            )
            profile = one["sandbox"]["profile"]
            assert [one["name"] for one in one["sandbox"]["layers"]][:2] == ["bubblewrap", "network"]
            listed = rota("workers")
            [row] = [line for line in listed.out.splitlines() if " mill " in line]
            assert profile in row.split()
            assert f"mill {profile}" in rota("top", "--once").out
            assert worker.stop() == 0


def test_queues_and_slots_are_those_of_programs_where_there_are_no_tasks(here: Place) -> None:
    with (
        here.server(env=OFF),
        here.worker("--queues", "builds, checks", "--slots", "2", "--name", "m") as worker,
    ):

        def slots() -> dict[str, int]:
            workers = here.http.get("/v1/workers").json()["workers"]
            return {one["name"]: one["slots"] for one in workers if one["sandbox"]}

        until(lambda: slots() == {"m programs builds": 2, "m programs checks": 2}, "its two queues")
        id = here.send("echo built", queue="checks")
        assert here.job(id, wait=20)["result"]["output"] == "built\n"
        assert worker.stop() == 0


def test_programs_beside_tasks(here: Place) -> None:
    """One process, with the settings of a file."""
    (here.home / "shop.py").write_text(SHOP)
    (here.home / "mill.yaml").write_text("programs: {queues: {builds: 2}, timeout: 500ms}\n")
    with here.server(env=OFF):
        rota = cli(here)
        flags = ["--config", "mill.yaml", "--queues", "mine", "--slots", "3", "--name", "m", "shop:app"]
        with here.worker(*flags) as worker:

            def known() -> dict[str, tuple[list[str], int]]:
                workers = here.http.get("/v1/workers").json()["workers"]
                return {
                    one["name"]: (one["queues"], one["slots"]) for one in workers if one["name"][0] == "m"
                }

            until(lambda: known() == {"m": (["mine"], 3), "m programs builds": (["builds"], 2)}, "both")
            sum = rota.put("add", '{"a": 1, "b": 2}', queue="mine", wait=10)
            assert here.job(sum)["result"] == 3
            late = here.job(here.send("sleep 50", queue="builds", max_attempts=1), wait=20)
            assert (late["state"], late["error"]["details"]["ended"]) == ("failed", "timeout")
            assert worker.stop() == 0
        assert "Traceback" not in worker.text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Say what to run: MODULE:APP, or --programs."),
        (["--programs", "--processes", "2"], "--programs goes with neither --processes nor --reload."),
        (["--programs", "--reload"], "--programs goes with neither --processes nor --reload."),
        (["--programs", "--config", "none.yaml"], "cannot read none.yaml"),
    ],
)
def test_what_cannot_be_run_is_told(here: Place, arguments: list[str], told: str) -> None:
    ran = cli(here)("work", *arguments)
    assert ran.status == 2
    assert told in ran.err


def refusing(closed: Path) -> dict[str, str]:
    """Settings whose sandbox opens and would not hold; ``closed``: a folder."""
    closed.chmod(0o700)
    strict = {"ROTA_PROGRAMS__REQUIRE": "strict"}
    return {"ROTA_PROGRAMS__FOLDER": str(closed / "jobs")} if AS_ROOT else strict


def test_a_worker_whose_sandbox_does_not_hold_ends_and_says_why(here: Place, tmp_path: Path) -> None:
    for env in ({"ROTA_PROGRAMS__FOLDER": os.devnull}, refusing(tmp_path)):
        ran = cli(here)("work", "--programs", env=env)
        assert ran.status == 2
        assert "Error: Programs are refused: " in ran.err
        assert "Traceback" not in ran.err
    ran = cli(here)("work", "--programs", env={"ROTA_PROGRAMS__QUEUES": ","})
    assert ran.status == 2
    assert "no queue to take programs from" in ran.err
