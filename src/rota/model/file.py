"""The two files that a job may have: the ``upload`` that came with it, and the ``artifact`` that it left.

Stores keep them in parts, so that no transaction is long, whatever their size.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["upload", "artifact"]


class File(msgspec.Struct, frozen=True, gc=False):
    """A file in the store: ``bytes`` long, with the ``sha256`` in hex of all of them."""

    id: str
    bytes: int
    sha256: str


class Part(msgspec.Struct, frozen=True, gc=False):
    """Piece number ``n``, from 0, of the file with the id ``file``."""

    file: str
    n: int
    data: bytes


class Attachment(msgspec.Struct, frozen=True, gc=False):
    """A file that is to be the artifact of the job that ``worker`` runs under ``lease``."""

    job: str
    lease: int
    worker: str
    file: File


class Loose(msgspec.Struct, frozen=True, gc=False):
    """A file that belongs to no job (yet), with ``parts`` parts so far."""

    id: str
    parts: int
