"""Handlers and the files of their jobs: on a loop, in a thread, in a child process."""

from __future__ import annotations

from pathlib import Path

import pytest

import rota
from tests.sdk import program
from tests.sdk.memory import Server, until
from tests.sdk.working import value_of, working

app = rota.App()


@app.task
def thread(ctx: rota.Context, folder: str) -> str:
    return program.turn(ctx, folder)


@app.task
async def loop(ctx: rota.Context, folder: str) -> str:
    return await program.turn_in_loop(ctx, folder)


@app.task
def looks(ctx: rota.Context, folder: str) -> str:
    try:
        ctx.read_upload_sync(Path(folder) / "in")
    except rota.JobStopped as stopped:
        return f"stopped: {stopped.reason}"
    return "went on"


KINDS = [(app, "loop"), (app, "thread"), (program.app, "turns"), (program.app, "turns_in_loop")]


@pytest.mark.parametrize(("tasks", "type"), KINDS)
async def test_upload_comes_and_artifact_goes(tasks: rota.App, type: str, tmp_path: Path) -> None:
    server = Server()
    async with working(tasks, server):
        job = server.put(type, {"folder": str(tmp_path)}, upload=b"abc")
        await until(lambda: job.endings)
    assert value_of(job.ending) == "turned"
    assert ((tmp_path / "in").read_bytes(), job.artifact) == (b"abc", b"cba")


@pytest.mark.parametrize(("tasks", "type"), KINDS)
async def test_refusals_come_through_as_they_are(tasks: rota.App, type: str, tmp_path: Path) -> None:
    server = Server()
    (tmp_path / "in").touch()
    async with working(tasks, server):
        alone = server.put(type, {"folder": str(tmp_path)})
        await until(lambda: alone.endings)
        taken = server.put(type, {"folder": str(tmp_path)}, upload=b"abc")
        await until(lambda: taken.endings)
    assert value_of(alone.ending) == "NotFound no_upload: The job came alone."
    assert value_of(taken.ending).startswith("FileExistsError 17: ")
    assert str(tmp_path / "in") in value_of(taken.ending)


@pytest.mark.parametrize(("tasks", "type"), KINDS)
async def test_a_job_that_stops_gives_its_transfer_up(tasks: rota.App, type: str, tmp_path: Path) -> None:
    server = Server()
    server.sends_files = False
    async with working(tasks, server):
        job = server.put(type, {"folder": str(tmp_path)})
        await until(lambda: job.transfers)
        server.cancel(job)
        await until(lambda: job.endings)
        await until(lambda: server.given_up)
    assert job.ending.end == "cancelled"


async def test_a_child_may_give_a_transfer_up_and_go_on(tmp_path: Path) -> None:
    server = Server()
    server.sends_files = False
    async with working(program.app, server):
        job = server.put("thinks_better", {"folder": str(tmp_path)})
        await until(lambda: job.transfers)
        (tmp_path / "enough").touch()
        await until(lambda: server.given_up)
        assert not job.endings
        (tmp_path / "end").touch()
        await until(lambda: job.endings)
    assert value_of(job.ending) == "cancelled"


async def test_a_thread_learns_why_it_should_stop(tmp_path: Path) -> None:
    server = Server()
    server.sends_files = False
    async with working(app, server):
        job = server.put("looks", {"folder": str(tmp_path)})
        await until(lambda: job.transfers)
        server.cancel(job)
        await until(lambda: job.endings)
    assert value_of(job.ending) == "stopped: cancelled"


async def test_without_a_server_there_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="has no files"):
        await rota.Context().read_upload(tmp_path / "in")
    with pytest.raises(RuntimeError, match="has no files"):
        rota.Context().keep_artifact_sync(tmp_path / "in")
