"""joblog: what becomes of jobs, told in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rota.core import events, joblog
from rota.core.events import Event
from rota.core.service import Service
from rota.model.protocol import End, Error, Line
from tests.core.kit import attach, put, taken, until


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


@pytest.fixture
async def told(service: Service) -> AsyncIterator[list[Any]]:
    """The records of the log, as they come."""
    records, logger = Records(), logging.getLogger("rota.jobs")
    logger.addHandler(records)
    logger.setLevel(logging.INFO)
    task = asyncio.create_task(joblog.run(service))
    await until(lambda: service.bus.events.active, "it listens")
    yield records.kept
    service.bus.close()
    await task
    logger.removeHandler(records)
    logger.setLevel(logging.NOTSET)


def plain(record: Any) -> str:
    return "  ".join(record._plain)


async def test_a_job_that_is_done(service: Service, told: list[Any]) -> None:
    hand, job = await taken(service, type="resize")
    await hand.end(job)
    await until(lambda: told, "the line")
    [line] = told
    assert line.levelname == "INFO"
    assert line.message == "job done"
    assert (line.job, line.type, line.queue, line.state) == (job.id, "resize", "default", "done")
    assert line.ms >= 0
    assert plain(line) == f"resize done  {line.ms:g} ms  job {job.id[-8:]}"


async def test_a_failure_has_its_traceback_and_what_comes_next(service: Service, told: list[Any]) -> None:
    hand, job = await taken(service, type="resize", max_attempts=2)
    error = Error("ValueError", "no width", "x" * 20_000 + "\nValueError: no width")
    await hand.end(job, "failed", error=error)
    await until(lambda: told, "the line")
    first = told[0]
    assert first.levelname == "WARNING"
    assert plain(first).startswith("resize failed, will be tried again: ValueError: no width  ")
    assert "attempt 1 of 2  in " in plain(first)
    assert job.id in plain(first)
    assert first.traceback.endswith("\nValueError: no width")
    assert len(first.traceback) == joblog.MAX_TRACEBACK
    await service.run_now(job.id)
    job = await hand.next()
    await hand.end(job, "failed", error=Error("KeyError", "'b'", "second"))
    await until(lambda: len(told) >= 3, "the last line")
    last = told[-1]
    assert (last.levelname, last.state, last.attempt, last.traceback) == (
        "ERROR",
        "failed",
        "2 of 2",
        "second",
    )
    assert plain(last).startswith("resize failed: KeyError: 'b'")


@pytest.mark.parametrize(
    ("end", "message", "level"),
    [
        ("snoozed", "job snoozed", "INFO"),
        ("released", "job handed back", "INFO"),
        ("timeout", "job timed out, will be tried again", "WARNING"),
        ("cancelled", "job cancelled", "WARNING"),
    ],
)
async def test_other_ends(service: Service, told: list[Any], end: End, message: str, level: str) -> None:
    hand, job = await taken(service)
    await hand.end(job, end, **({"delay": 3600.0} if end == "snoozed" else {}))
    await until(lambda: told, "the line")
    assert (told[0].message, told[0].levelname) == (message, level)


async def test_what_is_done_from_outside(service: Service, told: list[Any]) -> None:
    id = await put(service, type="resize")
    await service.cancel(id)
    await service.retry(id)
    hand = await attach(service)
    await hand.until(1)
    await service.cancel(id)
    await until(lambda: len(told) >= 3, "the lines")
    assert [line.message for line in told] == ["job cancelled", "job brought back", "job asked to stop"]


async def test_what_handlers_say(service: Service, told: list[Any]) -> None:
    hand, job = await taken(service, type="resize")
    await service.workers.log([Line(job.id, "half way", "warning")], hand.id)
    await until(lambda: told, "the line")
    assert told[0].levelname == "WARNING"
    assert plain(told[0]) == f"resize says: half way  job {job.id}"


async def test_what_comes_too_fast_is_left_out_and_said(service: Service, told: list[Any]) -> None:
    many = [Event(event="finished", at=0, id="a", type="t", state="done")] * (events.BEHIND + 1)
    service.bus.events.publish(many)
    await until(lambda: told, "the line")
    assert told[-1].message == "too much happened: lines about jobs were left out"
    # It goes on, also with jobs whose start it has missed.
    hand, job = await taken(service, type="resize")
    await hand.end(job)
    await until(lambda: told[-1].message == "job done", "the next line")
