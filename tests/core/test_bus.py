"""bus: those who wait for the end of a job are told, and nobody is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from rota.core.bus import Bus
from rota.core.service import Service
from rota.model.job import ENDED, Applied, State
from tests.core.kit import attach, put, put_many


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


class Ear:
    """A follower, and what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, State | None]] = []

    def stored(self, ids: Sequence[str]) -> None:
        raise AssertionError("there is no other server")

    def missed(self) -> None:
        raise AssertionError("there is no other server")

    def started(self, ids: Sequence[str]) -> None:
        self.told += [(id, State.RUNNING) for id in ids]

    def moved(self, jobs: Sequence[Applied]) -> None:
        self.told += [(job.id, job.state) for job in jobs]


async def test_who_follows_a_type_is_told_of_each_move_and_of_no_other_type(service: Service) -> None:
    ear = Ear()
    service.bus.follow("work", ear)
    await put(service, "other")
    hand = await attach(service, slots=10)
    await hand.until(1)
    done, again, cancelled, deleted = await put_many(service, 4)
    await hand.until(5)
    jobs = {job.id: job for job in hand.jobs}
    for job in jobs.values():
        await hand.end(job, "released" if job.id == again else "done")
    await hand.until(6)
    await service.cancel(again)
    ends = {done: State.DONE, again: State.PENDING, cancelled: State.DONE, deleted: State.DONE}
    for id, end in ends.items():
        assert [state for one, state in ear.told if one == id][:2] == [State.RUNNING, end]
    # It was started once more, and is asked to stop.
    assert [state for one, state in ear.told if one == again][2:] == [State.RUNNING, State.RUNNING]
    assert len(ear.told) == 10
    ear.told.clear()
    await hand.leave()
    await service.retry(cancelled)
    await service.cancel(cancelled)
    await service.delete(deleted)
    assert ear.told == [
        (cancelled, State.PENDING),
        (cancelled, State.CANCELLED),
        (deleted, State.CANCELLED),
    ]
