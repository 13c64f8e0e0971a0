"""What servers on one store tell each other, as :meth:`rota.engines.base.Engine.announce` carries it."""

from __future__ import annotations

import contextlib
from typing import Literal

import msgspec

from rota.core.events import Event
from rota.model.job import State


class Here(msgspec.Struct, frozen=True, tag="here", array_like=True):
    """A server is there, or something about it or its workers has changed: its note says what. What it wants
    to hear (see :class:`rota.core.servers.ServerNote`) is worth knowing at once; notes up to ``beat`` are
    older.
    """

    server: str
    beat: int
    listens: bool
    follows: tuple[str, ...]


class Gone(msgspec.Struct, frozen=True, tag="gone", array_like=True):
    """A server has stopped."""

    server: str


class Paused(msgspec.Struct, frozen=True, tag="paused", array_like=True):
    """Queues were paused or resumed."""


class Stops(msgspec.Struct, frozen=True, tag="stops", array_like=True):
    """Jobs (id, lease, worker) that their workers shall give up."""

    jobs: list[tuple[str, int, str]]


class Drains(msgspec.Struct, frozen=True, tag="drains", array_like=True):
    """Workers were asked to drain."""


Step = Literal["stored", "started", "moved"]


class Move(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that happened to a job of a type that is followed, see :class:`rota.core.bus.Follower`."""

    step: Step
    id: str
    type: str
    lease: int = 0
    state: State | None = None
    queue: str | None = None


class Story(msgspec.Struct, frozen=True, tag="story", array_like=True):
    """What happened at a server, in order. ``n`` counts its stories; ``lost``: more happened than it could
    tell.
    """

    server: str
    n: int
    lost: bool
    events: list[Event]
    moves: list[Move]


News = Here | Gone | Paused | Stops | Drains | Story

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(News).decode


def pack(news: News) -> bytes:
    return _encode(news)


def unpack(body: bytes) -> News | None:
    """None for what says nothing to this version."""
    with contextlib.suppress(msgspec.DecodeError):
        found: News = _decode(body)
        return found
    return None
