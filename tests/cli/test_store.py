"""rota backup and rota check --store, beside a server at work and without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import httpx2
import pytest

from tests.cli.kit import Cli, Ran, wait_until
from tests.server import DEADLINE, running_server


class Load:
    """Stores jobs that wait, and runs others, until it is stopped; counts both."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kept = 0
        self.ran = 0
        self.refused: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        waiting = {"type": "later", "queue": "later", "payload": "x" * 2000, "tags": ["t"]}
        with httpx2.Client(base_url=self.url, timeout=DEADLINE, trust_env=False) as http:
            while not self._stop.is_set():
                stored = http.post("/v1/jobs", json={"jobs": [waiting] * 50})
                self.kept += 50 * (stored.status_code == 201)
                done = http.post("/v1/jobs?wait=20", json={"type": "sleep", "payload": {"ms": 1}})
                if stored.status_code == 201 and done.json().get("state") == "done":
                    self.ran += 1
                else:
                    self.refused.append(stored.text + done.text)


@pytest.fixture
def load(rota: Cli) -> Iterator[Load]:
    load = Load(rota.url)
    yield load
    load.stop()


def sound(ran: Ran) -> None:
    assert ran.status == 0, ran
    assert ran.json["sound"] is True
    assert ran.json["findings"] == []


def test_a_backup_of_a_server_at_work(rota: Cli, load: Load, folder: Path, tmp_path: Path) -> None:
    copies = []
    for n in range(3):
        before, ran_before = load.kept, load.ran
        ran = rota("backup", f"{tmp_path}/{n}.db", "--json")
        assert (ran.status, ran.err) == (0, ""), ran
        copies.append(ran.json)
        assert before <= ran.json["jobs"]["pending"] <= load.kept + 50
        wait_until(lambda: load.ran > ran_before, "the server goes on")  # noqa: B023
    load.stop()
    assert load.refused == []
    assert rota.queue("later")["pending"] == load.kept
    for n, copy in enumerate(copies):
        sound(rota("check", "--store", f"sqlite:///{tmp_path}/{n}.db", "--json"))
        with running_server(tmp_path, store=f"sqlite:///{tmp_path}/{n}.db") as second:
            there = Cli(tmp_path, second.url)
            assert there.queue("later")["pending"] == copy["jobs"]["pending"]
            newest = there.get("/v1/jobs?queue=later&limit=1")["jobs"][0]["id"]
            assert there.job(newest)["payload"] == "x" * 2000
            assert there.job(there.end("sleep", '{"ms": 1}'))["state"] == "done"


def test_a_check_beside_a_server_at_work(rota: Cli, load: Load) -> None:
    for _ in range(4):
        ran = rota("check", "--store", "--json")
        sound(ran)
        assert ran.json["live"] is True
    assert load.refused == []


def test_a_check_for_people(rota: Cli, folder: Path) -> None:
    ran = rota("check", "--store")
    assert (ran.status, ran.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert (lines["store"], lines["server"], lines["result"]) == ("rota.db", "has it open", "sound")


def test_repair_is_refused_beside_a_server(rota: Cli, folder: Path) -> None:
    db = apsw.Connection(str(folder / "rota.db"))
    db.set_busy_timeout(5000)
    db.execute("INSERT INTO counts VALUES ('none', 'none', 'done', 7)")
    try:
        ran = rota("check", "--store", "--repair")
        assert (ran.status, ran.out) == (1, "")
        assert "in use by another server" in ran.err
        told = rota("check", "--store")
        assert told.status == 1
        assert "none none done: 7 instead of 0" in told.out
        assert "rota check --store --repair" in told.out
    finally:
        db.execute("DELETE FROM counts WHERE queue = 'none'")
        db.close()


def test_repair(alone: Cli, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        Cli(tmp_path, server.url).put("later", queue="later")
    db = apsw.Connection(str(tmp_path / "rota.db"))
    db.execute("UPDATE counts SET jobs = 5")
    db.close()
    url = f"sqlite:///{tmp_path}/rota.db"
    broken = alone("check", "--store", url, "--json")
    assert (broken.status, broken.json["sound"]) == (1, False)
    assert [(one["code"], one["repairable"]) for one in broken.json["findings"]] == [("wrong_count", True)]
    assert alone("backup", "copy.db", "--store", url).status == 1, "a faulty store gives no copy"
    mended = alone("check", "--store", url, "--repair")
    assert (mended.status, "repaired  1 counters" in mended.out) == (0, True)
    sound(alone("check", "--store", url, "--json"))
    with running_server(tmp_path) as server:
        assert Cli(tmp_path, server.url).queue("later")["pending"] == 1


def test_what_is_refused(alone: Cli, tmp_path: Path) -> None:
    for arguments, status, told in (
        (["check", "--store"], 1, "There is no store at rota.db."),
        (["check", "--store", "sqlite:///none.db"], 1, "There is no store at none.db."),
        (["check", "--store", "redis://x"], 1, "store must be sqlite:///"),
        (["check", "--repair"], 2, "--repair is for a store"),
        (["backup", "x.db"], 1, "There is no store at rota.db."),
        (["backup"], 2, "TARGET"),
    ):
        ran = alone(*arguments)
        assert (ran.status, ran.out) == (status, ""), ran
        assert told in ran.err
        assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == [], "nothing is made"


def test_the_store_of_the_settings(rota: Cli, folder: Path, tmp_path: Path) -> None:
    ran = rota("backup", f"{tmp_path}/copy.db", env={"ROTA_STORE": f"sqlite:///{folder}/rota.db"})
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"{tmp_path}/copy.db: ")
    assert ran.out.endswith(", checked\n")
    again = rota("backup", f"{tmp_path}/copy.db")
    assert (again.status, "--force replaces it" in again.err) == (1, True)
    assert rota("backup", "--force", f"{tmp_path}/copy.db").status == 0
    faulty = {"ROTA_LEASE": "nonsense"}
    assert rota("backup", f"{tmp_path}/b.db", env=faulty).status == 2
    assert rota("backup", f"{tmp_path}/b.db", "--store", "sqlite:///rota.db", env=faulty).status == 0


def test_a_terminal_shows_how_far_it_is(rota: Cli, tmp_path: Path) -> None:
    told = rota.terminal("backup", f"{tmp_path}/copy.db").end()
    assert told.status == 0
    assert "copied 100%" in told.out
