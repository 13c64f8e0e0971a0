"""One program in the sandbox: a folder for it, the run, what it leaves, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from rota.handlers.program_output import Output
from rota.handlers.settings import ProgramSettings
from rota.model.errors import BadInput, Forbidden, RotaError
from rota.model.size import size_text
from rota.programs.archive import ArchiveLimits, BadArchive, Packed, pack, unpack
from rota.programs.ask import Ask, Limits, Ran
from rota.programs.sandbox import Sandbox
from rota.sdk.context import Context
from rota.sdk.control import Fail, Retry
from rota.sdk.signature import BadPayload

T = TypeVar("T")
OUT = "out"
"""The folder in which a program leaves what is to be kept."""
TOLD = 20
"""Things left out of an artifact that are told one by one."""


class ProgramFailed(Retry):
    """The program ran and did not end well; ``details`` have all of it."""

    def __init__(self, message: str, details: object | None = None) -> None:
        super().__init__(None, message, details=details)


class ProgramRefused(Fail):
    """What was sent is no program that can run here, and never will be."""

    def __init__(self, error: RotaError) -> None:
        super().__init__(error.detail, details={"code": error.code})


class ProgramNotRun(Retry):
    """Something was wrong here, not with the program; another time or elsewhere it may run."""

    def __init__(self, message: str, details: object | None = None) -> None:
        super().__init__(None, message, details=details)


class Artifact(msgspec.Struct, frozen=True):
    """What the program left, as a zip archive."""

    bytes: int
    sha256: str
    entries: int


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a program ended. ``status`` as a shell shows it; ``peak_memory`` in bytes. ``artifact_note`` says
    what of ``out/`` was not kept, and why.
    """

    ended: str
    status: int | None
    output: str
    output_cut: bool
    wall_seconds: float
    cpu_seconds: float
    peak_memory: int
    artifact: Artifact | None
    artifact_note: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class Program:
    """What to run. ``fill`` gets an empty folder for its own use and the one in which the program will be,
    and gives the one to start it in.
    """

    command: Sequence[str]
    fill: Callable[[Path, Path], Awaitable[Path]]
    limits: Limits
    network: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


async def run(
    ctx: Context, sandbox: Sandbox, settings: ProgramSettings, program: Program
) -> tuple[Report, Ran]:
    """Run a program to its end, however that is; its output goes to the job's log meanwhile.

    Raises BadPayload, ProgramRefused, and ProgramNotRun. Cancelling it ends the program within its grace and
    leaves nothing of it.
    """
    try:
        async with sandbox.workplace() as own, sandbox.workplace() as place:
            folder = await program.fill(own, place)
            output = Output(ctx, settings.output, settings.log_lines)
            ask = Ask(
                program.command,
                folder,
                program.env,
                program.network,
                program.limits,
                grace_seconds=settings.grace,
            )
            try:
                ran = await sandbox.run(ask, output.take)
            finally:
                output.end()
            artifact, note = None, ""
            try:
                artifact, note = await _keep(ctx, folder / OUT, own / "artifact.zip", settings)
            except (RotaError, OSError) as error:
                note = f"{OUT}/ could not be kept: {error}"
                if ran.ok:
                    # It would be lost, and nobody would try again.
                    report = _report(ran, output, None, note, settings)
                    raise ProgramNotRun(f"The program ran, but {note}", report) from None
            if note:
                ctx.log(note, "warning")
            return _report(ran, output, artifact, note, settings), ran
    except BadArchive as error:
        raise ProgramRefused(error) from None
    except Forbidden as error:
        raise ProgramRefused(error) from None
    except BadInput as error:
        raise BadPayload(error.detail) from None
    except RotaError as error:
        raise ProgramNotRun(error.detail, {"code": error.code}) from None
    except OSError as error:
        raise ProgramNotRun(f"The program's folder cannot be used: {error.strerror or error}.") from None


async def unpacked(source: Callable[[], BinaryIO], place: Path, settings: ProgramSettings) -> Path:
    """Unpack an archive into an empty folder and give the one in it where the program is. ``source`` is
    called in a thread. Raises BadArchive, and what ``source`` does.
    """
    halt = threading.Event()

    def work() -> Path:
        with source() as archive:
            found = unpack(_Halting(archive, halt), place, ArchiveLimits(bytes=settings.disk))  # type: ignore[arg-type]
        return place / found.root

    folder = await in_thread(work, halt)
    if folder != place:
        # The user of the job has to get to what will be his.
        place.chmod(0o711)
    return folder


