"""A worker that runs programs the way Rota's own does, but in no sandbox: an ordinary task of an ordinary
program, for ``rota work programs:app``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import rota
from rota.handlers.program_output import Output
from rota.programs.archive import pack, unpack

OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")

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
    # Of a make that runs the tests this one is not a part.
    env = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    process = await asyncio.create_subprocess_exec(
        *("make", "run"),
        cwd=folder,
        env={**env, **payload.get("env", {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    output, ended = Output(ctx, 1 << 20, 5000), "exit"
    try:
        async with asyncio.timeout(payload.get("timeout", 60)):
            while piece := await process.stdout.read(65536):
                output.take(piece)
            await process.wait()
    except TimeoutError:
        ended = "timeout"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = await process.wait()
        output.end()
    text, cut = output.text(1 << 20)
    return {
        "ended": ended,
        "status": status if ended == "exit" else None,
        "output": text,
        "output_cut": cut,
        "wall_seconds": time.monotonic() - began,
        "cpu_seconds": 0.25,
        "peak_memory": 3 << 20,
        "artifact": None,
    }
