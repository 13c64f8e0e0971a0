"""What servers on one store say of themselves and of their workers, in notes of the kind ``servers``."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from pathlib import Path

import msgspec

from rota.core.worker import Transport, Worker
from rota.model import protocol
from rota.model.job import State

NOTES = "servers"
MOST_HELD = 2000
"""Jobs in the hands of workers that a server names; of further ones it tells the number."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SPACE = Path("/proc/self/ns/pid")


class Counted(msgspec.Struct, array_like=True):
    """What happened at a server since it started, and per second in the last minute. ``runs``: queue, type,
    number and seconds of the runs that ended there. ``lost``: jobs taken back from lost workers.
    """

    enqueued: int = 0
    started: int = 0
    requeued: int = 0
    finished: dict[State, int] = {}
    rates: dict[str, float] = {}
    runs: list[tuple[str, str, int, float]] = []
    lost: int = 0


class WorkerNote(msgspec.Struct, array_like=True):
    """A worker, as its server tells of it; ``held``: id, lease, queue, type and since when of jobs in its
    hand.
    """

    id: str
    name: str
    version: str
    transport: Transport
    queues: tuple[str, ...]
    types: tuple[str, ...] | None
    except_types: tuple[str, ...]
    stand_in: bool
    slots: int
    draining: bool
    silent: bool
    connected_at: int
    last_beat: int
    in_hand: int
    held: list[tuple[str, int, str, str, int]]
    sandbox: protocol.Sandbox | None


class ServerNote(msgspec.Struct, kw_only=True):
    """A server. Times in microseconds of the store's clock. ``beat`` rises with every note. ``machine``:
    where ``pid`` means something. ``listens``: it wants to know all events; ``follows``: every move of jobs
    of these types.
    """

    id: str
    host: str
    machine: str
    pid: int
    version: str
    url: str | None
    since: int
    seen: int = 0
    beat: int = 0
    stopped: bool = False
    listens: bool = False
    follows: tuple[str, ...] = ()
    counted: Counted = msgspec.field(default_factory=Counted)
    workers: list[WorkerNote] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ServerNote).decode


class Remote:
    """A worker of another server; what it has of :class:`rota.core.worker.Worker` means the same."""

    def __init__(self, server: ServerNote, note: WorkerNote) -> None:
        self.server = server.id
        self.id = note.id
        self.name = note.name
        self.version = note.version
        self.transport = note.transport
        self.queues = note.queues
        self.types = note.types
        self.except_types = note.except_types
        self.stand_in = note.stand_in
        self.slots = note.slots
        self.draining = note.draining
        self.silent = note.silent or server.stopped
        self.connected_at = note.connected_at
        self.last_beat = note.last_beat
        self.in_hand = note.in_hand
        self.sandbox = note.sandbox
        self.taken = {(id, lease): (queue, type, at) for id, lease, queue, type, at in note.held}

    def knows(self, type: str) -> bool:
        return type not in self.except_types if self.types is None else type in self.types

    @property
    def working(self) -> bool:
        return not (self.draining or self.silent)


def new(id: str, url: str | None, version: str, now: int) -> ServerNote:
    """The note of this process."""
    return ServerNote(
        id=id,
        host=socket.gethostname(),
        machine=machine(),
        pid=os.getpid(),
        version=version,
        url=url,
        since=now,
    )


def pack(note: ServerNote) -> bytes:
    return _encode(note)


def unpack(body: bytes | None) -> ServerNote | None:
    """None for a note that says nothing to this version."""
    with contextlib.suppress(msgspec.DecodeError):
        return _decode(body or b"")
    return None


def told(one: Worker, room: int) -> WorkerNote:
    """A worker of ours, with up to ``room`` jobs in its hand."""
    held = [(id, lease, *about) for (id, lease), about in list(one.taken.items())[:room]]
    return WorkerNote(
        one.id,
        one.name,
        one.version,
        one.transport,
        one.queues,
        one.types,
        one.except_types,
        one.stand_in,
        one.slots,
        one.draining,
        one.silent,
        one.connected_at,
        one.last_beat,
        len(one.taken),
        held,
        one.sandbox,
    )


def dead(note: ServerNote) -> bool:
    """Whether a server's process has ended for certain: it was one of this machine, and there is none."""
    if note.machine != machine() or not note.machine:
        return False
    try:
        os.kill(note.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@functools.cache
def machine() -> str:
    """Names this machine until it starts anew, and who shares its process numbers; empty: unknown."""
    try:
        return f"{_BOOT.read_text().strip()} {_SPACE.readlink()}"
    except OSError:
        return ""
