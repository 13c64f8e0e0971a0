"""Type checkers see what a harness takes and gives: mypy --strict reads a sample test."""

from __future__ import annotations

from pathlib import Path

from tests.sdk.test_typing import check

SAMPLE = """\
from __future__ import annotations
from datetime import timedelta
import rota
import rota.testing
from rota.testing import AsyncHarness, Harness, Job, aperform, perform, run

app = rota.App()

@app.task
def plain(x: int, name: str = "") -> float:
    return x / 2

@app.task
async def waits(ctx: rota.Context, x: int) -> list[str]:
    reveal_type(ctx.now)                                   # R datetime
    return [str(x)]

with rota.testing.run(app, start="2026-01-31T08:30:00Z", slots=2) as t:
    reveal_type(t)                                         # R Harness
    handle = plain.enqueue(1)
    reveal_type(t.run_due())                               # R dict[str, int]
    t.advance("3d")
    t.advance(hours=2)
    t.advance(timedelta(days=1))
    reveal_type(t.assert_done(handle))                     # R float
    reveal_type(t.perform(plain, 1, name="a"))             # R float
    reveal_type(t.perform(waits, 1))                       # R list[str]
    reveal_type(t.trial(attempt=2).perform(plain, 1))      # R float
    reveal_type(t.job(handle))                             # R Job
    reveal_type(t.job(handle).exception)                   # R BaseException | None
    reveal_type(t.assert_enqueued(plain, args={"x": 1}))   # R list[rota.testing.look.Job]
    t.enqueued("a.type", delay="1h", where=lambda job: job.priority > 3)
    with t.stuck(waits):
        t.lose_worker(waits, times=3)
    t.perform(plain, "one")                                # E arg-type
    t.perform(plain, 1, nme="a")                           # E call-arg
    t.enqueued(plain, arg={"x": 1})                        # E call-arg
    t.enqueued(plain, delay=[1])                           # E arg-type
    t.advance(days="3")                                    # E arg-type
    t.assert_done(7)                                       # E arg-type
    run("app")                                             # E arg-type

async def main(t: AsyncHarness) -> None:
    async with run(app) as entered:
        reveal_type(entered)                               # R AsyncHarness
    reveal_type(await t.advance("3d"))                     # R dict[str, int]
    reveal_type(await t.perform(waits, 1))                 # R list[str]
    reveal_type(await aperform(waits, 1))                  # R list[str]
    reveal_type(perform(plain, 1))                         # R float
    await t.perform(waits, "1")                            # E arg-type
"""


def test_mypy_infers_results_and_reports_wrong_arguments(tmp_path: Path) -> None:
    check(SAMPLE, tmp_path)
