"""rota move: servers with real work before and after, a terminal, Ctrl-C, and kill -9 in the middle."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rota.engines.open import open_engine, verify
from rota.model.errors import StoreError
from rota.model.job import Request
from tests.cli.kit import SHOP, Cli, wait_until
from tests.engines.kit import done_with, fresh, job
from tests.server import DEADLINE, running, running_server

WAYS = [("sqlite", "postgres"), ("postgres", "sqlite")]
MANY = 5000


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Stores, by engine."""
    made: list[str] = []

    def make(engine: str) -> str:
        folder = tmp_path / f"store{len(made)}"
        folder.mkdir()
        made.append(fresh(engine, folder))
        return made[-1]

    yield make
    for url in made:
        done_with(url)


def put_many(url: str, jobs: int) -> None:
    async def put() -> None:
        engine = await open_engine(url)
        for _ in range(0, jobs, 5000):
            await engine.enqueue([Request(tuple(job(payload=b"x" * 100) for _ in range(5000)))], 0)
        await engine.close()

    asyncio.run(put())


# --- servers before and after ---


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_work_goes_on_where_it_stopped(
    here: str, there: str, alone: Cli, tmp_path: Path, other: Callable[[str], str]
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    source, target = other(here), other(there)
    with running_server(tmp_path, store=source) as server:
        before = _work(Cli(tmp_path, server.url))
    ran = alone("move", source, target, "--json")
    assert (ran.status, ran.err) == (0, ""), ran
    assert ran.json["rows"]["jobs"] == len(before["jobs"])
    assert sum(one["jobs"] for one in ran.json["counts"]) == len(before["jobs"])
    with running_server(tmp_path, store=target) as server:
        rota = Cli(tmp_path, server.url)
        with httpx2.Client(base_url=server.url, timeout=DEADLINE) as http:
            for id, was in before["jobs"].items():
                assert rota.job(id) == was
            assert (rota.queue("mail")["paused"], rota.queue("mail")["pending"]) == (True, 1)
            again = http.post("/v1/jobs", json=before["keyed"], headers={"Idempotency-Key": "k1"})
            assert (again.status_code, again.json()["id"]) == (200, before["keyed_id"])
            held = http.post("/v1/jobs", json={"type": "add", "queue": "later", "unique_key": "one"})
            assert held.json()["id"] == before["unique_id"]
            assert http.get(f"/v1/jobs/{before['done']}/result").json() == 5
            with running(tmp_path, "work", "shop:app", "--slots", "1", env={"ROTA_URL": server.url}):
                got = http.get(f"/v1/jobs/{before['order'][-1]}?wait=15").json()
                assert (got["state"], got["result"]) == ("done", 9 + 9)
        started = sorted((rota.job(id)["attempts"][0]["started_at"], id) for id in before["order"])
        assert [id for _, id in started] == before["order"], "by priority, then age"
        assert rota.job(before["failing"])["attempt"] == before["jobs"][before["failing"]]["attempt"]
    assert verify(target).sound


def _work(rota: Cli) -> dict[str, Any]:
    """Something of everything; the worker is gone again at the end."""
    with httpx2.Client(base_url=rota.url, timeout=DEADLINE) as http:
        with running(rota.folder, "work", "shop:app", env={"ROTA_URL": rota.url}):
            done = rota.end("add", '{"a": 2, "b": 3}')
            failing = rota.end("breaks", '{"text": "oh"}', max_attempts=1)
            logged = rota.end("says", '{"text": "hear"}', tags=["loud"])
        wait_until(lambda: not rota.outside(), "the worker has left")
        keyed = {"type": "add", "payload": {"a": 1, "b": 1}, "queue": "later"}
        keyed_id = http.post("/v1/jobs", json=keyed, headers={"Idempotency-Key": "k1"}).json()["id"]
        unique_id = rota.put("add", queue="later", unique_key="one")
        http.post("/v1/queues/mail/pause").raise_for_status()
        mail = rota.put("add", queue="mail")
        waiting = [rota.put("add", f'{{"a": {n}, "b": {n}}}', priority=-(n % 2)) for n in range(10)]
        ids = [done, failing, logged, keyed_id, unique_id, mail, *waiting]
        return {
            "jobs": {id: rota.job(id) for id in ids},
            "keyed": keyed,
            "keyed_id": keyed_id,
            "unique_id": unique_id,
            "done": done,
            "failing": failing,
            "order": waiting[0::2] + waiting[1::2],
        }


def test_a_server_that_runs_is_named(alone: Cli, tmp_path: Path, other: Callable[[str], str]) -> None:
    source, target = other("postgres"), other("sqlite")
    with running_server(tmp_path, store=source):
        ran = alone("move", source, target)
        assert (ran.status, ran.out) == (1, "")
        assert "stop them first. Nothing was changed." in ran.err
        assert "Traceback" not in ran.err


def test_a_running_job_moves_with_its_lease_and_is_rescued(
    alone: Cli, tmp_path: Path, other: Callable[[str], str]
) -> None:
    """Its worker died with the old server; the new one finds that out when the lease ends."""
    (tmp_path / "shop.py").write_text(SHOP)
    source, target = other("sqlite"), other("postgres")
    env: dict[str, str | None] = {"ROTA_LEASE": "1s", "ROTA_BEAT": "300ms"}
    with running_server(tmp_path, store=source, env=env) as server:
        rota = Cli(tmp_path, server.url)
        worker = rota.start("work", "shop:app", "--grace", "0")
        id = rota.put("nap", '{"seconds": 60}')
        wait_until(lambda: rota.job(id)["state"] == "running", "it runs")
        server.kill()
        worker.kill()
        worker.wait()
        server.process.returncode = 0
    ran = alone("move", source, target, "--json")
    assert {one["state"]: one["jobs"] for one in ran.json["counts"]} == {"running": 1}
    with running_server(tmp_path, store=target, env=env) as server:
        rota = Cli(tmp_path, server.url)
        wait_until(lambda: rota.job(id)["state"] == "pending", "it was taken back")
        assert [one["end"] for one in rota.job(id)["attempts"]] == ["lost"]


# --- people ---


def test_what_people_see(alone: Cli, tmp_path: Path, other: Callable[[str], str]) -> None:
    source, target, third = other("sqlite"), other("postgres"), other("sqlite")
    put_many(source, 5000)
    ran = alone("move", source, target)
    assert ran.status == 0, ran
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert lines["jobs"] == "5000 (5000 pending)"
    assert lines["checksum"].endswith(" at both ends")
    assert ran.err.splitlines() == [
        "checking", "copying: 0 of 5000 rows", "completing", "comparing: 0 of 5000 rows", "checking the copy"
    ]  # fmt: skip
    shown = alone.terminal("move", target, third)
    ended = shown.end()
    assert ended.status == 0, ended
    assert "copying" in ended.out
    assert "5,000 of 5,000 rows" in ended.out
    assert "━" in ended.out
    assert verify(third).jobs == {"pending": 5000}


def test_refusals_are_sentences(alone: Cli, tmp_path: Path, other: Callable[[str], str]) -> None:
    source, target = other("sqlite"), other("sqlite")
    for arguments, status, told in (
        ([source, target], 1, "There is no store at"),
        ([source], 2, "Missing argument 'TARGET'"),
        (["rota.db", target], 1, "store must be sqlite:///relative.db"),
        (["postgresql://u:secret@127.0.0.1:9/d", target], 1, "nobody listens there"),
    ):
        ran = alone("move", *arguments)
        assert (ran.status, ran.out) == (status, ""), ran
        assert told in ran.err
        assert "secret" not in ran.err
    assert list(Path(tmp_path).glob("store*/*")) == []


# --- in the middle ---


_PIPE = 4096
_LINES = b"checking\ncopying: 0 of %d rows\n"


@contextmanager
def copying(alone: Cli, source: str, target: str) -> Iterator[subprocess.Popen[bytes]]:
    """A move that has all rows over and stands still: it cannot say that it goes on, as nobody reads its
    words. It can at the end of the block, for all that is left of it.
    """
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, _PIPE)
    os.write(theirs, b"x" * (_PIPE - len(_LINES % MANY)))
    process = alone.start("move", source, target, stderr=theirs)
    os.close(theirs)
    wait_until(lambda: _unread(ours) == _PIPE or process.poll() is not None, "rows are copied")
    assert process.poll() is None
    yield process
    with os.fdopen(ours, "rb") as words:
        said = words.read()
    assert process.wait(DEADLINE) < 0 or b"Traceback" not in said


