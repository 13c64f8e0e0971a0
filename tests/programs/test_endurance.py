"""What many runs leave behind, and what the sandbox bears: parts that stand still, few descriptors, odd
names, much of everything."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.model.errors import RotaError
from rota.programs import cgroup, launch, procs
from rota.programs.ask import MIB, Ask, Limits, NotStarted, SandboxUnavailable
from rota.programs.sandbox import Sandbox
from tests.programs.host import kill_all, with_environment
from tests.programs.kit import open_folder, run, sandbox
from tests.programs.test_ending import Running, wait_gone


def keeper_of(opened: Sandbox) -> int:
    process = opened._keeper._process
    assert process is not None
    return process.pid


def stop_all(opened: Sandbox) -> set[int]:
    """Let the keeper and all below it stand still."""
    os.kill(keeper := keeper_of(opened), signal.SIGSTOP)
    pids = {keeper, *crew_of(opened)}
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def crew_of(opened: Sandbox) -> set[int]:
    """All below the keeper: overseers, and their waiting children."""
    return set(procs.below(keeper_of(opened)))


async def settled(opened: Sandbox, most: int = 4) -> set[int]:
    """The crew, once no more are there than may wait for orders: two overseers, each with a child."""
    async with asyncio.timeout(20):
        while len(crew := await asyncio.to_thread(crew_of, opened)) > most:
            pass
    return crew


def descriptors(pid: int | str = "self") -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}").partition(":")[0])
        except FileNotFoundError:
            continue
    return sorted(found)


@pytest.fixture
def stopped() -> Iterator[set[int]]:
    """Processes that were stopped, and that somebody has to end."""
    pids: set[int] = set()
    yield pids
    kill_all(pids)


# --- nothing stays ---


async def test_hundreds_of_runs_leave_nothing_behind() -> None:
    async def one() -> None:
        ran, said = await run(opened, "echo x >/tmp/x; echo x >x; (sleep 50 &) ; echo $$")
        assert ran.ok
        assert int(said) > 0

    mounts = Path("/proc/self/mountinfo").read_text()
    with open_folder() as folder:
        async with Sandbox(folder / "jobs") as opened:
            await asyncio.gather(*(one() for _ in range(4)))
            ours, keepers = descriptors(), descriptors(keeper_of(opened))
            for _ in range(200):
                await one()
            for pid in crew_of(opened):
                assert len(descriptors(pid)) < 20
            await asyncio.gather(*(one() for _ in range(20)))
            assert descriptors() == ours
            # One channel for each overseer that waits.
            waiting = await settled(opened)
            assert len(descriptors(keeper_of(opened))) <= len(keepers) + 2
            for pid in waiting:
                assert len(descriptors(pid)) < 20
            own = opened._home()
            assert [path.name for path in own.iterdir()] == ["lock"]
            groups = {path.name for path in cgroup.left_by(own.name, cgroup.places())}
            assert len(groups) <= 3
        assert not any(Path(f"/proc/{pid}").exists() for pid in waiting)
        assert not cgroup.left_by(own.name, cgroup.places())
        assert not list((folder / "jobs").iterdir())
    assert Path("/proc/self/mountinfo").read_text() == mounts


async def test_after_a_while_one_overseer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    main = "import sys; sys.path.insert(0, sys.argv[1]); from rota.programs import keeper; "
    monkeypatch.setattr(launch, "_MAIN", main + "keeper.CALM = 0.05; keeper.main()")
    async with sandbox() as opened:
        await asyncio.gather(*(run(opened, "true") for _ in range(4)))
        await settled(opened, 2)
        assert (await run(opened, "echo hello"))[1] == "hello\n"


async def test_what_is_cancelled_and_killed_leaves_no_descriptor() -> None:
    async with sandbox() as opened:
        await run(opened, "true")
        before = descriptors()
        for _ in range(3):
            running = Running(opened, grace_seconds=0)
            await running.started()
            running.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running.task
        with pytest.raises(NotStarted):
            async with opened.workplace() as folder:
                await opened.run(Ask(["no-such-command"], folder), print)
        assert descriptors() == before


# --- parts that stand still or die ---


async def test_a_keeper_that_was_killed_between_runs_is_replaced() -> None:
    async with sandbox() as opened:
        for _ in range(3):
            assert (await run(opened, "true"))[0].ok
            crew = crew_of(opened)
            os.kill(keeper_of(opened), signal.SIGKILL)
            assert (await run(opened, "true"))[0].ok
            assert not crew & crew_of(opened)
            wait_gone(crew)


async def test_an_overseer_that_stands_still_is_killed_and_its_program_with_it(
    monkeypatch: pytest.MonkeyPatch, stopped: set[int]
) -> None:
    monkeypatch.setattr(launch, "PATIENCE", 0.2)
    async with sandbox() as opened:
        running = Running(opened, grace_seconds=0)
        await running.started()
        stopped |= stop_all(opened)
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
        assert not with_environment(running.word)
        token = opened._home().name
        kill_all(stopped)
    # Those of the overseers that waited are for the next sweep.
    for path in cgroup.left_by(token, cgroup.places()):
        assert cgroup.remove(path)


async def test_the_clock_runs_out_on_an_overseer_that_stands_still(
    monkeypatch: pytest.MonkeyPatch, stopped: set[int]
) -> None:
    monkeypatch.setattr(launch, "PATIENCE", 0.2)
    async with sandbox() as opened:
        ready = asyncio.Event()
        running = asyncio.create_task(
            run(
                opened,
                "echo ready; sleep 50",
                on_output=lambda _: ready.set(),
                grace_seconds=0,
                wall_seconds=0.5,
            )
        )
        await ready.wait()
        stopped |= stop_all(opened)
        with pytest.raises(RotaError, match="was killed"):
            await running
        token = opened._home().name
        kill_all(stopped)
    for path in cgroup.left_by(token, cgroup.places()):
        assert cgroup.remove(path)


async def test_an_order_that_nobody_takes_goes_to_another_keeper(
    monkeypatch: pytest.MonkeyPatch, stopped: set[int]
) -> None:
    monkeypatch.setattr(launch, "BEGIN", 0.5)
    async with sandbox() as opened:
        assert (await run(opened, "true"))[0].ok
        stopped |= stop_all(opened)
        assert (await run(opened, "echo hello"))[1] == "hello\n"
        assert not stopped & crew_of(opened)
        token = opened._home().name
        kill_all(stopped)
    for path in cgroup.left_by(token, cgroup.places()):
        assert cgroup.remove(path)


async def test_an_order_that_died_with_its_keeper_is_given_again(stopped: set[int]) -> None:
    async with sandbox() as opened:
        assert (await run(opened, "true"))[0].ok
        stopped |= stop_all(opened)
        # Handing over is done within the first step, and then they die with the order in their socket.
        running = asyncio.create_task(run(opened, "echo hello"))
        await asyncio.sleep(0)
        kill_all(stopped)
        assert (await running)[1] == "hello\n"
        token = opened._home().name
    for path in cgroup.left_by(token, cgroup.places()):
        assert cgroup.remove(path)


# --- little room, and much of everything ---


async def test_few_descriptors_are_enough_for_many_at_once() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        async with sandbox() as opened:
            done = await asyncio.gather(*(run(opened, f"echo {number}") for number in range(20)))
            assert [said for _, said in done] == [f"{number}\n" for number in range(20)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_without_a_free_descriptor_it_says_so_and_goes_on_later() -> None:
    async with sandbox() as opened, opened.workplace() as folder:
        ask = Ask(["true"], folder)
        assert (await opened.run(ask, print)).ok
        before = descriptors()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(map(int, os.listdir("/proc/self/fd")))
        for more in range(1, 7):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most + more, limits[1]))
            try:
                await opened.run(ask, print)
            except SandboxUnavailable as error:
                assert "Too many open files" in str(error)  # noqa: PT017
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert descriptors() == before
        assert (await opened.run(ask, print)).ok


async def test_a_folder_may_have_any_name() -> None:
    with open_folder() as folder:
        root = folder / "jöbs of mine" / "-- 'quoted' \"$HOME\"\n"
        root.parent.mkdir(mode=0o711)
        root.parent.chmod(0o711)
        async with Sandbox(root) as opened:
            ran, said = await run(opened, "echo x >new; cat new; pwd")
            assert (ran.ok, said) == (True, "x\n/job\n")
        assert not list(root.iterdir())


async def test_a_long_environment_arrives_and_one_too_long_is_told() -> None:
    env = {f"NAME_{number}": "x" * 20_000 for number in range(50)}
    async with sandbox() as opened:
        ran, said = await run(opened, 'echo "${#NAME_0} ${#NAME_49}"', env=env)
        assert (ran.ok, said) == (True, "20000 20000\n")
        with pytest.raises(NotStarted, match="list too long"):
            await run(opened, "true", env={"NAME": "x" * 200_000})


async def test_many_small_files_are_gone_with_the_workplace() -> None:
    async with sandbox() as opened:
        async with opened.workplace() as folder:
            program = "mkdir d; seq 5000 | xargs touch; cd d; seq 5000 | xargs touch"
            ask = Ask(["/bin/sh", "-c", program], folder, limits=Limits(disk=512 * MIB))
            assert (await opened.run(ask, print)).ok
            assert len(list(folder.rglob("*"))) == 10_001
        assert not folder.exists()


async def test_a_flood_of_output_leaves_the_loop_to_others() -> None:
    heard = turns = 0

    def hear(_: bytes) -> None:
        nonlocal heard
        heard += 1

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with sandbox() as opened:
        beside = asyncio.create_task(others())
        size = 256 * MIB
        ran, _ = await run(
            opened, f"head -c {size} /dev/zero", on_output=hear, output=size, output_total=2 * size
        )
        beside.cancel()
        assert (ran.ok, ran.output_bytes, ran.output_cut) == (True, size, False)
        # Between two pieces of output everybody else has a turn.
        assert turns >= heard >= size // (64 << 10)
