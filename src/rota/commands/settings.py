"""The server's settings, as every command finds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rota.config import Settings

DEFAULT_FILE = "rota.yaml"
SURFACE = "ROTA_FRONTS__PQEXEC__SURFACE"


def load_settings(config: str | None, flags: dict[str, Any], targets: tuple[str, ...] = ()) -> Settings:
    """Settings as ``rota serve`` has them; BadConfig with all faults."""
    from rota.config import load, older

    if targets:
        flags["work"] = (*targets, *flags.get("work", ()))
    if config is None and not any(os.environ.get(name) for name in ("ROTA_CONFIG", older.VARIABLE)):
        # Whoever asks for one of the parallel queue's four programs gets its file, too.
        asked = flags.get("surface") or os.environ.get(SURFACE)
        files = [DEFAULT_FILE, *([older.FILE] if asked else [])]
        config = next((file for file in files if Path(file).is_file()), None)
    return load(config, os.environ, flags)
