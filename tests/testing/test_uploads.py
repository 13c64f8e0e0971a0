"""Files of jobs in a test: what comes with them and what their handlers leave, without a server."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import rota
from rota.model.spec import JobSpec
from rota.testing import Trial, run

app = rota.App()


@app.task
async def turn(ctx: rota.Context, upload: dict[str, object], place: str) -> object:
    await ctx.read_upload(Path(place) / "in")
    (Path(place) / "out").write_bytes((Path(place) / "in").read_bytes()[::-1])
    await ctx.keep_artifact(Path(place) / "out")
    return upload["entries"]


@app.task
def turn_in_thread(ctx: rota.Context, place: str, upload: dict[str, object] | None = None) -> None:
    ctx.read_upload_sync(Path(place) / "in")
    (Path(place) / "out").write_bytes((Path(place) / "in").read_bytes()[::-1])
    ctx.keep_artifact_sync(Path(place) / "out")


def archive(place: Path) -> Path:
    with zipfile.ZipFile(place / "upload.zip", "w") as packing:
        packing.writestr("a", b"a" * 700_000)
        packing.writestr("b", b"b")
    return place / "upload.zip"


def spec(type: str, place: Path) -> JobSpec:
    return rota.job(type, {"place": str(place)})


@pytest.mark.parametrize("type", ["turn", "turn_in_thread"])
def test_a_file_comes_and_a_file_goes(type: str, tmp_path: Path) -> None:
    path, told = archive(tmp_path), []
    with run(app) as t:
        made = app.client.upload(spec(type, tmp_path), path, lambda *both: told.append(both))
        t.run_due()
        job = app.client.job(made.id)
        kept = app.client.artifact(made.id, tmp_path / "artifact")
        with pytest.raises(rota.NotFound):
            app.client.artifact(app.client.enqueue(spec(type, tmp_path)).id, tmp_path / "none")
    size = path.stat().st_size
    assert job.state == "done"
    assert (job.payload["upload"]["bytes"], job.payload["upload"]["entries"]) == (size, 2)
    assert (tmp_path / "artifact").read_bytes() == path.read_bytes()[::-1]
    assert kept.bytes == size
    assert told[-1] == (size, size)


async def test_the_same_awaited(tmp_path: Path) -> None:
    path = archive(tmp_path)
    async with run(app) as t:
        for type in ("turn", "turn_in_thread"):
            place = tmp_path / type
            place.mkdir()
            made = await app.aclient.upload(spec(type, place), path)
            await t.run_due()
            await app.aclient.artifact(made.id, place / "artifact")
            assert (place / "artifact").read_bytes() == path.read_bytes()[::-1]


def test_bad_uploads_are_refused_as_a_server_does(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("none")
    with run(app):
        with pytest.raises(rota.BadInput) as bad:
            app.client.upload(spec("turn", tmp_path), tmp_path / "text")
        assert bad.value.code.startswith("archive_")
        with pytest.raises(rota.BadInput) as both:
            app.client.upload(rota.job("turn", {"upload": 1}), archive(tmp_path))
        assert both.value.field == "payload.upload"
        assert app.client.jobs().jobs == ()


def test_a_handler_by_itself(tmp_path: Path) -> None:
    trial = Trial(upload=b"abc")
    trial.perform(turn_in_thread, str(tmp_path))
    assert trial.artifact == b"cba"
    with pytest.raises(rota.NotFound) as none:
        Trial().perform(turn_in_thread, str(tmp_path / "other"))
    assert none.value.code == "no_upload"
