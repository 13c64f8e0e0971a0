"""reports: what workers send besides endings, and what endings carry."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from rota.core import upkeep
from rota.core.reports import Rules
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import SECOND, ManualClock
from rota.model.errors import BadInput
from rota.model.job import Match, State
from rota.model.protocol import Error, Lease, Line, Progress, Stop
from tests.core.kit import attach, ends, put, put_many, state

UNKNOWN = Lease("00000000-0000-7000-8000-000000000000", 1)


# results


async def test_results_are_kept_as_they_are(service: Service) -> None:
    hand = await attach(service)
    for raw in (b'{"a": [1, 2.50, "\xc3\xa4"]}', b"0", b'""', b"[]"):
        id = await put(service)
        await hand.end(await hand.next(), result=msgspec.Raw(raw))
        job = await service.job(id)
        assert (job.result, job.result_type) == (raw, None)
    id = await put(service)
    await hand.end(
        await hand.next(), result_base64=base64.b64encode(b"\x00\xff").decode(), content_type="image/png"
    )
    job = await service.job(id)
    assert (job.result, job.result_type) == (b"\x00\xff", "image/png")
    id = await put(service)
    await hand.end(await hand.next(), result_base64="")
    job = await service.job(id)
    assert (job.result, job.result_type) == (b"", "application/octet-stream")


@pytest.mark.parametrize("retries", [True, False])
@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"result_base64": "not base64!"}, "not base64"),
        ({"result_base64": "YQ"}, "not base64"),
        ({"result": msgspec.Raw(b'"' + b"x" * 100 + b'"')}, "has 102 bytes; this server keeps at most 100"),
        ({"result_base64": base64.b64encode(b"x" * 101).decode()}, "has 101 bytes"),
    ],
)
async def test_a_bad_result_fails_the_job_for_good(
    engine: Engine, clock: ManualClock, fields: dict[str, Any], told: str, retries: bool
) -> None:
    """It would be as bad the next time, so it is not tried again."""
    service = Service(engine, clock=clock, rules=Rules(result_bytes=100))
    id = await put(service, max_attempts=10)
    hand = await attach(service)
    answer = await hand.end(await hand.next(), retry=retries, **fields)
    assert (answer.applied, answer.state) == (True, State.FAILED)
    job = await service.job(id)
    assert (job.state, job.reason, job.result) == (State.FAILED, "not_retryable", None)
    assert job.error is not None
    error = msgspec.json.decode(job.error, type=Error)
    assert error.type == "ResultRejected"
    assert told in error.message
    fits = await put(service)
    await hand.end(await hand.next(), result=msgspec.Raw(b'"' + b"x" * 98 + b'"'))
    assert await state(service, fits) is State.DONE


async def test_a_long_error_is_cut(engine: Engine, clock: ManualClock) -> None:
    service = Service(engine, clock=clock, rules=Rules(error_bytes=400))
    id = await put(service, max_attempts=1)
    hand = await attach(service)
    error = Error("T" * 1000, "m" * 1000, "start" + "t" * 1000 + "end")
    await hand.end(await hand.next(), "failed", error=error)
    job = await service.job(id)
    assert job.error is not None
    kept = msgspec.json.decode(job.error, type=Error)
    assert (len(kept.type), len(kept.message), len(kept.traceback or "")) == (200, 100, 400)
    assert (kept.traceback or "").endswith("end"), "the end of a traceback says most"


@pytest.mark.parametrize(("size", "kept"), [(98, True), (99, False)])
async def test_details_are_kept_whole_or_not_at_all(
    engine: Engine, clock: ManualClock, size: int, kept: bool
) -> None:
    service = Service(engine, clock=clock, rules=Rules(result_bytes=100))
    id = await put(service, max_attempts=1)
    hand = await attach(service)
    details = msgspec.Raw(msgspec.json.encode("d" * size))
    await hand.end(await hand.next(), "failed", error=Error("T", "m", details=details))
    told = msgspec.json.decode((await service.job(id)).error or b"")
    if kept:
        assert told == {"type": "T", "message": "m", "details": "d" * size}
    else:
        assert told == {
            "type": "T",
            "message": "m (its details of 101 bytes were not kept: at most 100 are)",
        }


# beats, progress, log lines


async def test_a_beat_extends_the_leases(service: Service, clock: ManualClock) -> None:
    held, unheld = await put_many(service, 2)
    hand = await attach(service, slots=2)
    one, two = await hand.until(2)
    clock.advance(service.rules.lease - 1)
    assert await hand.beat(one) == []
    clock.advance(2)
    await upkeep.rescue(service)
    assert await state(service, held) is State.RUNNING
    assert await ends(service, unheld) == ["lost"]
    assert hand.worker.last_beat == clock.now() - 2
    assert two.id == unheld


async def test_progress_is_kept_and_is_a_beat(service: Service, clock: ManualClock) -> None:
    id = await put(service)
    hand = await attach(service)
    work = await hand.next()
    clock.advance(SECOND)
    news = [Progress(id, work.lease, 0.25, "x" * 2000)]
    assert await service.workers.extend("w1", [Lease(id, work.lease)], news) == []
    job = await service.job(id)
    assert job.progress is not None
    assert msgspec.json.decode(job.progress) == {"value": 0.25, "message": "x" * 1000}
    assert job.lease_until == clock.now() + service.rules.lease
    assert await hand.beat(work) == []
    assert (await service.job(id)).progress == job.progress, "a beat without news keeps the old"
    for value in (0, 1):
        await service.workers.extend("w1", [], [Progress(id, work.lease, value)])


async def test_a_stale_beat_changes_nothing(service: Service, clock: ManualClock) -> None:
    """The job went to somebody else, who is silent: the first one must not keep it alive or speak for it."""
    id = await put(service)
    slow = await attach(service, "slow")
    old = await slow.next()
    await slow.leave()
    clock.advance(service.rules.lease + 1)
    await upkeep.rescue(service)
    new = await (await attach(service, "quick")).next()
    lease_until = clock.now() + service.rules.lease
    clock.advance(SECOND)
    news = [Progress(id, old.lease, 0.9, "mine")]
    assert await service.workers.extend("slow", [], news) == [Stop(id, old.lease, "stale_lease")]
    job = await service.job(id)
    assert (job.lease, job.lease_until, job.progress) == (new.lease, lease_until, None)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf")])
async def test_progress_out_of_bounds_is_refused(service: Service, value: float) -> None:
    id = await put(service)
    hand = await attach(service)
    work = await hand.next()
    with pytest.raises(BadInput) as caught:
        await service.workers.extend("w1", [], [Progress(id, work.lease, value)])
    assert (caught.value.code, caught.value.field) == ("invalid_progress", "value")


async def test_stale_and_cancelled_jobs_are_told_apart(service: Service) -> None:
    gone, wanted, kept = await put_many(service, 3)
    hand = await attach(service, slots=3)
    works = {job.id: job for job in await hand.until(3)}
    await hand.end(works[gone])
    await service.engine.cancel(Match(ids=(wanted,)), "cancelled", service.clock.now(), 1)
    assert await hand.beat(works[gone], works[wanted], works[kept]) == [
        Stop(gone, works[gone].lease, "stale_lease"),
        Stop(wanted, works[wanted].lease, "cancelled"),
    ]
    assert await service.workers.extend("w1", [], []) == []


async def test_log_lines_are_kept_cut_and_counted(engine: Engine, clock: ManualClock) -> None:
    service = Service(engine, clock=clock, rules=Rules(log_lines=4, line_bytes=10))
    id = await put(service)
    past, future = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
    lines = [
        Line(id, "x" * 11),
        Line(id, "b", "error", past),
        Line(id, "c", at=future),
        Line(UNKNOWN.id, "nobody"),
    ]
    await service.workers.log(lines)
    await service.workers.log([Line(id, "d"), Line(id, "e")])
    kept = await service.logs(id, 0, 100)
    assert [n for n, _ in kept] == [1, 2, 3, 4]
    assert [(line.level, line.text) for _, line in kept[:3]] == [
        ("info", "x" * 10),
        ("error", "b"),
        ("info", "c"),
    ]
    assert kept[3][1].level == "warning"
    assert "4 lines are kept" in kept[3][1].text
    assert [line.at for _, line in kept[:3]] == [clock.now(), 1_577_836_800 * SECOND, clock.now()]
    for bad, code in ((Line(id, "x", "loud"), "invalid_level"), (Line(id, "x", at="noon"), "invalid_time")):
        with pytest.raises(BadInput) as caught:
            await service.workers.log([Line(id, "beside"), bad])
        assert caught.value.code == code
    assert len(await service.logs(id, 0, 100)) == 4
