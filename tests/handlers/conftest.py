from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rota.programs.sandbox import Sandbox
from tests.handlers.bench import Bench
from tests.programs.kit import AS_ROOT, sandbox


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["bubblewrap", "Landlock"])
async def each_box(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    # An ordinary user has but the one way, and takes it twice.
    out = ("bubblewrap", "network") if request.param == "Landlock" and AS_ROOT else ()
    async with sandbox(leave_out=out, network=True) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def box() -> AsyncIterator[Sandbox]:
    """The best that there is here."""
    async with sandbox(network=True) as opened:
        yield opened
