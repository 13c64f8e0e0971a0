"""``rota.enqueue_many`` in SQL takes and refuses what ``POST /v1/jobs`` takes and refuses, by the same codes
and fields, and stores the same rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import hypothesis
import pytest
from hypothesis import strategies as st

from rota.model.errors import BadInput, RotaError
from rota.model.spec import Limits, request
from rota.web import strict, wire
from tests import postgres
from tests.web.kit import Site, problem, serving
from tests.web.sql_jobs import BAD, FAR, GOOD

COMPARED = """
SELECT id, queue, type, state, priority, max_attempts, payload, content_type, timeout, retention,
       unique_key, unique_states, unique_held, tags, headers, retry, run_at, expires_at, created_at, attempt,
       lease, returned
FROM rota.jobs WHERE id = ANY ($1) ORDER BY seq
"""


@pytest.fixture
def database() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


@pytest.fixture
async def site(database: str) -> AsyncIterator[Site]:
    async with serving(database) as site:
        yield site


@pytest.fixture
async def sql(database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def by_sql(connection: Any, text: str) -> Any:
    """The row that ``rota.enqueue_many`` answers, or code and field of what it refuses."""
    try:
        async with connection.transaction():
            return (await connection.fetch("SELECT * FROM rota.enqueue_many($1)", f"[{text}]"))[0]
    except asyncpg.PostgresError as error:
        if error.sqlstate != "22023":
            raise
        return error.constraint_name, (error.column_name or "").removeprefix("jobs[0]").removeprefix(".")


async def stored(connection: Any, id: str) -> dict[str, Any]:
    row = dict((await connection.fetch(COMPARED, [id]))[0])
    for name in ("headers", "retry"):
        row[name] = row[name] and json.loads(row[name])
    if row["state"] == "pending" and row["run_at"] == row["created_at"]:
        row["run_at"] = "now"
    return row


async def test_good_jobs_become_the_same_rows(site: Site, sql: Any) -> None:
    for text in GOOD:
        answer = (await site.send(text.encode())).json()
        assert answer.get("created"), (text[:200], answer)
        by_http = await stored(sql, answer["id"])
        await sql.execute("UPDATE rota.jobs SET unique_held = NULL WHERE id = $1", answer["id"])
        made = await by_sql(sql, text)
        assert not isinstance(made, tuple), (text[:200], made)
        assert (made["created"], made["state"], made["why"]) == (True, by_http["state"], None)
        by_function = await stored(sql, made["id"])
        for row in (by_http, by_function):
            created = row.pop("created_at")
            del row["id"]
            if '"delay"' in text and row["run_at"] != "now":
                row["run_at"] -= created
        assert by_function == by_http, text[:200]


async def test_bad_jobs_are_refused_alike(site: Site, sql: Any) -> None:
    differ = []
    for text in BAD:
        answer = await site.send(text.encode())
        assert answer.status_code >= 400, text[:200]
        said = answer.json()
        field = re.sub(r"\b(payload|headers|tags|retry|unique_states)\b.*", r"\1", said.get("field") or "")
        refused = await by_sql(sql, text)
        code, place = refused if isinstance(refused, tuple) else ("", "")
        # Where the server names no field, there may be one here.
        told = (code, place.partition(".")[0].partition("[")[0] if field else "")
        if told != (said["code"], field):
            differ.append((text[:200], said["code"], field, code, place))
    assert not differ
    assert await site.stored() == 0


def verdict(text: str) -> str | None:
    """What the server says of a body: the code of its complaint, None where it stores the job."""
    try:
        specs, _ = wire.specs(text.encode())
        request(specs, 1_800_000_000_000_000, Limits(), many=False)
        strict.check(text.encode(), 1)
    except BadInput as error:
        return error.code
    except RotaError as error:
        return error.code
    return None


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from(
        ["", "pending", "scheduled", "a..b", "front:x", FAR, "2999-01-31T08:30:00+14:00", "QUJD"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.text("abcXYZ019._:/-é ", min_size=1, max_size=8)
seconds = st.floats(-1, 4e8) | st.integers(-1, 4 * 10**8) | scalars
states = st.lists(
    st.sampled_from(["scheduled", "pending", "running", "done", "failed", "cancelled"]), max_size=6
)
times = st.datetimes().map(lambda at: at.isoformat() + "Z") | scalars
retries = (
    st.fixed_dictionaries({"kind": st.just("fixed"), "delay": seconds}, optional={"back": st.booleans()})
    | st.fixed_dictionaries({"kind": st.just("list"), "delays": st.lists(seconds, max_size=4)})
    | st.fixed_dictionaries(
        {"kind": st.just("exponential")},
        optional={
            "base": seconds,
            "factor": st.floats(0, 120),
            "max": seconds,
            "jitter": st.floats(-0.5, 1.5),
        },
    )
    | values
)
jobs = st.fixed_dictionaries(
    {"type": names | st.just("work")},
    optional={
        "payload": values,
        "queue": names | scalars,
        "priority": st.integers(-120, 120) | scalars,
        "delay": seconds,
        "run_at": times,
        "expires_at": times,
        "timeout": seconds,
        "max_attempts": st.integers(-1, 1100) | scalars,
        "retry": retries,
        "tags": st.lists(st.text(max_size=70), max_size=4) | values,
        "headers": st.dictionaries(names, st.text(max_size=5) | scalars, max_size=3) | values,
        "unique_key": st.text(max_size=10) | scalars,
        "unique_states": states | values,
        "retention": seconds,
    },
)


async def test_whatever_is_made_up_both_say_the_same(sql: Any) -> None:
    made_up: list[str] = []

    @hypothesis.settings(max_examples=400, database=None, deadline=None, derandomize=True)
    @hypothesis.given(jobs, st.booleans())
    def collect(job: dict[str, Any], plain: bool) -> None:
        made_up.append(json.dumps(job, ensure_ascii=plain))

    collect()
    taken = 0
    for text in made_up:
        try:
            text.encode()
        except UnicodeEncodeError:
            continue
        there = verdict(text)
        here = await by_sql(sql, text)
        refused = isinstance(here, tuple)
        assert refused == (there is not None), (text, there, here)
        taken += not refused
    assert len(made_up) // 20 < taken < len(made_up) // 2, taken


async def test_the_fingerprint_is_that_of_the_server(site: Site, sql: Any) -> None:
    """A job may be asked for again through the other door, under its idempotency key."""
    for number, text in enumerate(GOOD):
        body = {**json.loads(text), "idempotency_key": f"k{number}"} if "9" * 4300 not in text else None
        if body is None:
            continue
        if "unique_key" in body:
            body["unique_key"] = f"{number}"
        raw = json.dumps(body)
        [first, other] = [by_http, by_sql] if number % 2 else [by_sql, by_http]
        there = site if first is by_http else sql
        back = sql if first is by_http else site
        made = await first(there, raw)
        again = await other(back, raw)
        assert (again["id"], again["created"], again["why"]) == (made["id"], False, "idempotency"), raw[:200]
        changed = json.dumps({**body, "priority": body.get("priority", 0) + 1})
        answer = await site.send(changed.encode())
        assert answer.json()["code"] == "idempotency_mismatch"
        with pytest.raises(asyncpg.UniqueViolationError, match="another body") as caught:
            await sql.fetch("SELECT * FROM rota.enqueue_many($1)", f"[{changed}]")
        assert caught.value.constraint_name == "idempotency_mismatch"
        assert caught.value.column_name == "jobs[0].idempotency_key"


async def by_http(site: Site, text: str) -> Any:
    return (await site.send(text.encode())).json()


async def test_a_key_in_an_open_transaction_is_told(site: Site, sql: Any) -> None:
    for field in ("unique_key", "idempotency_key"):
        spec = {"type": "work", field: "k"}
        transaction = sql.transaction()
        await transaction.start()
        await sql.fetch("SELECT * FROM rota.enqueue_many($1)", json.dumps([spec]))
        answer = await site.send(json.dumps(spec).encode())
        problem(answer, 503, "key_in_transaction")
        assert answer.headers["retry-after"] == "1"
        # Nobody else has to wait, nor is anything of a request stored that has the key in one job.
        await site.enqueue("free", **{field: "other"})
        await site.post("/v1/jobs", {"jobs": [{"type": "half"}, spec]}, 503)
        await transaction.rollback()
        await site.enqueue(**{name: str(value) for name, value in spec.items()})
    assert await site.stored() == 4
