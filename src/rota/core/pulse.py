"""How everything is, in one small picture: made once a second for all who watch, never for each of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from rota.model.clock import SECOND
from rota.model.job import State

if TYPE_CHECKING:
    from rota.core.service import Service

MAX_QUEUES = 200
"""Queues that a pulse tells one by one: the fullest."""
MAX_CHANGED = 50
"""Queues that it names as changed."""
BEAT, QUIET = 1.0, 5.0
"""Seconds between two pulses, and between two when nothing changes."""
WINDOW = 5.0
"""Seconds over which rates are taken."""
RATES = ("enqueued", "started", "done", "failed")
_KEPT = 60
"""Pulses for whose changes a slow reader may ask; beyond that everything counts as changed."""


class PulseQueue(msgspec.Struct, frozen=True):
    """A queue in short. ``oldest_age`` in seconds, None when nothing is pending."""

    name: str
    paused: bool
    pending: int
    scheduled: int
    running: int
    failed: int
    oldest_age: float | None


class PulseWorkers(msgspec.Struct, frozen=True):
    """All workers of all servers, ``inside`` of them part of a server; ``running``: jobs in their hands."""

    connected: int
    inside: int
    draining: int
    slots: int
    running: int


class Changed(msgspec.Struct, frozen=True):
    """What is worth reading again since the pulse before: jobs at all, these queues (at most
    :data:`MAX_CHANGED`), who works, and what failed.
    """

    jobs: bool
    queues: Sequence[str]
    workers: bool
    failures: bool

    def __bool__(self) -> bool:
        return self.jobs or bool(self.queues) or self.workers or self.failures

    def __or__(self, other: Changed) -> Changed:
        queues = list(dict.fromkeys((*self.queues, *other.queues)))[:MAX_CHANGED]
        return Changed(
            self.jobs or other.jobs,
            queues,
            self.workers or other.workers,
            self.failures or other.failures,
        )


class Pulse(msgspec.Struct, frozen=True):
    """The store and its servers at a time (microseconds). ``rates``: what happened per second in the last
    :data:`WINDOW`. ``queues``: the fullest, fullest first; ``queues_more``: how many were left out.
    ``watchers``: how many this server tells; the more there are, the less often each should ask for more.
    """

    at: int
    jobs: Mapping[State, int]
    rates: Mapping[str, float]
    queues: Sequence[PulseQueue]
    queues_more: int
    workers: PulseWorkers
    watchers: int
    changed: Changed


class _Seen(msgspec.Struct):
    """What two pulses are compared by; ``queues``: everything that is known of each."""

    totals: Mapping[str, int]
    queues: Mapping[str, object]
    workers: object
    failed: int


class Pulses:
    """Makes them. :meth:`beat` is called again and again for as long as the server runs; who watches enters
    with :meth:`watch`.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._watchers = 0
        self.wanted = asyncio.Event()
        """Set when the first one begins to watch."""
        self._told = asyncio.Event()
        self._recent: deque[Pulse] = deque(maxlen=_KEPT)
        self._number = 0
        """How many were told."""
        self._told_at = 0.0
        self.changed_at = 0.0
        """When something was told to have changed (steady clock): what was read before is out of date."""
        self._seen: _Seen | None = None
        # To begin with this server had counted nothing, and of others nothing was known.
        self._samples: deque[tuple[float, dict[str, dict[str, int]]]] = deque(
            [(time.monotonic(), {service.id: {}})]
        )
        self._making: asyncio.Task[tuple[Pulse, _Seen]] | None = None

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return self._watchers > 0

    async def beat(self) -> None:
        """A second of the server: at its end everybody who watches is told. Raises StoreError."""
        await asyncio.sleep(BEAT)
        self._sample()
        if not self.watched:
            self._seen = None
            return
        pulse, seen = await self._make()
        before, self._seen = self._seen, seen
        changed = _everything(pulse) if before is None else _changed(before, seen)
        # What nothing adds to any more goes down to nothing, second by second.
        slower = bool(self._recent) and pulse.rates != self._recent[-1].rates
        if changed or slower or time.monotonic() - self._told_at >= QUIET:
            self._told_at = time.monotonic()
            if changed:
                self.changed_at = self._told_at
            self._number += 1
            self._recent.append(msgspec.structs.replace(pulse, changed=changed))
            told, self._told = self._told, asyncio.Event()
            told.set()

    async def now(self) -> Pulse:
        """One for somebody who knows nothing yet. Raises StoreError."""
        pulse, seen = await self._make()
        if self._seen is None:
            self._seen, self._told_at = seen, time.monotonic()
        return pulse

    def watch(self) -> Watcher:
        """A context manager; pulses from then on."""
        return Watcher(self)

    async def _make(self) -> tuple[Pulse, _Seen]:
        # Those who come together get the same one.
        if self._making is None:
            self._making = asyncio.ensure_future(self._read())
            self._making.add_done_callback(self._made)
        return await asyncio.shield(self._making)

    def _made(self, making: asyncio.Task[tuple[Pulse, _Seen]]) -> None:
        self._making = None
        if not making.cancelled():
            # Should all who waited for it have gone, nobody needs to hear of its failure.
            making.exception()

    async def _read(self) -> tuple[Pulse, _Seen]:
        service = self._service
        now = service.clock.now()
        counts: dict[str, Counter[State]] = {}
        jobs = dict.fromkeys(State, 0)
        for row in await service.engine.count():
            counts.setdefault(row.queue, Counter())[row.state] += row.jobs
            jobs[row.state] += row.jobs
        roster, paused = service.workers.roster.everybody(), service.dispatch.paused
        served = {queue for worker in roster for queue in worker.queues}
        names = sorted({*counts, *paused, *served})
        nothing: Counter[State] = Counter()
        names.sort(key=lambda name: -_live(counts.get(name, nothing)))
        shown = names[:MAX_QUEUES]
        oldest = await service.engine.oldest([name for name in shown if name in counts])
        queues = [
            PulseQueue(
                name,
                name in paused,
                here[State.PENDING],
                here[State.SCHEDULED],
                here[State.RUNNING],
                here[State.FAILED],
                max(0.0, (now - oldest[name]) / SECOND) if name in oldest else None,
            )
            for name in shown
            for here in (counts.get(name, nothing),)
        ]
        workers = PulseWorkers(
            len(roster),
            sum(worker.transport == "inside" for worker in roster),
            sum(worker.draining for worker in roster),
            sum(worker.slots for worker in roster),
            sum(worker.in_hand for worker in roster),
        )
        meter = service.workers.meter
        moves = Counter(dict.fromkeys(names, 0))
        for (queue, _), number in meter.enqueued.items():
            moves[queue] += number
        for (queue, _, _), number in meter.requeued.items():
            moves[queue] += number
        seen = _Seen(
            _sum(self._totals()),
            {name: (counts.get(name), name in paused, moves[name]) for name in names},
            sorted((one.id, one.draining, one.silent, one.slots, one.queues) for one in roster),
            jobs[State.FAILED],
        )
        more = len(names) - len(shown)
        pulse = Pulse(now, jobs, self._rates(), queues, more, workers, self._watchers, _NOTHING)
        return msgspec.structs.replace(pulse, changed=_everything(pulse)), seen

    def _totals(self) -> dict[str, dict[str, int]]:
        """What every server has counted since it started, by its id."""
        service = self._service
        ended = service.workers.meter.totals()
        own = {
            "enqueued": service.workers.meter.enqueued.total(),
            "started": service.dispatch.started,
            "requeued": service.workers.meter.requeued.total(),
            **{str(state): number for state, number in ended.items()},
        }
        totals = {service.id: own}
        for note in service.others.servers:
            if note.id != service.id:
                one = note.counted
                totals[note.id] = {
                    "enqueued": one.enqueued,
                    "started": one.started,
                    "requeued": one.requeued,
                    **{str(state): number for state, number in one.finished.items()},
                }
        return totals

    def _sample(self) -> None:
        now = time.monotonic()
        self._samples.append((now, self._totals()))
        while len(self._samples) > 1 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    def _rates(self) -> dict[str, float]:
        since, before = self._samples[0]
        # A server that has just come has not had a whole window; in what is missing of it nothing happened.
        seconds = max(WINDOW, time.monotonic() - since)
        rates = dict.fromkeys(RATES, 0.0)
        for server, totals in self._totals().items():
            # Of one that has just come it is not known when it counted what it has.
            known = before.get(server, totals)
            for name in RATES:
                rates[name] += max(0, totals.get(name, 0) - known.get(name, 0)) / seconds
        return {name: round(rate, 3) for name, rate in rates.items()}

    def _since(self, number: int) -> Pulse:
        """The latest one, with everything that changed after that many were told."""
        latest = self._recent[-1]
        missed = self._number - number - 1
        if missed >= len(self._recent):
            return msgspec.structs.replace(latest, changed=_everything(latest))
        changed = latest.changed
        for one in list(self._recent)[len(self._recent) - 1 - missed : -1]:
            changed |= one.changed
        # Who has missed none gets the very same object as all others, which is put into words once.
        return latest if not missed else msgspec.structs.replace(latest, changed=changed)