async def in_thread(work: Callable[[], T], halt: threading.Event) -> T:
    """Do this in a thread. When cancelled, sets ``halt`` and goes on only once the thread has ended."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        halt.set()
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


def words(ran: Ran, limits: Limits) -> str:
    """How a program that did not end well ended, to be read behind "it"."""
    match ran.ended:
        case "timeout":
            return f"ran longer than its timeout of {limits.wall_seconds:g} s"
        case "cpu":
            return f"used more CPU time than its limit of {limits.cpu_seconds:g} s"
        case "memory":
            return f"used more memory than its limit of {size_text(limits.memory)}"
        case "disk":
            return f"filled its folder with more than its limit of {size_text(limits.disk)}"
        case "output":
            return f"wrote more output than its limit of {size_text(limits.output_total)}"
        case "cancelled":
            return "was stopped"
    if ran.signal is not None:
        how = f"was ended by signal {ran.signal} ({signal_name(ran.signal)})"
    else:
        how = f"ended with status {ran.status}"
    return how + (f"; it wanted more than {limits.processes} processes" if ran.forks_refused else "")


def signal_name(number: int) -> str:
    """In words, such as ``killed``."""
    return (signal.strsignal(number) or f"signal {number}").lower()


def _report(
    ran: Ran, output: Output, artifact: Artifact | None, note: str, settings: ProgramSettings
) -> Report:
    report = Report(
        ended=ran.ended,
        status=ran.status,
        output="",
        output_cut=False,
        wall_seconds=round(ran.wall_seconds, 3),
        cpu_seconds=round(ran.cpu_seconds, 3),
        peak_memory=ran.peak_memory,
        artifact=artifact,
        artifact_note=note or msgspec.UNSET,
    )
    # A little room for "false" and "true" to change places, and for a prefix of the text.
    room = max(settings.result_limit - len(msgspec.json.encode(report)) - 256, 0)
    text, cut = output.text(room)
    return msgspec.structs.replace(report, output=text, output_cut=cut)


async def _keep(
    ctx: Context, out: Path, archive: Path, settings: ProgramSettings
) -> tuple[Artifact | None, str]:
    """What the program left, kept with the job, and what is to be said of what was not."""
    halt = threading.Event()
    try:
        found = await in_thread(partial(_packed, out, archive, settings, halt), halt)
    except (BadArchive, _TooLarge) as error:
        return None, f"{OUT}/ was not kept: {error}"
    note = ""
    if found is None:
        return None, note
    packed, digest = found
    if packed.skipped:
        told = "; ".join(f"{path!r} {why}" for path, why in packed.skipped[:TOLD])
        more = f"; and {len(packed.skipped) - TOLD} more" if len(packed.skipped) > TOLD else ""
        note = f"not kept of {OUT}/: {told}{more}"
    if not packed.entries:
        return None, note
    try:
        await ctx.keep_artifact(archive)
    except BadInput as error:
        return None, f"{OUT}/ was not kept: {error.detail}"
    return Artifact(archive.stat().st_size, digest, packed.entries), note


def _packed(
    out: Path, archive: Path, settings: ProgramSettings, halt: threading.Event
) -> tuple[Packed, str] | None:
    """What is in the archive, and its SHA-256; None when nothing was left."""
    if not os.path.lexists(out):
        return None
    with archive.open("xb") as file:
        target: Any = _Halting(file, halt, settings.artifact_limit)
        packed = pack(out, target, ArchiveLimits(bytes=settings.disk))
    with archive.open("rb") as file:
        return packed, hashlib.file_digest(file, "sha256").hexdigest()


class _TooLarge(Exception):
    pass


class _Halted(Exception):
    pass


class _Halting:
    """A file that stops whoever reads or writes it, once it is halted or larger than ``most``."""

    def __init__(self, file: BinaryIO, halt: threading.Event, most: int | None = None) -> None:
        self._file = file
        self._halt = halt
        self._most = most

    def read(self, size: int = -1) -> bytes:
        if self._halt.is_set():
            raise _Halted
        return self._file.read(size)

    def write(self, data: bytes) -> int:
        if self._halt.is_set():
            raise _Halted
        if self._most is not None and self._file.tell() + len(data) > self._most:
            raise _TooLarge(f"packed it has more than {size_text(self._most)}")
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
