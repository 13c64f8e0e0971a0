"""What a worker and its child processes say to each other: JSON frames, led by their length in four bytes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

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


ToChild = Target | Start | Halt


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


ToWorker = Ended | Progress | Said


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
