"""A program with tasks in child processes, as a user would write it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import rota
from rota.model.errors import RotaError

app = rota.App()


@app.task(process=True)
def where(x: int) -> dict[str, Any]:
    return {"pid": os.getpid(), "x": x, "ppid": os.getppid()}


@app.task(process=True)
async def loop_where(ctx: rota.Context, x: int) -> list[Any]:
    await asyncio.sleep(0)
    return [os.getpid(), x, ctx.attempt, ctx.id, rota.current().type]


@app.task(process=True)
def talks(ctx: rota.Context) -> None:
    for n in range(11):
        ctx.progress(n / 10, f"step {n}")
    ctx.log("from afar", level="warning")


@app.task(process=True)
def fails() -> None:
    raise rota.Retry(5, "not yet") from ValueError("inner")


@app.task(process=True)
def snoozes(ctx: rota.Context) -> None:
    ctx.snooze(7)


@app.task(process=True)
def bytes_back(payload: bytes) -> bytes:
    return payload[::-1]


@app.task(process=True)
def dies(how: str) -> None:
    match how:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "sys.exit":
            sys.exit("bye")


@app.task(process=True)
def spins(path: str) -> None:
    """Cannot be stopped but by killing it, and has a child of its own."""
    child = subprocess.Popen(["sleep", "60"])
    with open(path, "w") as file:  # noqa: PTH123
        file.write(f"{os.getpid()} {child.pid}")
    while True:
        pass


@app.task(process=True)
def polite(ctx: rota.Context) -> str:
    ctx.log("started")
    while not ctx.cancelled:
        time.sleep(0.002)
    ctx.log("cleaned up")
    ctx.raise_if_cancelled()
    return "never"


@app.task(process=True)
async def awaits(ctx: rota.Context) -> None:
    ctx.log("started")
    try:
        await asyncio.sleep(60)
    finally:
        ctx.log("cleaned up")


@app.task(process=True)
def turns(ctx: rota.Context, folder: str) -> str:
    return turn(ctx, folder)


@app.task(process=True)
async def turns_in_loop(ctx: rota.Context, folder: str) -> str:
    return await turn_in_loop(ctx, folder)


@app.task(process=True)
async def thinks_better(ctx: rota.Context, folder: str) -> str:
    """Begins to read, gives that up when it is told to, and lives on until it is told to end."""
    reading = asyncio.create_task(ctx.read_upload(Path(folder) / "in"))
    await asyncio.to_thread(there, Path(folder) / "enough")
    reading.cancel()
    await asyncio.to_thread(there, Path(folder) / "end")
    return "cancelled" if reading.cancelled() else "went on"


def there(path: Path) -> None:
    """Wait for a file."""
    while not path.exists():
        time.sleep(0.01)


def turn(ctx: rota.Context, folder: str) -> str:
    """What came, backwards, is what is left."""
    upload, artifact = Path(folder) / "in", Path(folder) / "out"
    ctx.log("reading")
    try:
        ctx.read_upload_sync(upload)
        artifact.write_bytes(upload.read_bytes()[::-1])
        ctx.keep_artifact_sync(artifact)
    except (RotaError, OSError) as error:
        return told(error)
    return "turned"


async def turn_in_loop(ctx: rota.Context, folder: str) -> str:
    upload, artifact = Path(folder) / "in", Path(folder) / "out"
    ctx.log("reading")
    try:
        await ctx.read_upload(upload)
        artifact.write_bytes(upload.read_bytes()[::-1])
        await ctx.keep_artifact(artifact)
    except (RotaError, OSError) as error:
        return told(error)
    return "turned"


def told(error: Exception) -> str:
    return f"{type(error).__name__} {getattr(error, 'code', None) or getattr(error, 'errno', None)}: {error}"


@app.task
def quick() -> str:
    return "quick"


if __name__ == "__main__":
    # Run as a script: one job for the process task, its result on standard output.
    from rota.sdk.worker import Worker
    from tests.sdk.memory import Server, Source, until

    async def main() -> None:
        server = Server()
        worker = Worker(app, Source(server), queues=["default"])
        task = asyncio.create_task(worker.run())
        job = server.put("where", {"x": int(sys.argv[1])})
        await until(lambda: job.endings, 20)
        worker.drain()
        await task
        print(bytes(job.ending.result).decode() if job.ending.end == "done" else job.ending)  # type: ignore[arg-type]

    asyncio.run(main())
