"""turn: when slots become free for whoever stands behind so many others."""

from __future__ import annotations

import pytest

from rota.core.turn import STEPS, estimate
from rota.model.clock import SECOND

NOW = 1000 * SECOND


class Some:
    """A worker with slots and jobs in hand: (type, seconds so far)."""

    def __init__(self, slots: int, *taken: tuple[str, float]) -> None:
        self.slots = slots
        self.taken = {
            (str(n), 1): ("q", type, NOW - int(since * SECOND)) for n, (type, since) in enumerate(taken)
        }


@pytest.mark.parametrize(
    ("workers", "ahead", "runs", "seconds"),
    [
        ([Some(1)], {}, {}, 0.0),
        ([Some(2, ("a", 0))], {}, {}, 0.0),
        ([Some(1, ("a", 0))], {}, {}, None),
        ([Some(1, ("a", 1))], {}, {"a": 4}, 3.0),
        ([Some(1, ("a", 9))], {}, {"a": 4}, 0.0),
        ([Some(1, ("a", 1))], {"a": 2}, {"a": 4}, 11.0),
        ([Some(1, ("a", 1))], {"a": 1, "b": 3}, {"a": 4, "b": 8}, 31.0),
        ([Some(1, ("new", 0))], {}, {"a": 4, "b": 8}, 6.0),
        ([Some(1, ("a", 0)), Some(1, ("a", 3))], {"a": 1}, {"a": 4}, 4.0),
        ([Some(1, ("a", 0)), Some(1, ("a", 3))], {"a": 2}, {"a": 4}, 5.0),
        ([Some(2)], {"a": 2}, {"a": 4}, 4.0),
        ([Some(2), Some(2)], {"a": STEPS + 1}, {"a": 4}, STEPS + 1.0),
    ],
)
def test_the_turn(
    workers: list[Some], ahead: dict[str, int], runs: dict[str, float], seconds: float | None
) -> None:
    turn = estimate(workers, ahead, 10_000, runs, NOW)
    assert (None if turn.at is None else (turn.at - NOW) / SECOND) == seconds
    assert (turn.ahead, turn.more) == (sum(ahead.values()), False)
    assert turn.slots == sum(one.slots for one in workers)


def test_beyond_the_limit_it_is_a_lower_bound() -> None:
    turn = estimate([Some(1)], {"a": 11}, 10, {"a": 2}, NOW)
    assert (turn.ahead, turn.more, turn.at) == (10, True, NOW + 20 * SECOND)


def test_as_many_as_are_counted_are_still_exact() -> None:
    assert estimate([Some(1)], {"a": 10}, 10, {"a": 2}, NOW).more is False
