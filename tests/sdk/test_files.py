"""Files of jobs between programs, a real server and its workers, also while that goes away."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

import rota
from rota.model.errors import StaleLease
from rota.model.protocol import Lease
from rota.model.spec import JobSpec
from rota.sdk import transport
from rota.sdk.files import RemoteFiles
from rota.sdk.poll import PollSource
from rota.sdk.socket import SocketSource
from rota.sdk.source import Source
from tests.sdk import program
from tests.sdk.memory import until
from tests.sdk.peer import Asked, Reply, peer, problem
from tests.sdk.test_end_to_end import at_work
from tests.server import Server, running_server

Make = Callable[[str], Source]
both = pytest.mark.parametrize("make", [SocketSource, PollSource], ids=["socket", "poll"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as found:
        yield found


def archive(place: Path, size: int = 1_000_000) -> Path:
    """A zip archive that cannot be packed any smaller."""
    path = place / "upload.zip"
    with zipfile.ZipFile(path, "w") as packing:
        packing.writestr("bytes", os.urandom(size))
    return path


def spec(queue: str, **fields: object) -> JobSpec:
    return JobSpec(type="turn", queue=queue, **fields)  # type: ignore[arg-type]


def turning(server: Server, queue: str) -> rota.App:
    """A worker that leaves what came, backwards; told where."""
    app = rota.App(server.url, queue=queue)

    @app.task
    async def turn(ctx: rota.Context, folder: str, upload: dict[str, object]) -> list[object]:
        said = await program.turn_in_loop(ctx, folder)
        return [said, upload["bytes"], upload["sha256"]]

    return app


@both
async def test_from_a_client_through_a_worker_to_a_client(make: Make, server: Server, tmp_path: Path) -> None:
    path = archive(tmp_path)
    data = path.read_bytes()
    queue = f"turn-{make.__name__}"
    told: list[tuple[int, int]] = []
    async with at_work(turning(server, queue), make(server.url)), rota.AsyncClient(server.url) as client:
        payload = msgspec.Raw(msgspec.json.encode({"folder": str(tmp_path)}))
        made = await client.upload(spec(queue, payload=payload), path, lambda *both: told.append(both))
        job = msgspec.structs.asdict(await client.job(made.id))
        await until(lambda: (tmp_path / "out").exists())
        got = await client.result(made.id, wait=10)
        assert got.state is None
        kept = await client.artifact(made.id, tmp_path / "artifact")
    digest = hashlib.sha256(data).hexdigest()
    assert job["payload"]["upload"] == {"bytes": len(data), "sha256": digest, "entries": 1}
    assert msgspec.json.decode(got.data) == ["turned", len(data), digest]
    assert (tmp_path / "in").read_bytes() == data
    assert (tmp_path / "artifact").read_bytes() == data[::-1]
    assert (kept.bytes, kept.sha256) == (len(data), hashlib.sha256(data[::-1]).hexdigest())
    assert {oct((tmp_path / name).stat().st_mode)[-3:] for name in ("in", "artifact")} == {"600"}
    steps = [done for done, _ in told]
    assert steps == sorted(set(steps)), "each step goes on from the one before"
    assert (told[0], told[-1], len(told) > 3) == ((0, len(data)), (len(data), len(data)), True)


def test_the_blocking_client_does_the_same(server: Server, tmp_path: Path) -> None:
    path, told = archive(tmp_path), []
    with rota.Client(server.url) as client:
        made = client.upload(spec("nobody"), path, lambda *both: told.append(both), idempotency_key="k")
        again = client.upload(spec("nobody"), path, idempotency_key="k")
        assert (again.id, again.created, again.why) == (made.id, False, "idempotency")
        with pytest.raises(rota.NotFound) as none:
            client.artifact(made.id, tmp_path / "artifact")
        assert none.value.code == "no_artifact"
        with pytest.raises(rota.Conflict):
            client.upload(spec("nobody", priority=1), path, idempotency_key="k")
    assert told[-1] == (path.stat().st_size,) * 2
    assert not (tmp_path / "artifact").exists()


def test_what_cannot_be_sent(server: Server, tmp_path: Path) -> None:
    with rota.Client(server.url) as client:
        with pytest.raises(FileNotFoundError):
            client.upload(spec("nobody"), tmp_path / "none.zip")
        (tmp_path / "text.zip").write_text("no archive")
        with pytest.raises(rota.BadInput) as bad:
            client.upload(spec("nobody"), tmp_path / "text.zip")
        assert bad.value.code.startswith("archive_")
        with pytest.raises(rota.BadInput) as large:
            client.upload(spec("nobody", headers={"a": "x" * 9000}), archive(tmp_path))
        assert (large.value.code, large.value.field) == ("headers_too_large", "Rota-Job")


async def test_a_lost_lease_leaves_nothing(server: Server, tmp_path: Path) -> None:
    source = SocketSource(server.url)
    path = archive(tmp_path)
    with rota.Client(server.url) as client:
        made = client.upload(spec("lost"), path)
        files = RemoteFiles(server.url, None)
        with pytest.raises(StaleLease):
            await files.keep_artifact("somebody", Lease(made.id, 1), path)
        await files.close()
        await source.close()
        with pytest.raises(rota.NotFound):
            client.artifact(made.id, tmp_path / "artifact")


async def test_a_server_that_comes_back_gets_and_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the worker asks for the upload, and again before it leaves the artifact."""
    path = archive(tmp_path, 5_000_000)
    app = rota.App(queue="q")
    go, asked = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    @app.task
    def turn(ctx: rota.Context, upload: dict[str, object]) -> str:
        asked[0].set()
        go[0].wait(20)
        ctx.read_upload_sync(tmp_path / "in")
        asked[1].set()
        go[1].wait(20)
        ctx.keep_artifact_sync(tmp_path / "in")
        return "kept"

    monkeypatch.setattr(transport, "MAX_PAUSE", 0.2)
    folder = tmp_path / "server"
    folder.mkdir()
    with running_server(folder) as first:
        address = first.url.removeprefix("http://")
        async with at_work(app, SocketSource(first.url)), rota.AsyncClient(first.url) as client:
            made = await client.upload(spec("q"), path)
            await until(asked[0].is_set)
            first.kill()
            go[0].set()
            with running_server(folder, listen=address) as second:
                await until(asked[1].is_set)
                second.kill()
                go[1].set()
                with running_server(folder, listen=address):
                    async with asyncio.timeout(20):
                        while (await client.result(made.id, wait=5)).state is not None:
                            pass
                    await client.artifact(made.id, tmp_path / "artifact")
        assert (tmp_path / "artifact").read_bytes() == path.read_bytes()


