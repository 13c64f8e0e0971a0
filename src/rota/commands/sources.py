"""Which files a program is made of, and which changes of files concern it."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from watchfiles import Change

FD = "ROTA_SOURCES_FD"
"""Tells a worker where to write which files its program consists of: a line with a JSON list."""

_LIBRARIES = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
_STANDARD = tuple(
    Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_OURS = Path(__file__).resolve().parents[1]


class Root(NamedTuple):
    """A folder that is watched, with all below it when it is ``deep``."""

    folder: Path
    deep: bool

    def covers(self, path: Path) -> bool:
        return path.is_relative_to(self.folder) if self.deep else path.parent == self.folder


def here() -> Root:
    """The working folder. Everything below it, unless that would be the whole machine or all that somebody
    has.
    """
    folder = Path.cwd().resolve()
    return Root(folder, folder not in (Path(folder.anchor), Path.home().resolve()))


def report(blamed: Iterable[str] = ()) -> None:
    """In a worker that was asked for it: say which files the program consists of by now. ``blamed`` are
    those in the traceback of a failed import.
    """
    told = os.environ.pop(FD, "")
    if not told.isdecimal():
        return
    with os.fdopen(int(told), "w", encoding="utf-8", errors="surrogateescape") as line:
        print(json.dumps(sorted(_local([*_imported(), *blamed]))), file=line)


def roots_of(files: Iterable[Path]) -> set[Root]:
    """The folders of these files: for a module of a package all of the package, for any other its folder."""
    roots = set()
    for file in files:
        root = Root(file.parent, False)
        for folder in file.parents:
            if not (folder / "__init__.py").is_file():
                break
            root = Root(folder, True)
        roots.add(root)
    return roots


def concerns(roots: Collection[Root]) -> Callable[[Change, str], bool]:
    """Whether a change in one of these folders may change the program, as a filter for ``watchfiles``: Python
    files do, but not what belongs to an environment, a cache or an editor.
    """

    # A worker, which only reports, has no use for it.
    from watchfiles import Change

    def ours(path: Path) -> bool:
        root = next((root for root in roots if path.is_relative_to(root.folder)), None)
        # Below the folder only: the project itself may well be in ~/.work/site-packages.
        parts = () if root is None else path.relative_to(root.folder).parts
        return bool(parts) and not any(part in _LIBRARIES or part.startswith((".", "#")) for part in parts)

    def wanted(change: Change, name: str) -> bool:
        path = Path(name)
        if path.suffix == ".py":
            return ours(path)
        # Of what a folder brings along nothing else is told.
        return change is Change.added and ours(path) and any(map(ours, path.rglob("*.py")))

    return wanted


def _imported() -> Iterable[str]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and name != "__main__":
            yield file


def _local(files: Iterable[str]) -> set[str]:
    """Those that somebody works on: neither installed nor part of Python or of Rota."""
    found = set()
    for file in files:
        path = Path(file)
        if path.suffix != ".py" or not path.is_file():
            continue
        path = path.resolve()
        installed = _LIBRARIES.intersection(path.parts) or any(path.is_relative_to(one) for one in _STANDARD)
        if not installed and not path.is_relative_to(_OURS):
            found.add(str(path))
    return found
