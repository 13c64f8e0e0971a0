"""A broker for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import broker


@pytest.fixture
def kafka() -> Iterator[broker.Broker]:
    with broker.running() as one:
        yield one
