"""``program_zip`` and ``execurl``: programs of others, run in the sandbox."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from rota.handlers.addresses import Guard, Resolver, resolve
from rota.handlers.fronts import JqgoPayload
from rota.handlers.outcomes import AGENT, as_endings, refusal
from rota.handlers.program_payload import ExecurlPayload, Options, ProgramPayload, from_base64, limits
from rota.handlers.program_run import (
    Program,
    ProgramFailed,
    ProgramNotRun,
    ProgramRefused,
    Report,
    run,
    signal_name,
    unpacked,
    words,
)
from rota.handlers.request import Courier, check_url, place
from rota.handlers.settings import ProgramSettings
from rota.model.errors import NotFound, RotaError
from rota.model.size import size_text
from rota.programs.archive import MAKEFILES, BadArchive
from rota.programs.sandbox import Sandbox
from rota.sdk.app import App
from rota.sdk.context import Context
from rota.sdk.control import Fail, Retry
from rota.sdk.signature import BadPayload

MAKE = ("make", "run")
# The shell runs what has no interpreter of its own in its first line, as shells do.
DOWNLOADED = ("/bin/sh", "-c", "exec ./program")

Fill = Callable[[Path, Path], Awaitable[Path]]


def build_programs(settings: ProgramSettings, sandbox: Sandbox, *, resolver: Resolver = resolve) -> App:
    """The app with ``program_zip`` and ``execurl``, run in this open sandbox."""
    app = App()
    fetch = _fetcher(settings, resolver)

    async def end(ctx: Context, payload: Options, command: tuple[str, ...], name: str, fill: Fill) -> Report:
        limited = limits(payload, settings)
        if payload.network and not settings.network:
            told = "Programs get no network here (programs.network)."
            raise ProgramRefused(RotaError(told, code="network_not_allowed"))
        program = Program(command, fill, limited, payload.network, payload.env)
        report, ran = await run(ctx, sandbox, settings, program)
        if not ran.ok:
            raise ProgramFailed(f"{name} {words(ran, limited)}.", msgspec.to_builtins(report))
        return report

    @app.task(name="program_zip")
    async def program_zip(ctx: Context, payload: ProgramPayload) -> Report:
        async def fill(own: Path, into: Path) -> Path:
            folder = await unpacked(await _archive(ctx, payload, own), into, settings)
            if not any((folder / name).is_file() for name in MAKEFILES):
                raise ProgramRefused(_no_makefile(folder.relative_to(into)))
            return folder

        return await end(ctx, payload, MAKE, "make run", fill)

    @app.task(name="execurl")
    async def execurl(ctx: Context, payload: ExecurlPayload) -> Report:
        async def fill(own: Path, into: Path) -> Path:
            await fetch(payload.url, into / "program")
            return into

        return await end(ctx, payload, DOWNLOADED, "The program", fill)

    return app


def jqgo_programs(settings: ProgramSettings, sandbox: Sandbox, *, resolver: Resolver = resolve) -> App:
    """The same for JobQueueGo, in the words of its own worker. A downloaded program may run as long as any.

    ``details`` of an error have the whole text in ``result``: a message may be cut.
    """
    app = App(queue="jqgo")
    fetch = _fetcher(settings, resolver)

    async def end(ctx: Context, command: tuple[str, ...], name: str, seconds: float, fill: Fill) -> str:
        limited = limits(Options(timeout=seconds), settings)
        try:
            report, ran = await run(ctx, sandbox, settings, Program(command, fill, limited))
        except (ProgramNotRun, ProgramRefused, BadPayload) as error:
            raise ProgramFailed(f"{name}: {error}\nOutput: ") from None
        if ran.ok:
            return report.output
        if ran.ended == "timeout" and command is MAKE:
            text = "make run timed out"
        else:
            how = words(ran, limited)
            if ran.ended == "exit":
                # As programs written in Go say it.
                signal = ran.signal
                how = f"exit status {ran.status}" if signal is None else f"signal: {signal_name(signal)}"
            text = f"{name}: {how}\nOutput: {report.output}"
        told = {key: value for key, value in msgspec.to_builtins(report).items() if key != "output"}
        raise ProgramFailed(text, {"result": text, **told})

    @app.task(name="program_zip")
    async def program_zip(ctx: Context, payload: JqgoPayload) -> str:
        async def fill(own: Path, into: Path) -> Path:
            try:
                archive = await asyncio.to_thread(from_base64, payload.input)
            except ValueError:
                raise ProgramFailed("failed to decode base64 input") from None
            try:
                return await unpacked(lambda: io.BytesIO(archive), into, settings)
            except BadArchive as error:
                ctx.log(error.detail, "error")
                raise ProgramFailed("failed to unzip project", {"code": error.code}) from None

        return await end(ctx, MAKE, "make run error", settings.timeout, fill)

    @app.task(name="execurl")
    async def execurl(ctx: Context, payload: JqgoPayload) -> str:
        async def fill(own: Path, into: Path) -> Path:
            try:
                await fetch(payload.input, into / "program")
            except (BadPayload, Fail, Retry) as error:
                raise ProgramFailed(f"Download error: {error}") from None
            return into

        return await end(ctx, DOWNLOADED, "Exec error", settings.max_timeout, fill)

    return app


async def _archive(ctx: Context, payload: ProgramPayload, own: Path) -> Callable[[], BinaryIO]:
    """What opens the archive of a job; to be called in a thread."""
    if (payload.zip is None) == (payload.upload is None):
        raise BadPayload(
            "Send one archive: in base64 as zip, or as the body of the request (application/zip)."
        )
    if payload.zip is None:
        try:
            await ctx.read_upload(own / "upload.zip")
        except NotFound as error:
            raise ProgramRefused(error) from None
        return lambda: (own / "upload.zip").open("rb")
    text = payload.zip

    def decode() -> BinaryIO:
        try:
            return io.BytesIO(from_base64(text))
        except ValueError:
            raise BadPayload("zip is not base64.") from None

    return decode


def _no_makefile(root: Path) -> RotaError:
    where = "at its top" if root == Path() else f"at its top nor in its first folder, {root.name!r}"
    return RotaError(f"The archive has no Makefile {where}.", code="no_makefile")


def _fetcher(settings: ProgramSettings, resolver: Resolver) -> Callable[[str, Path], Awaitable[None]]:
    """What downloads a program into a new file that can be started."""
    guard = Guard(allow_private=settings.allow_private, networks=settings.allow_networks)
    courier = Courier(guard, settings.download_limit, resolver=resolver)

    async def fetch(text: str, path: Path) -> None:
        try:
            url = check_url(text)
        except ValueError as error:
            raise BadPayload(f"url {error}.") from None
        seconds = settings.download_timeout
        with path.open("xb", buffering=0) as file, as_endings(url, seconds):
            os.fchmod(file.fileno(), 0o755)
            async with asyncio.timeout(seconds):
                headers = {"user-agent": AGENT, "accept": "*/*"}
                reply = await courier.send("GET", url, headers, None, _good, file.write)
        if not _good(reply.status):
            raise refusal(reply, reply.body.decode("utf-8", "replace"))
        if reply.truncated:
            most = size_text(settings.download_limit)
            raise Fail(f"{place(url)} has more than {most}, which is the most that is downloaded.")

    return fetch


def _good(status: int) -> bool:
    return 200 <= status <= 299