class Watcher:
    """Somebody who watches. Whoever is slow gets fewer pulses, and misses no change."""

    def __init__(self, pulses: Pulses) -> None:
        self._pulses = pulses
        self._number = pulses._number

    def __enter__(self) -> Watcher:
        self._pulses._watchers += 1
        self._pulses.wanted.set()
        return self

    def __exit__(self, *_: object) -> None:
        self._pulses._watchers -= 1

    async def next(self) -> Pulse:
        """The next one that this watcher did not get."""
        pulses = self._pulses
        while pulses._number == self._number:
            await pulses._told.wait()
        pulse = pulses._since(self._number)
        self._number = pulses._number
        return pulse


def _live(counts: Mapping[State, int]) -> int:
    return counts.get(State.PENDING, 0) + counts.get(State.RUNNING, 0) + counts.get(State.SCHEDULED, 0)


def _sum(totals: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in totals.values():
        total.update(one)
    return total


def _changed(before: _Seen, after: _Seen) -> Changed:
    names = {**before.queues, **after.queues}
    queues = [name for name in names if before.queues.get(name) != after.queues.get(name)]
    return Changed(
        bool(queues) or before.totals != after.totals,
        queues[:MAX_CHANGED],
        before.workers != after.workers,
        before.failed != after.failed or before.totals.get("failed") != after.totals.get("failed"),
    )


def _everything(pulse: Pulse) -> Changed:
    return Changed(True, [queue.name for queue in pulse.queues[:MAX_CHANGED]], True, True)


_NOTHING = Changed(False, (), False, False)
