"""What a server was told before it started, as far as others may know it."""

from __future__ import annotations

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


class About(msgspec.Struct, frozen=True, kw_only=True):
    """``store``: its URL without passwords. ``token``: whether one is needed."""

    version: str = ""
    store: str = ""
    token: bool = False
    settings: tuple[Setting, ...] = ()
