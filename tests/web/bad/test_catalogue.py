"""No line of the catalogue is forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.web.bad.catalogue import LATER, LINES

TESTS = Path(__file__).resolve().parents[2]


def numbers(path: Path) -> Iterator[int]:
    """The lines that the tests of a file name: ``pytest.mark.bad(1, 2)`` and ``Case(1, ...)``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "pytest.mark.bad":
                yield from (ast.literal_eval(one) for one in node.args)
            elif called == "Case":
                yield ast.literal_eval(node.args[0])


def test_every_line_has_a_test() -> None:
    found = {number for path in TESTS.rglob("test_*.py") for number in numbers(path)}
    assert found >= set(LINES), f"without a test: {sorted(set(LINES) - found)}"
    assert found <= set(LINES), f"not in the catalogue, or left for later: {sorted(found - set(LINES))}"


def test_every_number_is_there_once() -> None:
    assert sorted([*LINES, *LATER]) == list(range(1, 124))
    assert all(LATER.values())
