"""An empty folder to crash in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.kit import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., Scene]:
    """A scene with these settings of the server (``lease="1s"``)."""

    def make(**settings: str) -> Scene:
        return Scene(tmp_path, **settings)

    return make
