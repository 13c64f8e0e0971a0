"""deploy/*.service: systemd accepts them, and they fit what the programs do."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rota.cli import rota as root
from rota.config import Settings
from tests.server import DEADLINE, running, running_server

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = ["rota.service", "rota-worker@.service"]


def entries(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / unit).read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_accepts_it(unit: str, tmp_path: Path) -> None:
    """Where systemd is; what it would say of a key it does not know is checked below in any case."""
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        return
    program = tmp_path / "rota"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (DEPLOY / unit).read_text().replace("/opt/rota/bin/rota", str(program))
    path = tmp_path / unit.replace("@", "@shop.jobs:app")
    path.write_text(text)
    done = subprocess.run(
        [verifier, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    ours = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if unit.partition(".")[0].rstrip("@") in line
    ]
    assert not ours, ours


@pytest.mark.parametrize("unit", UNITS)
def test_it_is_hardened_and_drains(unit: str) -> None:
    found = entries(unit)
    for key, value in {
        "DynamicUser": "yes",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
        "Restart": "on-failure",
        "KillSignal": "SIGTERM",
        "KillMode": "mixed",
        "WantedBy": "multi-user.target",
    }.items():
        assert found[key] == [value], key
    # A folder that several workers shared would belong to the one that started last.
    assert ("StateDirectory" in found) == (unit == "rota.service")
    # The grace, and five seconds until worker processes are killed.
    assert int(found["TimeoutStopSec"][0]) > Settings().grace + 5
    assert all(len(values) == 1 for key, values in found.items() if key != "EnvironmentFile")


@pytest.mark.parametrize("unit", UNITS)
def test_its_commands_exist_with_their_flags(unit: str) -> None:
    found = entries(unit)
    for line in [*found["ExecStart"], *found.get("ExecStartPre", ())]:
        words = line.split()
        assert words[0] == "/opt/rota/bin/rota"
        command = root.get_command(click.Context(root), words[1])
        assert command is not None
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= flags


def test_a_fault_in_the_settings_is_not_tried_again_and_again(tmp_path: Path) -> None:
    """RestartPreventExitStatus is the status that faulty settings have."""
    [status] = entries("rota.service")["RestartPreventExitStatus"]
    done = subprocess.run(
        [sys.executable, "-m", "rota", "serve", "--slots", "x"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert done.returncode == int(status)


@pytest.mark.parametrize("abstract", [False, True])
def test_the_server_tells_systemd_when_it_is_ready_and_when_it_stops(tmp_path: Path, abstract: bool) -> None:
    """Type=notify: over a real socket of the kind that systemd gives."""
    name = f"@rota-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(DEADLINE)
        link.bind("\0" + name[1:] if abstract else name)
        with running_server(tmp_path, env={"NOTIFY_SOCKET": name}) as server:
            assert link.recv(100) == b"READY=1"
            server.terminate()
            assert link.recv(100) == b"STOPPING=1"


def test_a_service_manager_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"NOTIFY_SOCKET": str(tmp_path / "nobody")}) as server:
        assert server.process.poll() is None
    assert server.wait() == 0


def test_the_settings_of_the_unit_are_settings(tmp_path: Path) -> None:
    found = entries("rota.service")
    [given] = found["Environment"]
    name, _, value = given.partition("=")
    env = {name: value.replace("/var/lib/rota", str(tmp_path))}
    with running(tmp_path, "serve", "--listen", "127.0.0.1:0", env=env) as server:
        server.wait_for("listening")
    assert (tmp_path / "rota.db").exists()
    assert re.fullmatch(r"sqlite:////var/lib/rota/\w+\.db", value)
