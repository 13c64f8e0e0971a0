"""The settings of programs, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from rota.config import describe, load
from rota.model.errors import BadConfig


def complaints(env: dict[str, str], file: Path | None = None) -> list[str]:
    with pytest.raises(BadConfig) as caught:
        load(file, env)
    return list(caught.value.complaints)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("REQUIRE", "none", "must be one of basic, standard, strict"),
        ("QUEUES", "default=0", "must be queues with a whole number from 1 to 1000 each"),
        ("CPUS", "0", "must be a number of cores from 0.01 to 1024, such as 0.5 or 2, not '0'"),
        ("CPUS", "nan", "must be a number of cores"),
        ("CPUS", "all", "must be a number of cores"),
        ("MEMORY", "10 kB", "must be bytes or a text"),
        ("PROCESSES", "0", "must be a whole number from 1"),
        ("TIMEOUT", "0", "must be seconds or a text"),
        ("READONLY_PATHS", "opt", "must be an absolute path"),
        ("READONLY_PATHS", "/usr/../etc", "must be an absolute path"),
        ("READONLY_PATHS", "/proc", "it covers what is their own"),
        ("READONLY_PATHS", "/nowhere/at/all", "'/nowhere/at/all' does not exist"),
        ("READONLY_PATHS", "/", "it covers what is their own"),
        ("TIMEOUT", "2h", "must not be above programs.max_timeout (3600s)"),
        ("MAX_TIMEOUT", "30s", "must not be below programs.timeout (60s)"),
        ("OUTPUT", "1 GiB", "must be bytes or a text"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: str, told: str) -> None:
    [complaint] = complaints({f"ROTA_PROGRAMS__{name}": value})
    assert complaint.startswith(f"programs.{name.lower()} (ROTA_PROGRAMS__{name}): ")
    assert told in complaint


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "rota.yaml"
    file.write_text(
        "programs: {cpus: [1], readonly_path: [/usr], memory: much}\nfronts: {jqgo: {programs: -1}}\n"
    )
    told = complaints({}, file)
    assert [one.partition(" ")[0] for one in told] == [
        "programs.readonly_path",
        "programs.cpus",
        "programs.memory",
        "fronts.jqgo.programs",
    ]
    assert "did you mean programs.readonly_paths?" in told[0]


def test_values_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "rota.yaml"
    file.write_text(
        "programs:\n  queues: {builds: 2}\n  cpus: 1.5\n  memory: 1 GiB\n  timeout: 5m\n"
        "  readonly_paths: [/usr/share, /usr/share]\n  cpu_seconds: null\n  network: yes\n"
    )
    found = load(file, {"ROTA_FRONTS__JQGO__PROGRAM_TIMEOUT": "1m30s"})
    ours = found.programs
    assert (ours.queues, ours.cpus, ours.memory, ours.timeout) == ({"builds": 2}, 1.5, 1 << 30, 300.0)
    assert (ours.readonly_paths, ours.cpu_seconds, ours.network) == (("/usr/share",), None, True)
    assert found.fronts.jqgo.program_timeout == 90.0
    shown = {one.key: one.text for one in describe(found)}
    assert shown["programs.cpus"] == "1.5"
    assert shown["programs.readonly_paths"] == "/usr/share"


def test_the_flag_for_unsafe_programs_has_the_name_of_what_it_allows() -> None:
    found = load(None, {}, {"unsafe_programs": True})
    assert found.programs.unsafe
    [shown] = [one for one in describe(found) if one.key == "programs.unsafe"]
    assert (shown.value, shown.origin) == (True, "--unsafe-programs")
    assert not load(None, {}).programs.unsafe
