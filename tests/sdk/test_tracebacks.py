"""What carries a traceback: surprises and causes, not what was raised on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import rota
from rota.sdk.endings import _failed


def on_purpose() -> None:
    raise rota.Fail("no such user")


def instead_of_another() -> None:
    try:
        raise KeyError("user")
    except KeyError:
        raise rota.Retry(message="later", delay=1) from None


def because_of_another() -> None:
    try:
        raise KeyError("user")
    except KeyError as error:
        raise rota.Fail("no such user") from error


def surprise() -> None:
    raise KeyError("user")


@pytest.mark.parametrize(
    ("handler", "told"),
    [(on_purpose, False), (instead_of_another, False), (because_of_another, True), (surprise, True)],
)
def test_only_surprises_and_causes_carry_a_traceback(handler: Callable[[], None], told: bool) -> None:
    with pytest.raises(Exception, match=r"user|later") as caught:
        handler()
    error = _failed("id", 1, caught.value).error
    assert error is not None
    assert (error.traceback is not None) is told
    assert "user" in error.message or "later" in error.message
