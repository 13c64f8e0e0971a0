"""Files of jobs: in, out, and away again; whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import resource
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from rota.core.files import PART, SPOOLS, Files, described
from rota.core.service import Service
from rota.core.spool import BUFFER, Spool, in_thread
from rota.engines.base import Engine
from rota.model.errors import BadInput, NotFound, RotaError, StaleLease, StoreError, Unavailable
from rota.model.file import File, Loose, Part
from rota.model.job import Kept, Match, Request
from rota.model.spec import JobSpec, Limits, new_id
from tests.core.kit import Hand, asked, attach, put, quiet, until
from tests.engines.kit import NOBODY

SOON = 1e-6
"""A quiet time that is over at the next look."""
SIZES = [0, 1, PART - 1, PART, PART + 1, 3 * PART + 7]


def data(size: int) -> bytes:
    return os.urandom(size)


async def upload(service: Service, content: bytes, **fields: object) -> Kept:
    """A job that comes with these bytes."""
    async with service.files.storing(io.BytesIO(content)) as file:
        request = asked(service, described(JobSpec(type="work", **fields), file, 1))  # type: ignore[arg-type]
        [kept] = await service.enqueue(Request(request.jobs, request.keys, file))
    await quiet(service.engine)
    return kept


async def content(files: Files, file: File) -> bytes:
    pieces = [piece async for piece in files.pieces(file)]
    assert all(0 < len(piece) <= PART for piece in pieces)
    return b"".join(pieces)


async def left(service: Service) -> int:
    """Parts in the store that belong to no job, once everything has come to rest."""
    await quiet(service.engine)
    loose = sum(one.parts for one in await service.engine.loose_files())
    return loose + await service.engine.sweep_files(100_000)


@pytest.fixture
async def hand(service: Service) -> Hand:
    return await attach(service)


# --- in and out ---


@pytest.mark.parametrize("size", SIZES)
async def test_an_upload_comes_out_as_it_went_in(service: Service, size: int) -> None:
    given = data(size)
    kept = await upload(service, given, payload=msgspec.Raw(b'{"a":1}'))
    file = await service.files.upload(kept.id)
    assert (file.bytes, file.sha256) == (size, hashlib.sha256(given).hexdigest())
    assert await content(service.files, file) == given
    payload = msgspec.json.decode((await service.job(kept.id)).payload)
    assert payload == {"a": 1, "upload": {"bytes": size, "sha256": file.sha256, "entries": 1}}
    assert await left(service) == 0


@pytest.mark.parametrize("size", SIZES)
async def test_an_artifact_comes_out_as_it_went_in(service: Service, hand: Hand, size: int) -> None:
    given = data(size)
    await put(service)
    job = await hand.next()
    # Wherever the reading of it stands.
    source = io.BytesIO(given)
    source.read(10)
    file = await service.files.keep_artifact(job.id, job.lease, hand.id, source)
    assert (file.bytes, file.sha256) == (size, hashlib.sha256(given).hexdigest())
    assert await service.files.artifact(job.id) == file
    assert await content(service.files, file) == given
    assert await left(service) == 0


async def test_what_is_not_there_is_told(service: Service) -> None:
    id = await put(service)
    for file, code in ((service.files.upload, "no_upload"), (service.files.artifact, "no_artifact")):
        with pytest.raises(NotFound) as caught:
            await file(id)
        assert caught.value.code == code
        with pytest.raises(NotFound) as caught:
            await file(NOBODY)
        assert caught.value.code == "job_not_found"


async def test_an_idempotent_repeat_keeps_one_file(service: Service) -> None:
    first = await upload(service, b"abc", idempotency_key="k")
    again = await upload(service, b"abc", idempotency_key="k")
    assert (again.id, again.why) == (first.id, "idempotency")
    assert await left(service) == 1
    # Other bytes are another body.
    with pytest.raises(RotaError) as caught:
        await upload(service, b"abd", idempotency_key="k")
    assert caught.value.code == "idempotency_mismatch"
    assert await left(service) == 1
    assert await content(service.files, await service.files.upload(first.id)) == b"abc"


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ({"payload_base64": "AA=="}, "conflicting_fields", "payload_base64"),
        ({"payload": msgspec.Raw(b"[1]")}, "wrong_type", "payload"),
        ({"payload": msgspec.Raw(b'"x"')}, "wrong_type", "payload"),
        ({"payload": msgspec.Raw(b'{"upload":null}')}, "conflicting_fields", "payload.upload"),
    ],
)
def test_a_payload_that_has_no_room_for_it(spec: dict[str, object], code: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        described(JobSpec(type="work", **spec), File("", 1, "0"), 1)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize("given", [msgspec.UNSET, msgspec.Raw(b"null"), msgspec.Raw(b"{}")])
def test_a_payload_of_nothing(given: msgspec.Raw | msgspec.UnsetType) -> None:
    spec = described(JobSpec(type="work", payload=given), File("", 1, "0"), 2)
    assert isinstance(spec.payload, msgspec.Raw)
    assert bytes(spec.payload) == b'{"upload":{"bytes":1,"sha256":"0","entries":2}}'


# --- the lease ---


async def test_an_artifact_takes_the_lease(service: Service, hand: Hand) -> None:
    await put(service)
    job = await hand.next()
    for id, lease, worker in ((job.id, job.lease + 1, hand.id), (job.id, job.lease, "w2")):
        with pytest.raises(StaleLease):
            await service.files.keep_artifact(id, lease, worker, io.BytesIO(b"x"))
    with pytest.raises(NotFound):
        await service.files.keep_artifact(NOBODY, 1, hand.id, io.BytesIO(b"x"))
    await hand.end(job)
    with pytest.raises(StaleLease):
        await service.files.keep_artifact(job.id, job.lease, hand.id, io.BytesIO(b"x"))
    assert await left(service) == 0


class Slow(io.BytesIO):
    """Does not give its second piece before it may."""

    def __init__(self, given: bytes) -> None:
        super().__init__(given)
        self.reached, self.may = threading.Event(), threading.Event()
        self.pieces = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.pieces += 1
        if self.pieces == 2:
            self.reached.set()
            assert self.may.wait(10)
        return super().read(size)


async def test_a_lease_that_ends_meanwhile_leaves_nothing(service: Service, hand: Hand) -> None:
    await put(service)
    job = await hand.next()
    source = Slow(data(2 * PART))
    keeping = asyncio.ensure_future(service.files.keep_artifact(job.id, job.lease, hand.id, source))
    await until(source.reached.is_set)
    await hand.end(job)
    source.may.set()
    with pytest.raises(StaleLease):
        await keeping
    with pytest.raises(NotFound):
        await service.files.artifact(job.id)
    assert await left(service) == 2


async def test_an_artifact_over_the_limit(engine: Engine) -> None:
    service = Service(engine, limits=Limits(artifact_bytes=10))
    hand = await attach(service)
    await put(service)
    job = await hand.next()
    with pytest.raises(BadInput) as caught:
        await service.files.keep_artifact(job.id, job.lease, hand.id, io.BytesIO(b"x" * 11))
    assert (caught.value.code, caught.value.status) == ("payload_too_large", 413)
    assert (await service.files.keep_artifact(job.id, job.lease, hand.id, io.BytesIO(b"x" * 10))).bytes == 10


# --- what goes wrong ---


async def test_who_is_cancelled_leaves_nothing(service: Service) -> None:
    source = Slow(data(2 * PART))

    async def store() -> None:
        async with service.files.storing(source):
            raise AssertionError("it was cancelled before")

    task = asyncio.ensure_future(store())
    await until(source.reached.is_set)
    task.cancel()
    source.may.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left(service) == 1
    assert await service.engine.loose_files() == []


async def test_a_thread_has_done_before_its_file_may_be_closed() -> None:
    begun, may, done = threading.Event(), threading.Event(), threading.Event()

    def step() -> None:
        begun.set()
        assert may.wait(10)
        done.set()

    task = asyncio.ensure_future(in_thread(step))
    await until(begun.is_set)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    may.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_a_file_that_was_swept_is_no_ones_upload(service: Service) -> None:
    async with service.files.storing(io.BytesIO(b"abc")) as file:
        await service.engine.drop_files([file.id])
        request = asked(service, described(JobSpec(type="work"), file, 1))
        with pytest.raises(StoreError, match="send it again"):
            await service.enqueue(Request(request.jobs, (), file))
    assert await service.engine.count() == []


async def test_a_file_that_is_swept_while_it_is_written(service: Service) -> None:
    source = Slow(data(2 * PART))
    keeping = asyncio.ensure_future(service.files.storing(source).__aenter__())
    await until(source.reached.is_set)
    [loose] = await service.engine.loose_files()
    await service.engine.drop_files([loose.id])
    source.may.set()
    with pytest.raises(StoreError, match="send it again"):
        await keeping


async def test_a_file_that_goes_away_while_it_is_read(service: Service) -> None:
    kept = await upload(service, data(3 * PART))
    file = await service.files.upload(kept.id)
    pieces: AsyncIterator[bytes] = service.files.pieces(file)
    assert len(await anext(pieces)) == PART
    await service.delete(kept.id)
    await service.files.sweep()
    with pytest.raises(NotFound):
        await anext(pieces)


# --- sweeping ---


async def test_files_of_deleted_jobs_are_swept(service: Service) -> None:
    gone, stays = [(await upload(service, data(9 * PART))).id for _ in range(2)]
    await service.delete_all(Match(ids=(gone,)))
    await service.files.sweep()
    assert await left(service) == 0
    assert len(await content(service.files, await service.files.upload(stays))) == 9 * PART


async def test_what_another_server_left_is_swept_once_it_is_quiet(service: Service) -> None:
    # As another server on the store would: nobody here knows of it.
    id = new_id()
    await service.engine.put_parts([Part(id, 0, b"x")])
    await service.files.sweep(SOON)
    for n in range(1, 4):
        # It goes on, and so is never given up, however long it takes.
        await service.engine.put_parts([Part(id, n, b"x")])
        await service.files.sweep(SOON)
        assert await service.engine.loose_files() == [Loose(id, n + 1)]
    await service.files.sweep(1000.0)
    assert await service.engine.loose_files() == [Loose(id, 4)]
    await service.files.sweep(SOON)
    assert await service.engine.loose_files() == []
    assert await left(service) == 0


async def test_a_running_upload_is_never_swept(service: Service) -> None:
    source = Slow(data(2 * PART))
    context = service.files.storing(source)
    keeping = asyncio.ensure_future(context.__aenter__())
    await until(source.reached.is_set)
    for _ in range(3):
        await service.files.sweep(SOON)
    source.may.set()
    file = await keeping
    for _ in range(3):
        await service.files.sweep(SOON)
    request = asked(service, described(JobSpec(type="work"), file, 1))
    [kept] = await service.enqueue(Request(request.jobs, (), file))
    await context.__aexit__(None, None, None)
    assert len(await content(service.files, await service.files.upload(kept.id))) == 2 * PART


# --- spools ---


async def test_a_spool_is_nowhere_to_be_found(service: Service) -> None:
    async with service.files.spooling("upload") as spool:
        await spool.write(b"secret")
        await spool.flush()
        about = os.fstat(spool.file.fileno())
        assert (about.st_mode & 0o777, about.st_nlink, about.st_size) == (0o600, 0, 6)
    assert spool.file.closed


async def test_a_spool_says_at_once_that_it_is_too_much(engine: Engine) -> None:
    files = Files(engine, Limits(upload_bytes=10))
    async with files.spooling("upload") as spool:
        spool.expect(10)
        await spool.write(b"12345")
        await spool.write(b"67890")
        with pytest.raises(BadInput, match="upload_limit"):
            spool.expect(11)
        with pytest.raises(BadInput) as caught:
            await spool.write(b"1")
        assert (caught.value.code, caught.value.status) == ("payload_too_large", 413)


async def test_there_is_a_bound_on_spools(service: Service) -> None:
    contexts = [service.files.spooling("upload") for _ in range(SPOOLS)]
    for one in contexts:
        await one.__aenter__()
    with pytest.raises(Unavailable) as caught:
        await service.files.spooling("upload").__aenter__()
    assert caught.value.code == "too_many_uploads"
    for one in contexts:
        await one.__aexit__(None, None, None)
    async with service.files.spooling("artifact"):
        pass


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """What this process writes ends here: the system says so as it does when a disk is full, with another
    number.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_takes_no_more(service: Service) -> None:
    async with service.files.spooling("upload") as spool:
        # The first write is cut short, the next one refused.
        with files_up_to(BUFFER + 100), pytest.raises(StoreError, match="cannot come in"):
            await spool.write(b"x" * (2 * BUFFER))
    with Path("/dev/full").open("wb", buffering=0) as full:  # noqa: ASYNC230
        with pytest.raises(StoreError, match="is full; nothing was stored") as caught:
            spool = Spool("upload", 100, full)
            await spool.write(b"x" * 10)
            await spool.flush()
    assert (caught.value.code, caught.value.status) == ("storage_full", 507)
