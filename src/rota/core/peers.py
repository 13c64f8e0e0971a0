"""The other servers on the same store: who is there, what they are told, and what they tell.

Every server says what it is and who works for it in a note, each second and when something has changed, and
reads those of the others. Who was not heard of for :data:`SILENT` seconds, as far as this server could look,
is lost: its own workers were inside of it, so their jobs go on to others at once. Two who do that do no harm,
because jobs are taken back under their leases.

All that servers tell each other (:mod:`rota.core.news`) only makes things quicker. Whatever gets lost is
found out by looking, within a second or a few.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from rota.core import drains, moving, news, servers, upkeep
from rota.core.lookout import Lookout
from rota.core.others import Others
from rota.core.relay import PAUSE, Relay
from rota.core.reports import Rules
from rota.core.servers import NOTES, Counted, Remote, ServerNote
from rota.core.service import Service
from rota.core.store_clock import StoreClock
from rota.core.worker import Worker
from rota.engines.base import Engine
from rota.model.clock import SECOND
from rota.model.errors import RotaError, StoreError
from rota.model.job import Change, Note
from rota.model.spec import Limits

log = logging.getLogger("rota.peers")

SILENT = 4.0
"""Seconds without a new note after which a server is lost."""
FORGET = 60.0
"""Seconds after which the note of a lost one is removed."""
LOOK, TELL, CHANGED = 0.5, 1.0, 0.2
"""Seconds between two looks at the notes, between two notes, and before one about something that changed."""
MARKS = 1.0
"""Seconds between two looks at what nobody may have told us of."""
_UNSEEN = 1.5
"""Seconds without a look after which nobody's silence means anything."""


async def join(
    engine: Engine, rules: Rules, limits: Limits, url: str | None = None, version: str = ""
) -> tuple[Service, Peers | None]:
    """The service over a store, with what the store remembers; where others may be on it, as one of them.

    ``url``: where it is reached, ``version``: what it is. Raises StoreError.
    """
    clock = None
    if engine.shared:
        clock = StoreClock(engine.time)
        await clock.measure()
    service = Service(engine, clock=clock, rules=rules, limits=limits)
    await service.load()
    if not engine.shared:
        await upkeep.rescue_inside(service)
        return service, None
    peers = Peers(service, url, version)
    await peers.load()
    return service, peers


