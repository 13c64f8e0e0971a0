"""Landlock: which files a process and its children may reach, where there is no bubblewrap to build them a
root."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from rota.programs import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG, _BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
READ = EXECUTE | READ_FILE | READ_DIR
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_NET_BOTH = 3
SCOPE_ABSTRACT, SCOPE_SIGNAL = 1, 2


def version() -> int:
    """What this kernel can: 0 nothing, 1 files, 4 ports of TCP, 6 abstract sockets and signals."""
    try:
        return kernel.syscall("landlock_create_ruleset", _CREATE, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def all_rights(abi: int) -> int:
    """Every right to files that this version knows."""
    known = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    return (1 << known) - 1


def confine(
    abi: int, readable: Iterable[str], writable: Iterable[str], devices: Iterable[str], *, network: bool
) -> None:
    """Put this process and all it starts under rules, for good: nothing but these paths.

    ``devices`` are files that may be read and written. Where the version can, TCP is refused too (unless
    ``network``), and sockets by abstract name and signals to processes outside.
    """
    files = all_rights(abi)
    ruleset = _ruleset(
        abi, files=files, ports=0 if network else _NET_BOTH, scopes=SCOPE_ABSTRACT | SCOPE_SIGNAL
    )
    try:
        for path in readable:
            _allow(ruleset, path, READ & files)
        for path in writable:
            _allow(ruleset, path, files & ~(_MAKE_CHAR | _MAKE_BLOCK))
        for path in devices:
            _allow(ruleset, path, (WRITE_FILE | READ_FILE | TRUNCATE) & files)
        _enforce(ruleset)
    finally:
        os.close(ruleset)


def close_abstract_sockets(abi: int) -> None:
    """Refuse sockets by abstract name made outside; for a program that shares the machine's network. Needs
    version 6."""
    ruleset = _ruleset(abi, files=0, ports=0, scopes=SCOPE_ABSTRACT)
    try:
        _enforce(ruleset)
    finally:
        os.close(ruleset)


def _ruleset(abi: int, *, files: int, ports: int, scopes: int) -> int:
    fields = [files]
    if abi >= 4:
        fields.append(ports)
    if abi >= 6:
        fields.append(scopes)
    attributes = (ctypes.c_uint64 * len(fields))(*fields)
    size = ctypes.sizeof(attributes)
    return kernel.syscall("landlock_create_ruleset", _CREATE, ctypes.byref(attributes), size, 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    class Beneath(ctypes.Structure):
        _pack_ = 1
        _fields_ = [("rights", ctypes.c_uint64), ("parent", ctypes.c_int32)]

    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        rule = Beneath(rights, fd)
        kernel.syscall("landlock_add_rule", _ADD, ruleset, _BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(fd)


def _enforce(ruleset: int) -> None:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.syscall("landlock_restrict_self", _RESTRICT, ruleset, 0)
