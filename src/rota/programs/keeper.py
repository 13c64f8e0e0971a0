"""The keeper: a small process beside the server that forks the overseers, one for each job that runs at once.

The server itself cannot: it has threads and much memory, and what happens between fork and exec here is a
good deal. The keeper imports nothing but the standard library and this package, and ends with the server.

Overseers wait at the server's socket; whoever is free takes the next order. The keeper knows of each whether
it waits or works, makes another when none waits, and lets those go that are too many.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time

from rota.programs import crew, kernel, passing, seccomp, start

# Overseers that may wait for the next order.
MOST_IDLE = 2
# Seconds after the last one that waited was given work until there is another: a start is not disturbed.
SOON = 0.02
# Seconds without an order after which one is enough.
CALM = 30.0


def main() -> None:
    """Serve orders from the socket whose number is the last argument, until the other end is gone."""
    sock = socket.socket(fileno=int(sys.argv[-1]))
    # It came by inheritance, and must not go on so.
    sock.set_inheritable(False)
    # What a terminal or a service manager sends to all is for the server; with it this process ends.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    # Overseers report to their job's server; that they ended is heard by their channel.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _warm()
    keeper = _Keeper(sock)
    keeper.serve()
    sock.close()
    for channel in keeper.channels.values():
        channel.close()
    # What they are about is short now: their jobs are being killed, their groups removed.
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _warm() -> None:
    """Have in memory what every overseer needs, shared by all of them."""
    kernel.libc()
    if seccomp.machine() is not None:
        seccomp.program()
        seccomp.program(hidden_memory=False)
    start.warm()
    gc.collect()
    gc.freeze()
    gc.disable()


class _Keeper:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.channels: dict[int, socket.socket] = {}
        self.idle: set[int] = set()
        self.place: bytes = crew.NOWHERE
        self.count = 0

    def serve(self) -> None:
        self._fork()
        gone = False
        while not gone:
            poll = select.poll()
            for fd in self.channels:
                poll.register(fd, select.POLLIN)
            if not self.idle:
                # Somebody asks, and nobody is there to take it.
                poll.register(self.sock, select.POLLIN)
            pause = (SOON, None, CALM)[min(len(self.idle), 2)]
            ready = [fd for fd, _ in poll.poll(None if pause is None else pause * 1000)]
            if not ready and len(self.idle) > 1:
                with contextlib.suppress(OSError):
                    self.channels[self.idle.pop()].send(crew.LEAVE)
            for fd in ready:
                if fd in self.channels:
                    gone = self._hear(fd) or gone
            if not self.idle and not gone and (not ready or self.sock.fileno() in ready):
                self._fork()

    def _hear(self, fd: int) -> bool:
        """One message of an overseer; whether the server is gone."""
        channel = self.channels[fd]
        try:
            said = channel.recv(65536)
        except OSError:
            said = b""
        if not said:
            del self.channels[fd]
            channel.close()
            if fd in self.idle:
                self.idle.discard(fd)
                time.sleep(0.1)  # it was killed; should that happen to all of them, not as fast as we can
        elif said[:1] == crew.TAKEN:
            self.idle.discard(fd)
            # Where the groups are comes with the orders; the next overseers will have theirs ready there.
            self.place = said[1:] or self.place
        elif said == crew.DONE:
            stays = len(self.idle) < MOST_IDLE
            with contextlib.suppress(OSError):
                if stays:
                    passing.give(channel, crew.STAY, [self.sock.fileno()])
                else:
                    channel.send(crew.LEAVE)
            if stays:
                self.idle.add(fd)
        return said == crew.GONE

    def _fork(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.count += 1
        if os.fork() == 0:
            try:
                # Each ends when the keeper does: none may hold the keeper's end of another's channel.
                for channel in (ours, *self.channels.values()):
                    channel.close()
                crew.Overseer(self.sock, theirs, self.place, self.count).work()
            except BaseException:
                crew.complain()
            finally:
                os._exit(0)
        theirs.close()
        self.channels[ours.fileno()] = ours
        self.idle.add(ours.fileno())
