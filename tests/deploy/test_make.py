"""The parallel queue's Make targets: what they ask of docker, and those of this machine for real.

In the place of docker there is a program that writes down its arguments and says what it was told to say.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import DEADLINE, environment

ROOT = Path(__file__).parents[2]
SURFACES = ("rest", "ws", "html", "html_ws")
STUB = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(arguments) + "\\n")
said = json.load(open({answers!r}))
print(said.get(arguments[0], ""), end="")
sys.exit(1 if arguments[0] in said.get("fails", []) else 0)
"""
HARDENED = "--detach --pull never --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"


class Docker:
    """The program, what it was asked, and Make with it in its PATH."""

    def __init__(self, folder: Path, name: str = "docker") -> None:
        self.log, self.answers = folder / "log", folder / "answers"
        self.path = folder / "bin"
        self.path.mkdir()
        program = self.path / name
        program.write_text(STUB.format(python=sys.executable, log=str(self.log), answers=str(self.answers)))
        program.chmod(0o755)
        self.says({})

    def says(self, answers: dict[str, object]) -> None:
        self.answers.write_text(json.dumps(answers))

    def make(self, *arguments: str, status: int = 0) -> list[str]:
        """The calls that this led to, each as one line."""
        self.log.write_text("")
        # Called from `make test`, this would inherit what that was told.
        env = environment(dict.fromkeys(("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARGS", "JOBS"), None))
        env["PATH"] = f"{self.path}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            ["make", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=50, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return [" ".join(json.loads(line)) for line in self.log.read_text().splitlines()]


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    return Docker(tmp_path)


def test_images_are_built(docker: Docker) -> None:
    each = [f"build --target app --build-arg SURFACE={one} --tag rota-app_{one} ." for one in SURFACES]
    assert docker.make("build_images") == each
    for one, call in zip(SURFACES, each, strict=True):
        assert docker.make(f"build_app_{one}_image") == [call]
    secret = "--secret id=pip,src=pip.conf"
    assert docker.make("build_app_ws_image", f"ARGS={secret}") == [each[1].replace(" .", f" {secret} .")]


@pytest.mark.parametrize("one", SURFACES)
def test_a_container_is_run_and_stopped(docker: Docker, one: str) -> None:
    name = f"rota-app_{one}"
    run = f"run {HARDENED} --name {name} --publish 127.0.0.1:8080:8080 --volume {name}:/var/lib/rota {name}"
    assert docker.make(f"run_app_{one}_image") == [f"rm {name}", run]
    assert docker.make(f"stop_app_{one}") == [f"stop -t 40 {name}"]
    assert docker.make(f"stop_rm_app_{one}") == [f"stop -t 40 {name}", f"rm {name}"]


def test_one_can_be_told_more(docker: Docker) -> None:
    (_, call) = docker.make("run_app_rest_image", "PUBLISH=9000", "ARGS=--env ROTA_GRACE=1s")
    assert "--publish 9000:8080 " in call
    assert call.endswith(" --env ROTA_GRACE=1s rota-app_rest")


def test_one_that_runs_is_neither_removed_nor_started_twice(docker: Docker) -> None:
    """Docker refuses both; the second refusal is told."""
    docker.says({"fails": ["rm", "run"]})
    assert len(docker.make("run_app_ws_image", status=2)) == 2


def test_one_that_cannot_be_stopped_is_not_removed(docker: Docker) -> None:
    docker.says({"fails": ["stop"]})
    assert docker.make("stop_rm_app_ws", status=2) == ["stop -t 40 rota-app_ws"]


def test_all_are_stopped(docker: Docker) -> None:
    running, every = "ps --quiet --filter name=^rota-app_", "ps --all --quiet --filter name=^rota-app_"
    assert docker.make("stop_all") == [running]
    assert docker.make("stop_rm_all") == [running, every]
    docker.says({"ps": "11\n22\n"})
    assert docker.make("stop_all") == [running, "stop -t 40 11 22"]
    assert docker.make("stop_rm_all") == [running, "stop -t 40 11 22", every, "rm 11 22"]


