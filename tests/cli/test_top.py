"""rota top: a page for scripts, and a live one on a real terminal."""

from __future__ import annotations

import re
import signal
import termios
from pathlib import Path

import httpx2
import pytest

from tests.cli.kit import Cli, Terminal
from tests.server import running_server

STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LEAVE = "\x1b[?1049l"
"""Back to what was on the terminal before."""


@pytest.fixture(scope="module")
def busy(rota: Cli) -> Cli:
    """A server with something in it."""
    rota.end("add", '{"a": 1, "b": 2}', queue="default")
    rota.end("fails", '{"text": "out of\\u001b[31m paper\\nsecond line"}')
    for _ in range(3):
        rota.put("x", queue="held")
    httpx2.post(f"{rota.url}/v1/queues/held/pause").raise_for_status()
    return rota


def last_page(terminal: Terminal) -> str:
    """The last page that was drawn to its end, without colours."""
    pages = [STYLE.sub("", page) for page in terminal.seen.split("\x1b[H")]
    return next((page for page in reversed(pages) if "quit" in page), "")


def test_once(busy: Cli) -> None:
    ran = busy("top", "--once")
    assert (ran.status, ran.err) == (0, "")
    assert "\x1b" not in ran.out
    lines = ran.out.splitlines()
    assert busy.url in lines[0]
    held = next(line for line in lines if line.startswith("held"))
    assert held.split()[1] == "3"
    assert held.endswith("paused no worker")
    assert re.search(r"fails +default +1/10 .*rota.Fail: out of\\u001b\[31m paper$", ran.out, re.MULTILINE)


def test_once_as_json(busy: Cli) -> None:
    page = busy("top", "--once", "--json").json
    assert [queue["pending"] for queue in page["queues"] if queue["name"] == "held"] == [3]
    assert page["stats"]["states"]["failed"] >= 1
    assert [one["transport"] for one in page["workers"]].count("socket") == 1
    assert page["failures"][0]["error"]["type"] == "rota.Fail"
    assert isinstance(page["last_minute"], dict)


def test_used_wrongly(busy: Cli, alone: Cli) -> None:
    assert "--once prints one page" in busy("top").err
    assert busy("top").status == 2
    assert busy("top", "--json").status == 2
    assert busy("top", "--once", "--sort", "size").status == 2
    ran = alone("top", "--once")
    assert ran.status == 1
    assert "No Rota server answers" in ran.err


def test_q_leaves_the_terminal_as_it_was(busy: Cli) -> None:
    terminal = busy.terminal("top", columns=120)
    before = termios.tcgetattr(terminal._ours)
    terminal.until("quit")
    assert not termios.tcgetattr(terminal._ours)[3] & termios.ECHO
    terminal.type("q")
    terminal.process.wait(20)
    assert termios.tcgetattr(terminal._ours) == before, "keys are seen again"
    ran = terminal.end()
    assert ran.status == 0
    page = STYLE.sub("", ran.out.partition(LEAVE)[0].rpartition("\x1b[H")[2])
    assert "held" in page
    assert len(page.splitlines()) == 40
    assert all(len(line) <= 120 for line in page.splitlines())
    assert ran.out.count("\x1b[?1049h") == 1
    assert LEAVE in ran.out
    assert "\x1b[?25h" in ran.out, "the cursor is back"
    assert "Traceback" not in ran.out


def test_ctrl_c_and_sigterm_leave_it_clean_too(busy: Cli) -> None:
    terminal = busy.terminal("top")
    terminal.until("quit")
    ran = terminal.interrupt()
    assert ran.status == 130
    assert LEAVE in ran.out
    assert "Traceback" not in ran.out
    terminal = busy.terminal("top")
    terminal.until("quit")
    terminal.process.send_signal(signal.SIGTERM)
    ran = terminal.end()
    assert ran.status == 128 + signal.SIGTERM
    assert LEAVE in ran.out


def test_events_change_the_page_before_its_time(busy: Cli) -> None:
    terminal = busy.terminal("top", "--interval", "1h", columns=120)
    terminal.until("● live")
    busy.put("x", queue="brand-new")
    terminal.until("brand-new")
    terminal.type("q")
    assert terminal.end().status == 0


def test_keys(busy: Cli) -> None:
    terminal = busy.terminal("top", columns=120)
    terminal.until("sort: busy")
    terminal.type("s")
    terminal.until("sort: pending")
    terminal.type("\x1b[A")
    terminal.type("r")
    terminal.until("turned")
    terminal.type(" ")
    terminal.until("go on")
    terminal.type("q")
    assert terminal.end().status == 0


@pytest.mark.parametrize("columns", [20, 46, 80])
def test_narrow_terminals(busy: Cli, columns: int) -> None:
    terminal = busy.terminal("top", columns=columns)
    terminal.until("held")
    terminal.type("q")
    ran = terminal.end()
    assert ran.status == 0
    pages = [STYLE.sub("", page) for page in ran.out.partition(LEAVE)[0].split("\x1b[H")[1:]]
    assert all(len(line) <= columns for page in pages for line in page.splitlines())


def test_it_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        rota = Cli(tmp_path, server.url)
        rota.put("x", queue="before")
        terminal = rota.terminal("top", "--interval", "500ms", columns=120)
        terminal.until("before")
        server.kill()
        terminal.watch(lambda seen: "reconnecting" in last_page(terminal), "it is away")
        assert "before" in last_page(terminal), "the last figures stay"
        with running_server(tmp_path, listen=server.url.removeprefix("http://")):
            rota.put("x", queue="afterwards")
            terminal.until("afterwards")
            terminal.watch(lambda seen: "reconnecting" not in last_page(terminal), "it is back")
            terminal.type("q")
            assert terminal.end().status == 0
        server.close()