# What may go wrong on the way, from a peer that does it on purpose

GOOD = b"all of it"
TAG = {"ETag": f'"{hashlib.sha256(GOOD).hexdigest()}"'}


@pytest.mark.parametrize(
    "bad",
    [
        Reply(body=GOOD, headers={"ETag": f'"{"0" * 64}"'}),
        Reply(body=b"all of him", headers=TAG),
        Reply(body=GOOD[:4], headers=TAG | {"Content-Length": "9"}),
        Reply(hang_up=True),
        problem(503, "unavailable", "Not now."),
    ],
    ids=["other hash", "other bytes", "cut", "hung up", "503"],
)
async def test_what_comes_damaged_is_asked_for_again(bad: Reply, tmp_path: Path) -> None:
    replies = [bad, bad, Reply(body=GOOD, headers=TAG)]
    with peer(lambda asked: replies.pop(0)) as server:
        files = RemoteFiles(server.url, "secret")
        await files.read_upload(Lease("a/b", 1), tmp_path / "in")
        await files.close()
        assert [one.path for one in server.asked] == ["/v1/jobs/a%2Fb/upload"] * 3
        assert server.asked[0].headers["authorization"] == "Bearer secret"
        assert server.asked[0].headers["accept-encoding"] == "identity"
    assert (tmp_path / "in").read_bytes() == GOOD


def test_what_stays_damaged_is_said_and_not_left(tmp_path: Path) -> None:
    with (
        peer(lambda asked: Reply(body=b"something else", headers=TAG)) as server,
        rota.Client(server.url, retries=1) as client,
    ):
        with pytest.raises(rota.Unavailable, match="came damaged") as error:
            client.artifact("x", tmp_path / "artifact")
        assert error.value.code == "damaged"
        assert len(server.asked) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_upload_is_sent_again_with_the_same_key(tmp_path: Path) -> None:
    path, told = archive(tmp_path), []
    replies = [Reply(hang_up=True), problem(503, "unavailable", "Not now."), Reply(201, {"id": "x"})]

    def answer(asked: Asked) -> Reply:
        return replies.pop(0)

    with peer(answer) as server, rota.Client(server.url) as client:
        job = spec("q", payload=msgspec.Raw(b'{"name":"J\xc3\xb6rg"}'))
        assert client.upload(job, path, lambda *both: told.append(both)).id == "x"
        assert {one.headers["idempotency-key"] for one in server.asked} == {
            server.asked[0].headers["idempotency-key"]
        }
        assert [one.body == path.read_bytes() for one in server.asked] == [True] * 3
        sent = server.asked[0].headers
        assert (sent["content-type"], "transfer-encoding" in sent) == ("application/zip", False)
        assert msgspec.json.decode(sent["rota-job"]) == {
            "type": "turn",
            "queue": "q",
            "payload": {"name": "J\u00f6rg"},
        }
    assert [done for done, _ in told].count(0) == 3, "each try begins again"


def test_a_file_that_shrinks_while_it_is_sent(tmp_path: Path) -> None:
    path = archive(tmp_path)

    def shrink(done: int, total: int) -> None:
        if done:
            os.truncate(path, 10)

    with peer(lambda asked: Reply(201, {"id": "x"})) as server, rota.Client(server.url) as client:
        with pytest.raises(rota.BadInput) as error:
            client.upload(spec("q"), path, shrink)
        assert error.value.code == "file_changed"
        assert server.asked == []
