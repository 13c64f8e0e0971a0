"""Files of jobs in a real server: memory, kill -9, power cuts, full disks. Whole or not at all, and swept."""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import sqlite3
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from rota.core.files import PART
from rota.core.service import Service
from rota.engines.open import open_engine, verify
from rota.model.errors import StoreError
from rota.model.job import Match, Request
from rota.model.spec import JobSpec, request
from tests.crash.disk import Disk
from tests.crash.kit import PATIENCE, Scene, until
from tests.server import Server

MiB = 1 << 20
ZIP = {"content-type": "application/zip"}


def zipped(size: int) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("Makefile", "run:\n\t@echo hello\n")
        archive.writestr("large", os.urandom(size))
    return whole.getvalue()


class Client:
    """Asks a server, each time on a connection of its own."""

    def __init__(self, server: Server) -> None:
        self.place = server.url.removeprefix("http://")

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection(self.place, timeout=PATIENCE)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def json(self, path: str, body: object) -> Any:
        status, answer = self("POST", path, json.dumps(body), {"content-type": "application/json"})
        assert status < 300, answer
        return json.loads(answer)

    def upload(self, content: bytes, **job: Any) -> str:
        status, answer = self("POST", "/v1/jobs", content, ZIP | {"rota-job": json.dumps(job)})
        assert status == 201, answer
        return str(json.loads(answer)["id"])

    def run(self) -> dict[str, Any]:
        """A job in the hand of the worker w."""
        job: dict[str, Any] = self.json("/v1/fetch", {"worker": "w", "queues": ["default"], "slots": 1})[
            "jobs"
        ][0]
        return job

    def done(self, job: dict[str, Any]) -> None:
        outcome = {"id": job["id"], "lease": job["lease"], "end": "done"}
        self.json("/v1/finish", {"worker": "w", "outcomes": [outcome]})


