"""bus: those who wait for the end of a job are told, and nobody is kept."""

from __future__ import annotations

import asyncio

import pytest

from rota.core.bus import Bus
from rota.model.job import ENDED, Applied, State


def news(id: str, state: State | None) -> list[Applied]:
    return [Applied(id, 1, state, "default", "work")]


@pytest.mark.parametrize("state", [*State, None])
async def test_only_an_end_wakes(state: State | None) -> None:
    bus = Bus()
    with bus.waiting("a") as mine, bus.waiting("b") as other:
        bus.tell(news("a", state))
        assert mine.done() == (state in ENDED)
        assert not other.done()


async def test_all_who_wait_for_a_job_are_woken() -> None:
    bus = Bus()
    with bus.waiting("a") as one, bus.waiting("a") as two, bus.waiting("b") as three:
        bus.tell(news("a", State.DONE) + news("b", State.FAILED))
        bus.tell(news("a", State.DONE))
        await asyncio.wait_for(asyncio.gather(one, two, three), 5)


async def test_who_gave_up_is_not_told_and_disturbs_nobody() -> None:
    bus = Bus()
    with bus.waiting("a") as stays:
        with bus.waiting("a") as leaves:
            leaves.cancel()
            bus.tell(news("a", State.DONE))
        assert stays.done()


async def test_nobody_is_kept() -> None:
    bus = Bus()
    with pytest.raises(RuntimeError), bus.waiting("a"):
        raise RuntimeError
    with bus.waiting("a"), bus.waiting("b"):
        pass
    assert bus._waiters == {}


async def test_closing_wakes_everybody() -> None:
    bus = Bus()
    with bus.waiting("a") as one, bus.waiting("b") as two:
        two.cancel()
        bus.close()
        assert one.done()
