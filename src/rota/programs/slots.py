"""A user of its own for each job that runs, so that no two share what the kernel counts or allows by user."""

from __future__ import annotations

import errno
import functools
import os
import pwd
import socket
from dataclasses import dataclass

COUNT = 1000


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one job; ``holder`` is open as long as it is taken, in the server or in the job's
    overseer."""

    uid: int
    holder: socket.socket


def take(first: int, count: int = COUNT) -> Slot | None:
    """A user from ``first`` on whom nobody on this machine has now; None when all are taken.

    The claim is a name that only one socket can have: it needs no file, and ends with the last process that
    holds it.
    """
    for uid in range(first, first + count):
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(name(uid))
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        if _known(uid):
            holder.close()
            continue
        return Slot(uid, holder)
    return None


def name(uid: int) -> bytes:
    """The abstract name of the socket that holds a user."""
    return f"\0rota-slot-{os.stat('/proc/self/ns/user').st_ino}-{uid}".encode()


@functools.cache
def _known(uid: int) -> bool:
    # Asked once: it reads files, or asks other machines.
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
