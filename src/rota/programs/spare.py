"""A child of an overseer that is made ahead: it waits, already in its control groups, to become the next
job's program.

Forking and entering a group take longer than all else that happens before bubblewrap starts; so they happen
before an order comes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from rota.programs.cgroup import Group, Place
from rota.programs.order import Order


class Spare:
    """The waiting child: ``pid``, its ``group``, and the pipes that its overseer will listen to and let it
    go by."""

    def __init__(
        self,
        place: Place | None,
        name: str,
        child: Callable[[Order, int, int], None],
        warm: Callable[[], None],
    ) -> None:
        """``child`` is called in the child with the order and the descriptors for bubblewrap's status and
        for holding it back; it ends in an exec, or raises what the overseer is told."""
        self.group = None
        if place is not None:
            self.group = Group(place, name)
            self.group.make()
        self.status, status = os.pipe2(os.O_CLOEXEC)
        self._said, say = os.pipe2(os.O_CLOEXEC)
        block, self.block = os.pipe2(os.O_CLOEXEC)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for fd in (self.status, self._said, self.block, self._socket.fileno()):
                    os.close(fd)
                if self.group is not None:
                    self.group.join()
                warm()
                _wait_and_run(theirs, lambda order: child(order, status, block))
            except BaseException as error:
                os.write(say, f"{type(error).__name__}: {error}".encode()[:4000])
            finally:
                os._exit(127)
        theirs.close()
        for fd in (status, say, block):
            os.close(fd)

    def become(self, told: int, output: int) -> None:
        """Let the child be the program of the order that can be read from ``told``; OSError if it cannot."""
        socket.send_fds(self._socket, [b"go"], [told, output])
        self._socket.close()
        with open(self._said, "rb") as file:
            if failed := file.read():
                raise OSError(0, failed.decode(errors="replace"))

    def dismiss(self) -> None:
        """There will be no order: let the child end."""
        self._socket.close()
        for fd in (self.status, self._said, self.block):
            os.close(fd)
        os.waitpid(self.pid, 0)
        if self.group is not None:
            self.group.remove()


def _wait_and_run(sock: socket.socket, run: Callable[[Order], None]) -> None:
    word, fds, _, _ = socket.recv_fds(sock, 16, 2)
    if not word:
        os._exit(0)
    sock.close()
    told, output = fds
    with open(told, "rb") as file:
        file.seek(0)
        order = Order.decode(file.read())
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    for fd, place in ((null, 0), (output, 1), (output, 2)):
        os.dup2(fd, place)
    os.close(output)
    run(order)
