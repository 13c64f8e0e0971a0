"""A PostgreSQL that is spoken to over TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from rota.engines.open import open_engine
from rota.model.errors import StoreError
from tests import postgres
from tests.engines.kit import job, put


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def cluster(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Cluster]:
    certificate = authority.issue_cert("127.0.0.1")

    def prepare(data: Path) -> None:
        (data / "server.crt").write_bytes(b"".join(one.bytes() for one in certificate.cert_chain_pems))
        key = data / "server.key"
        key.write_bytes(certificate.private_key_pem.bytes())
        key.chmod(0o600)
        owner = data.stat()
        for file in (key, data / "server.crt"):
            os.chown(file, owner.st_uid, owner.st_gid)
        rules = data / "pg_hba.conf"
        rules.write_text(
            "hostssl tls all 127.0.0.1/32 trust\nhost tls all 127.0.0.1/32 reject\n" + rules.read_text()
        )

    with postgres.Cluster(prepare=prepare, ssl="on") as cluster:
        cluster.database("tls")
        yield cluster


async def test_the_servers_certificate_is_checked(
    cluster: postgres.Cluster, authority: trustme.CA, tmp_path: Path
) -> None:
    ours, other = tmp_path / "ours.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(str(ours))
    trustme.CA().cert_pem.write_to_path(str(other))
    url = cluster.at("tls")
    engine = await open_engine(f"{url}?sslmode=verify-full&sslrootcert={ours}")
    assert await put(engine, job())
    await engine.close()
    with pytest.raises(StoreError, match="certificate"):
        await open_engine(f"{url}?sslmode=verify-full&sslrootcert={other}")


async def test_without_tls_such_a_server_refuses(cluster: postgres.Cluster) -> None:
    with pytest.raises(StoreError, match="it refuses the user"):
        await open_engine(cluster.at("tls") + "?sslmode=disable")
    await (await open_engine(cluster.at("tls") + "?sslmode=require")).close()