def _unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def empty(url: str) -> bool:
    """Whether a server finds nothing there, as soon as the database has noticed that nobody is left."""

    async def jobs() -> int:
        engine = await open_engine(url)
        try:
            return sum(row.jobs for row in await engine.count())
        finally:
            await engine.close()

    def free() -> bool:
        try:
            return asyncio.run(jobs()) == 0
        except StoreError as error:
            if "is being moved" not in error.detail:
                raise
            return False

    wait_until(free, "the target is free and empty")
    return True


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_kill_9_in_the_middle(here: str, there: str, alone: Cli, other: Callable[[str], str]) -> None:
    source, target = other(here), other(there)
    put_many(source, MANY)
    with copying(alone, source, target) as process:
        for url, kind in ((source, here), (target, there)):
            server = alone("serve", "--listen", "127.0.0.1:0", "--store", url, "--log-format", "json")
            assert server.status == 1
            assert ("is in use by" if kind == "sqlite" else "is being moved") in server.err, server
        process.kill()
        process.wait(DEADLINE)
    assert verify(source).jobs == {"pending": MANY}
    assert empty(target)
    ran = alone("move", source, target, "--json")
    assert ran.status == 0, ran
    assert verify(target).sound
    assert verify(target).jobs == {"pending": MANY}


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_ctrl_c_in_the_middle(here: str, there: str, alone: Cli, other: Callable[[str], str]) -> None:
    source, target = other(here), other(there)
    put_many(source, MANY)
    with copying(alone, source, target) as process:
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    if there == "sqlite":
        folder = Path(target.removeprefix("sqlite:///")).parent
        assert [one.name for one in folder.iterdir()] == ["rota.db.lock"]
    assert verify(source).jobs == {"pending": MANY}
    assert empty(target)
