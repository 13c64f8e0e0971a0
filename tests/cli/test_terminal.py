"""What people see: tables that fit, colours, a bar; and how it ends when the reader goes away."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.kit import Cli

STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def listed(rota: Cli) -> str:
    """The id of a failed job among others, all with the tag ``seen``."""
    rota.put("a.type:with/a-rather-long/name", queue="nobody", tags=["seen"])
    return rota.end("fails", '{"text": "x"}', tags=["seen"])


def lines(text: str) -> list[str]:
    return [STYLE.sub("", line) for line in text.replace("\r\n", "\n").splitlines()]


def test_a_table_has_colours_and_fits(rota: Cli, listed: str) -> None:
    ran = rota.terminal("jobs", "list", "--tag", "seen", columns=100).end()
    assert ran.status == 0
    assert "\x1b[31mfailed" in ran.out
    assert "\x1b[36mpending" in ran.out
    assert "\x1b[1m" in ran.out
    shown = lines(ran.out)
    assert len(shown) == 3
    assert all(len(line) <= 100 for line in shown)
    assert shown[1].startswith(listed)
    assert "…" in shown[2]


def test_a_narrow_terminal_loses_no_id(rota: Cli, listed: str) -> None:
    for columns in ({"columns": 40}, {"columns": 0}, {"columns": 100, "env": {"COLUMNS": "0"}}):
        ran = rota.terminal("jobs", "list", "--tag", "seen", **columns).end()
        assert ran.status == 0
        assert listed in ran.out
        assert "failed" in ran.out


def test_a_wide_terminal_cuts_nothing(rota: Cli, listed: str) -> None:
    shown = lines(rota.terminal("jobs", "list", "--tag", "seen", columns=200).end().out)
    assert "a.type:with/a-rather-long/name" in shown[2]
    assert "No worker serves the queue nobody." in shown[2]


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_colours_are_left_out_on_demand(rota: Cli, listed: str, env: dict[str, str]) -> None:
    for command in (["jobs", "list", "--tag", "seen"], ["jobs", "show", listed], ["jobs", "watch", listed]):
        ran = rota.terminal(*command, env=env).end()
        assert "failed" in ran.out
        assert re.search(r"\x1b\[(3|9)[0-9]", ran.out) is None


def test_a_pipe_gets_no_colours_and_whole_values(rota: Cli, listed: str) -> None:
    for command in (
        ["jobs", "list", "--tag", "seen"],
        ["jobs", "show", listed],
        ["jobs", "watch", listed],
        ["queues"],
    ):
        ran = rota(*command, env={"TERM": "xterm-256color", "FORCE_COLOR": "1", "COLUMNS": "20"})
        assert "\x1b" not in ran.out + ran.err
    assert (
        "a.type:with/a-rather-long/name" in rota("jobs", "list", "--tag", "seen", env={"COLUMNS": "20"}).out
    )


def test_json_is_indented_for_people(rota: Cli, listed: str) -> None:
    assert '{\r\n  "id": "' in rota.terminal("jobs", "show", listed, "--json").end().out


def test_a_long_file_has_a_bar(rota: Cli, folder: Path) -> None:
    (folder / "long.ndjson").write_text("1\n" * 5000 + "{\n" + "1\n" * 2000)
    ran = rota.terminal("enqueue", "t", "--queue", "bar", "--file", "long.ndjson").end()
    assert ran.status == 1
    assert "━" in ran.out
    assert "100%" in ran.out
    assert "7,000 jobs" in ran.out
    assert "line 5001: The line is not JSON" in STYLE.sub("", ran.out)
    assert lines(ran.out)[-1].startswith("7,000 jobs stored in")
    (folder / "short.ndjson").write_text("1\n" * 100)
    assert "━" not in rota.terminal("enqueue", "t", "--queue", "bar", "--file", "short.ndjson").end().out


def test_bytes_do_not_go_to_a_terminal(rota: Cli) -> None:
    ran = rota.terminal("enqueue", "picture", "--wait", "10").end()
    assert ran.status == 1
    assert "256 bytes of application/octet-stream" in ran.out
    assert "--output" in ran.out


def test_jobs_typed_by_hand(rota: Cli) -> None:
    terminal = rota.terminal("enqueue", "add", "--file", "-")
    terminal.until("Ctrl-D ends")
    terminal.type('{"a": 1, "b": 2}\n\x04')
    ran = terminal.end()
    assert ran.status == 0
    assert "1 job stored" in ran.out


@pytest.mark.bad(120)
def test_ctrl_c_ends_without_a_trace(rota: Cli) -> None:
    terminal = rota.terminal("jobs", "watch", rota.put("x", queue="nobody"))
    terminal.until("pending")
    terminal.type("\x03")
    ran = terminal.end()
    assert ran.status == 130
    assert "Traceback" not in ran.out
    assert "Aborted" not in ran.out


def test_ctrl_c_while_waiting_names_the_job(rota: Cli) -> None:
    terminal = rota.terminal("enqueue", "x", "--queue", "nobody", "--wait", "60")
    id = terminal.until("is pending; waiting for its end.").split()[0]
    terminal.type("\x03")
    ran = terminal.end()
    assert ran.status == 130
    assert f"The job goes on; 'rota jobs watch {id}' follows it." in ran.out
    assert "Traceback" not in ran.out


@pytest.mark.bad(120)
@pytest.mark.parametrize(
    "command", [["check"], ["jobs", "list", "--all"], ["jobs", "list", "--all", "--json"]], ids=str
)
def test_a_reader_that_leaves(rota: Cli, listed: str, command: list[str]) -> None:
    """More than a pipe holds, and nobody reads."""
    if command[0] == "jobs":
        assert rota("enqueue", "t", "--queue", "nobody", "--file", "-", stdin="1\n" * 3000).status == 0
    read, write = os.pipe()
    os.close(read)
    process = rota.start(*command, stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.bad(120)
def test_output_that_is_closed_or_full(rota: Cli, listed: str) -> None:
    with Path("/dev/full").open("wb") as full:
        process = rota.start("jobs", "list", stdout=full)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err == b"Error: The output cannot be written: No space left on device.\n"
    shell = f"{rota.command} jobs list >&- 2>&-"
    assert (
        subprocess.run(["sh", "-c", shell], env=rota.environment, cwd=rota.folder, check=False).returncode
        == 0
    )


@pytest.mark.bad(120)
@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}]
)
def test_a_locale_without_the_letters(rota: Cli, env: dict[str, str]) -> None:
    id = rota.end("says", '{"text": "naïve ☃ 🎿"}', tags=["letters"])
    for command in (["jobs", "show", id], ["jobs", "watch", id], ["jobs", "logs", id], ["queues"]):
        ran = rota(*command, env=env)
        assert (ran.status, ran.err) == (0, "")
        assert rota.terminal(*command, env=env).end().status == 0
    assert rota("jobs", "result", id, env=env).json == "naïve ☃ 🎿"
    assert rota("jobs", "show", id, "--json", env=env).json["result"] == "naïve ☃ 🎿"
    assert rota.job(rota.id("says", '{"text": "☃"}', env=env))["payload"] == {"text": "☃"}


@pytest.mark.bad(120)
def test_no_standard_input(rota: Cli) -> None:
    shell = ["sh", "-c", f"{rota.command} queues clear none <&-"]
    done = subprocess.run(shell, env=rota.environment, cwd=rota.folder, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
