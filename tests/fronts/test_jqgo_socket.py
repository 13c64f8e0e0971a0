"""``/ws/worker``, byte for byte, from the side of a worker that is written here."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from rota.config import Settings
from rota.config.fronts import Fronts
from rota.config.secret import Secret
from rota.core.reports import running_of
from rota.model import policy
from rota.model.clock import SECOND
from rota.web.frames import Frames
from tests.web.kit import PATIENCE, Site, serving, until

Json = dict[str, Any]
ACK = "ack result was recived"
PATH = "/ws/worker"


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/rota.db"


@pytest.fixture
async def site(store: str) -> AsyncIterator[Site]:
    async with old(store) as site:
        yield site


@asynccontextmanager
async def old(store: str, settings: Settings | None = None, **options: Any) -> AsyncIterator[Site]:
    """A server whose clients want no answers of /v1."""
    async with serving(store, settings, **options) as site:
        site.http.event_hooks = {}
        yield site


class Worker:
    """Reads one message at a time."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def read(self) -> str | bytes:
        return await asyncio.wait_for(self.connection.recv(), PATIENCE)

    async def job(self) -> Json:
        text = await self.read()
        assert isinstance(text, str), "jobs are text"
        assert text.endswith("}\n")
        job: Json = json.loads(text)
        return job

    async def say(self, message: object) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def answer(self, job: Json, text: str = "ok", success: bool = True) -> None:
        """Send a result and read that it was acknowledged."""
        result = {"job": job, "result": text, "duration": 12, "success": success}
        await self.say({"RespType": "result", "Res": result})
        assert await self.read() == ACK

    async def nothing_came(self) -> None:
        """A message that is acknowledged and changes nothing: what came before it was read before."""
        await self.say("{}")
        assert await self.read() == ACK


@asynccontextmanager
async def worker(site: Site, **options: Any) -> AsyncIterator[Worker]:
    """One that has been greeted."""
    url = f"ws://127.0.0.1:{site.port}{PATH}"
    async with connect(url, proxy=None, **options) as connection:
        one = Worker(connection)
        assert await one.read() == "connected to server"
        assert connection.subprotocol is None
        yield one


async def post(site: Site, **job: Any) -> str:
    answer = await site.http.post("/job", json=job)
    assert answer.status_code == 202
    return str(answer.json()["id"])


async def results(site: Site) -> list[Json]:
    rows: list[Json] | None = (await site.http.get("/completedJobs")).json()["jobs"]
    return rows or []


async def waiting(site: Site) -> list[str]:
    return [row["id"] for row in (await site.http.get("/status")).json()["jobs"]]


async def test_a_worker_gets_a_job_and_its_result_is_kept(site: Site) -> None:
    async with worker(site) as one:
        id = await post(site, type="sleep", duration=3, input="x<y", attempts=1)
        given = await one.read()
        assert given == f'{{"id":"{id}","type":"sleep","duration":3,"input":"x<y","attempts":1}}\n'
        assert await waiting(site) == []
        assert await results(site) == []
        assert await site.state(id) == "running"
        await one.answer(json.loads(given), "Slept für 3 seconds\n")
        [row] = await results(site)
        job = {"id": id, "type": "sleep", "duration": 3, "input": "x<y", "attempts": 2}
        said = {"result": "Slept für 3 seconds\n", "duration": 12}
        assert row == {"job": job, **said, "success": True}
        assert (await site.job(id))["result"] == said


async def test_one_job_at_a_time_and_the_acknowledgement_before_the_next(site: Site) -> None:
    ids = [await post(site, type="hash", input=str(number)) for number in range(4)]
    async with worker(site) as one:
        for id in ids:
            job = await one.job()
            assert job["id"] == id
            await one.nothing_came()
            await one.answer(job)
    assert [row["job"]["id"] for row in await results(site)] == ids


async def test_a_result_is_acknowledged_before_the_next_job_also_when_its_report_takes_longer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await post(site, type="hash") for _ in range(2)]
    finish = site.service.workers.finish

    async def slowly(*reported: Any) -> Any:
        answers = await finish(*reported)
        [known] = site.service.workers.roster.values()
        await until(lambda: known.taken, "the next job")
        await site.quiet()
        return answers

    monkeypatch.setattr(site.service.workers, "finish", slowly)
    async with worker(site) as one:
        await one.answer(await one.job())
        assert (await one.job())["id"] == ids[1]


