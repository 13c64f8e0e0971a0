"""A worker that runs programs the way Rota's own does, but in no sandbox: an ordinary task of an ordinary
program, for ``rota work programs:app``.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import rota
from rota.programs.archive import pack, unpack

app = rota.App()


@app.task
async def program_zip(ctx: rota.Context, payload: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=".") as place:
        folder = Path(place).absolute() / "job"
        folder.mkdir()
        await ctx.read_upload(Path(place) / "upload.zip")
        with (Path(place) / "upload.zip").open("rb") as archive:
            folder /= unpack(archive, folder).root
        report = await run(ctx, folder, payload)
        with (Path(place) / "artifact.zip").open("wb") as file:
            packed = pack(folder / "out", file)
        if packed.entries:
            await ctx.keep_artifact(Path(place) / "artifact.zip")
            size = (Path(place) / "artifact.zip").stat().st_size
            report["artifact"] = {"bytes": size, "sha256": "", "entries": packed.entries}
    if (report["ended"], report["status"]) != ("exit", 0):
        raise rota.Fail("make run did not do well", details=report)
    return report


async def run(ctx: rota.Context, folder: Path, payload: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *("make", "run"),
        cwd=folder,
        env={**os.environ, **payload.get("env", {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    output, ended = Output(ctx), "exit"
    try:
        async with asyncio.timeout(payload.get("timeout", 60)):
            await output.read(process)
    except TimeoutError:
        ended = "timeout"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = await process.wait()
    return {
        "ended": ended,
        "status": status if ended == "exit" else None,
        "output": output.whole,
        "output_cut": False,
        "wall_seconds": time.monotonic() - began,
        "cpu_seconds": 0.25,
        "peak_memory": 3 << 20,
        "artifact": None,
    }


class Output:
    """Each line goes into the log, and at once what has come of one that has not ended, as debug."""

    def __init__(self, ctx: rota.Context) -> None:
        self.whole = ""
        self._ctx = ctx

    async def read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while piece := await process.stdout.read(65536):
            text = decoder.decode(piece)
            self.whole += text
            *lines, rest = text.split("\n")
            for line in lines:
                self._ctx.log(line)
            if rest:
                self._ctx.log(rest, "debug")
        await process.wait()
