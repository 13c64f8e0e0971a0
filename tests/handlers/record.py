"""What a handler reports, kept for looking at: the far end of a real Context."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import trustme

from rota.model.clock import SystemClock
from rota.model.errors import NotFound
from rota.sdk.context import Context


@cache
def certificate() -> str:
    """A file with a certificate for localhost, hook.test, 127.0.0.1 and ::1, its key, and who signed it; made
    once per test run.
    """
    authority = trustme.CA()
    made = authority.issue_cert("localhost", "hook.test", "127.0.0.1", "::1")
    with NamedTemporaryFile(suffix=".pem", delete=False) as file:
        file.write(made.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes())
    atexit.register(Path(file.name).unlink)
    return file.name


JOB_ID = "01999f3e-7c1a-7b7e-8b3a-0123456789ab"


class Record:
    """Set ``stop`` to ask the handler to stop; ``on_progress`` is called with every report."""

    def __init__(self, on_progress: Callable[[float], None] | None = None) -> None:
        self.stop: str | None = None
        self.reports: list[float] = []
        self.lines: list[tuple[str, str]] = []
        self.artifact: bytes | None = None
        self._on_progress = on_progress

    def now(self) -> int:
        return SystemClock().now()

    def progress(self, value: float, message: str | None) -> None:
        self.reports.append(value)
        if self._on_progress is not None:
            self._on_progress(value)

    def log(self, level: str, text: str) -> None:
        self.lines.append((level, text))

    async def read_upload(self, path: Path) -> None:
        raise NotFound("The job came without an upload.", code="no_upload")

    async def keep_artifact(self, path: Path) -> None:
        self.artifact = path.read_bytes()

    def context(self, *, attempt: int = 1, headers: dict[str, str] | None = None) -> Context:
        return Context(JOB_ID, "test", attempt=attempt, max_attempts=10, headers=headers, port=self)
