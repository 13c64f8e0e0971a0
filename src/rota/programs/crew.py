"""A process that oversees one job after the other: it waits at the server's socket, with all that takes time
made ready, and tells the keeper when it takes an order and when it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import select
import signal
import socket

from rota.programs import kernel, passing, start
from rota.programs.cgroup import Group, Place
from rota.programs.order import Order
from rota.programs.oversee import clear, oversee
from rota.programs.spare import Spare

# Jobs that one process oversees before a fresh one follows it.
MOST_JOBS = 200
# Said to the keeper: an order was taken (with the place of its groups, if that is news), it is done, the
# server is gone.
TAKEN, DONE, GONE = b"t", b"d", b"g"
# Answered to DONE: wait for the next one (with the socket to wait at); end.
STAY, LEAVE = b"s", b"l"
# No groups, as JSON.
NOWHERE = b"null"


class Overseer:
    """``sock`` is where orders come from, ``channel`` leads to the keeper; ``place`` is where the groups of
    the next job will be, ``number`` tells it from its siblings."""

    def __init__(self, sock: socket.socket, channel: socket.socket, place: bytes, number: int) -> None:
        self.sock = sock
        self.channel = channel
        self.place = place
        self.number = number
        self.jobs = 0
        self.me = -1
        self.ears = select.epoll()

    def work(self) -> None:
        """Take orders until the keeper or the server wants no more."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.prctl(kernel.PR_SET_NAME, b"rota-oversee")
        self.me = os.pidfd_open(os.getpid())
        self.ears.register(self.channel, select.EPOLLIN)
        self._wait_at(self.sock)
        stays = True
        while stays:
            spare = self._spare(self.place)
            start.warm()
            stays = self._next(spare)

    def _wait_at(self, sock: socket.socket) -> None:
        # Of those who wait one is woken.
        self.ears.register(sock, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self.sock = sock

    def _spare(self, place: bytes) -> Spare:
        self.jobs += 1
        if place == NOWHERE:
            return Spare()
        token, (version, folders) = json.loads(place)
        try:
            return Spare(Group(Place(version, folders), f"{token}-{os.getpid()}-{self.number}-{self.jobs}"))
        except OSError:
            # An order that needs the groups will say so.
            complain()
            return Spare()

    def _next(self, spare: Spare) -> bool:
        """Wait for one order and do it; whether to wait for another."""
        taken = self._take()
        if taken is None:
            spare.dismiss()
            return False
        word, fds = taken
        if word == b"run":
            return self._run(spare, fds)
        spare.dismiss()
        self._tell(GONE if not word else TAKEN)
        if word:
            said = _do(word, _all(fds[1]) if len(fds) > 1 else b"")
            # Nobody may be waiting for it.
            with socket.socket(fileno=fds[0]) as control, contextlib.suppress(OSError):
                control.send(json.dumps(said).encode())
        return False

    def _take(self) -> tuple[bytes, list[int]] | None:
        """The next order: a word (none: the server is gone) and its descriptors; None when the keeper lets
        this process go."""
        while True:
            ready = [fd for fd, _ in self.ears.poll()]
            # Should the keeper be dead, what is there is still done; what comes after gets another keeper.
            with contextlib.suppress(BlockingIOError):
                return passing.take(self.sock, 64, wait=False)
            if self.channel.fileno() in ready:
                return None

    def _run(self, spare: Spare, fds: list[int]) -> bool:
        # What follows the first three, the lock on the server's folder and the socket that holds the slot, is
        # only kept until the end.
        told, output = fds[1:3]
        with socket.socket(fileno=fds[0]) as control, contextlib.ExitStack() as held:
            for fd in (told, *fds[3:]):
                held.callback(os.close, fd)
            # Held only while somebody may listen: the server hears at once when nobody does.
            self.ears.unregister(self.sock)
            self.sock.close()
            # It prepares what it can while the rest is done here.
            spare.tell(told, output)
            order = Order.decode(_all(told))
            place = NOWHERE if order.groups is None else json.dumps([order.name, order.groups]).encode()
            self._tell(TAKEN if place == self.place else TAKEN + place)
            if place != self.place:
                spare.dismiss()
                self.place = place
                spare = self._spare(place)
                spare.tell(told, output)
            # Only the program holds it, so that its end is heard.
            os.close(output)
            oversee(order, control, spare, self.me)
        stays = self.jobs < MOST_JOBS and self._stays()
        # What somebody would wait for is done.
        spare.close()
        gc.collect()
        return stays

    def _stays(self) -> bool:
        self._tell(DONE)
        with contextlib.suppress(OSError):
            said, fds = passing.take(self.channel, 16)
            if said == STAY:
                self._wait_at(socket.socket(fileno=fds[0]))
                return True
        return False

    def _tell(self, word: bytes) -> None:
        # Without a keeper the server still waits for its job.
        with contextlib.suppress(OSError):
            self.channel.send(word)


def _all(told: int) -> bytes:
    # From the start, since its place in the file is shared with the child.
    return os.pread(told, os.fstat(told).st_size, 0)


def complain() -> None:
    """Tell the server's standard error what went wrong here."""
    import traceback

    traceback.print_exc()


def _do(word: bytes, told: bytes) -> object:
    # What is used once is loaded by who does it: every page of the keeper's is copied for each job.
    if word == b"survey":
        from rota.programs import survey

        return survey.everything()
    if word == b"sweep":
        from pathlib import Path

        from rota.programs.sweep import sweep

        root, first_uid = json.loads(told)
        return dataclasses.asdict(sweep(Path(root), first_uid))
    if word == b"clear":
        clear(Order.decode(told))
    return True
