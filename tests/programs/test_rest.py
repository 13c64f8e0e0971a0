"""The processes that wait for the next program: they go when there was none for a while, and come back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rota.programs.sandbox import Sandbox
from tests.crash.kit import until
from tests.programs.kit import run, sandbox
from tests.programs.test_ending import Running, wait_gone


def children(pid: int) -> set[int]:
    """All descendants of a process."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, task.joinpath("children").read_text().split()):
            found |= {child, *children(child)}
    return found


async def until_at_rest(opened: Sandbox) -> None:
    await asyncio.to_thread(until, lambda: opened._keeper._process is None, "rest")


async def test_a_sandbox_at_rest_has_no_process_and_the_next_program_runs() -> None:
    async with sandbox() as opened:
        await opened.probe()
        assert opened._keeper._process is not None
        waiting = {opened._keeper._process.pid, *children(opened._keeper._process.pid)}
        assert len(waiting) > 1
        await opened.rest()
        await asyncio.to_thread(wait_gone, waiting)
        ran, said = await run(opened, "echo again")
        assert (ran.ok, said) == (True, "again\n")


async def test_it_comes_to_rest_by_itself_but_not_while_a_program_runs() -> None:
    async with sandbox(rest_after=0.05) as opened:
        await until_at_rest(opened)
        stop = asyncio.Event()
        running = Running(opened, grace_seconds=0, stop=stop)
        await running.started()
        await asyncio.sleep(0)
        ran, _ = await run(opened, "true")
        assert ran.ok
        # One has ended, another one runs on: nobody leaves.
        assert opened._resting is None
        assert opened._keeper._process is not None
        stop.set()
        await running.task
        await asyncio.wait_for(opened.unused(), 20)
        await until_at_rest(opened)


async def test_unused_waits_for_the_last_folder() -> None:
    async with sandbox() as opened:
        async with opened.workplace():
            waiting = asyncio.ensure_future(opened.unused())
            async with opened.workplace():
                pass
            await asyncio.sleep(0)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 20)
