"""What the server answers about itself, as types."""

from __future__ import annotations

from typing import Any

import msgspec

from rota.core.about import Setting
from rota.core.catalog import TypeInfo
from rota.core.condition import Overall
from rota.core.finding import Level
from rota.model.schema import Time
from rota.web.views import SavedView


class FoundThing(msgspec.Struct, frozen=True):
    """One thing that is to be known. `numbers`: what it rests on."""

    code: str
    level: Level
    sentence: str
    numbers: dict[str, Any]
    queue: str | None
    type: str | None
    command: str | None


class ServerCondition(msgspec.Struct, frozen=True, kw_only=True):
    """Whether all is well: `level` is that of the worst finding, `sentence` the headline."""

    level: Overall
    at: Time
    sentence: str
    findings: list[FoundThing]


class ViewList(msgspec.Struct, frozen=True):
    """By name."""

    views: list[SavedView]


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
