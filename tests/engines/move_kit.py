"""Moves in tests, and what stores look like from outside."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import apsw
import pytest

from rota.engines.moving import Moved
from rota.engines.open import move, open_engine
from rota.model.errors import RotaError
from tests import postgres
from tests.engines.full import dump
from tests.engines.kit import ENGINES, found

WAYS = [(here, there) for here in ENGINES for there in ENGINES]


async def moved(source: str, target: str, steps: list[tuple[str, int, int]] | None = None) -> Moved:
    """Move; ``steps`` gets what was told of the progress."""
    told = [] if steps is None else steps
    return await move(source, target, lambda *step: told.append(step))


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///").partition("?")[0])


def change(url: str, statement: str) -> None:
    """Behind the engine's back."""
    if url.startswith("postgresql:"):
        postgres.ask(url, statement)
        return
    db = apsw.Connection(str(path_of(url)))
    db.execute(statement)
    db.close()


async def refusal(source: str, target: str) -> str:
    """What is said; nothing has changed at either end."""
    before = [_look(url) for url in (source, target)]
    with pytest.raises(RotaError) as caught:
        await moved(source, target)
    assert [_look(url) for url in (source, target)] == before
    return caught.value.detail


def _look(url: str) -> Any:
    if url.startswith("sqlite:"):
        if not path_of(url).is_file():
            return None
        left = {one.name for one in path_of(url).parent.iterdir()} - {path_of(url).name + ".lock"}
        assert not [name for name in left if name.endswith((".moving", ".partial"))]
    with contextlib.suppress(apsw.Error):
        return dump(url)
    return None


async def is_empty(url: str) -> bool:
    """Whether a server finds nothing there."""
    engine = await open_engine(url)
    try:
        return not await found(engine) and not await engine.notes("figures") and not await engine.count()
    finally:
        await engine.close()