GARBAGE: list[str | bytes] = [
    "",
    "hello",
    b"\x00\xff",
    "[]",
    '"text"',
    "5",
    "true",
    '{"Res":5}',
    '{"Res":[]}',
    '{"RespType":5}',
    '{"Res":{"job":"x"}}',
    '{"Res":{"job":{"id":5}}}',
    '{"Res":{"job":{"attempts":"1"}}}',
    '{"Res":{"job":{"duration":1.5}}}',
    '{"Res":{"result":{}}}',
    '{"Res":{"result":"x","success":"true"}}',
    '{"Res":{"result":"x","success":1}}',
    '{"Res":{"duration":"12"}}',
    '{"Res":{"result":"x"',
    '{"Res":' + "[" * 100_000,
]


async def test_what_is_no_result_is_passed_over_and_the_worker_stays_busy(site: Site) -> None:
    await post(site, type="a")
    second = await post(site, type="b")
    async with worker(site) as one:
        job = await one.job()
        for message in GARBAGE:
            await one.say(message)
        await one.nothing_came()
        assert await site.state(job["id"]) == "running"
        assert await waiting(site) == [second]
        await one.answer(job)
        assert (await one.job())["id"] == second


async def test_results_of_jobs_that_it_does_not_hold_are_acknowledged_and_not_kept(site: Site) -> None:
    other = await post(site, type="hash")
    async with worker(site) as one, worker(site) as two:
        held = await one.job()
        assert held["id"] == other
        messages: list[str | Json] = [
            "{}",
            "null",
            {"Res": {}},
            {"RespType": "result", "Res": None},
            {"RespType": "result", "Res": {"job": {}, "result": "forged", "success": True}},
            {"RespType": "result", "Res": {"job": {"id": "job-1"}, "result": "forged", "success": True}},
            {"RespType": "result", "Res": {"job": {"id": other}, "result": "forged", "success": True}},
        ]
        for message in messages:
            await two.say(message)
            assert await two.read() == ACK
        assert await results(site) == []
        assert await waiting(site) == []
        assert await site.stored() == 1
        await one.answer(held, "mine")
        await one.answer(held, "again")
        [row] = await results(site)
        assert row["result"] == "mine"


async def test_names_match_in_any_case_and_frames_may_be_binary(site: Site) -> None:
    async with worker(site) as one:
        for message in (
            '{"resptype":"?","RES":{"JOB":{"ID":"%s"},"Result":"ok","SUCCESS":true,"more":[1]},"x":{}}',
            b'{"Res":{"job":{"id":"%s"},"result":"ok","success":true,"duration":null}}\n',
            '{"Res":{"job":{"id":"x","ID":"%s"},"result":"bad","Result":"ok","success":false,"Success":true}}',
        ):
            id = await post(site, type="hash")
            await one.job()
            whole = message % id if isinstance(message, str) else message % id.encode()
            await one.say(whole)
            assert await one.read() == ACK
            [row] = [row for row in await results(site) if row["job"]["id"] == id]
            assert (row["result"], row["success"]) == ("ok", True)


async def test_what_programs_print_is_kept_as_far_as_it_can_be(site: Site) -> None:
    async with worker(site) as one:
        id = await post(site, type="program_zip")
        await one.job()
        said = b'{"Res":{"job":{"id":"%b"},"result":"a\\u0000b\xffc\\ud800d","success":true}}' % id.encode()
        await one.say(said)
        assert await one.read() == ACK
        assert [row["result"] for row in await results(site)] == ["a\ufffdb\ufffdc\ufffdd"]
        await post(site, type="program_zip")
        job = await one.job()
        await one.answer(job, "x" * 2_000_000)
        row = (await results(site))[-1]
        assert row["success"] is False
        assert "at most" in row["result"]


async def test_a_long_failure_is_shown_whole(site: Site) -> None:
    async with worker(site) as one:
        for size, kept in ((200_000, 200_000), (2_000_000, 16_384)):
            id = await post(site, type="program_zip", attempts=7)
            text = "make run error: exit status 2\nOutput: " + "x" * (size - 38)
            await one.answer(await one.job(), text, False)
            await one.nothing_came()
            [row] = [row for row in await results(site) if row["job"]["id"] == id]
            assert row["result"][:kept] == text[:kept]
            assert ("were not kept" in row["result"]) == (kept < size)
            assert len(row["result"]) < kept + 100
            shown = await site.job(id)
            assert len(shown["error"]["message"]) < 17_000
            assert ("details" in shown["error"]) == (kept == size)


