"""What a worker and its child processes say to each other: JSON frames, led by their length in four bytes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Literal

import msgspec

from rota.model import errors
from rota.model.protocol import Ending, Work
from rota.sdk.app import App

_encoder = msgspec.json.Encoder()


class Target(msgspec.Struct, frozen=True, tag="target"):
    """Where the program's app is: ``attribute`` of ``module``.

    ``main`` and ``file`` say what ``__main__`` was in the worker: a module (``python -m``) or a script.
    """

    module: str
    attribute: str | None = None
    main: str | None = None
    file: str | None = None

    @classmethod
    def of(cls, app: App) -> Target:
        """Looks for the app among the globals of the module that made it."""
        module = sys.modules.get(app.module)
        names = vars(module).items() if module is not None else ()
        attribute = next((name for name, value in names if value is app), None)
        main = sys.modules.get("__main__")
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        return cls(
            app.module,
            attribute,
            None if spec is None else spec.name,
            None if file is None else str(Path(file).resolve()),
        )


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Run a job; its function was declared in ``module``. ``trace``: the span that it runs in, as headers."""

    work: Work
    module: str
    trace: dict[str, str] | None = None


class Halt(msgspec.Struct, frozen=True, tag="halt"):
    """Stop the job in hand."""

    reason: str


class Fault(msgspec.Struct, frozen=True):
    """An error as it crosses the line: of the errors of Rota (``name``, ``code``, ``status``, ``field``), or,
    where ``errno`` is given, of the system.
    """

    detail: str
    name: str = "RotaError"
    code: str | None = None
    status: int | None = None
    field: str | None = None
    errno: int | None = None

    @classmethod
    def of(cls, error: Exception) -> Fault:
        if isinstance(error, errors.RotaError):
            return cls(error.detail, type(error).__name__, error.code, error.status, error.field)
        if isinstance(error, OSError) and error.errno is not None:
            return cls(error.strerror or "", errno=error.errno)
        return cls(f"{type(error).__name__}: {error}")

    def error(self, path: Path) -> Exception:
        """The error again; ``path`` is what the system was asked for."""
        if self.errno is not None:
            return OSError(self.errno, self.detail, str(path))
        kind: type[errors.RotaError] = getattr(errors, self.name)
        return kind(self.detail, code=self.code, status=self.status, field=self.field)


class Moved(msgspec.Struct, frozen=True, tag="moved"):
    """What became of a :class:`Move`: nothing is said of one that went well."""

    number: int
    error: Fault | None = None


ToChild = Target | Start | Halt | Moved


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The handler has returned."""

    ending: Ending | None


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far the job is."""

    value: float
    message: str | None


class Said(msgspec.Struct, frozen=True, tag="said"):
    """A log line."""

    level: str
    text: str


class Move(msgspec.Struct, frozen=True, tag="move"):
    """The handler wants the job's upload in a file, or a file to be its artifact."""

    number: int
    what: Literal["upload", "artifact"]
    path: str


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """The handler waits for a :class:`Move` no more."""

    number: int


ToWorker = Ended | Progress | Said | Move | Drop


def encode_frame(frame: ToChild | ToWorker) -> bytes:
    """A frame as it goes over the line."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(4, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame's body; None when the other side is gone."""
    try:
        return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
