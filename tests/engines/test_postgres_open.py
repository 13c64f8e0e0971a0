"""What only the PostgreSQL engine has: a server, which may be missing, refuse, or hold something else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rota.engines.open import backup, open_engine
from rota.engines.postgres import statements
from rota.model.errors import BadInput, StoreError
from tests import postgres
from tests.engines.kit import job, put
from tests.server import environment


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    with postgres.Cluster() as cluster:
        postgres.ask(
            cluster.url,
            "CREATE ROLE asked LOGIN PASSWORD 'right' CREATEDB",
            "CREATE ROLE weak LOGIN",
            "CREATE DATABASE old ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        )
        cluster.database("jobs")
        yield cluster


@pytest.fixture
def url() -> Iterator[str]:
    """An empty database."""
    url = postgres.empty()
    yield url
    postgres.drop(url)


async def refusal(url: str) -> str:
    with pytest.raises(StoreError) as caught:
        await open_engine(url)
    assert caught.value.status == 503
    return caught.value.detail


async def test_a_server_that_is_not_there() -> None:
    told = await refusal("postgresql://rota:secret@127.0.0.1:1/jobs")
    assert told.startswith("The store postgresql://rota:***@127.0.0.1:1/jobs cannot be opened: ")
    assert "nobody listens there" in told


@pytest.mark.parametrize(
    ("user", "database", "words"),
    [
        ("asked:wrong", "jobs", "it refuses the user or the password"),
        ("nobody", "jobs", "it refuses the user or the password"),
        ("rota", "none", "there is no such database; create it first"),
        ("weak", "jobs", "the user lacks rights"),
        ("rota", "old", "has the encoding LATIN1; create one with UTF8"),
    ],
)
async def test_what_the_server_refuses_is_told_in_a_sentence(
    cluster: postgres.Cluster, user: str, database: str, words: str
) -> None:
    told = await refusal(cluster.at(database, user))
    assert words in told
    assert "wrong" not in told


async def test_with_the_right_password(cluster: postgres.Cluster) -> None:
    postgres.ask(cluster.at("postgres", "asked:right"), "CREATE DATABASE theirs TEMPLATE template0")
    engine = await open_engine(cluster.at("theirs", "asked:right"))
    assert await put(engine, job())
    await engine.close()


async def test_of_several_hosts_the_one_that_answers(cluster: postgres.Cluster) -> None:
    engine = await open_engine(f"postgresql://rota@127.0.0.1:1,127.0.0.1:{cluster.port}/jobs")
    assert await put(engine, job())
    await engine.close()


async def test_a_server_that_takes_no_writes(cluster: postgres.Cluster) -> None:
    url = cluster.database("still")
    postgres.ask(cluster.url, "ALTER DATABASE still SET default_transaction_read_only = on")
    assert "none of its hosts takes writes" in await refusal(url)


async def test_many_servers_start_at_once(url: str) -> None:
    engines = await asyncio.gather(*(open_engine(url) for _ in range(6)))
    for engine in engines:
        await put(engine, job())
    assert sum(row.jobs for row in await engines[0].count()) == 6
    done = postgres.ask(url, "SELECT number FROM rota.migrations ORDER BY number")
    assert [row[0] for row in done] == [step.number for step in statements.migrations()]
    await asyncio.gather(*(engine.close() for engine in engines))


async def test_a_schema_of_another_program_is_left_alone(url: str) -> None:
    postgres.ask(url, "CREATE SCHEMA rota", "CREATE TABLE rota.theirs (a integer)")
    assert "belongs to another program; nothing was changed" in await refusal(url)
    postgres.ask(url, "CREATE TABLE rota.migrations (a integer)")
    assert "belongs to another program; nothing was changed" in await refusal(url)
    assert [row[0] for row in postgres.ask(url, "SELECT relname FROM pg_class WHERE relname = 'jobs'")] == []


async def test_a_schema_one_step_ahead_is_served_and_a_newer_one_is_not(url: str) -> None:
    await (await open_engine(url)).close()
    known = statements.migrations()[-1].number
    add = "INSERT INTO rota.migrations (number, name, checksum) VALUES ({}, 'x', 'x')"
    postgres.ask(url, add.format(known + 1))
    engine = await open_engine(url)
    await put(engine, job())
    await engine.close()
    postgres.ask(url, add.format(known + 2))
    told = await refusal(url)
    assert (
        f"written by a newer Rota (schema {known + 2}, this one knows {known}); nothing was changed" in told
    )


async def test_a_schema_that_was_made_by_other_text_is_refused(url: str) -> None:
    await (await open_engine(url)).close()
    postgres.ask(url, "UPDATE rota.migrations SET checksum = 'other' WHERE number = 1")
    assert "0001_start.sql differs from what was run; nothing was changed" in await refusal(url)


async def test_a_schema_that_is_there_needs_no_rights_to_make_one(url: str) -> None:
    await (await open_engine(url)).close()
    role = "few_" + url.rpartition("/")[2]
    postgres.ask(
        url,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA rota TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA rota TO {role}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA rota TO {role}",
    )
    engine = await open_engine(url.replace("//rota@", f"//{role}@"))
    assert await put(engine, job())
    await engine.close()
    postgres.ask(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "url",
    ["postgresql://h", "postgres://h/d?x=1", "postgresql://h/d?pooler=x", "postgresql+asyncpg://h/d"],
)
async def test_a_url_with_faults(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        await open_engine(url)
    assert (caught.value.field, caught.value.code) == ("store", "invalid_store")


def test_without_the_driver_it_is_said_what_to_install() -> None:
    program = (
        "import asyncio, sys\n"
        "sys.modules['asyncpg'] = None\n"
        "from rota.engines.open import open_engine\n"
        "try:\n"
        "    asyncio.run(open_engine('postgresql://u:secret@h/d'))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert ran.stdout == (
        "StoreError The store postgresql://u:***@h/d needs the package asyncpg: "
        "pip install 'rota[postgres]'.\n"
    )


def test_a_copy_is_the_business_of_its_own_tools() -> None:
    with pytest.raises(StoreError, match="pg_dump"):
        backup("postgresql://h/d", "copy.db")
