"""Files below one folder, with no way out of it.

A path is walked one name at a time, each opened below the handle of the one before and never through a
link, so it does not matter what somebody renames or links meanwhile. Only plain files are opened, and
opening never waits (as it would on a pipe without a writer).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator

from rota.sdk.signature import BadPayload

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """``root`` is the operator's own path and may itself be a link.

    BadPayload for paths that cannot be right, naming ``field``; OSError when the system fails.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)  # noqa: PTH100 (links in it are the operator's and stay)

    @contextlib.contextmanager
    def read(self, field: str, path: str) -> Iterator[int]:
        """The handle of a plain file, open for reading."""
        with self._parent(field, path) as (parent, name):
            try:
                # Looked at before it is opened: opening alone can rewind a tape or start a device.
                _plain(field, path, os.stat(name, dir_fd=parent, follow_symlinks=False))
                handle = os.open(name, _READ, dir_fd=parent)
            except OSError as error:
                raise _told(field, path, error) from None
        try:
            _plain(field, path, os.fstat(handle))
            yield handle
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def write(self, field: str, path: str, *, source: int, job: str, again: bool) -> Iterator[int]:
        """A handle for new content, which takes the place of ``path`` in one step when the block ends well.

        The content is on stable storage then; after an error nothing is left. It gets the permissions of
        ``source``, the file it is made from. ``again``: an earlier try of ``job`` may have been killed, so
        what it left is removed.
        """
        origin = os.fstat(source)
        with self._parent(field, path) as (parent, name):
            _replaceable(field, path, origin, parent, name)
            if again:
                _sweep(parent, job)
            draft = f".rota-{job}-{secrets.token_hex(4)}.tmp"
            handle = os.open(draft, _WRITE, 0o600, dir_fd=parent)
            try:
                try:
                    yield handle
                    os.fchmod(handle, stat.S_IMODE(origin.st_mode) & 0o777)
                    os.fsync(handle)
                finally:
                    os.close(handle)
                os.rename(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=parent)
                raise
            os.fsync(parent)

    @contextlib.contextmanager
    def _parent(self, field: str, path: str) -> Iterator[tuple[int, str]]:
        """The open folder that holds the last name of ``path``, and that name."""
        *folders, name = _names(field, path)
        handle = os.open(self._root, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for folder in folders:
                try:
                    below = os.open(folder, _FOLDER, dir_fd=handle)
                except OSError as error:
                    raise _told(field, path, error) from None
                os.close(handle)
                handle = below
            yield handle, name
        finally:
            os.close(handle)


def _names(field: str, path: str) -> list[str]:
    if not path or "\0" in path or len(path.encode()) > 4096:
        raise BadPayload(f"{field} must have 1 to 4096 bytes, none of them NUL.")
    names = [name for name in path.split("/") if name not in ("", ".")]
    if path.startswith("/") or ".." in names:
        raise BadPayload(f"{field} must be relative to the folder and without '..', not {path[:100]!r}.")
    if not names or path.endswith("/"):
        raise BadPayload(f"{field} must name a file, not {path[:100]!r}.")
    return names


def _plain(field: str, path: str, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    what = (
        "a link"
        if stat.S_ISLNK(found.st_mode)
        else "a folder"
        if stat.S_ISDIR(found.st_mode)
        else "no plain file"
    )
    raise BadPayload(f"{field}: {path[:100]!r} is {what}.")


def _replaceable(field: str, path: str, origin: os.stat_result, parent: int, name: str) -> None:
    """Nothing is there yet, or a plain file that is not the one being read."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _told(field, path, error) from None
    _plain(field, path, found)
    if os.path.samestat(found, origin):
        raise BadPayload(f"{field}: {path[:100]!r} is the file that is read.")


def _sweep(parent: int, job: str) -> None:
    with os.scandir(parent) as entries:
        left = [entry.name for entry in entries if entry.name.startswith(f".rota-{job}-")]
    for name in left:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)


def _told(field: str, path: str, error: OSError) -> Exception:
    """What trying again would not mend, in words; any other error as it is."""
    match error.errno:
        case errno.ENOENT:
            why = "does not exist"
        case errno.ELOOP | errno.ENOTDIR:
            why = "leads through a link or something that is no folder"
        case errno.EACCES | errno.EPERM:
            why = "may not be opened by this server"
        case errno.ENAMETOOLONG:
            why = "has a name that is too long"
        case errno.ENXIO | errno.EISDIR:
            why = "is no plain file"
        case _:
            return error
    return BadPayload(f"{field}: {path[:100]!r} {why}.")
