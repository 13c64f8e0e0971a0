"""What a server was told before it started, as far as others may know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

Origin = Literal["default", "file", "environment", "flag"]


class Setting(msgspec.Struct, frozen=True):
    """One setting in force; a secret that is set is ``***``. ``said``: where just (``rota.yaml:3``,
    ``ROTA_LISTEN``, ``--listen``); None: nowhere.
    """

    key: str
    value: Any
    default: Any
    origin: Origin
    said: str | None
    secret: bool


class BuiltIn(msgspec.Struct, frozen=True):
    """A type that the server's own worker runs. ``schema``: JSON Schema of its payload; ``example``: one."""

    description: str
    schema: Mapping[str, Any]
    example: Any
    accepts: tuple[str, ...] = ("json",)


class About(msgspec.Struct, frozen=True, kw_only=True):
    """``store``: its URL without passwords. ``token``: whether one is needed."""

    version: str = ""
    store: str = ""
    token: bool = False
    settings: tuple[Setting, ...] = ()
    built_in: Callable[[], Mapping[str, BuiltIn]] = dict
    """Told when somebody asks: a server that nobody asks need not load it."""
