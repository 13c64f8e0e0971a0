"""What a job may ask of the sandbox, held against what the settings allow."""

from __future__ import annotations

import base64
import binascii

import msgspec

from rota.handlers.settings import ProgramSettings
from rota.model.size import parse_size, size_text
from rota.programs.ask import Limits
from rota.sdk.signature import BadPayload

ENV_BYTES = 64 * 1024
"""Of all names and values together."""
OUTPUT_TOTAL = Limits().output_total
"""A program that writes more is ended."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``timeout`` and ``cpu_seconds`` in seconds, ``memory`` in bytes or as a text such as ``256MiB``."""

    timeout: float | None = None
    cpu_seconds: float | None = None
    cpus: float | None = None
    memory: int | str | None = None
    network: bool = False
    env: dict[str, str] = {}


class Upload(msgspec.Struct, frozen=True):
    """The archive that came with the job, as the server describes it."""

    bytes: int
    sha256: str
    entries: int


class ProgramPayload(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``zip``: the archive in base64, for a job that came without a file."""

    zip: str | None = None
    upload: Upload | None = None


class ExecurlPayload(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``url``: where the program is."""

    url: str


def limits(asked: Options, settings: ProgramSettings) -> Limits:
    """The limits of a job. BadPayload for more than the settings allow."""
    wall = _number("timeout", asked.timeout, settings.max_timeout, "s")
    cpus = _number("cpus", asked.cpus, settings.cpus, "")
    wall = settings.timeout if wall is None else wall
    cpus = settings.cpus if cpus is None else cpus
    most = settings.cpu_seconds or settings.max_timeout * settings.cpus
    cpu = _number("cpu_seconds", asked.cpu_seconds, most, "s")
    if cpu is None:
        # A little more than the wall time allows, so that a job that is at work to its end has a timeout.
        cpu = settings.cpu_seconds or wall * cpus + 1
    if sum(len(name.encode()) + len(value.encode()) for name, value in asked.env.items()) > ENV_BYTES:
        raise BadPayload(f"env may hold at most {size_text(ENV_BYTES)} in all.")
    return Limits(
        wall_seconds=wall,
        cpu_seconds=cpu,
        cpus=cpus,
        memory=_memory(asked.memory, settings.memory),
        processes=settings.processes,
        open_files=settings.open_files,
        file_size=settings.file_size,
        disk=settings.disk,
        tmp=settings.tmp,
        shm=settings.shm,
        # All of it comes here, so that its end can be kept.
        output=OUTPUT_TOTAL,
        output_total=OUTPUT_TOTAL,
    )


def from_base64(text: str) -> bytes:
    """ValueError for what is none; line breaks do not matter."""
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _number(name: str, asked: float | None, most: float, unit: str) -> float | None:
    if asked is None or 0 < asked <= most:
        return asked
    told = f"{most:g} {unit}".rstrip()
    raise BadPayload(f"{name} must be more than 0 and at most {told}, not {asked:g}.")


def _memory(asked: int | str | None, most: int) -> int:
    if asked is None:
        return most
    count = parse_size(asked) if isinstance(asked, str) else asked
    if count is None or not 0 < count <= most:
        told = f"bytes or a text such as 256MiB, at most {size_text(most)}"
        raise BadPayload(f"memory must be {told}, not {str(asked)[:100]}.")
    return count
