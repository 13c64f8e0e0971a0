"""What the server answers about itself, as types."""

from __future__ import annotations

import msgspec

from rota.core.about import Setting
from rota.core.catalog import TypeInfo
from rota.model.schema import Time


class TypeList(msgspec.Struct, frozen=True):
    """By name."""

    types: list[TypeInfo]


class StoreAbout(msgspec.Struct, frozen=True):
    """What keeps the jobs: `sqlite` or `postgresql`. The URL has no password."""

    engine: str
    version: str
    url: str


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a server was started. `token`: requests need one."""

    version: str
    server: str
    started_at: Time
    store: StoreAbout
    token: bool
    settings: list[Setting]
