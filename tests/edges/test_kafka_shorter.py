"""A partition that is shorter than what was read of it. Our own broker never says that a place is behind its
end, so what stands for the driver here is a log in memory, which answers as Kafka does: by beginning anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from json import loads
from pathlib import Path

from rota.core.intake import positions
from rota.core.service import Service
from rota.edges.kafka import Cluster
from rota.edges.kafka_dead import DeadLetters
from rota.edges.kafka_group import Group, Heard, Place
from rota.edges.kafka_in import Reader
from rota.edges.kafka_record import Record
from rota.engines.open import open_engine
from rota.model.job import POSITIONS, Match, Note
from tests.core.kit import until
from tests.edges.kit import source

PLACE = ("orders", 0)
NAME = "kafka/rota/topic/0"


class Log(Group):
    """``length`` records; a fetch brings two of them."""

    def __init__(self, length: int) -> None:
        super().__init__(Cluster(()), "rota", ["orders"])
        self.length = length
        self.sought: list[int | None] = []
        self._next = 0
        self._given = False
        self._flows = False

    async def open(self) -> None:
        self._given = self._flows = False

    async def poll(self, most: int) -> Heard:
        await asyncio.sleep(0)
        heard = Heard()
        if not self._given:
            self._given = True
            heard.assigned = [PLACE]
        if self._flows:
            heard.records = [
                Record(*PLACE, at, None, b"%d" % at, (), None)
                for at in range(self._next, min(self._next + 2, self.length))
            ]
            self._next += len(heard.records)
            heard.ends = {PLACE: self.length}
        return heard

    async def hold(self, place: Place, hold: bool) -> None:
        self._flows = not hold

    async def go_to(self, place: Place, offset: int | None, latest: bool) -> bool:
        self.sought.append(offset)
        self._next = offset if offset is not None and offset <= self.length else 0
        self._flows = True
        return True

    def commit(self, offsets: Mapping[Place, int | None]) -> None:
        pass

    async def ids(self, topics: Collection[str]) -> dict[str, str]:
        return {"orders": "topic"}

    async def close(self) -> None:
        pass


async def test_it_is_read_on_from_its_end(tmp_path: Path) -> None:
    engine = await open_engine(f"sqlite:///{tmp_path / 'rota.db'}")
    await engine.save([Note(POSITIONS, NAME, b"100")])
    service = Service(engine)
    reader = Reader(service, Cluster(()), [source()], lambda body: None, DeadLetters(Cluster(())))
    reader._group = log = Log(50)
    running = asyncio.ensure_future(reader.run())
    part = service.intake.stretches

    await until(lambda: [one.next for one in part.values()] == [50])
    # The broker was asked.
    assert log.sought == [100]
    assert await positions(engine, [NAME]) == {NAME: 50}
    log.length = 60
    await until(lambda: [one.next for one in part.values()] == [60])
    running.cancel()
    await asyncio.wait([running])
    page = await engine.find(Match(), 100, None)
    jobs = await engine.get([one.id for one in page.jobs])
    assert sorted(loads(job.payload) for job in jobs) == list(range(50, 60))
    await engine.close()
