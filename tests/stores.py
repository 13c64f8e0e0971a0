"""Empty stores for tests above the engines: a file for most of them, every engine for those that say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines.kit import ENGINES, done_with, fresh


def choose(metafunc: pytest.Metafunc, everywhere: frozenset[str]) -> None:
    """Tests of these modules that use a store run on every engine, the others on the first one."""
    if "store" in metafunc.fixturenames:
        name = metafunc.module.__name__.rpartition(".")[2]
        metafunc.parametrize("store", ENGINES if name in everywhere else ENGINES[:1], indirect=True)


@contextmanager
def empty(engine: str, folder: Path) -> Iterator[str]:
    """The URL of an empty store, for as long as the block lasts."""
    url = fresh(engine, folder)
    yield url
    done_with(url)
