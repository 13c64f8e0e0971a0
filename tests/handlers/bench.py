"""A folder for process_file, with something worth reaching outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from rota.handlers.files import FilePayload, FileResult, process_file
from rota.handlers.settings import FileSettings
from tests.handlers.record import Record

MIB = 1024 * 1024


class Bench:
    """A folder to work in, with something worth reaching outside of it."""

    def __init__(self, home: Path) -> None:
        self.inside = home / "inside"
        self.outside = home / "outside"
        for folder in (self.inside, self.outside, self.inside / "sub"):
            folder.mkdir()
        (self.outside / "secret").write_bytes(b"secret\n")
        (self.inside / "a.txt").write_bytes(b"one two\nthree\n")

    def run(
        self, record: Record | None = None, *, most: int = 1024 * MIB, attempt: int = 1, **fields: Any
    ) -> FileResult:
        handler = process_file(FileSettings(folder=str(self.inside), max_bytes=most))
        payload = msgspec.convert(fields, FilePayload)
        return handler((record or Record()).context(attempt=attempt), payload)

    def names(self) -> set[str]:
        return {str(path.relative_to(self.inside)) for path in self.inside.rglob("*")}