async def test_three_tries_each_behind_all_that_wait(site: Site) -> None:
    first = await post(site, type="program_zip", input="a")
    others = [await post(site, type="hash", input=name) for name in "bc"]
    ran = []
    async with worker(site) as one:
        for number in range(5):
            job = await one.job()
            ran.append((job["input"], job["attempts"]))
            if number == 1:
                # After its first failure it waits again, and its result is shown.
                assert await waiting(site) == [others[1], first]
                [row] = await results(site)
                assert row["job"] == {"id": first, "type": "program_zip", "input": "a", "attempts": 1}
                assert (row["result"], row["success"]) == ("no luck 0", False)
                late = await post(site, type="hash", input="d")
                assert await waiting(site) == [others[1], first, late]
                await site.http.delete(f"/v1/jobs/{late}")
            await one.answer(job, f"no luck {number}", job["input"] != "a")
        assert ran == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("a", 2)]
        await one.nothing_came()
    rows = await results(site)
    assert [row["job"]["id"] for row in rows] == [*others, first]
    assert rows[-1]["job"]["attempts"] == 3
    assert (rows[-1]["result"], rows[-1]["success"]) == ("no luck 4", False)
    job = await site.job(first)
    assert (job["state"], job["reason"], job["attempt"]) == ("failed", "attempts_used_up", 3)
    assert job["error"] == {"type": "JobFailed", "message": "no luck 4"}
    assert [one["end"] for one in job["attempts"]] == ["failed"] * 3


async def test_a_failure_that_the_client_counts_as_the_last_is_final(site: Site) -> None:
    id = await post(site, type="hash", attempts=7)
    async with worker(site) as one:
        job = await one.job()
        assert job["attempts"] == 7
        await one.answer(job, "bad", False)
        await one.nothing_came()
    [row] = await results(site)
    assert row["job"]["attempts"] == 8
    assert await site.state(id) == "failed"


def reset(connection: ClientConnection) -> None:
    """Cut it off without a word."""
    peer = connection.transport.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("attempts", [0, 7])
async def test_the_job_of_a_closed_socket_goes_to_the_next_worker(
    site: Site, how: str, attempts: int
) -> None:
    """No timers run here: nothing but the end of the connection can give the job away."""
    id = await post(site, type="program_zip", attempts=attempts)
    async with worker(site) as one:
        assert (await one.job())["id"] == id
        async with worker(site) as two:
            if how == "close":
                await one.connection.close()
            else:
                reset(one.connection)
            job = await two.job()
            assert (job["id"], job["attempts"]) == (id, attempts)
            assert (await site.job(id))["losses"] == 1
            assert await results(site) == []
            await two.answer(job)
    [row] = await results(site)
    assert (row["job"]["attempts"], row["success"]) == (attempts + 1, True)


async def test_after_three_lost_workers_a_job_fails(site: Site) -> None:
    id = await post(site, type="program_zip")
    for number in range(3):
        async with worker(site) as one:
            assert (await one.job())["attempts"] == 0, number
    await until(lambda: not site.service.workers.roster, "the end of the last connection")
    job = await site.job(id)
    assert (job["state"], job["reason"], job["losses"]) == ("failed", "worker_lost", 3)
    assert await waiting(site) == []
    [row] = await results(site)
    assert (row["success"], row["job"]["attempts"]) == (False, 0)
    assert "worker" in row["result"]


async def test_a_try_that_was_lost_leaves_the_result_of_the_one_before(site: Site) -> None:
    await post(site, type="program_zip")
    async with worker(site) as one:
        await one.answer(await one.job(), "bad", False)
        await one.job()
    await until(lambda: not site.service.workers.roster, "the end of the connection")
    [row] = await results(site)
    assert (row["result"], row["job"]["attempts"]) == ("bad", 1)
    assert await waiting(site) == [row["job"]["id"]]


async def test_free_workers_get_jobs_in_the_order_in_which_they_connected(site: Site) -> None:
    async with worker(site) as one, worker(site) as two, worker(site) as three:
        ids = [await post(site, type="hash") for _ in range(3)]
        assert [(await each.job())["id"] for each in (one, two, three)] == ids


