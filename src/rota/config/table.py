"""The settings in force as a table for programs, without a secret in it."""

from __future__ import annotations

import re
from typing import Any

from rota.config.loading import describe
from rota.config.secret import MASK
from rota.config.settings import Settings, all_keys
from rota.core.about import Origin, Setting

_USER = re.compile(r"(?<=://)([^\s/?#@:]*):[^\s@]*@")
"""In whatever text: a user and a password before a host."""


def table(settings: Settings) -> tuple[Setting, ...]:
    """Every setting, in the order of the documentation. What has no effect is left out."""
    usual = {shown.key: shown.value for shown in describe(Settings())}
    secrets = {key.path for key in all_keys() if key.kind.secret}
    return tuple(
        Setting(
            shown.key,
            _plain(shown.value),
            usual[shown.key],
            _kind(shown.origin),
            None if shown.origin == "default" else shown.origin,
            shown.key in secrets,
        )
        for shown in describe(settings)
        if shown.key in usual
    )


def _kind(origin: str) -> Origin:
    if origin == "default":
        return "default"
    if origin.startswith("--"):
        return "flag"
    return "environment" if re.fullmatch(r"[A-Z_0-9]+", origin) else "file"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _USER.sub(rf"\1:{MASK}@", value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value