def test_tests_and_images(docker: Docker) -> None:
    build = "build --target tests --tag rota-tests ."
    run = "run --rm --init --pull never --shm-size 1g rota-tests test"
    assert docker.make("run_tests") == [build, run]
    assert docker.make("run_tests", "ARGS=tests/model -x") == [build, f"{run} ARGS=tests/model -x"]
    assert docker.make("show_images") == ["images --filter label=org.opencontainers.image.title=rota"]


def test_podman_will_do(tmp_path: Path) -> None:
    assert len(Docker(tmp_path, "podman").make("build_images", "DOCKER=podman")) == 4


def test_a_fifth_program_is_not_known(docker: Docker) -> None:
    for target in ("run_app_grpc_image", "local_run_app_grpc", "stop_app_", "build_app__image"):
        assert docker.make(target, status=2) == []


def test_what_it_is_given_to_stop_is_more_than_it_takes(docker: Docker) -> None:
    (stop,) = docker.make("stop_app_ws")
    text = (ROOT / "deploy/image/app.yaml").read_text()
    grace = re.search(r"executor_shutdown_timeout_ms: (\d+)", text)
    assert grace is not None
    assert int(stop.split()[2]) > int(grace[1]) / 1000 + 10


# --- on this machine ---


@pytest.fixture
def env() -> dict[str, str]:
    """For Make in this folder, which must find its environment as it wants it: it would make it anew, below
    the tests that run in it.
    """
    env = environment(dict.fromkeys(("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARGS", "JOBS"), None))
    done = subprocess.run(
        ["make", "--dry-run", "setup"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert "--clear" not in done.stdout, "run 'make setup': .venv is of another Python, or another folder"
    return env


def test_help_lists_every_target(docker: Docker) -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True)
    told = re.findall(r"^  make (\S+) +\S", done.stdout, re.MULTILINE)
    ours = ["help", "setup", "run", "test", "check", "format", "bench", "screenshots", "lock", "clean"]
    old = [
        "local_build", "local_test", "local_build_app_X", "local_run_app_X", "build_images",
        "build_app_X_image", "run_tests", "run_app_X_image", "stop_app_X", "stop_rm_app_X", "stop_all",
        "stop_rm_all", "show_images",
    ]  # fmt: skip
    assert told == [*ours, *old]


def test_the_local_ones_build_and_test(env: dict[str, str]) -> None:
    for target in ("local_build", "local_build_app_html"):
        done = subprocess.run(
            ["make", target], cwd=ROOT, env=env, capture_output=True, text=True, timeout=50, check=True
        )
        assert "setup: .venv is ready" in done.stdout
    for target in ("local_test", "local_tests"):
        done = subprocess.run(
            ["make", target, "ARGS=tests/model/test_clock.py -q -p no:cacheprovider"],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=50, check=True,
        )  # fmt: skip
        assert re.search(r"\d+ passed", done.stdout)


@pytest.mark.parametrize("surface", SURFACES)
def test_the_local_ones_run_a_program(surface: str, tmp_path: Path, env: dict[str, str]) -> None:
    file = tmp_path / "local.yaml"
    file.write_text("app: {host: 127.0.0.1, port: 0}\n")
    flags = f"--config {file} --store sqlite:///{tmp_path}/rota.db --log-format json"
    process = subprocess.Popen(
        ["make", f"local_run_app_{surface}", f"ARGS={flags}"],
        cwd=ROOT, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        url = next(json.loads(line)["url"] for line in process.stderr if '"event":"listening"' in line)
        page = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url],
            capture_output=True,
            text=True,
            check=True,
        )
        assert page.stdout == ("200" if "html" in surface else "404")
        # As Ctrl-C does.
        os.killpg(process.pid, signal.SIGINT)
        assert any('"event":"stopped"' in line for line in process.stderr)
        process.wait(DEADLINE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