async def test_a_full_line_is_worked_off_by_all(site: Site) -> None:
    count = 300
    async with worker(site) as one, worker(site) as two, worker(site) as three:

        async def work(each: Worker) -> int:
            done = 0
            while True:
                try:
                    job = await each.job()
                except websockets.ConnectionClosed:
                    return done
                await each.answer(job)
                done += 1

        working = [asyncio.ensure_future(work(each)) for each in (one, two, three)]
        ids = {await post(site, type="hash", input=str(number)) for number in range(count)}
        while len(rows := await results(site)) < count:
            assert not any(each.done() for each in working)
        for each in (one, two, three):
            await each.connection.close()
        done = await asyncio.gather(*working)
        assert sum(done) == count
        assert all(done)
        assert {row["job"]["id"] for row in rows} == ids
        assert all(row["job"]["attempts"] == 1 for row in rows)


PAYLOADS: list[tuple[Json, Json]] = [
    ({"type": "mail"}, {"type": "mail"}),
    ({"type": "mail", "payload": "text"}, {"type": "mail", "input": "text"}),
    ({"type": "mail", "payload": {"to": 1}}, {"type": "mail", "input": '{"to":1}'}),
    ({"type": "mail", "payload": [1, 2]}, {"type": "mail", "input": "[1,2]"}),
    ({"type": "mail", "payload": 5}, {"type": "mail", "input": "5"}),
    ({"type": "sleep", "payload": {"duration": 2}}, {"type": "sleep", "duration": 2}),
    ({"type": "sleep", "payload": {}}, {"type": "sleep"}),
    ({"type": "x", "payload": {"type": "y", "input": "z"}}, {"type": "y", "input": "z"}),
    ({"type": "x", "payload": {"input": 5}}, {"type": "x", "input": '{"input":5}'}),
    ({"type": "program_zip", "payload_base64": "UEsA"}, {"type": "program_zip", "input": "UEsA"}),
    (
        {"type": "x", "payload_base64": "aMO8", "content_type": "text/plain; charset=utf-8"},
        {"type": "x", "input": "hü"},
    ),
]


async def test_jobs_of_other_producers_are_handed_over_too(site: Site) -> None:
    async with worker(site) as one:
        for fields, expected in PAYLOADS:
            body = json.dumps({"queue": "jqgo", "max_attempts": 2, **fields}, separators=(",", ":"))
            made = await site.send(body.encode())
            id = made.json()["id"]
            job = await one.job()
            assert job == {"id": id, "attempts": 0, **expected}
            await one.answer(job, "fine")
            assert (await site.job(id))["result"] == {"result": "fine", "duration": 12}
    assert await results(site) == []


ORIGINS: list[tuple[str | None, bool]] = [
    (None, True),
    ("http://localhost/", True),
    ("http://127.0.0.1/", True),
    ("http://localhost:9/", True),
    ("same", True),
    ("http://localhost", False),
    ("http://127.0.0.1:9", False),
    ("http://pages.example", False),
    ("http://pages.example/", False),
    ("http://localhost.pages.example/", False),
    ("http://localhost@pages.example/", False),
    ("null", False),
    ("/", False),
]


@pytest.mark.parametrize(("origin", "welcome"), ORIGINS)
async def test_programs_may_come_and_foreign_pages_may_not(
    site: Site, origin: str | None, welcome: bool
) -> None:
    origin = site.url if origin == "same" else origin
    headers = {} if origin is None else {"Origin": origin}
    if welcome:
        async with worker(site, additional_headers=headers) as one:
            await one.nothing_came()
        return
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with worker(site, additional_headers=headers):
            pass
    assert refused.value.response.status_code == 403
    assert site.service.workers.roster == {}


async def test_a_page_cannot_use_the_origin_of_programs_for_requests(site: Site) -> None:
    answer = await site.http.post("/job", json={}, headers={"origin": "http://localhost/"})
    assert answer.status_code == 403
    assert await site.stored() == 0


@pytest.mark.parametrize("open", [False, True])
async def test_with_a_token_a_worker_needs_it_unless_the_fronts_are_open(store: str, open: bool) -> None:
    settings = Settings(token=Secret("a-secret-of-24-characters"), fronts=Fronts(open=open))
    async with old(store, settings) as site:
        async with worker(site, additional_headers=site.auth) as one:
            await one.nothing_came()
        if open:
            async with worker(site) as one:
                await one.nothing_came()
            return
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with worker(site):
                pass
        assert refused.value.response.status_code == 401


def sockets(site: Site) -> list[Frames]:
    return [one for one in site.server_state.connections if isinstance(one, Frames)]


