"""The catalogue of hostile programs, each in the real sandbox: it ends as it should, and nothing happened to
the host.

Everything is run in each way that this machine can hold a program, and by an ordinary user.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.programs.hostile import CASES
from tests.programs.kit import AS_ROOT, open_folder, play_as_ordinary
from tests.programs.play import play_all

GROUPS = ("memory and processes", "cpu")
WAYS = ("best", "without groups", "ordinary user", "without bubblewrap")


def play(way: str) -> dict[str, Any]:
    if way == "ordinary user":
        return play_as_ordinary()
    out = {"best": (), "without groups": GROUPS, "without bubblewrap": ("bubblewrap", "network")}[way]
    with open_folder() as folder:
        return asyncio.run(play_all(list(CASES), out, root=folder / "jobs"))


@pytest.fixture(scope="module", params=WAYS)
def played(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, play(request.param)


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_program_is_held(played: tuple[str, dict[str, Any]], name: str) -> None:
    way, found = played
    wrong = found["cases"][name]
    if way == "without bubblewrap" and not AS_ROOT:
        # Nothing that is left would hold a program under the server's own user.
        assert "sandbox_unavailable" in wrong[0]
        assert "bubblewrap: left out by the configuration" in wrong[0]
    else:
        assert not wrong, "\n".join(wrong)


def test_nothing_is_left_and_nothing_happened_to_the_host(played: tuple[str, dict[str, Any]]) -> None:
    way, found = played
    assert found["left"] == []
    assert found["harm"] == []
    assert (
        found["profile"]
        == {
            "best": "strict" if AS_ROOT else found["profile"],
            "without groups": "standard",
            "ordinary user": found["profile"] if found["profile"] == "strict" else "standard",
            "without bubblewrap": "basic" if AS_ROOT else "none",
        }[way]
    )
