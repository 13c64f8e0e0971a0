"""States and their moves."""

from __future__ import annotations

import msgspec
import pytest

from rota.model.job import ENDED, LIVE, MOVES, Delays, Exponential, Fixed, NoRetry, Retry, State


def test_every_state_is_either_live_or_ended() -> None:
    assert set(State) == LIVE | ENDED
    assert not LIVE & ENDED


def test_the_moves_are_those_of_the_drawing() -> None:
    assert {(a.value, b.value) for a, after in MOVES.items() for b in after} == {
        ("scheduled", "pending"),
        ("scheduled", "cancelled"),
        ("pending", "running"),
        ("pending", "cancelled"),
        ("running", "done"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("running", "scheduled"),
        ("running", "pending"),
        ("done", "pending"),
        ("failed", "pending"),
        ("cancelled", "pending"),
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"kind":"none"}', NoRetry()),
        ('{"kind":"fixed","delay":1.5}', Fixed(1.5)),
        ('{"kind":"list","delays":[1.0,2.0]}', Delays((1.0, 2.0))),
        (
            '{"kind":"exponential","base":1.0,"factor":3.0,"max":60.0,"jitter":0.0}',
            Exponential(1.0, 3.0, 60.0, 0.0),
        ),
    ],
)
def test_a_retry_policy_is_one_tagged_object(text: str, value: Retry) -> None:
    assert msgspec.json.decode(text, type=Retry) == value
    assert msgspec.json.encode(value).decode() == text


@pytest.mark.parametrize(
    "text",
    ['{"kind":"never"}', '{"kind":"fixed"}', '{"kind":"fixed","delay":1,"max":2}', '{"delay":1}', '"none"'],
)
def test_another_shape_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Retry)
