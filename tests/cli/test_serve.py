"""Starting and stopping the server, and checking what it is told."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx2
import pytest

from rota.config.settings import all_keys
from tests import postgres
from tests.cli.kit import SHOP, Cli, alive, children_of, wait_until
from tests.server import running, running_server

TOKEN = "0123456789abcdef0123"


def test_check_prints_every_setting_with_its_origin(alone: Cli) -> None:
    (alone.folder / "other.yaml").write_text("grace: 1m\nslots: 3\n")
    ran = alone(
        "check", "--config", "other.yaml", "--slots", "4", env={"ROTA_LEASE": "20s", "ROTA_TOKEN": TOKEN}
    )
    assert (ran.status, ran.err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.partition("\n\n")[0].splitlines()}
    assert rows["SETTING"] == ["VALUE", "FROM"]
    assert rows["grace"] == ["1m", "other.yaml:1"]
    assert rows["slots"] == ["4", "--slots"]
    assert rows["lease"] == ["20s", "ROTA_LEASE"]
    assert rows["beat"] == ["5s", "default"]
    assert rows["token"] == ["***", "ROTA_TOKEN"]
    assert TOKEN not in ran.out
    assert list(rows)[1:] == [key.path for key in all_keys()]


def test_check_as_json(alone: Cli) -> None:
    settings = alone("check", "--listen", "127.0.0.1:1234", "--json").json["settings"]
    assert settings[0] == {"key": "listen", "value": "127.0.0.1:1234", "origin": "--listen"}


def test_rota_yaml_in_the_folder_is_read_unless_told_otherwise(alone: Cli) -> None:
    (alone.folder / "rota.yaml").write_text("slots: 3\n")
    (alone.folder / "other.yaml").write_text("slots: 5\n")

    def slots(*flags: str, **env: str) -> tuple[int, str]:
        settings = alone("check", "--json", *flags, env=env).json["settings"]
        found = next(one for one in settings if one["key"] == "slots")
        return found["value"], found["origin"]

    assert slots() == (3, "rota.yaml:1")
    assert slots("--config", "other.yaml") == (5, "other.yaml:1")
    assert slots(ROTA_CONFIG="other.yaml") == (5, "other.yaml:1")


@pytest.mark.bad(115)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_all_faults_at_once(alone: Cli, command: str) -> None:
    (alone.folder / "rota.yaml").write_text("slotz: 3\n")
    ran = alone(command, "--listen", "nowhere", "--log-level", "loud", env={"ROTA_LEASE": "x"})
    assert (ran.status, ran.out) == (2, "")
    head, *faults = ran.err.splitlines()
    assert head == "Error: The configuration has 4 faults:"
    assert [fault.split()[0] for fault in faults] == ["slotz", "lease", "listen", "log_level"]
    assert "rota.yaml:1" in faults[0]
    assert "did you mean slots?" in faults[0]


@pytest.mark.bad(115)
def test_faults_as_json(alone: Cli) -> None:
    ran = alone("check", "--listen", "nowhere", "--json")
    assert ran.status == 2
    assert ran.json["complaints"][0].startswith("listen (--listen): must be HOST:PORT")


@pytest.mark.bad(116, 119)
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--config", "nowhere.yaml"], 2, "cannot read nowhere.yaml"),
        (["--listen", "0.0.0.0:0"], 2, "it has no token"),
        (["--token-file", "nowhere"], 2, "token"),
        (["--work", "shop"], 2, "MODULE:APP"),
        (["--store", "postgresql://u:secret@h"], 2, "names no database"),
        (["--store", "sqlite:///folder.db"], 1, "folder.db"),
        (["--store", "sqlite:///text.db"], 1, "text.db is not a SQLite file"),
        (["--work", "nowhere:app"], 2, "There is no module 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_keeps_it_from_starting_is_told_in_sentences(
    alone: Cli, arguments: list[str], status: int, words: str
) -> None:
    (alone.folder / "folder.db").mkdir()
    (alone.folder / "text.db").write_text("no database at all\n" * 100)
    ran = alone("serve", "--listen", "127.0.0.1:0", *arguments)
    assert ran.status == status
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert "secret" not in ran.err


@pytest.mark.bad(118)
def test_a_port_that_is_taken(alone: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:{1}".format(*taken.getsockname())
        ran = alone("serve", "--listen", address)
    assert (ran.status, ran.err) == (
        1,
        f"Error: listen: cannot listen on {address}: Address already in use.\n",
    )


@pytest.mark.bad(116)
def test_a_store_that_is_in_use(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        ran = Cli(tmp_path, server.url)("serve", "--listen", "127.0.0.1:0")
    assert ran.status == 1
    assert "in use by another server" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_token_guards_everything_but_the_probes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "shop.py").write_text(SHOP)
    with running_server(tmp_path, "--token-file", "token", "--work", "shop:app") as server:
        rota = Cli(tmp_path, server.url)
        refused = rota("jobs", "list")
        assert (refused.status, refused.out) == (1, "")
        assert "needs a token" in refused.err
        assert "not valid" in rota("jobs", "list", env={"ROTA_TOKEN": "x" * 20}).err
        assert rota("health").status == 0
        assert rota("jobs", "list", "--token-file", "token").status == 0
        assert rota("--token-file", "token", "jobs", "list").status == 0
        assert rota("jobs", "list", env={"ROTA_TOKEN_FILE": "token"}).status == 0
        # The worker process that the server started has it, too.
        done = rota("enqueue", "add", '{"a": 1, "b": 2}', "--wait", "10", env={"ROTA_TOKEN": TOKEN})
        assert done.out == "3\n", done
        assert TOKEN not in server.text
        assert TOKEN not in Path(f"/proc/{children_of(server.pid)[0]}/cmdline").read_text()
    lacking = rota("jobs", "list", "--token-file", "nowhere")
    assert lacking.status == 2
    assert "'nowhere' cannot be read" in lacking.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_jobs_finish(tmp_path: Path, number: int) -> None:
    with running_server(tmp_path) as server:
        rota = Cli(tmp_path, server.url)
        id = rota.put("sleep", '{"ms": 1000}')
        wait_until(lambda: rota.job(id)["state"] == "running", "it runs")
        server.wait_for("draining", after=lambda: server.send(number))
        assert server.wait() == 0
        assert server.wait_for("stopped")
    with running_server(tmp_path) as server:
        job = Cli(tmp_path, server.url).job(id)
        assert (job["state"], job["attempt"]) == ("done", 1)


@pytest.mark.bad(120)
def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        rota = Cli(tmp_path, server.url)
        id = rota.put("sleep", '{"ms": 60000}')
        wait_until(lambda: rota.job(id)["state"] == "running", "it runs")
        server.wait_for("draining", after=server.terminate)
        server.terminate()
        assert server.wait(3) == 128 + signal.SIGTERM


def test_worker_processes_die_with_a_killed_server(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    with running_server(tmp_path, "--work", "shop:app", "--processes", "2", "--grace", "1") as server:
        rota = Cli(tmp_path, server.url)
        wait_until(lambda: len(rota.outside()) == 2, "both are there")
        children = children_of(server.pid)
        assert len(children) == 2
        server.kill()
        wait_until(lambda: not any(alive(child) for child in children), "they are gone")


def test_on_a_terminal_it_says_what_to_do_next(tmp_path: Path) -> None:
    terminal = Cli(tmp_path, "").terminal("serve", "--listen", "127.0.0.1:0", "--grace", "5s")
    said = terminal.until("Ctrl-C; running jobs get 5.0s to finish")
    url = said.split("listens on ")[1].split()[0]
    assert httpx2.get(url + "/readyz").status_code == 200
    assert f"rota enqueue sleep '{{\"ms\": 500}}' --wait 5 --url {url}" in said
    assert "sqlite:///rota.db" in said
    terminal.type("\x03")
    ran = terminal.end()
    assert ran.status == 0
    assert "Traceback" not in ran.out


def test_no_greeting_in_a_log(tmp_path: Path) -> None:
    with running(tmp_path, "serve", "--listen", "127.0.0.1:0") as server:
        server.wait_for("listening")
    assert len(server.records()) == len(server.lines)


def test_watch_outlives_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        rota = Cli(tmp_path, server.url)
        process = rota.start("jobs", "watch", rota.put("sleep", '{"ms": 500}', queue="default", delay=2))
        assert process.stdout is not None
        process.stdout.readline()
        server.kill()
        assert process.stderr is not None
        assert b"Trying on." in process.stderr.readline()
        with running_server(tmp_path, listen=server.url.removeprefix("http://")):
            out, err = process.communicate(timeout=20)
        assert err == b"The server is back.\n"
        assert out.splitlines()[-1] == b'{"slept_ms":500}'
        assert process.returncode == 0
        server.close()


def test_check_tries_the_connection_to_a_database(alone: Cli) -> None:
    ran = alone("check", env={"ROTA_STORE": "postgresql://rota:secret@127.0.0.1:1/jobs"})
    assert ran.status == 1
    assert "postgresql://rota:***@127.0.0.1:1/jobs cannot be opened: nobody listens there." in ran.err
    assert "secret" not in ran.err + ran.out
    url = postgres.fresh()
    ran = alone("check", env={"ROTA_STORE": url})
    assert ran.status == 0
    assert "the schema is up to date" in ran.out + ran.err
    assert alone("check", "--store", url).status == 0
    postgres.give_back(url)


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_database_that_is_not_there_is_told_in_a_sentence(alone: Cli, command: str) -> None:
    url = "postgresql://rota:secret@127.0.0.1:1/jobs"
    arguments = ["--listen", "127.0.0.1:0"] if command == "serve" else []
    ran = alone(command, *arguments, "--store", url)
    assert ran.status == 1
    assert ran.err == (
        "Error: The store postgresql://rota:***@127.0.0.1:1/jobs cannot be opened: nobody listens there.\n"
    )
