"""gather: calls that arrive together become one batch, and every caller gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from rota.core.gather import Gather
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.errors import Conflict, StoreError
from rota.model.job import Request
from rota.model.spec import JobSpec
from tests.core.kit import asked, put


class Verb:
    """Doubles numbers; notes the batches; waits for ``gate``; refuses 13 and hates 666."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def __call__(self, items: Sequence[int]) -> Awaitable[Sequence[int]]:
        self.batches.append(list(items))
        if 666 in items:
            raise RuntimeError("raised by the call itself")
        return self._double(items)

    async def _double(self, items: Sequence[int]) -> Sequence[int]:
        await self.gate.wait()
        if 13 in items:
            raise StoreError("13 is refused")
        return [2 * item for item in items]


async def test_calls_of_one_turn_share_a_batch_and_keep_their_order() -> None:
    verb = Verb()
    gather = Gather(verb)
    assert await asyncio.gather(*(gather(n) for n in range(100, 200))) == [2 * n for n in range(100, 200)]
    assert verb.batches == [list(range(100, 200))]


async def test_nobody_waits_for_company() -> None:
    verb = Verb()
    verb.gate.clear()
    gather = Gather(verb)
    first = gather(1)
    await asyncio.sleep(0)
    assert verb.batches == [[1]], "a lone call goes in the next turn of the loop"
    second, third = gather(2), gather(3)
    await asyncio.sleep(0)
    assert verb.batches == [[1], [2, 3]], "a batch under way holds nobody up"
    verb.gate.set()
    assert [await first, await second, await third] == [2, 4, 6]


async def test_an_error_reaches_every_caller_of_the_batch_and_nobody_else() -> None:
    gather = Gather(Verb())
    bad = [gather(n) for n in (1, 13, 2)]
    await asyncio.sleep(0)
    good = gather(3)
    for future in bad:
        with pytest.raises(StoreError, match="13 is refused"):
            await future
    assert await good == 6


async def test_a_verb_that_raises_at_once_leaves_nobody_waiting() -> None:
    gather = Gather(Verb())
    for future in (gather(1), gather(666)):
        with pytest.raises(RuntimeError, match="raised by the call itself"):
            await asyncio.wait_for(future, 5)
    assert await gather(4) == 8


async def test_a_caller_that_gives_up_does_not_disturb_the_others() -> None:
    verb = Verb()
    verb.gate.clear()
    gather = Gather(verb)
    one, two, three = gather(1), gather(2), gather(3)
    await asyncio.sleep(0)
    two.cancel()
    verb.gate.set()
    assert [await one, await three] == [2, 6]
    two, four = gather(13), gather(4)
    two.cancel()
    with pytest.raises(StoreError):
        await four


async def test_requests_of_one_turn_share_a_transaction(
    service: Service, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    enqueue = engine.enqueue

    def watched(requests: Sequence[Request], now: int) -> Awaitable[object]:
        batches.append(len(requests))
        return enqueue(requests, now)

    monkeypatch.setattr(engine, "enqueue", watched)
    ids = await asyncio.gather(*(put(service) for _ in range(200)))
    assert batches == [200]
    assert len(set(ids)) == 200
    assert [job.id for job in await engine.get(ids)] == ids


async def test_a_refused_request_does_not_hurt_those_beside_it(service: Service, engine: Engine) -> None:
    await service.enqueue(asked(service, JobSpec(type="a"), key="k", body=b"one"))
    calls = [
        service.enqueue(asked(service, JobSpec(type="good"))),
        service.enqueue(asked(service, JobSpec(type="a"), JobSpec(type="b"), key="k", body=b"two")),
        service.enqueue(asked(service, JobSpec(type="good"))),
    ]
    first, clash, third = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(clash, Conflict)
    assert clash.code == "idempotency_mismatch"
    assert isinstance(first, list)
    assert isinstance(third, list)
    assert [job.type for job in await engine.get([first[0].id, third[0].id])] == ["good", "good"]
    assert sum(row.jobs for row in await engine.count()) == 3, "nothing of the refused request was stored"


async def test_a_closed_store_answers_every_caller(service: Service, engine: Engine) -> None:
    await engine.close()
    calls = [service.enqueue(asked(service, JobSpec(type="a"))) for _ in range(3)]
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, StoreError)
