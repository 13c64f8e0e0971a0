"""The few calls of the Linux kernel that Python's own modules lack; each raises OSError with what the kernel
said."""

from __future__ import annotations

import ctypes
import functools
import os

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
PR_SET_SECCOMP = 22

_CLOSE_RANGE, _CLOEXEC = 436, 4


@functools.cache
def libc() -> ctypes.CDLL:
    """The C library of this process. Load it before forking, not in the child."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def prctl(option: int, value: int | bytes = 0, more: object = 0) -> None:
    """One call of prctl(2) with up to two arguments."""
    first, second = (ctypes.c_ulong(word) if isinstance(word, int) else word for word in (value, more))
    if libc().prctl(option, first, second, ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise failure(f"prctl {option}")


def syscall(name: str, number: int, *arguments: object) -> int:
    """The call with this number; integers are passed as 64 bits wide."""
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    answer = int(libc().syscall(ctypes.c_long(number), *wide))
    if answer < 0:
        raise failure(name)
    return answer


def close_on_exec(first: int) -> None:
    """Let no descriptor from this number on survive an exec."""
    syscall("close_range", _CLOSE_RANGE, first, 0xFFFFFFFF, _CLOEXEC)


def failure(what: str) -> OSError:
    """The error that the last call left."""
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
