"""A child of an overseer that is made ahead: it waits, already in its control groups, to become the next
job's program.

Forking and entering a group take longer than all else that happens before bubblewrap starts; so they happen
before an order comes.
"""

from __future__ import annotations

import contextlib
import os
import socket

from rota.programs import passing, start
from rota.programs.cgroup import Group
from rota.programs.order import Order


class Spare:
    """The waiting child: ``pid``, its ``group``, and the pipes that its overseer listens to (``status``, what
    bubblewrap says) and lets it go by.

    ``tell`` and ``go``, or ``dismiss``; at the end of the job ``close``.
    """

    def __init__(self, group: Group | None = None) -> None:
        """``group`` has not been made yet; OSError when it cannot be."""
        self.group = group
        if group is not None:
            group.make()
        self.status, status = os.pipe2(os.O_CLOEXEC)
        self._said, say = os.pipe2(os.O_CLOEXEC)
        block, self._block = os.pipe2(os.O_CLOEXEC)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.pid = os.fork()
        except OSError:
            theirs.close()
            for fd in (status, say, block):
                os.close(fd)
            self.close()
            raise
        if self.pid == 0:
            try:
                for fd in (self.status, self._said, self._block, self._socket.fileno()):
                    os.close(fd)
                if group is not None:
                    group.join()
                start.warm()
                _become(theirs, status, block)
            except BaseException as error:
                os.write(say, f"{type(error).__name__}: {error}".encode()[:4000])
            finally:
                os._exit(127)
        theirs.close()
        for fd in (status, say, block):
            os.close(fd)

    def tell(self, told: int, output: int) -> None:
        """Let the child prepare for the order that can be read from ``told``; ``output`` is where its program
        writes."""
        # If it is dead, ``go`` says why.
        with contextlib.suppress(OSError):
            passing.give(self._socket, b"order", [told, output])

    def go(self) -> None:
        """Let the child become the program; OSError when it cannot."""
        with contextlib.suppress(OSError):
            self._socket.send(b"go")
        self._socket.close()
        with open(self._said, "rb") as file:
            self._said = -1
            if failed := file.read():
                raise OSError(0, failed.decode(errors="replace"))

    def let_on(self) -> None:
        """Let bubblewrap start the program, if it was told to wait for that."""
        if self._block >= 0:
            os.close(self._block)
            self._block = -1

    def dismiss(self) -> None:
        """There will be no order, or not for this one: let the child end."""
        self._socket.close()
        os.waitpid(self.pid, 0)
        self.close()

    def close(self) -> None:
        """Let go of what is left; no process is in the group any more."""
        self._socket.close()
        for fd in (self.status, self._said, self._block):
            if fd >= 0:
                os.close(fd)
        self.status = self._said = self._block = -1
        if self.group is not None:
            self.group.remove()


def _become(sock: socket.socket, status: int, block: int) -> None:
    word, fds = passing.take(sock, 16)
    if not word:
        os._exit(0)
    told, output = fds
    order = Order.decode(os.pread(told, os.fstat(told).st_size, 0))
    os.close(told)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    for fd, place in ((null, 0), (output, 1), (output, 2)):
        os.dup2(fd, place)
    os.close(output)
    run = start.prepare(order, status, block)
    if not sock.recv(16):
        os._exit(0)
    run()
