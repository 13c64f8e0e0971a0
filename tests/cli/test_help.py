"""What the command line says of itself, and how soon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import rota as package
from rota.cli import SECTIONS
from rota.cli import rota as root
from tests.cli.kit import Cli
from tests.server import environment

COMMANDS = [name for entries in SECTIONS.values() for name in entries]
PATHS = [
    *([name] for name in COMMANDS),
    *(
        ["jobs", name]
        for name in (
            "list",
            "show",
            "cancel",
            "retry",
            "run-now",
            "delete",
            "watch",
            "logs",
            "result",
            "artifact",
        )
    ),
    *(["queues", name] for name in ("list", "pause", "resume", "clear")),
    *(["workers", name] for name in ("list", "drain")),
]


def test_help_comes_in_under_200_ms() -> None:
    """Of a processor: what else the machine does is not help's fault."""
    command = [sys.executable, "-m", "rota", "--help"]
    took = []
    for _ in range(5):
        before = os.times()
        subprocess.run(command, env=environment(), check=True, capture_output=True)
        after = os.times()
        took.append(after[2] + after[3] - before[2] - before[3])
    assert min(took) < 0.2


def test_help_loads_nothing_heavy() -> None:
    check = (
        "import sys; from rota.cli import rota; rota.main(['--help'], standalone_mode=False); print([n for n "
        "in ('asyncio', 'msgspec', 'httpx2', 'rich', 'yaml', 'starlette') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], env=environment(), check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_names_every_command_with_its_own_words(alone: Cli) -> None:
    said = alone("--help")
    assert said.status == 0
    context = click.Context(root)
    for entries in SECTIONS.values():
        for name, entry in entries.items():
            command = root.get_command(context, name)
            assert command is not None
            assert f"  {name}" in said.out
            assert entry.summary in said.out
            assert command.help


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_explains_itself(path: list[str]) -> None:
    command: click.Command | None = root
    context = click.Context(root, info_name="rota")
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(context, name)
        assert command is not None
        context = click.Context(command, parent=context, info_name=name)
    assert command is not None
    text = command.get_help(context)
    assert text.startswith(f"Usage: rota {' '.join(path)}")
    assert "--help" in text
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or isinstance(parameter.type, click.Choice), parameter.opts


def test_version(alone: Cli) -> None:
    assert alone("--version").out == f"rota {package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["serv"], "did you mean serve?"),
        (["zzz"], "there are: serve, check"),
        (["jobs", "lst"], "list"),
        (["jobs", "list", "--stat", "done"], "--state"),
        (["jobs", "show"], "ID"),
        (["enqueue"], "TYPE"),
        (["enqueue", "sleep", "--priority", "101"], "-100<=x<=100"),
        (["enqueue", "sleep", "--delay", "soon"], "30s, 5m"),
        (["work"], "MODULE:APP"),
    ],
    ids=str,
)
def test_wrong_use_has_status_2_and_a_hint(alone: Cli, arguments: list[str], hint: str) -> None:
    ran = alone(*arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert hint in ran.err
    assert "Traceback" not in ran.err


def test_the_documentation_names_every_command_and_flag() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for path in PATHS:
        command: click.Command = root
        for name in path:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), name)
            assert found is not None
            command = found
        assert f"`{path[-1]}`" in text or f"`rota {' '.join(path)}" in text
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert any(f"`{flag}" in text for flag in parameter.opts), (path, parameter.opts)
