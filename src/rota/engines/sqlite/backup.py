"""A copy of a store while a server works on it: SQLite's own backup, of one moment, to stable storage."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from rota.engines.care import Copied
from rota.engines.sqlite.verify import is_live, open_reading, verify
from rota.model.errors import StoreError

PAGES = 2000
"""Pages copied between two calls of ``progress``: 8 MB."""

SIDES = ("-wal", "-shm", "-journal")
"""What SQLite has beside a file, by the ends of the names."""


def backup(
    path: str,
    vfs: str | None,
    target: str,
    *,
    replace: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Copied:
    """Copy the store to the file ``target``, which appears when it is whole, checked and on disk.

    ``progress`` is told pages done and in all. Readers do not hold up the one who writes, so a server goes on
    working; what it stores after the copy has begun is not in it. Raises StoreError, and leaves nothing
    behind, when ``target`` is there (unless ``replace``) or in use, the copy is not sound, or the disk full.
    """
    goal = Path(target)
    _check_target(Path(path), goal, replace)
    partial = goal.with_name(f"{goal.name}.{os.getpid()}.partial")
    try:
        with closing(open_reading(path, vfs)) as source:
            _make(partial, Path(path).stat().st_size)
            _copy(source, partial, progress)
        sync(partial)
        verdict = verify(str(partial))
        if not verdict.sound:
            told = " ".join(f"{one.sentence} ({', '.join(one.examples)})" for one in verdict.findings)
            raise StoreError(f"The copy is not sound and was thrown away: {told}")
        put(partial, goal, replace)
    except OSError as error:
        raise StoreError(f"The copy {target} cannot be written: {error.strerror}.") from error
    except apsw.FullError:
        raise StoreError(f"The copy {target} cannot be written: the disk is full.") from None
    except apsw.Error as error:
        raise StoreError(f"The store {path} cannot be copied: {error}.") from error
    finally:
        for left in (partial, *(Path(f"{partial}{side}") for side in SIDES)):
            with contextlib.suppress(OSError):
                left.unlink()
    return Copied(target, goal.stat().st_size, verdict)


def _check_target(source: Path, goal: Path, replace: bool) -> None:
    if goal.is_dir():
        raise StoreError(f"{goal} is a folder; name a file.")
    if goal.exists() and source.exists() and goal.samefile(source):
        raise StoreError(f"{goal} is the store itself.")
    if is_live(str(goal)):
        raise StoreError(f"{goal} is in use by a server; a copy must not be put there.")
    there = [str(one) for one in (goal, *(Path(f"{goal}{side}") for side in SIDES)) if one.exists()]
    if there and not replace:
        raise StoreError(f"{there[0]} is there already; nothing was changed. (--force replaces it.)")


def _make(partial: Path, size: int) -> None:
    """An empty file that only we may read, with room for the copy."""
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    free = shutil.disk_usage(partial.parent).free
    if free < size:
        raise StoreError(f"The copy needs {size} bytes, but there are only {free} free in {partial.parent}.")


def _copy(source: apsw.Connection, partial: Path, progress: Callable[[int, int], None]) -> None:
    with closing(apsw.Connection(str(partial), flags=apsw.SQLITE_OPEN_READWRITE)) as copy:
        # Nobody else sees it before it is whole: no journal, and one fsync at the end.
        copy.execute("PRAGMA journal_mode = off")
        copy.execute("PRAGMA synchronous = off")
        # One read transaction from the first page to the last: without it every write of the server would
        # start the copy anew.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        with copy.backup("main", source, "main") as run:
            while not run.done:
                run.step(PAGES)
                progress(run.page_count - run.remaining, run.page_count)


def put(partial: Path, goal: Path, replace: bool) -> None:
    """Under its name at once and whole, or not at all."""
    if replace:
        # What is left of the file before would be taken for a part of the new one.
        for side in SIDES:
            Path(f"{goal}{side}").unlink(missing_ok=True)
        partial.replace(goal)
    else:
        try:
            # Unlike a rename this never replaces what somebody else has put there meanwhile.
            os.link(partial, goal)
        except FileExistsError:
            raise StoreError(
                f"{goal} is there already; nothing was changed. (--force replaces it.)"
            ) from None
        except OSError:
            partial.rename(goal)
    sync(goal.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to stable storage."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
