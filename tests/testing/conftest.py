"""A shop whose jobs run in the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rota.testing import Harness, run
from tests.testing import shop

START = "2026-01-31T08:30:00Z"


@pytest.fixture(autouse=True)
def _empty_shop() -> Iterator[None]:
    shop.clear()
    yield
    shop.clear()


@pytest.fixture
def t() -> Iterator[Harness]:
    with run(shop.app, start=START) as harness:
        yield harness