class Peers(Others):
    """What the service knows and says of its like. :meth:`load` before serving, then :meth:`run`, and
    :meth:`leave` at the end.
    """

    def __init__(self, service: Service, url: str | None = None, version: str = "") -> None:
        """``url``: where the server is reached, ``version``: what it is; both for people."""
        self._service = service
        self._engine = service.engine
        self._note = servers.new(service.id, url, version, service.clock.now())
        self._live: dict[str, ServerNote] = {}
        self._bodies: dict[str, bytes | None] = {}
        self._beats: dict[str, tuple[int, float]] = {}
        self._looked_at = 0.0
        self._wants: dict[str, news.Here] = {}
        self._counted: dict[tuple[str, str], tuple[int, float]] = {}
        self._shape: object = None
        self._look_now = asyncio.Event()
        self._queues: set[str] = set()
        self._messages: list[news.News] = []
        self._relay_due = False
        self._speaking: asyncio.Task[None] | None = None
        self.relay = Relay(service.id, service.bus, service.clock, self._tell_soon)
        self._lookout = Lookout(self._engine, service.bus)
        service.others = service.workers.others = self
        service.dispatch.tell_others = self.wake

    @property
    def servers(self) -> list[ServerNote]:
        """This one and all others that are there."""
        return [self._note, *self._live.values()]

    @property
    def alone(self) -> bool:
        return not self._live

    async def load(self) -> None:
        """See who is there, and be there. Takes back what belongs to nobody any more. Raises StoreError."""
        now = self._service.clock.now()
        await self.look()
        others = [one for one in self._live.values() if now - one.seen < SILENT * SECOND]
        await self._save()
        await upkeep.rescue_inside(self._service, frozenset(self._live), others=bool(others))
        if self._live:
            self._say(self._here())

    async def run(self) -> None:
        """Everything that goes on, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if isinstance(self._service.clock, StoreClock):
                group.create_task(self._service.clock.run())
            for step in (self._hear, self._tell, self._keep_looking, self._look_at_marks, self._lookout.run):
                group.create_task(_always(step))

    async def leave(self) -> None:
        """This server stops: nobody has to wait for it."""
        with contextlib.suppress(StoreError):
            await self._engine.save([Note(NOTES, self._note.id, None)])
            if self._live:
                self._say(news.Gone(self._note.id))
                await self._spoken()

    # what others are told

    def wake(self, queues: Iterable[str]) -> None:
        if self._live:
            elsewhere = self._service.workers.roster.worked_elsewhere
            if more := elsewhere.intersection(queues):
                self._queues |= more
                self._speak()

    def stop(self, jobs: Sequence[tuple[str, int, str]]) -> None:
        self._say(news.Stops(list(jobs)))

    async def left_by(self, worker: Worker) -> list[tuple[str, int]]:
        if self.alone:
            return list(worker.taken)
        return await moving.left_by(self._service, worker)

    def marked(self) -> None:
        self._say(news.Paused())

    async def drain(self, worker: str) -> bool:
        if worker not in self._service.workers.roster.elsewhere:
            return False
        await drains.ask(self._service, worker)
        self._say(news.Drains())
        return True

    async def heard(self) -> None:
        if self._live and self._shape != self._shaped():
            self._say(self._here())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._spoken()

    def figures(self) -> list[Counted]:
        return [one.counted for one in self._live.values()]

    def mean_run(self, queue: str, type: str) -> tuple[int, float]:
        return self._counted.get((queue, type), (0, 0.0))

    def _tell_soon(self) -> None:
        """What happened is told when a little more has come together."""
        if not self._relay_due:
            self._relay_due = True
            asyncio.get_running_loop().call_later(PAUSE, self._speak)

    def _say(self, message: news.News) -> None:
        if self._live:
            self._messages.append(message)
            self._speak()

    def _speak(self) -> None:
        if self._speaking is None:
            self._speaking = asyncio.get_running_loop().create_task(self._announce())

    async def _announce(self) -> None:
        """One announcement after the other; what comes meanwhile goes together."""
        try:
            while True:
                queues, self._queues = self._queues, set()
                messages, self._messages = self._messages, []
                if self._relay_due:
                    self._relay_due = False
                    messages += self.relay.stories()
                if not queues and not messages:
                    return
                try:
                    await self._engine.announce(sorted(queues), [news.pack(one) for one in messages])
                except StoreError as error:
                    if any(isinstance(one, news.Story) for one in messages):
                        self.relay.failed()
                    log.debug("others were not told", extra={"detail": error.detail})
        finally:
            self._speaking = None

    async def _spoken(self) -> None:
        while self._speaking is not None:
            await asyncio.wait([self._speaking])

    def _here(self) -> news.Here:
        listens, follows = self._own_wants()
        return news.Here(self._note.id, self._note.beat, listens, follows)

    def _own_wants(self) -> tuple[bool, tuple[str, ...]]:
        bus = self._service.bus
        return bus.events.listened, tuple(sorted(bus.followers))

    # what they tell

    async def _hear(self) -> None:
        async for change in self._engine.changes():
            await self._heard(change)

    async def _heard(self, change: Change) -> None:
        if change.queues:
            self._service.dispatch.wake(change.queues)
        for body in change.news:
            try:
                match news.unpack(body):
                    case news.Here() as here:
                        self._want(here)
                        self._wanted()
                        self._look_now.set()
                    case news.Gone():
                        self._look_now.set()
                    case news.Paused():
                        await self._service.read_paused()
                    case news.Drains():
                        await drains.look(self._service)
                    case news.Stops(jobs):
                        for one in jobs:
                            self._service.workers.stop_here(*one)
                    case news.Story() as story:
                        self.relay.hear(story)
            except StoreError as error:
                log.debug("the store was asked in vain", extra={"detail": error.detail})

    def _want(self, here: news.Here) -> None:
        known = self._wants.get(here.server)
        if known is None or here.beat >= known.beat:
            self._wants[here.server] = here

    def _wanted(self) -> None:
        wants = [want for server, want in self._wants.items() if server in self._live]
        follows = {type for want in wants for type in want.follows}
        self.relay.wanted(any(want.listens for want in wants), follows)

    # who is there

    async def _tell(self) -> None:
        """Say what is new here, and that we are there."""
        loop = asyncio.get_running_loop()
        due = loop.time() + TELL
        while True:
            await asyncio.sleep(CHANGED)
            shape = self._shaped()
            if shape != self._shape or loop.time() >= due:
                due = loop.time() + TELL
                changed = shape != self._shape
                await self._save()
                if changed:
                    self._say(self._here())

    def _shaped(self) -> object:
        """What others should know soon when it changes."""
        service = self._service
        workers = [
            (one.id, one.queues, one.types, one.except_types, one.slots, one.working, one.stand_in)
            for one in service.workers.roster.values()
        ]
        return service.dispatch.stopped, self._own_wants(), workers

    async def _save(self) -> None:
        self._shape = self._shaped()
        service, note = self._service, self._note
        room = servers.MOST_HELD
        workers = []
        for one in service.workers.roster.values():
            workers.append(servers.told(one, room))
            room -= len(workers[-1].held)
        note.beat += 1
        note.seen = service.clock.now()
        note.stopped = service.dispatch.stopped
        note.listens, note.follows = self._own_wants()
        note.counted = drains.counted(service)
        note.workers = workers
        await self._engine.save([Note(NOTES, note.id, servers.pack(note))])

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._look_now.wait()
            self._look_now.clear()
            for gone in await self.look():
                await upkeep.take_back(self._service, gone)

    async def _look_at_marks(self) -> None:
        """Queues that were paused, workers that shall drain."""
        while True:
            await asyncio.sleep(MARKS)
            await self._service.read_paused()
            await drains.look(self._service)
            if self._live:
                await moving.look(self._service)

    async def look(self) -> list[str]:
        """Read all notes; answers the servers that are gone since. Raises StoreError."""
        notes = await self._engine.notes(NOTES)
        now = asyncio.get_running_loop().time()
        if now - self._looked_at > _UNSEEN:
            # While we could not look, others may have been unable to write.
            self._beats = {id: (beat, now) for id, (beat, _) in self._beats.items()}
        self._looked_at = now
        bodies = {note.key: note.body for note in notes if note.key != self._note.id}
        live: dict[str, ServerNote] = {}
        forgotten: list[Note] = []
        for id, body in bodies.items():
            known = self._live.get(id) if self._bodies.get(id) == body else None
            note = known or servers.unpack(body)
            if note is None:
                continue
            beat, since = self._beats.get(id, (-1, now))
            if note.beat != beat:
                since = now
            self._beats[id] = (note.beat, since)
            if servers.dead(note) or now - since > FORGET:
                forgotten.append(Note(NOTES, id, None))
            elif now - since < SILENT:
                live[id] = note
        gone = [id for id in self._live if id not in live]
        changed = gone or any(self._live.get(id) is not note for id, note in live.items())
        self._live, self._bodies = live, bodies
        for id in [id for id in self._beats if id not in bodies]:
            del self._beats[id]
        if forgotten:
            await self._engine.save(forgotten)
            # Also of one that was gone before we came.
            gone = list({*gone, *(note.key for note in forgotten)})
        for id in gone:
            if id in bodies:
                log.warning("server lost", extra={"server": id})
            self._wants.pop(id, None)
            self.relay.forget(id)
        if changed:
            self._changed()
        return gone

    def _changed(self) -> None:
        service = self._service
        for id, note in self._live.items():
            known = self._wants.get(id)
            if known is None or note.beat > known.beat:
                # What it said itself is newer than a note with that number.
                self._want(news.Here(id, note.beat, note.listens, note.follows))
        self._wanted()
        self.relay.alone = self._lookout.alone = not self._live
        service.series.others = bool(self._live)
        counted: dict[tuple[str, str], tuple[int, float]] = {}
        for note in self._live.values():
            for queue, type, runs, seconds in note.counted.runs:
                before = counted.get((queue, type), (0, 0.0))
                counted[queue, type] = (before[0] + runs, before[1] + seconds)
        self._counted = counted
        remote = [Remote(note, one) for note in self._live.values() for one in note.workers]
        queues = service.workers.roster.set_elsewhere(remote)
        if queues:
            # Stand-ins may have to take over here; who came there may have missed what waits.
            service.dispatch.wake(queues)
            self.wake(queues)


async def _always(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await step()
        except RotaError as error:
            log.debug("the store was asked in vain", extra={"detail": error.detail, "code": error.code})
        except Exception:
            log.exception("a step of the servers' talk failed")
        await asyncio.sleep(0.5)
