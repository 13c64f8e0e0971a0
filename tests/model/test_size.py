"""size: sizes as people write them."""

from __future__ import annotations

import pytest

from rota.model.size import parse_size, size_text


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("12", 12), ("500 kB", 500_000), ("256MiB", 256 << 20), ("1.5 GiB", 3 << 29), (" 7 b ", 7)],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1e3", "1 TB", "0.3 B", "1" * 40, "1 MiB x", "\u0661"])
def test_no_sizes(text: str) -> None:
    assert parse_size(text) is None


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1000, "1000 B"), (1 << 20, "1 MiB"), (3 << 29, "1536 MiB")]
)
def test_texts(count: int, text: str) -> None:
    assert size_text(count) == text
    assert parse_size(text) == count
