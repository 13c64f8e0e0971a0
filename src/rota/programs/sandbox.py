r"""The sandbox in which submitted programs run; docs/sandbox.md says what is isolated by what, and what is
not.

::

    async with Sandbox() as sandbox:
        async with sandbox.workplace() as folder:
            (folder / "Makefile").write_text("run:\n\techo hello\n")
            ran = await sandbox.run(Ask(["make", "run"], folder), print)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path

from rota.model.errors import BadInput, Forbidden, RotaError
from rota.programs import folder as folders
from rota.programs import launch, probe, slots, toolchain
from rota.programs.ask import Ask, Limits, NotStarted, Ran, SandboxUnavailable
from rota.programs.order import How, Order
from rota.programs.probe import LAYERS, PROFILES, Profile, Table
from rota.programs.sweep import Swept, claim, default_root


class Sandbox:
    """Runs programs, as many at a time as are asked for. Open it with ``async with``: that sweeps what a
    crash left.

    ``root`` is where jobs have their folders (a folder of its own, that every user can pass through),
    ``readonly`` what every program sees besides the toolchain. Below the profile ``require`` programs are
    refused; ``unsafe`` runs them all the same, with no more than limits where nothing holds. ``network``
    allows what jobs may ask for. ``leave_out`` names layers to do without, as if the machine
    did not have them. ``rest_after``: seconds without a job after which the processes that wait for
    the next one go; it then takes a tenth of a second to start them again.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        readonly: Sequence[str] = (),
        network: bool = False,
        require: Profile = "basic",
        unsafe: bool = False,
        leave_out: Collection[str] = (),
        rest_after: float | None = None,
    ) -> None:
        toolchain.check(readonly, "programs.readonly_paths")
        if unknown := set(leave_out) - set(LAYERS):
            raise BadInput(
                f"unknown layer {min(unknown)!r}; layers are {', '.join(LAYERS)}", field="leave_out"
            )
        if require not in PROFILES:
            raise BadInput(f"require must be one of {', '.join(PROFILES)}", field="require")
        self.root = root or default_root()
        self.swept = Swept()
        self._readonly = tuple(readonly)
        self._network = network
        self._require = require
        self._unsafe = unsafe
        self._leave_out = frozenset(leave_out)
        self._keeper = launch.Keeper()
        self._numbers = itertools.count(1)
        self._own: Path | None = None
        self._lock = -1
        self._table: asyncio.Task[Table] | None = None
        self._rest_after = rest_after
        self._resting: asyncio.TimerHandle | None = None
        self._places = 0
        self._unused = asyncio.Event()
        self._unused.set()

    async def __aenter__(self) -> Sandbox:
        self._own, self._lock = await asyncio.to_thread(claim, self.root)
        try:
            self.swept = await self.sweep()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._resting is not None:
            self._resting.cancel()
        await asyncio.to_thread(self._keeper.close)
        if self._own is not None:
            await asyncio.to_thread(folders.wipe, self._own)
            self._own = None
            os.close(self._lock)

    async def probe(self) -> Table:
        """Every layer tried on this machine, once; later calls give the same table."""
        if self._table is None or (self._table.done() and self._table.cancelled()):
            self._table = asyncio.create_task(self._probe())
        return await asyncio.shield(self._table)

    async def lacking(self) -> str | None:
        """What the profile that is required lacks here, if anything."""
        table = await self.probe()
        if PROFILES.index(table.profile) < PROFILES.index(self._require):
            return f"programs need the profile {self._require}: {table.missing}"
        return None

    async def refusal(self) -> str | None:
        """Why programs are refused here; None where they run."""
        if not self._unsafe and (why := await self.lacking()) is not None:
            return why
        table = await self.probe()
        if table.first_uid is not None:
            try:
                _passable(self._home() / "job")
            except BadInput as error:
                return error.detail
        return None

    async def rest(self) -> None:
        """Let the processes go that wait for the next job; it starts them again."""
        await asyncio.to_thread(self._keeper.close)

    async def unused(self) -> None:
        """Wait until no job has a folder here."""
        await self._unused.wait()

    async def sweep(self) -> Swept:
        """Remove what servers that were killed left behind: processes, control groups, folders."""
        told = json.dumps([str(self.root), (await self.probe()).first_uid]).encode()
        return Swept(**await launch.request(self._keeper, b"sweep", told))

    @contextlib.asynccontextmanager
    async def workplace(self) -> AsyncIterator[Path]:
        """A fresh folder for one job, to be filled before ``run`` and read after it; wiped at the end,
        without fail."""
        place = self._home() / f"{next(self._numbers)}-{secrets.token_hex(6)}"
        place.mkdir(mode=0o700)
        self._begun()
        try:
            yield place
        finally:
            try:
                await launch.to_end(asyncio.to_thread(folders.wipe, place))
            finally:
                self._done()

    async def run(
        self, ask: Ask, on_output: Callable[[bytes], None], *, stop: asyncio.Event | None = None
    ) -> Ran:
        """Run a program to its end: when this returns or raises, none of its processes is left.

        ``on_output`` gets standard output and error together, as they come, up to ``limits.output`` bytes;
        what it raises ends the program and is raised here. Setting ``stop`` asks the program to end
        (SIGTERM, then after ``grace_seconds`` SIGKILL) and gives ``ended="cancelled"``; cancelling this
        coroutine does the same and raises CancelledError afterwards; cancelling twice skips the grace.

        Raises BadInput for an ask that makes no sense, Forbidden for a network that is not allowed,
        SandboxUnavailable where programs are refused, NotStarted when the command is not there.
        """
        ask.check()
        toolchain.check(ask.readonly, "readonly")
        if ask.network and not self._network:
            raise Forbidden(
                "programs get no network here (programs.network)", code="network_not_allowed", field="network"
            )
        if (why := await self.refusal()) is not None:
            raise SandboxUnavailable(why)
        table = await self.probe()
        with contextlib.ExitStack() as held:
            slot = None
            if table.first_uid is not None:
                slot = slots.take(table.first_uid)
                if slot is None:
                    raise SandboxUnavailable("all users for programs are taken")
                held.enter_context(slot.holder)
            order = self._order(ask, table, slot.uid if slot else None)
            keep = [self._lock, *([slot.holder.fileno()] if slot else [])]
            return await self._follow(order, keep, on_output, stop)

    async def _follow(
        self, order: Order, keep: list[int], on_output: Callable[[bytes], None], stop: asyncio.Event | None
    ) -> Ran:
        try:
            report, output = await launch.follow(self._keeper, order, keep, on_output, stop)
        except OSError as error:
            # No descriptor, no memory, no process is free; with luck there is one later.
            raise SandboxUnavailable(f"no program can be started now: {error.strerror or error}") from error
        if output.failed is not None:
            raise output.failed
        if report is None:
            raise RotaError("what oversees the program was killed", code="sandbox_lost")
        why_not, started = report.pop("why_not"), report.pop("started")
        if not why_not and not started and report["ended"] == "exit":
            why_not = output.first.decode(errors="replace").strip() or "no reason was given"
        if why_not:
            raise NotStarted(f"the program did not start: {why_not}")
        return Ran(**report, output_bytes=output.seen, output_cut=output.cut)

    def _order(self, ask: Ask, table: Table, uid: int | None) -> Order:
        how: How = "bubblewrap" if table.bubblewrap else "landlock" if table.landlock else "bare"
        place = ask.folder.resolve(strict=True)
        if uid is not None:
            _passable(place)
        return Order(
            name=self._home().name,
            command=list(ask.command),
            folder=str(place),
            env=dict(ask.env),
            network=ask.network,
            limits=ask.limits,
            grace_seconds=ask.grace_seconds,
            how=how,
            seen=toolchain.seen([*self._readonly, *ask.readonly], network=ask.network),
            uid=uid,
            bubblewrap=table.bubblewrap or "",
            proc=table.proc,
            netns=table.works("network"),
            seccomp=table.works("seccomp"),
            landlock=table.landlock,
            groups=table.groups,
            rlimits=table.works("limits"),
        )

    def _begun(self) -> None:
        self._places += 1
        self._unused.clear()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _done(self) -> None:
        self._places -= 1
        if self._places:
            return
        self._unused.set()
        if self._rest_after is not None and self._own is not None:
            loop = asyncio.get_running_loop()
            # In a thread: the end of the processes is waited for.
            self._resting = loop.call_later(
                self._rest_after, lambda: loop.run_in_executor(None, self._keeper.close)
            )

    def _home(self) -> Path:
        if self._own is None:
            raise RuntimeError("the sandbox is not open: use 'async with Sandbox()'")
        return self._own

    async def _probe(self) -> Table:
        found = await launch.request(self._keeper, b"survey")
        path, box = found["bubblewrap"]
        network = box
        proc = True
        if path is not None and "bubblewrap" not in self._leave_out:
            for proc in (True, False):
                box, network = await self._try_box(
                    probe.table(found, None, None, proc=proc, leave_out=self._leave_out)
                )
                # Some containers let nobody mount /proc; most programs live without.
                if box is None or "proc" not in box:
                    break
        return probe.table(found, box, network, proc=proc, leave_out=self._leave_out)

    async def _try_box(self, trial: Table) -> tuple[str | None, str | None]:
        """Run a program in bubblewrap that tries what it must not be able to do."""
        said = bytearray()
        slot = slots.take(trial.first_uid) if trial.first_uid is not None else None
        env = {
            "ROTA_PROBE_PID": str(os.getpid()),
            "ROTA_PROBE_FILE": str(self._home()),
            "ROTA_PROBE_FILTER": "2" if trial.works("seccomp") else "",
        }
        async with self.workplace() as place:
            ask = Ask(
                ["/bin/sh", "-c", probe.INSIDE], place, env, limits=Limits(wall_seconds=10, memory=64 << 20)
            )
            try:
                order = self._order(ask, trial, slot.uid if slot else None)
                await self._follow(order, [self._lock], said.extend, None)
            except RotaError as error:
                return error.detail, None
            finally:
                if slot is not None:
                    slot.holder.close()
        return probe.complaints(said.decode(errors="replace"))


def _passable(place: Path) -> None:
    """Refuse (BadInput) a folder that users of jobs cannot get to."""
    for parent in place.parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise BadInput(
                f"{place} cannot be reached by the users of jobs: {parent} is closed to others (chmod o+x)",
                field="programs.folder",
            )
