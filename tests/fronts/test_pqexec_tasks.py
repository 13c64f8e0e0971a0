"""parallel: no two tasks of an id run at once, and each is told of in order and once, whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rota.core.service import Service
from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.errors import BadInput, StoreError
from rota.model.job import Kept, Match, Page, Request, State
from rota.model.protocol import Work
from rota.model.spec import Limits
from rota.web.fronts.pqexec.audience import Audience
from rota.web.fronts.pqexec.tasks import HELD, Tasks
from tests.core.kit import Hand, attach, put
from tests.web.kit import until


class Queue:
    """The tasks of a store, and all that was told of them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.told: list[tuple[str, Any]] = []
        self.audience = Audience("", "")
        self.tasks = Tasks(service, "pqexec", "pqexec", self.audience)

    async def take(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            assert message["text"].endswith("\n")
            [(event, about)] = json.loads(message["text"]).items()
            self.told.append((event, about))

    def of(self, id: str) -> list[str]:
        """The events of an id, in their order."""
        return [
            event
            for event, about in self.told
            for one in (about if event == "scheduled" else [about])
            if one["ID"] == id
        ]

    async def lists(self) -> tuple[dict[str, int], list[dict[str, int]]]:
        whole = json.loads(b"".join([piece async for piece in self.tasks.listed()]))
        return whole["active"], whole["scheduled"]

    async def hand(self, id: str = "w1", slots: int = 10) -> Hand:
        return await attach(self.service, id, slots=slots, queues=["pqexec"])

    async def jobs(self, state: State) -> list[str]:
        """Ids of jobs, oldest first."""
        page = await self.service.jobs(Match(states=(state,)), 500, None)
        return [job.id for job in reversed(page.jobs)]


@asynccontextmanager
async def running(engine: Engine, service: Service | None = None) -> AsyncIterator[Queue]:
    service = service or Service(engine)
    await service.load()
    queue = Queue(service)
    never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    messages = iter([asyncio.sleep(0, {"type": "websocket.connect"}), never])
    listening = asyncio.ensure_future(
        queue.audience({"type": "websocket"}, lambda: next(messages), queue.take)
    )
    await until(lambda: len(queue.audience))
    loop = asyncio.ensure_future(queue.tasks.run())
    try:
        yield queue
    finally:
        for task in (loop, listening):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = await open_engine(f"sqlite:///{tmp_path}/rota.db")
    yield engine
    await engine.close()


@pytest.fixture
async def queue(engine: Engine) -> AsyncIterator[Queue]:
    async with running(engine) as queue:
        await queue.lists()
        yield queue


def stored(job: Work) -> tuple[str, int]:
    """Id and milliseconds."""
    payload = json.loads(bytes(job.payload))  # type: ignore[arg-type]
    return payload["id"], payload["ms"]


async def settled(condition: Callable[[], Any], queue: Queue) -> None:
    await until(condition, f"what was expected; told were {queue.told}")


ALL = ["scheduled", "next", "start", "done"]


async def test_a_task_is_told_of_in_both_forms(queue: Queue) -> None:
    await queue.tasks.schedule({"a": 5, "Duration": 6, "ID": 7, "id": 8, "ü\n": -1})
    await settled(lambda: queue.told, queue)
    assert queue.told == [
        (
            "scheduled",
            [
                {"a": 5, "ID": "a", "Duration": 5},
                {"ID": "Duration", "Duration": 6},
                {"ID": "ID", "Duration": 7},
                {"ID": "id", "Duration": 8},
                {"ü\n": -1, "ID": "ü\n", "Duration": -1},
            ],
        )
    ]


async def test_tasks_of_one_id_run_one_after_another_and_others_overtake(queue: Queue) -> None:
    await queue.tasks.schedule({"a": 1, "b": 1})
    for ms in range(2, 30):
        await queue.tasks.schedule({"a": ms})
    await queue.tasks.schedule({"c": 1})
    hand = await queue.hand()
    await hand.until(3)
    await queue.service.engine.save([])
    assert [stored(job)[0] for job in hand.jobs] == ["a", "b", "c"]
    active, scheduled = await queue.lists()
    assert active == {"a": 1, "b": 1, "c": 1}
    assert scheduled == [{"a": ms} for ms in range(2, 30)]
    seen = []
    for turn in range(1, 30):
        await settled(lambda: any(stored(job)[0] == "a" for job in hand.jobs), queue)
        [job] = [job for job in hand.jobs if stored(job)[0] == "a"]
        hand.jobs.remove(job)
        seen.append(stored(job)[1])
        assert (job.attempt, job.lease) == (1, 1), "held aside without a claim"
        assert (await queue.lists())[0]["a"] == turn
        await hand.end(job)
    assert seen == list(range(1, 30))
    await settled(lambda: queue.of("a").count("done") == 29, queue)
    told = [event for event in queue.of("a") if event != "scheduled"]
    assert told == ["next", "start", "done"] * 29


async def test_a_start_that_comes_before_the_post_was_told_waits_for_it(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue, late = queue.service.enqueue, asyncio.Event()

    async def slow(request: Request) -> list[Kept]:
        kept = await enqueue(request)
        await late.wait()
        return kept

    monkeypatch.setattr(queue.service, "enqueue", slow)
    hand = await queue.hand()
    post = asyncio.ensure_future(queue.tasks.schedule({"ended": 1, "started": 2}))
    await hand.end(await hand.next())
    started = await hand.next()
    assert (queue.told, await queue.lists()) == ([], ({}, []))
    late.set()
    await post
    await settled(lambda: queue.of("started"), queue)
    assert [event for event, _ in queue.told] == ["scheduled", "next", "start", "done", "next", "start"]
    assert await queue.lists() == ({"started": 2}, [])
    await hand.end(started)
    await settled(lambda: queue.of("ended") == queue.of("started") == ALL, queue)


async def test_a_task_that_has_to_run_again_waits_and_is_told_of_once(queue: Queue) -> None:
    await queue.tasks.schedule({"a": 1})
    await queue.tasks.schedule({"a": 2})
    hand = await queue.hand(slots=1)
    await hand.end(await hand.next(), "released")
    job = await hand.next()
    assert (await queue.lists()) == ({"a": 1}, [{"a": 2}])
    await hand.end(job, "snoozed", delay=3600)
    await settled(lambda: not queue.tasks._active, queue)
    assert await queue.lists() == ({}, [{"a": 1}, {"a": 2}])
    [first] = [id for id in await queue.jobs(State.SCHEDULED) if id == job.id]
    await queue.service.run_now(first)
    await hand.end(await hand.next())
    await hand.end(await hand.next())
    await settled(lambda: queue.of("a").count("done") == 2, queue)
    assert queue.of("a") == ["scheduled", "scheduled", "next", "start", "done", "next", "start", "done"]


async def test_what_is_cancelled_or_deleted_leaves_the_line(queue: Queue) -> None:
    for ms in range(5):
        await queue.tasks.schedule({"a": ms})
    await queue.tasks.schedule({"b": 7})
    hand = await queue.hand(slots=1)
    first = await hand.next()
    held = await queue.jobs(State.SCHEDULED)
    [waiting] = await queue.jobs(State.PENDING)
    await queue.service.cancel(held[0])
    await queue.service.delete(held[2])
    await queue.service.cancel(waiting)
    assert await queue.lists() == ({"a": 0}, [{"a": 2}, {"a": 4}])
    # Nobody is told that a second one of the id started while the first is active.
    await settled(lambda: queue.of("b") == ALL, queue)
    assert [event for event in queue.of("a") if event != "scheduled"] == ["next", "start"]
    await hand.end(first)
    await hand.end(await hand.next())
    await hand.end(await hand.next())
    await settled(lambda: queue.of("a").count("done") == 5, queue)
    assert [event for event in queue.of("a") if event != "scheduled"] == ["next", "start", "done"] * 5
    assert await queue.lists() == ({}, [])
    assert not queue.tasks._lines
    assert not queue.tasks._late


async def test_one_that_somebody_lets_go_by_hand_is_told_once_it_is_alone(queue: Queue) -> None:
    for ms in range(3):
        await queue.tasks.schedule({"a": ms})
    hand = await queue.hand(slots=2)
    first = await hand.next()
    await queue.service.run_now((await queue.jobs(State.SCHEDULED))[1])
    second = await hand.next()
    assert await queue.lists() == ({"a": 0}, [{"a": 1}, {"a": 2}])
    await hand.end(first)
    await settled(lambda: queue.tasks._active["a"].ms == 2, queue)
    assert await queue.lists() == ({"a": 2}, [{"a": 1}])
    assert hand.jobs == []
    await hand.end(second)
    await hand.end(await hand.next())
    await settled(lambda: queue.of("a").count("done") == 3, queue)


async def test_a_job_that_is_brought_back_is_a_task_again(queue: Queue) -> None:
    await queue.tasks.schedule({"a": 1})
    hand = await queue.hand()
    job = await hand.next()
    await hand.end(job)
    await queue.service.retry(job.id)
    again = await hand.next()
    await settled(lambda: queue.of("a") == [*ALL, "scheduled", "next", "start"], queue)
    assert await queue.lists() == ({"a": 1}, [])
    await hand.end(again)
    await settled(lambda: queue.of("a") == ALL * 2, queue)


async def test_jobs_of_others_in_the_queue_are_not_shown(queue: Queue) -> None:
    hand = await queue.hand()
    await put(queue.service, "pqexec", queue="pqexec", payload={"id": "other", "ms": 1})
    await put(queue.service, "work", queue="pqexec", payload={"id": "other", "ms": 1})
    for _ in range(2):
        await hand.end(await hand.next())
    await queue.tasks.schedule({"a": 1})
    await hand.end(await hand.next())
    await settled(lambda: queue.of("a") == ALL, queue)
    assert queue.of("other") == []


async def test_all_is_read_back_by_the_next_server(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/rota.db"
    engine = await open_engine(store)
    async with running(engine) as queue:
        for ms in range(3):
            await queue.tasks.schedule({"a": ms, f"b{ms}": ms})
        held = await queue.jobs(State.SCHEDULED)
        assert [(await queue.service.job(id)).run_at for id in held] == [HELD, HELD]
        hand = await queue.hand(slots=1)
        job = await hand.next()
    await engine.close()
    engine = await open_engine(store)
    async with running(engine) as queue:
        # At once, before anything was read.
        await queue.tasks.schedule({"a": 3, "c": 1})
        active, scheduled = await queue.lists()
        assert active == {"a": 0}, "a worker elsewhere has it still"
        assert scheduled == [{"b0": 0}, {"a": 1}, {"b1": 1}, {"a": 2}, {"b2": 2}, {"a": 3}, {"c": 1}]
        hand = await attach(queue.service, "w1", slots=1, queues=["pqexec"], held=[job])
        await hand.end(job)
        seen: list[tuple[str, int]] = []
        for _ in range(7):
            job = await hand.next()
            seen.append(stored(job))
            await hand.end(job)
        assert [one for one in seen if one[0] == "a"] == [("a", 1), ("a", 2), ("a", 3)]
        assert [one for one in seen if one[0] != "a"] == [("b0", 0), ("b1", 1), ("b2", 2), ("c", 1)]
        await settled(lambda: queue.of("c") == ALL, queue)
        assert queue.of("b0") == ["next", "start", "done"]
        assert not len(queue.tasks)
    await engine.close()


async def test_what_happens_while_all_is_read_back_is_told_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path}/rota.db"
    engine = await open_engine(store)
    async with running(engine) as queue:
        await queue.lists()
        await queue.tasks.schedule({f"t{n}": n for n in range(100)})
    await engine.close()
    engine = await open_engine(store)
    service = Service(engine)
    jobs, late = service.jobs, asyncio.Event()

    async def slow(*given: Any) -> Page:
        page = await jobs(*given)
        await late.wait()
        return page

    monkeypatch.setattr(service, "jobs", slow)
    async with running(engine, service) as queue:
        hand = await queue.hand(slots=30)
        for _ in range(60):
            await hand.end(await hand.next())
        await hand.end(await hand.next(), "snoozed", delay=3600)
        assert queue.told == []
        late.set()
        active, scheduled = await queue.lists()
        assert (len(active), len(scheduled)) == (30, 10)
        await settled(lambda: sum(event == "done" for event, _ in queue.told) == 60, queue)
        # What had ended by then is told whole; the rest was told as scheduled by the server before.
        told = Counter(tuple(queue.of(f"t{n}")) for n in range(100))
        assert told == {tuple(ALL): 60, ("next", "start"): 30, (): 10}
        assert len(queue.tasks) == 40
    await engine.close()


async def test_a_list_of_any_length_comes_in_pieces(queue: Queue) -> None:
    await queue.tasks.schedule({f"t{n}": n for n in range(25_000)})
    pieces = [piece async for piece in queue.tasks.listed()]
    assert len(pieces) > 5
    assert json.loads(b"".join(pieces)) == {
        "active": {},
        "scheduled": [{f"t{n}": n} for n in range(25_000)],
    }
    await settled(lambda: len(queue.told) == 3, queue)
    assert [len(about) for _, about in queue.told] == [10_000, 10_000, 5_000]
    assert len(await queue.jobs(State.PENDING)) == 500


async def test_nothing_of_a_request_is_stored_when_an_id_is_too_long(engine: Engine) -> None:
    service = Service(engine, limits=Limits(payload_bytes=100))
    async with running(engine, service) as queue:
        await queue.lists()
        tasks = {f"t{n}": n for n in range(10_001)}
        for long in ("x" * 61, "\n" * 31):
            with pytest.raises(BadInput) as refused:
                await queue.tasks.schedule({**tasks, long: 1})
            assert refused.value.status == 413
        assert await engine.count() == []
        await queue.tasks.schedule({"x" * 57: -(2**63), "\n" * 28: 1})
        assert len(await queue.jobs(State.PENDING)) == 2


async def test_a_store_that_refuses_leaves_no_trace(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    await queue.tasks.schedule({"a": 1})

    async def full(*_: object) -> Any:
        raise StoreError("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(queue.service.engine, "enqueue", full)
        with pytest.raises(StoreError):
            await queue.tasks.schedule({"a": 2, "b": 1})
    assert await queue.lists() == ({}, [{"a": 1}])
    hand = await queue.hand()
    job = await hand.next()
    await queue.tasks.schedule({"a": 3})
    refused = asyncio.Event()

    async def refuse(*_: object) -> Any:
        refused.set()
        raise StoreError("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(queue.service.engine, "retry", refuse)
        await hand.end(job)
        await refused.wait()
    # Asked again, it takes the next one's turn.
    await hand.end(await hand.next())
    await settled(lambda: queue.of("a").count("done") == 2, queue)