async def test_it_is_sent_no_pings_and_watched_by_tcp(site: Site) -> None:
    async with site.worker():
        [other] = sockets(site)
        assert other.ping_timer is not None
        async with worker(site) as one:
            [ours] = [each for each in sockets(site) if each is not other]
            assert (ours.ping_timer, ours.pong_timer) == (None, None)
            peer = ours.transport.get_extra_info("socket")
            assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
            assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            await (await one.connection.ping())


async def test_a_job_is_held_for_as_long_as_the_socket_is_open(store: str) -> None:
    async with old(store, Settings(lease=0.6, beat=0.1), timers=True) as site, worker(site) as one:
        id = await post(site, type="sleep", duration=100)
        job = await one.job()
        first = (await site.service.job(id)).lease_until or 0
        last = first
        # Twice the lease, in which nothing is heard of the worker.
        while last < first + 1.2 * SECOND:
            now = await site.service.job(id)
            assert (now.state, now.lease) == ("running", 1)
            last = now.lease_until or 0
            await asyncio.sleep(0.01)
        await one.answer(job)
        assert [row["success"] for row in await results(site)] == [True]


async def test_a_job_that_was_taken_away_leaves_the_worker_busy_until_it_answers(store: str) -> None:
    async with old(store, Settings(beat=0.05), timers=True) as site, worker(site) as one:
        id = await post(site, type="sleep")
        job = await one.job()
        other = await post(site, type="hash")
        service = site.service
        # Its lease ends, as when the clock is set: somebody else may have it now.
        service.dispatch.paused.add("jqgo")
        [held] = await service.engine.get([id])
        await service.workers.write(
            [policy.lost(running_of(held, id, held.lease), service.clock.now(), spent=False)],
            service.clock.now(),
        )
        service.dispatch.paused.discard("jqgo")
        service.dispatch.wake(["jqgo"])
        [known] = service.workers.roster.values()
        before = known.last_beat
        await until(lambda: known.last_beat > before, "a heartbeat")
        await one.nothing_came()
        await one.answer(job, "too late")
        assert (await one.job())["id"] == id
        assert await waiting(site) == [other]
        assert await results(site) == []


async def test_a_worker_that_is_to_leave_is_cut_off_once_it_is_idle(site: Site) -> None:
    async with worker(site) as one, worker(site) as two:
        id = await post(site, type="hash")
        job = await one.job()
        for known in list(site.service.workers.roster):
            await site.post(f"/v1/workers/{known}/drain", status=202)
        await two.connection.wait_closed()
        await one.answer(job)
        await one.connection.wait_closed()
        assert (one.connection.close_code, two.connection.close_code) == (1000, 1000)
        assert await site.state(id) == "done"


async def test_a_message_that_is_too_large_ends_the_connection_and_gives_the_job_back(site: Site) -> None:
    id = await post(site, type="program_zip")
    async with worker(site) as one:
        await one.job()
        with pytest.raises(websockets.ConnectionClosed):
            await one.say("x" * (17 * 1024 * 1024))
            await one.read()
    async with worker(site) as two:
        assert (await two.job())["id"] == id


@asynccontextmanager
async def deaf(site: Site) -> AsyncIterator[socket.socket]:
    """A connection whose peer reads nothing after the handshake."""
    loop = asyncio.get_running_loop()
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        await loop.sock_connect(peer, ("127.0.0.1", site.port))
        head = (
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await loop.sock_sendall(peer, head.encode())
        await loop.sock_recv(peer, 100)
        yield peer


def frame(text: bytes) -> bytes:
    """A masked text frame of at most 125 bytes."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


async def test_a_worker_that_floods_and_does_not_read_is_not_read_either(site: Site) -> None:
    async with deaf(site) as flood:
        await until(lambda: site.service.workers.roster, "the worker")
        [protocol] = sockets(site)
        peer = protocol.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        loop = asyncio.get_running_loop()
        much = (frame(b"{}") + frame(b"garbage")) * 1_000_000
        sending = asyncio.ensure_future(loop.sock_sendall(flood, much))
        await until(lambda: not protocol.writable.is_set() and protocol.read_paused, "a full buffer")
        # The server holds what fits into one buffer, and serves others.
        assert protocol.transport.get_write_buffer_size() < 1024 * 1024
        async with worker(site) as one:
            ids = [await post(site, type="hash") for _ in range(2)]
            # One of them went to whoever was here first, and comes back when that one is gone.
            job = await one.job()
            await one.answer(job)
            assert not sending.done()
            sending.cancel()
            flood.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            flood.close()
            other = await one.job()
            assert {job["id"], other["id"]} == set(ids)
            await one.answer(other)
