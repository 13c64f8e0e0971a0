"""What the tests of programs share: archives, a job's far end with its files, and how handlers end."""

from __future__ import annotations

import asyncio
import base64
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rota.handlers.program import build_programs
from rota.handlers.settings import ProgramSettings
from rota.model.errors import NotFound
from rota.model.protocol import Ending, Work
from rota.programs.sandbox import Sandbox
from rota.sdk.app import App
from rota.sdk.endings import done, prepare, raised
from tests.handlers.record import JOB_ID, Record

USUAL = ProgramSettings(timeout=30)


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """A zip archive; what starts with ``#!`` can be executed."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100755 if content[:2] in ("#!", b"#!") else 0o100644) << 16
            archive.writestr(info, content)
    return made.getvalue()


def in_base64(files: Mapping[str, str | bytes]) -> str:
    return base64.b64encode(packed(files)).decode()


def makefile(*lines: str) -> dict[str, str | bytes]:
    """A program of one Makefile, whose ``run`` does this."""
    return {"Makefile": "run:\n" + "".join(f"\t@{line}\n" for line in lines)}


class Files(Record):
    """The far end of a job that has files. ``refusal`` is raised in place of keeping an artifact."""

    def __init__(self, upload: bytes | None = None) -> None:
        super().__init__()
        self.upload = upload
        self.artifact: bytes | None = None
        self.refusal: BaseException | None = None
        self.changed = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def texts(self) -> list[str]:
        """The log without its levels."""
        return [text for _, text in self.lines]

    def log(self, level: str, text: str) -> None:
        super().log(level, text)
        task = asyncio.get_running_loop().create_task(self._tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def said(self, text: str) -> None:
        """Until this line is in the log."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: text in self.texts)

    async def read_upload(self, path: Path) -> None:
        if self.upload is None:
            raise NotFound("The job has no upload.", code="no_upload")
        with path.open("xb") as file:
            file.write(self.upload)

    async def keep_artifact(self, path: Path) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.artifact = path.read_bytes()

    def inside(self) -> dict[str, bytes]:
        """What the artifact holds, by name."""
        assert self.artifact is not None
        with zipfile.ZipFile(io.BytesIO(self.artifact)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


async def ended(app: App, type: str, payload: Any, files: Files | None = None, *, attempt: int = 1) -> Ending:
    """What a worker would report of this job."""
    work = Work(JOB_ID, 1, type, "default", attempt, 3, payload=msgspec.Raw(msgspec.json.encode(payload)))
    port = files or Files()
    try:
        args, named = prepare(app.tasks[type], work, port)
        value = await app.tasks[type].function(*args, **named)
    except BaseException as error:
        ending = raised(JOB_ID, 1, error, port.stop, None)
        assert ending is not None
        return ending
    return done(JOB_ID, 1, value)


def result(ending: Ending) -> Any:
    """Of a job that is done."""
    assert ending.end == "done", ending.error
    assert isinstance(ending.result, msgspec.Raw)
    return msgspec.json.decode(ending.result)


def details(ending: Ending) -> Any:
    """Of one that failed; None without any."""
    assert ending.end == "failed", ending
    assert ending.error is not None
    assert ending.error.traceback is None, ending.error.traceback
    return msgspec.json.decode(ending.error.details) if ending.error.details else None


async def run_zip(
    box: Sandbox, payload: Any, files: Files | None = None, settings: ProgramSettings = USUAL
) -> Ending:
    """Run a program_zip job and look that nothing of it is left; its ending."""
    before = set(box._home().iterdir())
    ending = await ended(build_programs(settings, box), "program_zip", payload, files)
    assert set(box._home().iterdir()) == before
    return ending