def rows(server: Server, table: str) -> int:
    """How many there are in the store, while a server works on it."""
    uri = f"file:{server.store.removeprefix('sqlite:///')}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def memory(server: Server, what: str) -> int:
    """Bytes: ``VmRSS`` now, ``VmHWM`` at most since :func:`forget_peak`."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024


def forget_peak(server: Server) -> None:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def spools(server: Server) -> list[os.stat_result]:
    """The files without a name that the server has open in its temporary folder."""
    found = []
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            if "spool" in link.readlink().parts:
                found.append(link.stat())
        except FileNotFoundError:
            continue
    return found


@contextmanager
def coming(server: Server, head: str, *pieces: bytes) -> Iterator[http.client.HTTPConnection]:
    """A request whose body stops somewhere in the middle."""
    with closing(
        http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)
    ) as connection:
        method, _, path = head.partition(" ")
        connection.putrequest(method, path)
        connection.putheader("Content-Type", "application/zip")
        connection.putheader("Content-Length", str(64 * MiB))
        connection.endheaders()
        for piece in pieces:
            connection.send(piece)
        yield connection


@pytest.fixture
def make(scene: Callable[..., Scene], tmp_path: Path) -> Callable[..., Scene]:
    """A scene whose server has a temporary folder of its own."""

    def make(**settings: str) -> Scene:
        (tmp_path / "spool").mkdir()
        made = scene(**settings)
        made.env["TMPDIR"] = str(tmp_path / "spool")
        return made

    return make


def test_memory_does_not_grow_with_files(make: Callable[..., Scene]) -> None:
    content = zipped(60 * MiB)
    with make().server() as server:
        client = Client(server)
        client.done({"id": client.json("/v1/jobs", {"type": "t"})["id"], "lease": client.run()["lease"]})
        before = memory(server, "VmRSS")
        forget_peak(server)
        id = client.upload(content)
        assert client("GET", f"/v1/jobs/{id}/upload") == (200, content)
        job = client.run()
        path = f"/v1/jobs/{id}/artifact"
        assert client("PUT", f"{path}?worker=w&lease={job['lease']}", content, ZIP)[0] == 200
        assert client("GET", path) == (200, content)
        assert memory(server, "VmHWM") - before < 30 * MiB


def test_a_spool_has_no_name_and_only_we_may_read_it(make: Callable[..., Scene], tmp_path: Path) -> None:
    with make().server() as server:
        with coming(server, "POST /v1/jobs", os.urandom(MiB)):
            [spool] = until(lambda: spools(server), "a spool")
            assert (stat.S_IMODE(spool.st_mode), spool.st_nlink) == (0o600, 0)
            assert list((tmp_path / "spool").iterdir()) == []
        until(lambda: not spools(server), "its end")
        assert (rows(server, "jobs"), rows(server, "files"), rows(server, "parts")) == (0, 0, 0)
        with coming(server, "POST /v1/jobs", os.urandom(MiB)):
            until(lambda: spools(server), "a spool")
            server.kill()
    assert list((tmp_path / "spool").iterdir()) == []
    assert verify(server.store).jobs == {}


def test_a_server_that_is_killed_while_it_stores_a_file(make: Callable[..., Scene]) -> None:
    scene = make()
    content = zipped(60 * MiB)
    with scene.server() as server:
        whole = Client(server).upload(zipped(MiB))
        before = rows(server, "parts")

        def send() -> None:
            try:
                answers.append(Client(server).upload(content))
            except OSError as error:
                answers.append(error)

        answers: list[Any] = []
        sending = threading.Thread(target=send)
        sending.start()
        until(lambda: rows(server, "parts") > before + 10, "parts of the second file")
        server.kill()
        sending.join(PATIENCE)
        [answer] = answers
        assert isinstance(answer, OSError), "it was killed too late"
    left = rows(server, "parts")
    assert left > before + 10
    assert rows(server, "jobs") == 1
    assert verify(server.store).sound
    with scene.server() as server:
        until(lambda: rows(server, "parts") == before, "the sweeping of what was left")
        assert rows(server, "files") == 1
        client = Client(server)
        assert client("GET", f"/v1/jobs/{whole}/upload")[0] == 200
        assert client.upload(content)
    assert verify(server.store).sound


def test_files_go_with_their_jobs(make: Callable[..., Scene]) -> None:
    with make().server() as server:
        client = Client(server)
        for how in ("delete", "clear", "prune"):
            id = client.upload(zipped(3 * MiB), retention=0 if how == "prune" else 60)
            job = client.run()
            path = f"/v1/jobs/{id}/artifact?worker=w&lease={job['lease']}"
            assert client("PUT", path, zipped(MiB), ZIP)[0] == 200
            if how == "clear":
                ending = {"id": id, "lease": job["lease"], "end": "released"}
                client.json("/v1/finish", {"worker": "w", "outcomes": [ending]})
                assert client("DELETE", "/v1/queues/default/jobs")[0] == 200
            else:
                client.done(job)
            if how == "delete":
                assert client("DELETE", f"/v1/jobs/{id}")[0] == 204
        stays = client.upload(zipped(3 * MiB))
        until(lambda: rows(server, "parts") == 13, "the end of all files but one")
        assert (rows(server, "jobs"), rows(server, "files")) == (1, 1)
        assert client("GET", f"/v1/jobs/{stays}/upload")[0] == 200
    assert verify(server.store).sound


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(f"files-{tmp_path.name}")
    yield disk
    disk.unregister()


async def upload(service: Service, content: bytes) -> str:
    async with service.files.storing(io.BytesIO(content)) as file:
        asked = request([JobSpec(type="work")], service.clock.now(), service.limits)
        [kept] = await service.enqueue(Request(asked.jobs, (), file))
    return kept.id


async def test_a_disk_that_is_full(disk: Disk, tmp_path: Path) -> None:
    engine = await open_engine(f"sqlite:///{tmp_path}/rota.db?vfs={disk.name}")
    service = Service(engine)
    disk.fail["write"] = apsw.FullError("full")
    with pytest.raises(StoreError) as caught:
        await upload(service, b"x" * 3 * PART)
    assert (caught.value.code, caught.value.status) == ("storage_full", 507)
    disk.fail.clear()
    assert await engine.count() == []
    id = await upload(service, b"x" * 3 * PART)
    assert (await service.files.upload(id)).bytes == 3 * PART
    await service.files.sweep()
    assert await engine.loose_files() == []
    await engine.close()


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_power_cut_a_job_has_its_whole_upload(disk: Disk, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    cuts: list[tuple[Path, list[str]]] = []

    def cut(what: str = "answer") -> None:
        if chance.random() < (0.01 if what.startswith("write") else 0.3):
            place = tmp_path / f"cut-{len(cuts)}"
            disk.cut(place, chance)
            cuts.append((place, list(stored)))

    stored: list[str] = []
    contents = set()
    (tmp_path / "store").mkdir()
    engine = await open_engine(f"sqlite:///{tmp_path}/store/rota.db?vfs={disk.name}")
    service = Service(engine)
    disk.watch = cut
    for n in range(12):
        given = chance.randbytes(chance.choice([10, 2 * PART, 3 * PART + 5]))
        contents.add(given)
        stored.append(await upload(service, given))
        cut()
        if n % 4 == 2:
            await service.delete(stored.pop(0))
            await service.files.sweep(breath=0)
    disk.watch = lambda _: None
    await engine.close()
    assert len(cuts) > 10
    for place, promised in cuts:
        left = await open_engine(f"sqlite:///{place}/rota.db")
        service = Service(left)
        there = [job.id for job in (await left.find(Match(), 500)).jobs]
        assert set(promised) <= set(there)
        for id in there:
            pieces = [piece async for piece in service.files.pieces(await service.files.upload(id))]
            assert b"".join(pieces) in contents
        await service.files.sweep(breath=0)
        assert await left.loose_files() == []
        await left.close()
        verdict = verify(f"sqlite:///{place}/rota.db")
        assert verdict.sound, verdict.findings
