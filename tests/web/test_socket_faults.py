"""The worker socket and those who do not keep to the protocol."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame

from rota.core.service import Service
from rota.model.spec import JobSpec
from rota.web.frames import Frames
from rota.web.live import Bounds, WorkerSocket
from tests.core.kit import asked
from tests.web.kit import NOBODY, Json, Site, lease, serving, until

HELLO = {"op": "hello", "worker": "w1", "queues": ["default"], "slots": 1}


async def test_no_hello_in_time(store: str) -> None:
    def impatient(service: Service) -> WorkerSocket:
        return WorkerSocket(service, Bounds(hello_seconds=0.1))

    async with serving(store, application=impatient) as site, site.socket() as worker:
        assert await worker.closed() == 4401
        [frame] = worker.frames
        assert (frame["op"], frame["code"]) == ("error", "no_hello")
        assert "within 0.1 seconds" in frame["detail"]


async def test_after_the_hello_there_is_no_hurry(store: str) -> None:
    def impatient(service: Service) -> WorkerSocket:
        return WorkerSocket(service, Bounds(hello_seconds=0.1))

    async with serving(store, application=impatient) as site, site.worker() as worker:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.connection.recv(), 0.25)
        assert "w1" in site.service.workers.roster


@pytest.mark.parametrize(
    "frame",
    [
        {"op": "finish", "outcomes": []},
        {"op": "beat"},
        {"op": "log", "lines": []},
        {"op": "drain"},
    ],
)
async def test_the_first_frame_is_a_hello(site: Site, frame: Json) -> None:
    async with site.socket() as worker:
        await worker.send_raw(json.dumps(frame))
        assert await worker.closed() == 1008
        assert [(one["code"], one["field"]) for one in worker.frames] == [("no_hello", "op")]


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"worker": ""}, "invalid_worker", "worker"),
        ({"worker": "a\u0007b"}, "invalid_worker", "worker"),
        ({"worker": None}, "wrong_type", "worker"),
        ({"queues": []}, "invalid_queues", "queues"),
        ({"queues": ["a b"]}, "invalid_queues", "queues"),
        ({"queues": "default"}, "wrong_type", "queues"),
        ({"slots": 0}, "invalid_slots", "slots"),
        ({"slots": 10_001}, "invalid_slots", "slots"),
        ({"slots": 1.5}, "wrong_type", "slots"),
        ({"slotz": 1}, "unknown_field", "slotz"),
        ({"held": [{"id": NOBODY}]}, "missing_field", "held[0].lease"),
    ],
)
async def test_a_faulty_hello_is_told_why_and_closed(site: Site, change: Json, code: str, field: str) -> None:
    async with site.socket() as worker:
        await worker.send_raw(json.dumps(HELLO | change))
        assert await worker.closed() == 1008
        assert [(one["op"], one["code"], one["field"]) for one in worker.frames] == [("error", code, field)]
        assert worker.frames[0]["detail"]
    assert site.service.workers.roster == {}


async def test_a_second_hello_is_refused_and_changes_nothing(site: Site) -> None:
    async with site.worker("w1") as worker:
        await worker.send_raw(json.dumps(HELLO | {"worker": "w2", "slots": 99}))
        refusal = await worker.refused()
        assert (refusal["code"], refusal["field"]) == ("second_hello", "op")
        assert [one["worker"] for one in (await site.get("/v1/workers"))["workers"]] == ["w1"]
        await site.enqueue()
        assert (await worker.done(await worker.job()))["applied"] is True


FAULTS: list[tuple[str | bytes, str, str | None]] = [
    ("", "invalid_json", None),
    ("hello", "invalid_json", None),
    ("{", "invalid_json", None),
    (b'{"op": "beat"}', "invalid_json", None),
    ("[]", "wrong_type", None),
    ("{}", "missing_field", "op"),
    ('{"op": "dance"}', "wrong_type", "op"),
    ('{"op": 5}', "wrong_type", "op"),
    ('{"op": "beat", "leases": [], "sleases": []}', "unknown_field", "sleases"),
    ('{"op": "finish"}', "missing_field", "outcomes"),
    (
        '{"op": "finish", "outcomes": [{"id": "x", "lease": 1, "end": "vanished"}]}',
        "wrong_type",
        "outcomes[0].end",
    ),
    ('{"op": "log", "lines": [{"id": "x", "text": "\\u0000"}]}', "nul_character", "lines[0].text"),
    ('{"op": "log", "lines": [{"id": "x", "text": "\\ud800"}]}', "invalid_unicode", "lines[0].text"),
    ('{"op": "finish", "outcomes": [{"id": "x", "lease": 1, "result": ' + "[" * 100_000, "too_deep", None),
    ('{"op": "log", "lines": [{"id": "x", "text": "a", "level": "loud"}]}', "invalid_level", "level"),
    ('{"op": "beat", "progress": [{"id": "x", "lease": 1, "value": 2}]}', "invalid_progress", "value"),
]


@pytest.mark.parametrize(("frame", "code", "field"), FAULTS)
async def test_a_faulty_frame_is_answered_and_the_connection_stays(
    site: Site, frame: str | bytes, code: str, field: str | None
) -> None:
    await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        await worker.send_raw(frame)
        refusal = await worker.refused()
        assert (refusal["code"], refusal.get("field")) == (code, field), refusal
        assert refusal["detail"]
        assert (await worker.done(job))["applied"] is True


async def test_ten_faults_close_the_connection(site: Site) -> None:
    await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        for _ in range(9):
            await worker.send_raw("nonsense")
            assert (await worker.refused())["code"] == "invalid_json"
        assert (await worker.done(job))["applied"] is True, "good frames in between are taken"
        await worker.send_raw("nonsense")
        assert await worker.closed() == 1008
        assert worker.frames[-1]["code"] == "invalid_json"
    await until(lambda: not site.service.workers.roster)


async def test_frames_that_are_too_large_close_the_connection(site: Site) -> None:
    async with site.worker() as worker:
        with suppress(ConnectionClosed):
            await worker.send_raw('{"op": "log", "lines": [], "x": "' + "x" * (16 * 1024 * 1024) + '"}')
        assert await worker.closed() == 1009
    await until(lambda: not site.service.workers.roster)


async def test_large_frames_below_the_limit_are_taken(site: Site) -> None:
    id = await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        answer = await worker.done(job, result="x" * 1_000_000)
        assert answer["state"] == "done"
        await site.enqueue(max_attempts=5)
        answer = await worker.done(await worker.job(), result="x" * 2_000_000)
        assert (answer["applied"], answer["state"]) == (True, "failed"), "over the limit of results"
    assert len((await site.job(id))["result"]) == 1_000_000


async def test_text_that_is_no_utf8_closes_the_connection(site: Site) -> None:
    async with site.worker() as worker:
        await worker.connection.send(b'{"op": "\xff"}', text=True)
        assert await worker.closed() == 1007


async def test_a_worker_that_never_reads_is_dropped(store: str) -> None:
    """Its answers pile up; the server keeps a bounded number of them, then lets go of it and of its jobs."""

    def strict(service: Service) -> WorkerSocket:
        return WorkerSocket(service, Bounds(max_waiting=20))

    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    async with serving(store, application=strict) as site:
        small.connect(("127.0.0.1", site.port))
        [request] = [asked(site.service, JobSpec(type="work"))]
        [kept] = await site.service.enqueue(request)
        async with site.socket(sock=small) as deaf:
            await deaf.hello("deaf")
            await deaf.job()
            deaf.connection.transport.pause_reading()
            unknown = [{"id": NOBODY, "lease": 1, "end": "done"}] * 200
            report = json.dumps({"op": "finish", "outcomes": unknown})

            async def talk() -> None:
                while True:
                    await deaf.connection.send(report)

            talking = asyncio.ensure_future(talk())
            await until(lambda: "deaf" not in site.service.workers.roster, "the end of it")
            talking.cancel()
            deaf.connection.transport.abort()
            await asyncio.wait([talking])
        job = await site.service.job(kept.id)
        assert job.lease_until is not None
        assert job.lease_until - site.service.clock.now() <= site.service.rules.socket_grace


async def test_a_peer_that_vanishes_behind_its_report(site: Site) -> None:
    """What was received counts, although nobody hears the answer."""
    id = await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        await worker.send("finish", outcomes=[{**lease(job), "end": "done"}])
        await worker.connection.close()
    await until(lambda: not site.service.workers.roster)
    assert await site.state(id) == "done"


async def test_a_server_that_stops_while_a_peer_says_goodbye(site: Site, monkeypatch: Any) -> None:
    """Both in the same moment of the loop: the goodbye is read, and the connection is not over yet."""
    heard = Frames.handle_close
    stopped: list[bool] = []

    def and_stop(self: Frames, event: Frame) -> None:
        heard(self, event)
        for connection in list(site.server_state.connections):
            connection.shutdown()
        stopped.append(True)

    monkeypatch.setattr(Frames, "handle_close", and_stop)
    async with site.socket() as page:
        await page.connection.close()
        await until(lambda: stopped, "a goodbye that was read to its end")
