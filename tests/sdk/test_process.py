"""Handlers in child processes: real ones, that really die."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

import rota
from rota.model.protocol import Ending
from tests.sdk.memory import Server, until
from tests.sdk.program import app
from tests.sdk.working import working

ROOT = Path(__file__).resolve().parents[2]


def alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def value_of(ending: Ending) -> Any:
    assert ending.end == "done", ending
    return msgspec.json.decode(ending.result)  # type: ignore[arg-type]


async def test_results_arguments_and_context_cross_over() -> None:
    server = Server()
    async with working(app, server, slots=2):
        one = server.put("where", {"x": 5})
        await until(lambda: one.endings)
        two = server.put("loop_where", {"x": 6})
        await until(lambda: two.endings)
        three = server.put("bytes_back", payload_base64="AAH/", content_type="image/png")
        four = server.put("where", {"x": "five"})
        await until(lambda: three.endings and four.endings)
        child = value_of(one.ending)["pid"]
        assert value_of(one.ending) == {"pid": child, "x": 5, "ppid": os.getpid()}
        # The same child again: it was kept warm.
        assert value_of(two.ending) == [child, 6, 1, two.id, "loop_where"]
        assert alive(child)
    assert three.ending.result_base64 == "/wEA"
    assert four.ending.error is not None
    assert (four.ending.error.type, four.ending.retry) == ("BadPayload", False)
    assert "argument 'x'" in four.ending.error.message
    # And it ends with the worker.
    await until(lambda: not alive(child), 3)


async def test_progress_lines_and_control_exceptions() -> None:
    server = Server()
    async with working(app, server):
        talks, fails, snoozes = server.put("talks"), server.put("fails"), server.put("snoozes")
        await until(lambda: talks.endings and fails.endings and snoozes.endings)
    assert talks.ending.end == "done"
    assert talks.progress[-1].message == "step 10"
    assert [(line.level, line.text) for line in talks.lines] == [("warning", "from afar")]
    assert fails.ending.error is not None
    assert (fails.ending.delay, fails.ending.error.type, fails.ending.error.message) == (
        5,
        "rota.Retry",
        "not yet",
    )
    assert "ValueError: inner" in (fails.ending.error.traceback or "")
    assert "rota/sdk" not in (fails.ending.error.traceback or "")
    assert (snoozes.ending.end, snoozes.ending.delay) == ("snoozed", 7)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("exit", "ended with exit status 3"),
        ("kill", "was killed by SIGKILL"),
        ("segfault", "was killed by SIGSEGV"),
    ],
)
async def test_a_child_that_dies_fails_that_try_only(how: str, told: str) -> None:
    server = Server()
    async with working(app, server, slots=2) as at_work:
        other = server.put("where", {"x": 1})
        job = server.put("dies", {"how": how})
        await until(lambda: job.endings and other.endings)
        after = server.put("where", {"x": 2})
        await until(lambda: after.endings)
        assert not at_work.task.done()
    assert job.ending.error is not None
    assert (job.ending.end, job.ending.retry, job.ending.error.type) == ("failed", True, "ProcessDied")
    assert told in job.ending.error.message
    assert value_of(other.ending)["x"] == 1
    assert value_of(after.ending)["x"] == 2


async def test_sys_exit_is_an_error_like_others() -> None:
    server = Server()
    async with working(app, server):
        job = server.put("dies", {"how": "sys.exit"})
        await until(lambda: job.endings)
    assert job.ending.error is not None
    assert (job.ending.error.type, job.ending.error.message) == ("SystemExit", "bye")


@pytest.mark.parametrize("why", ["timeout", "cancelled", "stale", "released"])
async def test_a_handler_that_spins_is_killed_with_all_it_has_started(tmp_path: Path, why: str) -> None:
    server = Server()
    note = tmp_path / "pids"
    async with working(app, server, slots=1, grace=0.05) as at_work:
        job = server.put("spins", {"path": str(note)}, timeout=1.5 if why == "timeout" else None)
        await until(lambda: note.exists() and note.read_text().count(" ") == 1)
        pids = [int(pid) for pid in note.read_text().split()]
        assert all(alive(pid) for pid in pids)
        if why == "cancelled":
            server.cancel(job)
        elif why == "stale":
            server.take_away(job)
        elif why == "released":
            at_work.worker.drain()
        await until(lambda: not any(alive(pid) for pid in pids), 5)
        if why == "released":
            await at_work.drained()
        else:
            after = server.put("quick")
            await until(lambda: after.endings)
    if why == "stale":
        assert not job.endings
        assert not job.refused
    else:
        assert [ending.end for ending in job.endings] == [why]
        assert not job.refused


@pytest.mark.parametrize("kind", ["polite", "awaits"])
async def test_a_handler_that_listens_may_clean_up(kind: str) -> None:
    server = Server()
    async with working(app, server):
        job = server.put(kind)
        await until(lambda: job.lines)
        server.cancel(job)
        await until(lambda: job.endings, 5)
    assert job.ending.end == "cancelled"
    assert [line.text for line in job.lines] == ["started", "cleaned up"]


async def test_children_die_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    code = (
        "import asyncio\n"
        "from tests.sdk.program import app\n"
        "from tests.sdk.memory import Server, Source\n"
        "from rota.sdk.worker import Worker\n"
        "server = Server()\n"
        f"server.put('spins', {{'path': {str(note)!r}}})\n"
        "asyncio.run(Worker(app, Source(server), queues=['default']).run())\n"
    )
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT)
    try:
        await until(lambda: note.exists() and note.read_text().count(" ") == 1)
        pids = [int(pid) for pid in note.read_text().split()]
        assert all(alive(pid) for pid in pids)
    finally:
        worker.kill()
        await worker.wait()
    await until(lambda: not any(alive(pid) for pid in pids), 5)


async def test_a_script_that_runs_itself_finds_its_tasks() -> None:
    script = ROOT / "tests" / "sdk" / "program.py"
    for command in ([str(script), "7"], ["-m", "tests.sdk.program", "8"]):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert msgspec.json.decode(out)["x"] == int(command[-1])


async def test_a_task_that_a_child_cannot_find_is_told() -> None:
    local = rota.App()

    @local.task(process=True)
    def hidden() -> None: ...

    server = Server()
    async with working(local, server):
        job = server.put("hidden")
        await until(lambda: job.endings)
    assert job.ending.error is not None
    assert job.ending.error.type == "LookupError"
    assert "top level of a module" in job.ending.error.message


async def test_idle_children_are_few(tmp_path: Path) -> None:
    server = Server()
    async with working(app, server, slots=5):
        jobs = [server.put("where", {"x": n}) for n in range(5)]
        await until(lambda: all(job.endings for job in jobs))
        pids = {value_of(job.ending)["pid"] for job in jobs}
        began = time.monotonic()
        from rota.sdk.processes import WARM

        await until(lambda: sum(map(alive, pids)) <= WARM, 5)
        assert time.monotonic() - began < 5
