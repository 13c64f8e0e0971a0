"""The keeper: a small process beside the server that forks an overseer for each job.

The server itself cannot: it has threads and much memory, and what happens between fork and exec here is a
good deal. The keeper imports nothing but the standard library and this package, and ends with the server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

from rota.programs import kernel, seccomp, start, survey
from rota.programs.cgroup import Place
from rota.programs.order import Order
from rota.programs.oversee import clear, oversee
from rota.programs.spare import Spare
from rota.programs.sweep import sweep

MOST_DESCRIPTORS = 8
_TAKEN, _GONE = b"t", b"g"


def main() -> None:
    """Serve orders from the socket whose number is the last argument, until the other end is gone."""
    sock = socket.socket(fileno=int(sys.argv[-1]))
    # It came by inheritance, and must not go on so.
    sock.set_inheritable(False)
    # What a terminal or a service manager sends to all is for the server; with it this process ends.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    # Overseers are nobody's worry after they have reported.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _warm()
    place: Place | None = None
    token = ""
    count = 0
    while True:
        # One overseer is always forked ahead and waits for the next order; when it has one, the next is
        # forked.
        told, tell = os.pipe2(os.O_CLOEXEC)
        count += 1
        if os.fork() == 0:
            try:
                os.close(told)
                _next(sock, tell, place, f"{token}-{os.getpid()}-{count}")
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(tell)
        said = os.read(told, 65536)
        os.close(told)
        if said == _GONE:
            return
        if not said:
            time.sleep(0.1)  # it was killed; should that happen to all of them, not as fast as we can
        elif said != _TAKEN:
            token, (version, folders) = json.loads(said)
            place = Place(version, folders)


def _warm() -> None:
    """Have in memory what every overseer needs, shared by all of them."""
    kernel.libc()
    if seccomp.machine() is not None:
        seccomp.program()
        seccomp.program(hidden_memory=False)
    gc.collect()
    gc.freeze()
    gc.disable()


def _next(sock: socket.socket, tell: int, place: Place | None, name: str) -> None:
    """Be the next overseer: prepare, wait for the server's word, do it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_NAME, b"rota-oversee")
    try:
        spare = Spare(place, name, start.run, start.warm)
    except OSError:
        # An order that needs the groups will say so.
        traceback.print_exc()
        spare = Spare(None, name, start.run, start.warm)
    start.warm()
    word, fds, _, _ = socket.recv_fds(sock, 64, MOST_DESCRIPTORS)
    sock.close()
    told = b""
    if len(fds) > 1:
        # Not closed: it may go on to the child.
        told = os.pread(fds[1], os.fstat(fds[1]).st_size, 0)
    if word != b"run":
        spare.dismiss()
    # Should the keeper be dead, this is still done; the server makes another one for what comes after.
    with contextlib.suppress(BrokenPipeError):
        os.write(tell, _GONE if not word else told if word == b"groups" else _TAKEN)
    os.close(tell)
    for fd in fds:
        os.set_inheritable(fd, False)
    if word == b"run":
        # What follows, the lock on the server's folder and the socket that holds the slot, is only kept
        # until the end.
        oversee(Order.decode(told), socket.socket(fileno=fds[0]), fds[1], fds[2], spare)
    elif word:
        said = _answer(word, told)
        # Nobody may be waiting for it.
        with contextlib.suppress(OSError):
            socket.socket(fileno=fds[0]).send(json.dumps(said).encode())


def _answer(word: bytes, told: bytes) -> object:
    if word == b"survey":
        return survey.everything()
    if word == b"sweep":
        root, first_uid = json.loads(told)
        return dataclasses.asdict(sweep(Path(root), first_uid))
    if word == b"clear":
        clear(Order.decode(told))
    return True
