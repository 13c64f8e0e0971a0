"""Files of jobs for the worker inside the server."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import msgspec
import pytest

from rota.core.files import described
from rota.core.inside import InsideSource
from rota.core.service import Service
from rota.model.errors import NotFound, StaleLease, StoreError
from rota.model.file import File
from rota.model.protocol import Hello, Lease
from rota.model.spec import JobSpec, request
from tests.core.kit import put

DATA = bytes(range(256)) * 3000


async def put_upload(service: Service, *, sha256: str | None = None) -> str:
    async with service.files.storing(io.BytesIO(DATA)) as stored:
        file = File(stored.id, stored.bytes, sha256 or stored.sha256)
        asked = request([described(JobSpec(type="t"), file, 1)], service.clock.now(), service.limits)
        [kept] = await service.enqueue(msgspec.structs.replace(asked, upload=file))
    return kept.id


async def at_work(service: Service) -> tuple[InsideSource, Lease]:
    source = InsideSource(service)
    await source.open(Hello("abc", ("default",), 1))
    [work] = await source.claim(1)
    return source, Lease(work.id, work.lease)


async def test_upload_and_artifact(service: Service, tmp_path: Path) -> None:
    id = await put_upload(service)
    source, lease = await at_work(service)
    await source.read_upload(lease, tmp_path / "in")
    assert (tmp_path / "in").read_bytes() == DATA
    assert oct((tmp_path / "in").stat().st_mode)[-3:] == "600"
    (tmp_path / "out").write_bytes(DATA[::-1])
    await source.keep_artifact(lease, tmp_path / "out")
    kept = await service.files.artifact(id)
    assert kept.sha256 == hashlib.sha256(DATA[::-1]).hexdigest()
    with pytest.raises(FileExistsError):
        await source.read_upload(lease, tmp_path / "in")
    with pytest.raises(StaleLease):
        await source.keep_artifact(Lease(id, lease.lease + 1), tmp_path / "out")
    await source.close()


async def test_what_is_not_there_or_damaged_leaves_no_file(service: Service, tmp_path: Path) -> None:
    await put(service)
    source, lease = await at_work(service)
    with pytest.raises(NotFound) as none:
        await source.read_upload(lease, tmp_path / "in")
    assert none.value.code == "no_upload"
    bad = await put_upload(service, sha256="0" * 64)
    with pytest.raises(StoreError, match="damaged"):
        await source.read_upload(Lease(bad, 1), tmp_path / "in")
    assert not (tmp_path / "in").exists()
    await source.close()
