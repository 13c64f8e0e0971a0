"""Messages with descriptors between the server, the keeper, the overseers and their children.

Python's ``socket.send_fds`` and ``recv_fds`` pass their flags to nobody (seen in 3.11): with them everybody
waits.
"""

from __future__ import annotations

import array
import socket
from collections.abc import Sequence

MOST = 8  # descriptors in one message


def give(sock: socket.socket, data: bytes, fds: Sequence[int], *, wait: bool = True) -> None:
    """Send a message with these descriptors; unless it may ``wait``, BlockingIOError where it would have
    to."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    sock.sendmsg([data], rights, 0 if wait else socket.MSG_DONTWAIT)


def take(sock: socket.socket, size: int, *, wait: bool = True) -> tuple[bytes, list[int]]:
    """Receive a message of up to ``size`` bytes, and its descriptors, which no exec passes on."""
    fds = array.array("i")
    flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
    data, rights, _, _ = sock.recvmsg(size, socket.CMSG_LEN(MOST * fds.itemsize), flags)
    for level, kind, held in rights:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(held[: len(held) - len(held) % fds.itemsize])
    return data, list(fds)
