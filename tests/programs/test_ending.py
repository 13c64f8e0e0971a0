"""How programs are ended, by whom, and that nothing of them is left: cancel, stop, and what happens when
parts are killed."""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from rota.model.errors import RotaError
from rota.programs import cgroup, procs
from rota.programs.ask import Ask
from rota.programs.sandbox import Sandbox
from tests.programs.host import so_many_with_environment, with_environment
from tests.programs.kit import AS_ROOT, ROOT, open_folder, ordinary, run, sandbox
from tests.programs.serve_one import PROGRAM

WAYS = pytest.mark.parametrize(
    "out",
    [(), ("memory and processes", "cpu"), ("bubblewrap", "network")],
    ids=["best", "no groups", "no bubblewrap"],
)


def allowed(out: tuple[str, ...]) -> tuple[str, ...]:
    """An ordinary user has nothing but bubblewrap."""
    return out if AS_ROOT else tuple(name for name in out if name not in ("bubblewrap", "network"))


def wait_gone(pids: Iterable[int], seconds: float = 20) -> None:
    """Until all these processes have ended."""
    until = time.monotonic() + seconds
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(max(until - time.monotonic(), 0) * 1000), f"{pid} is still there"
        finally:
            os.close(fd)


class Running:
    """A program that has started, ignores all polite signals, and left a child in a session of its own."""

    def __init__(self, opened: Sandbox, grace_seconds: float = 5, stop: asyncio.Event | None = None) -> None:
        self.word = secrets.token_hex(8)
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(
            run(
                opened,
                PROGRAM,
                env={"WORD": self.word},
                on_output=self.hear,
                grace_seconds=grace_seconds,
                stop=stop,
            )
        )

    def hear(self, _: bytes) -> None:
        self.ready.set()

    async def started(self) -> set[int]:
        waiting = asyncio.ensure_future(self.ready.wait())
        await asyncio.wait([self.task, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert self.ready.is_set(), self.task.result()
        return so_many_with_environment(2, self.word)


@WAYS
async def test_cancelling_ends_everything_before_it_is_passed_on(out: tuple[str, ...]) -> None:
    async with sandbox(leave_out=allowed(out)) as opened:
        running = Running(opened, grace_seconds=0.1)
        await running.started()
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
        assert not with_environment(running.word)


async def test_cancelling_twice_waits_for_no_grace() -> None:
    async with sandbox() as opened:
        running = Running(opened, grace_seconds=3000)
        await running.started()
        running.task.cancel()
        await asyncio.sleep(0)
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
        assert not with_environment(running.word)


@WAYS
async def test_stop_ends_what_ignores_it_after_the_grace(out: tuple[str, ...]) -> None:
    stop = asyncio.Event()
    async with sandbox(leave_out=allowed(out)) as opened:
        running = Running(opened, grace_seconds=0.2, stop=stop)
        await running.started()
        stop.set()
        ran, _ = await running.task
        assert (ran.ended, ran.status) == ("cancelled", None)
        assert not with_environment(running.word)


async def test_stop_before_it_began_ends_it_all_the_same() -> None:
    stop = asyncio.Event()
    stop.set()
    async with sandbox() as opened:
        ran, _ = await run(opened, "sleep 50", stop=stop, grace_seconds=0.1)
        assert ran.ended == "cancelled"


async def test_what_the_listener_raises_ends_the_program_and_comes_out() -> None:
    class Full(Exception):
        pass

    def hear(_: bytes) -> None:
        raise Full

    async with sandbox() as opened:
        with pytest.raises(Full):
            await run(opened, "echo x; sleep 50", on_output=hear)


@WAYS
@pytest.mark.parametrize("who", ["self", "ordinary"])
async def test_nothing_outlives_a_server_that_was_killed(out: tuple[str, ...], who: str) -> None:
    # The ordinary user can do one thing only; root's ways are tried as root.
    out = out if who == "self" else ()
    with open_folder() as folder:
        word = secrets.token_hex(8)
        jobs = folder / "jobs"
        module = "tests.programs.serve_one"
        if who == "ordinary" and AS_ROOT:
            jobs = folder / "home" / "jobs"
            command = ordinary(folder, module, str(jobs), word)
        else:
            command = [sys.executable, "-m", module, str(jobs), word, *allowed(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as server:  # noqa: ASYNC220
            assert server.stdout is not None
            assert await asyncio.to_thread(server.stdout.readline) == b"ready\n"
            pids = with_environment(word) | set(procs.below(server.pid))
            assert len(pids) >= 4
            server.kill()
        wait_gone(pids)
        assert not with_environment(word)
        # Its folder tells that it was there, until the next server comes.
        (left,) = jobs.iterdir()
        assert not cgroup.left_by(left.name, cgroup.places())
        if who == "self":
            async with Sandbox(jobs) as opened:
                assert opened.swept.folders == 1
            assert not list(jobs.iterdir())


@WAYS
async def test_a_killed_overseer_takes_its_program_along(out: tuple[str, ...]) -> None:
    async with sandbox(leave_out=allowed(out)) as opened:
        running = Running(opened)
        pids = await running.started()
        (overseer,) = [
            pid for pid in parents(pids) if Path(f"/proc/{pid}/comm").read_text() == "rota-oversee\n"
        ]
        os.kill(overseer, signal.SIGKILL)
        with pytest.raises(RotaError, match="was killed") as lost:
            await running.task
        assert lost.value.code == "sandbox_lost"
        wait_gone(pids)
        token = opened._home().name
    assert not cgroup.left_by(token, cgroup.places())


# Without a user and groups of its own, a program that outlived its overseer could not be found.
UNFINDABLE = ("user", "memory and processes", "cpu") if AS_ROOT else ("memory and processes", "cpu")


async def test_a_killed_overseer_takes_its_program_along_where_nobody_clears_after_it() -> None:
    async with sandbox(leave_out=UNFINDABLE, unsafe=True) as opened:
        running = Running(opened)
        pids = await running.started()
        (overseer,) = [
            pid for pid in parents(pids) if Path(f"/proc/{pid}/comm").read_text() == "rota-oversee\n"
        ]
        os.kill(overseer, signal.SIGKILL)
        with pytest.raises(RotaError, match="was killed"):
            await running.task
        wait_gone(pids)


async def test_a_killed_overseer_takes_a_bare_program_along() -> None:
    async with sandbox(leave_out=("bubblewrap", "network", *UNFINDABLE), unsafe=True) as opened:
        word = secrets.token_hex(8)
        ready = asyncio.Event()
        running = asyncio.create_task(
            run(opened, "echo; exec sleep 50", env={"WORD": word}, on_output=lambda _: ready.set())
        )
        await ready.wait()
        (program,) = with_environment(word)
        (overseer,) = [
            pid for pid in parents([program]) if Path(f"/proc/{pid}/comm").read_text() == "rota-oversee\n"
        ]
        os.kill(overseer, signal.SIGKILL)
        with pytest.raises(RotaError, match="was killed"):
            await running
        wait_gone([program])


def parents(pids: Iterable[int]) -> set[int]:
    """All ancestors of these."""
    found: set[int] = set()
    ahead = list(pids)
    while ahead:
        text = Path(f"/proc/{ahead.pop()}/stat").read_text()
        parent = int(text.rpartition(")")[2].split()[1])
        if parent > 1 and parent not in found:
            found.add(parent)
            ahead.append(parent)
    return found


async def test_a_killed_keeper_is_replaced_and_what_runs_runs_on() -> None:
    async with sandbox() as opened:
        stop = asyncio.Event()
        running = Running(opened, grace_seconds=0.1, stop=stop)
        await running.started()
        keeper = opened._keeper._process
        assert keeper is not None
        keeper.kill()
        keeper.wait()
        ran, said = await run(opened, "echo again")
        assert (ran.ok, said) == (True, "again\n")
        stop.set()
        assert (await running.task)[0].ended == "cancelled"


async def test_a_workplace_is_gone_after_its_block_whatever_is_in_it() -> None:
    program = """
    mkdir -p a/b/c closed; echo x >closed/x; chmod 000 closed a/b; ln -s / root; mkfifo fifo
    ln -s "$OUTSIDE" out; mkdir "$(printf 'new\\nline')"; touch -- "-rf"
    """
    with open_folder() as outside:
        (outside / "precious").write_text("here")
        async with sandbox() as opened:
            async with opened.workplace() as folder:
                ask = Ask(["/bin/sh", "-c", program], folder, {"OUTSIDE": str(outside)})
                assert (await opened.run(ask, bytearray().extend)).ok
                assert (folder / "out").is_symlink()
            assert not folder.exists()
        assert (outside / "precious").read_text() == "here"


async def test_a_sweep_leaves_the_living_alone() -> None:
    async with sandbox() as opened:
        running = Running(opened, grace_seconds=0)
        await running.started()
        swept = await opened.sweep()
        assert (swept.folders, swept.groups) == (0, 0)
        assert with_environment(running.word)
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
