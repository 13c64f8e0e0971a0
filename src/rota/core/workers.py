"""Workers: who is connected, what each has in hand, and what happens to their reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from rota.core import reports
from rota.core.bus import Bus
from rota.core.dispatch import Dispatch, Taker
from rota.core.events import Event, started, told
from rota.core.meter import Meter
from rota.core.others import Others
from rota.core.reports import Rules
from rota.core.worker import Roster, Transport, Worker, check_outside
from rota.engines.base import Engine
from rota.model import policy, protocol
from rota.model.clock import SECOND, Clock
from rota.model.errors import BadInput, Unavailable
from rota.model.job import ENDED, Applied, Beat, Claimed, Job, LogLine, Outcome, State
from rota.model.protocol import LEVELS, MAX_FETCH_WAIT, Answer, Ending, Lease, Stop, Work
from rota.model.spec import parse_time

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Workers:
    """The roster, and the verbs a worker has: attach, fetch, finish, extend, log, drain, leave."""

    def __init__(self, engine: Engine, dispatch: Dispatch, bus: Bus, clock: Clock, rules: Rules) -> None:
        self._engine = engine
        self._dispatch = dispatch
        self._bus = bus
        self._clock = clock
        self.rules = rules
        self.roster = Roster()
        self.meter = Meter()
        self.due: Callable[[int], None] = lambda at: None
        self.others = Others()
        dispatch.on_started = self._started
        dispatch.served = self.roster.served
        self._fetches: dict[asyncio.Future[None], str] = {}

    async def attach(
        self,
        hello: protocol.Hello,
        transport: Transport,
        give: Callable[[list[Work]], None],
        stop: Callable[[list[Stop]], None],
        drain: Callable[[], None],
        *,
        except_types: tuple[str, ...] = (),
        stand_in: bool = False,
    ) -> Worker:
        """A worker that jobs are pushed to. Jobs it still holds from before are its own again, or it is told
        to stop. ``except_types`` and ``stand_in``: see :class:`rota.core.dispatch.Taker`.
        """
        reports.check_worker(hello.worker, hello.queues, hello.types, hello.slots)
        reports.check_labels(hello)
        check_outside(hello.worker, transport)
        now = self._clock.now()
        worker = Worker(hello, transport, now)
        worker.stop, worker.drain = stop, drain
        worker.except_types, worker.stand_in = except_types, stand_in
        before = self.roster.get(worker.id)
        if before is not None and before.taker is not None:
            self._dispatch.remove(before.taker)
        self.roster[worker.id] = worker
        if hello.held:
            known = {
                job.id: (job.queue, job.type, job.started_at or now)
                for job in await self._engine.get([one.id for one in hello.held])
            }
            worker.taken = {(one.id, one.lease): known[one.id] for one in hello.held if one.id in known}
            stops = await self.extend(worker.id, hello.held, ())
            if stops:
                stop(stops)

        def take(jobs: list[Claimed]) -> None:
            since = self._clock.now()
            for job in jobs:
                worker.taken[job.id, job.lease] = (job.queue, job.type, since)
            give([reports.to_work(job) for job in jobs])

        free = max(0, hello.slots - len(worker.taken))
        worker.taker = Taker(
            worker.id,
            hello.queues,
            hello.types,
            free,
            take,
            except_types=except_types,
            stand_in=stand_in,
        )
        self._joined(worker, "worker_joined")
        self._dispatch.add(worker.taker)
        return worker

    async def leave(self, worker: Worker) -> None:
        """The connection is gone. What the worker held waits a moment for it to come back."""
        if worker.taker is not None:
            self._dispatch.remove(worker.taker)
        if self.roster.get(worker.id) is worker:
            del self.roster[worker.id]
            self._joined(worker, "worker_left")
            # A stand-in may have to take over.
            self._dispatch.wake(worker.queues)
            if worker.taken:
                now = self._clock.now()
                # Without a store nobody gets the jobs sooner; the leases end by themselves.
                with suppress(Unavailable):
                    beats = [Beat(id, lease) for id, lease in await self.others.left_by(worker)]
                    await self._engine.extend(beats, now + self.rules.socket_grace, now)

    def leave_out(self, worker: Worker, types: Iterable[str]) -> None:
        """A worker that takes any type takes these no more."""
        worker.except_types = tuple(sorted({*worker.except_types, *types}))
        if worker.taker is not None:
            worker.taker.except_types = worker.except_types

    def draining(self, worker: Worker) -> None:
        """The worker takes no more jobs."""
        if not worker.draining:
            self._joined(worker, "worker_draining")
        worker.draining = True
        self.roster.count(worker)
        if worker.taker is not None:
            self._dispatch.remove(worker.taker)
        self._dispatch.wake(worker.queues)

    def ask_to_drain(self, worker_id: str) -> bool:
        """Tell a worker to take no more jobs, finish what it has and leave. False: nobody of that id is
        here.
        """
        worker = self.roster.get(worker_id)
        if worker is None:
            return False
        self.draining(worker)
        worker.drain()
        return True

    async def fetch(self, ask: protocol.Fetch) -> protocol.Fetched:
        """Up to ``slots`` jobs, waiting at most ``wait`` seconds for the first. Cancelled: jobs go back
        untouched.
        """
        reports.check_worker(ask.worker, ask.queues, ask.types, ask.slots)
        reports.check_labels(ask)
        check_outside(ask.worker, "poll")
        if not 0 <= ask.wait <= MAX_FETCH_WAIT:
            raise BadInput(f"wait must be 0 to {MAX_FETCH_WAIT} seconds.", code="invalid_wait", field="wait")
        worker = self.heard(ask)
        rules = self.rules
        if worker.draining:
            return protocol.Fetched([], rules.lease / SECOND, rules.beat / SECOND, drain=True)
        jobs: list[Claimed] = []
        got: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def take(given: list[Claimed]) -> None:
            # More may come before this call goes on; all of it goes into the one answer.
            jobs.extend(given)
            if not got.done():
                got.set_result(None)

        taker = Taker(ask.worker, ask.queues, ask.types, ask.slots, take)
        self._dispatch.add(taker)
        self._fetches[got] = ask.worker
        worker.fetches += 1
        try:
            await asyncio.wait([got], timeout=ask.wait)
            # Time is up, but a claim under way may still bring jobs.
            while not got.done() and taker.free < ask.slots:
                await asyncio.wait([got], timeout=0.001)
        except asyncio.CancelledError:
            self._dispatch.remove(taker)
            if jobs:
                now = self._clock.now()
                await self.write([policy.released(job.id, job.lease, now) for job in jobs], now)
            raise
        finally:
            self._dispatch.remove(taker)
            del self._fetches[got]
            worker.fetches -= 1
        now = worker.last_beat = self._clock.now()
        worker.taken.update(((job.id, job.lease), (job.queue, job.type, now)) for job in jobs)
        return protocol.Fetched(
            [reports.to_work(job) for job in jobs], rules.lease / SECOND, rules.beat / SECOND
        )

    def heard(self, ask: protocol.Fetch, silence: int | None = None) -> Worker:
        """A polling worker asks for jobs. It counts as here until ``silence`` (microseconds) after its last
        word, four leases when not said.
        """
        now = self._clock.now()
        worker = self.roster.get(ask.worker)
        if worker is None or worker.transport != "poll":
            worker = self.roster[ask.worker] = Worker(ask, "poll", now)
            self._joined(worker, "worker_joined")
        left = worker.queues
        worker.queues, worker.types, worker.last_beat = ask.queues, ask.types, now
        worker.slots = max(ask.slots, len(worker.taken))
        worker.sandbox = ask.sandbox or worker.sandbox
        worker.silence = 4 * self.rules.lease if silence is None else silence
        if worker.silent or left != ask.queues:
            worker.silent = False
            self.roster.count(worker)
            self._dispatch.wake(left)
        return worker

    async def finish(self, worker_id: str, endings: Sequence[Ending]) -> list[Answer]:
        """What became of jobs; one answer per ending, in order."""
        now = self._clock.now()
        unlucky = [ending.id for ending in endings if ending.end in ("failed", "timeout")]
        jobs = {job.id: job for job in await self._engine.get(unlucky)} if unlucky else {}
        outcomes = [reports.outcome(ending, jobs.get(ending.id), self.rules, now) for ending in endings]
        # A result that cannot be kept is a failure too.
        refused = [one.id for one in outcomes if one.state is State.FAILED and one.id not in jobs]
        if refused:
            jobs |= {job.id: job for job in await self._engine.get(refused)}
            outcomes = [reports.outcome(ending, jobs.get(ending.id), self.rules, now) for ending in endings]
        call = self._engine.finish(outcomes, now)
        worker = self.roster.get(worker_id)
        if worker is not None:
            worker.last_beat = now
            # The slots are free whatever the store says; a claim made now shares the commit.
            runs = [worker.taken.pop((ending.id, ending.lease), None) for ending in endings]
            had = [run for run in runs if run is not None]
            self.meter.ran(had, now)
            free = len(had)
            if worker.taker is not None and not worker.draining:
                self._dispatch.freed(worker.taker, free)
        applied = await call
        self._told(outcomes, applied)
        return [reports.answer(one) for one in applied]

    async def extend(
        self, worker_id: str, leases: Iterable[Lease], progress: Iterable[protocol.Progress]
    ) -> list[Stop]:
        """Signs of life. Answers what to give up; everything else named is held for another lease."""
        now = self._clock.now()
        worker = self.roster.get(worker_id)
        if worker is not None:
            worker.last_beat = now
        beats = {(lease.id, lease.lease): None for lease in leases} | {
            (one.id, one.lease): reports.progress(one) for one in progress
        }
        if not beats:
            return []
        held = {
            (one.id, one.lease): one.stop
            for one in await self._engine.extend(
                [Beat(id, lease, news) for (id, lease), news in beats.items()], now + self.rules.lease, now
            )
        }
        stops = []
        for id, lease in beats:
            if (id, lease) not in held:
                stops.append(Stop(id, lease, "stale_lease"))
                gone = None if worker is None else worker.taken.pop((id, lease), None)
                if gone is not None and worker is not None and worker.taker is not None:
                    self._dispatch.freed(worker.taker, 1)
            elif held[id, lease]:
                stops.append(Stop(id, lease, "cancelled"))
        if self._bus.events.active:
            news = [(key, _decode(said)) for key, said in beats.items() if said and key in held]
            self._publish("progress", worker, [(*key, now, detail) for key, detail in news])
        return stops

    async def log(self, lines: Sequence[protocol.Line], worker_id: str = "") -> None:
        """Keep lines with their jobs; too long ones are cut."""
        now = self._clock.now()
        kept = []
        for line in lines:
            if line.level not in LEVELS:
                raise BadInput(
                    f"level must be one of {', '.join(LEVELS)}.", code="invalid_level", field="level"
                )
            at = now if line.at is None else min(parse_time("at", line.at), now)
            kept.append(LogLine(line.id, at, line.level, line.text[: self.rules.line_bytes]))
        if kept:
            await self._engine.log(kept, self.rules.log_lines)
            if self._bus.events.active:
                worker = self.roster.get(worker_id)
                leases = dict(worker.taken.keys()) if worker is not None else {}
                self._publish(
                    "log",
                    worker,
                    [
                        (line.id, leases.get(line.id, 0), line.at, {"level": line.level, "text": line.text})
                        for line in kept
                    ],
                )

    async def write(self, outcomes: Sequence[Outcome], now: int) -> list[Applied]:
        """Write outcomes that did not come from a worker's report, and tell everybody."""
        applied = await self._engine.finish(outcomes, now)
        for worker in self.roster.values():
            if worker.transport == "poll" and worker.taken:
                # It may never say so itself.
                for one in applied:
                    worker.taken.pop((one.id, one.lease), None)
        self._told(outcomes, applied)
        return applied

    def stop(self, jobs: Iterable[Job]) -> None:
        """Ask workers to give up running jobs. Those that poll are told with their next beat."""
        meant = [(job.id, job.lease, job.worker or "") for job in jobs]
        if elsewhere := [one for one in meant if not self.stop_here(*one)]:
            self.others.stop(elsewhere)

    def stop_here(self, id: str, lease: int, worker_id: str) -> bool:
        """Ask a worker to give a job up. False: that worker is not here, or does not have it."""
        worker = self.roster.get(worker_id)
        if worker is None or (id, lease) not in worker.taken:
            return False
        worker.stop([Stop(id, lease, "cancelled")])
        return True

    def forget_silent(self, now: int) -> None:
        """Polling workers that have not been heard of for a lease count no more as serving, those that were
        not for long leave the roster; their leases end by themselves.
        """
        for worker in self.roster.fallen_silent(now, self.rules.lease):
            if worker.id not in self.roster:
                self._joined(worker, "worker_left")
            self._dispatch.wake(worker.queues)

    def answer_fetches(self, worker_id: str | None = None) -> None:
        """Answer waiting fetches, of one worker or of all, with what they have: nothing more will come."""
        for got, whose in self._fetches.items():
            if not got.done() and worker_id in (None, whose):
                got.set_result(None)

    def leaving(self, worker_id: str) -> None:
        """A polling worker takes no more jobs."""
        if (worker := self.roster.get(worker_id)) is not None and worker.transport == "poll":
            self.draining(worker)
            self.answer_fetches(worker_id)

    def beaten(self, worker_id: str) -> bool:
        """Whether a polling worker was asked to drain."""
        worker = self.roster.get(worker_id)
        return worker is not None and worker.draining

    def _started(self, worker: str, jobs: list[Claimed]) -> None:
        now = self._clock.now()
        self.meter.started(jobs, now)
        self._bus.started(jobs)
        events = self._bus.events
        if events.active:
            events.publish(started(worker, jobs, now))

    def _publish(
        self, event: str, worker: Worker | None, news: Sequence[tuple[str, int, int, dict[str, Any]]]
    ) -> None:
        """Events of running jobs, as (id, lease, at, detail)."""
        taken = {} if worker is None else worker.taken
        nowhere = (None, None, None)
        self._bus.events.publish(
            Event(
                event=event, at=at, id=id, queue=queue, type=type, state="running", lease=lease, detail=detail
            )
            for id, lease, at, detail in news
            for queue, type, _ in [taken.get((id, lease), nowhere)]
        )

    def _joined(self, worker: Worker, event: str) -> None:
        events = self._bus.events
        if events.active:
            detail = {
                "worker": worker.id,
                "name": worker.name,
                "queues": worker.queues,
                "slots": worker.slots,
            }
            events.publish([Event(event=event, at=self._clock.now(), detail=detail)])

    def _told(self, outcomes: Sequence[Outcome], applied: Sequence[Applied]) -> None:
        pending = set()
        for outcome, one in zip(outcomes, applied, strict=True):
            if one.state is None:
                continue
            if one.state in ENDED:
                self.meter.finish(one.queue, one.type, one.state)
            else:
                self.meter.requeue(one.queue, one.type, outcome.end)
            if one.state is State.PENDING and one.queue is not None:
                pending.add(one.queue)
            elif one.state is State.SCHEDULED and outcome.run_at is not None:
                self.due(outcome.run_at)
        self._bus.tell(applied)
        if self._bus.events.active:
            self._bus.events.publish(told(outcomes, applied, self._clock.now()))
        if pending:
            self._dispatch.wake(pending)
            self.others.wake(pending)
