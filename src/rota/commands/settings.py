"""The server's settings, as every command finds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rota.config import Settings

DEFAULT_FILE = "rota.yaml"


def load_settings(config: str | None, flags: dict[str, Any], targets: tuple[str, ...] = ()) -> Settings:
    """Settings as ``rota serve`` has them; BadConfig with all faults."""
    from rota.config import load

    if targets:
        flags["work"] = (*targets, *flags.get("work", ()))
    if config is None and not os.environ.get("ROTA_CONFIG") and Path(DEFAULT_FILE).is_file():
        config = DEFAULT_FILE
    return load(config, os.environ, flags)
