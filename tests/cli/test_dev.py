"""``rota serve --dev``: a server, a worker that reloads, and a log for people."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import httpx2
import pytest

from tests.cli.kit import Cli, Terminal, alive, children_of, wait_until
from tests.cli.test_terminal import STYLE
from tests.server import running_server

PROGRAM = """
import asyncio

import rota

app = rota.App(queue="edited")


@app.task
def hello(ctx: rota.Context, name: str) -> str:
    ctx.log(f"greeting {name}")
    return f"hello {name}"


@app.task
def breaks(x: int) -> float:
    return 1 / x


@app.task
async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prog.py").write_text(PROGRAM)
    return tmp_path


def started(folder: Path, *flags: str, **env: str) -> tuple[Terminal, Cli]:
    """On a terminal, with its worker connected."""
    terminal = Cli(folder, "").terminal(
        "serve", "--dev", "prog:app", "--listen", "127.0.0.1:0", *flags, columns=200, env=env
    )
    terminal.until("working")
    url = STYLE.sub("", terminal.seen).split("listens on ")[1].split()[0]
    rota = Cli(folder, url)
    wait_until(lambda: rota.workers("edited"), "the worker is there")
    return terminal, rota


def shown(terminal: Terminal) -> str:
    return STYLE.sub("", terminal.seen).replace("\r\n", "\n")


def test_one_command_shows_all_that_happens(folder: Path) -> None:
    terminal, rota = started(folder)
    greeting = shown(terminal)
    assert "prog:app, started again when their source changes" in greeting
    assert (
        "mail goes into the folder maildir; webhooks may call this machine and private networks" in greeting
    )
    assert "sqlite:///rota.db" in greeting
    assert (folder / "rota.db").exists()

    id = rota.end("hello", '{"name": "Ada"}', queue="edited")
    terminal.until("hello done")
    terminal.until("POST /v1/jobs?wait=10 200")
    # The answer is on its way while its line is written.
    httpx2.get(rota.url + "/v1/stats")
    terminal.until("/v1/stats")
    said = shown(terminal)
    assert re.search(rf"info    hello says: greeting Ada  job {id[-8:]}\n", said)
    assert re.search(rf"info    hello done  [\d.]+ ms  job {id[-8:]}\n", said)
    assert re.search(r"info    POST /v1/jobs\?wait=10 200  [\d.]+ ms\n", said)
    assert "\x1b[32minfo" in terminal.seen

    id = rota.end("breaks", '{"x": 0}', queue="edited", max_attempts=1)
    terminal.until("| ZeroDivisionError: division by zero")
    said = shown(terminal)
    assert re.search(rf"error   breaks failed: ZeroDivisionError.*attempt 1 of 1  job {id}\n", said)
    assert re.search(r'    \|   File ".*/prog.py", line 17, in breaks\n    \|     return 1 / x\n', said)
    assert said.count("Traceback (most recent call last)") == 1

    httpx2.get(rota.url + "/nowhere")
    terminal.until("GET /nowhere 404")
    assert "warning GET /nowhere 404" in shown(terminal)

    # The program changes; its server goes on.
    (folder / "prog.py").write_text(PROGRAM.replace("hello {name}", "good day {name}"))
    terminal.until("reloading")
    job = rota.job(rota.end("hello", '{"name": "Ada"}', queue="edited"))
    assert job["result"] == "good day Ada"
    (folder / "prog.py").write_text("def (\n")
    terminal.until("waiting for a change")
    assert "SyntaxError: invalid syntax" in shown(terminal)

    children = children_of(terminal.process.pid)
    terminal.type("\x03")
    ran = terminal.end()
    assert ran.status == 0
    assert not any(alive(pid) for pid in children)


def test_ctrl_c_leaves_nothing_behind_and_loses_nothing(folder: Path) -> None:
    terminal, rota = started(folder, "--processes", "2")
    wait_until(lambda: len(rota.workers("edited")) == 2, "both are there")
    id = rota.put("nap", '{"seconds": 60}', queue="edited")
    wait_until(lambda: rota.job(id)["state"] == "running", "it runs")
    [reloader] = children_of(terminal.process.pid)
    children = [reloader, *children_of(reloader)]
    assert len(children) == 3
    terminal.type("\x03")
    ran = terminal.end()
    assert ran.status == 0
    assert "nap handed back" in STYLE.sub("", ran.out)
    assert not any(alive(pid) for pid in children)
    with running_server(folder) as server:
        job = Cli(folder, server.url).job(id)
        assert (job["state"], job["attempt"], job["losses"]) == ("pending", 0, 0)


def test_nothing_outlives_a_killed_server(folder: Path) -> None:
    terminal, _ = started(folder)
    # Something of the start may still be on its way out.
    wait_until(lambda: len(children_of(terminal.process.pid)) == 1, "it has one child")
    [reloader] = children_of(terminal.process.pid)
    children = [reloader, *children_of(reloader)]
    assert len(children) == 2
    terminal.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in children), "they are gone")


def test_in_a_pipe_it_is_text_without_colours(folder: Path) -> None:
    process = Cli(folder, "").start("serve", "--dev", "--listen", "127.0.0.1:0")
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} info    listening  url=http://127\.0\.0\.1:\d+ .*\n", line)
    process.terminate()
    assert process.wait(20) == 0


def test_mail_stays_here_and_hooks_may_call_this_machine(folder: Path) -> None:
    with running_server(folder, "--dev") as server:
        rota = Cli(folder, server.url)
        mail = rota.end("send_email", '{"to": "a@example.com", "subject": "s", "text": "t"}')
        assert rota.job(mail)["result"]["delivered"] == "maildir"
        assert len(list((folder / "maildir/new").iterdir())) == 1
        hook = f'{{"url": "{server.url}/livez", "method": "GET"}}'
        assert rota.job(rota.end("webhook", hook))["result"]["status"] == 200
    with running_server(folder, "--dev", env={"ROTA_HANDLERS__WEBHOOK__ALLOW_PRIVATE": "false"}) as server:
        rota = Cli(folder, server.url)
        job = rota.job(rota.end("webhook", f'{{"url": "{server.url}/livez", "method": "GET"}}'))
        assert "loopback" in job["error"]["message"]


@pytest.mark.parametrize("flags", [[], ["--insecure"]], ids=["", "insecure"])
def test_it_is_for_this_machine_only(alone: Cli, flags: list[str]) -> None:
    env = {"ROTA_TOKEN": "0123456789abcdef0123"}
    ran = alone("serve", "--dev", "--listen", "0.0.0.0:0", *flags, env=env)
    assert ran.status == 2
    assert ran.err.splitlines() == [
        "Error: listen (--listen): 0.0.0.0:0 is open to other machines; dev is for this machine only."
    ]


def test_check_shows_what_it_sets(alone: Cli) -> None:
    def rows(*flags: str) -> dict[str, tuple[object, str]]:
        settings = alone("check", *flags, "--json").json["settings"]
        return {one["key"]: (one["value"], one["origin"]) for one in settings}

    found = rows("--dev", "prog:app", "--work", "other:app", "--grace", "9s")
    assert found["work"] == (["prog:app", "other:app"], "--work")
    assert found["dev"] == (True, "--dev")
    assert found["grace"] == (9.0, "--grace")
    assert found["log_format"] == ("text", "--dev")
    assert found["handlers.webhook.allow_private"] == (True, "--dev")
    assert rows()["handlers.webhook.allow_private"] == (False, "default")
