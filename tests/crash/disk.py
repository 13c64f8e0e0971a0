"""A disk that loses its power: a SQLite VFS that knows which bytes have reached stable storage."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import apsw

SECTOR = 512


class Content:
    """One file: what programs see, what an fsync has made safe, and which sectors lie between."""

    def __init__(self, safe: bytes | None) -> None:
        self.seen = bytearray(safe or b"")
        self.safe = bytearray(safe or b"")
        self.made = safe is not None
        self.dirty: set[int] = set()

    def write(self, data: bytes, at: int) -> None:
        if len(self.seen) < at:
            self.seen.extend(bytes(at - len(self.seen)))
        self.seen[at : at + len(data)] = data
        self.dirty.update(range(at // SECTOR, (at + len(data) - 1) // SECTOR + 1))

    def sync(self) -> None:
        self.safe[len(self.seen) :] = b""
        for sector in sorted(self.dirty):
            at = sector * SECTOR
            self.safe[at : at + SECTOR] = self.seen[at : at + SECTOR]
        self.safe.extend(self.seen[len(self.safe) :])
        self.made, self.dirty = True, set()

    def after_cut(self, chance: random.Random) -> bytes | None:
        """Every sector that was not synced is old or new by chance; so are length and being there."""
        if not self.made and chance.random() < 0.5:
            return None
        left = bytearray(self.safe)
        if len(self.seen) != len(self.safe) and chance.random() < 0.5:
            left[len(self.seen) :] = b""
            left.extend(bytes(len(self.seen) - len(left)))
        for sector in sorted(self.dirty):
            if chance.random() < 0.5:
                at = sector * SECTOR
                data = self.seen[at : at + SECTOR]
                if at < len(left):
                    left[at : at + len(data)] = data
        return bytes(left)


class Disk(apsw.VFS):
    """Writes go through to real files; ``cut`` tells what would be left of them without power.

    ``watch`` is called before every write, truncation, sync and removal, with that word and the file's name.
    What ``fail`` holds for such a word is raised.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.files: dict[str, Content] = {}
        self.watch: Callable[[str], None] = lambda _: None
        self.fail: dict[str, Exception] = {}
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "the store keeps its temporary data in memory"
        if path not in self.files:
            self.files[path] = Content(Path(path).read_bytes() if Path(path).exists() else None)
        return File(self, name, flags, self.files[path])

    def xDelete(self, name: str, syncdir: bool) -> None:
        self.touch("delete", name)
        super().xDelete(name, syncdir)
        self.files.pop(name, None)

    def touch(self, what: str, path: str) -> None:
        self.watch(f"{what} {Path(path).name}")
        if what in self.fail:
            raise self.fail[what]

    def cut(self, folder: Path, chance: random.Random) -> None:
        """Write what a power cut at this moment leaves into ``folder``."""
        folder.mkdir()
        for path, content in self.files.items():
            left = content.after_cut(chance)
            if left is not None:
                (folder / Path(path).name).write_bytes(left)


class File(apsw.VFSFile):
    """An open file of a :class:`Disk`."""

    def __init__(
        self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int], content: Content
    ) -> None:
        self.disk, self.content = disk, content
        self.path = str(name.filename() if isinstance(name, apsw.URIFilename) else name)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.touch("write", self.path)
        super().xWrite(data, offset)
        self.content.write(bytes(data), offset)

    def xTruncate(self, newsize: int) -> None:
        self.disk.touch("truncate", self.path)
        super().xTruncate(newsize)
        self.content.seen[newsize:] = b""

    def xSync(self, flags: int) -> None:
        self.disk.touch("sync", self.path)
        # The real fsync would only slow the test down: the power of this machine stays on.
        self.content.sync()
