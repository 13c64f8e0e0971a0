"""Jobs stored in the caller's own transaction, by the SQL function ``rota.enqueue_many``.

::

    with psycopg.connect(...) as connection:
        connection.execute("INSERT INTO orders ...")
        ship.options(connection=connection).enqueue(order=7)      # there when the transaction commits

What a connection is of is seen by its class; no driver is imported here that the program has not loaded.
Nothing is committed here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from rota.model import trace as w3c
from rota.model.clock import SystemClock
from rota.model.errors import BadInput, Conflict, Forbidden, RotaError, StoreError
from rota.model.job import State
from rota.model.policy import DEFAULT_QUEUE
from rota.model.spec import JobSpec, Limits, request
from rota.sdk import trace
from rota.sdk.answers import Created

MOST = 1000
"""Jobs in one statement; several statements are in one transaction all the same."""
_BYTES = 16 * 1024 * 1024
_SQL = "SELECT id, state, created, why FROM rota.enqueue_many(CAST({} AS text))"
# How much fits is the database's to say: its servers may be set to take more than usual.
_LIMITS = Limits(payload_bytes=2**62)
_KNOWN = "psycopg (3), asyncpg and SQLAlchemy (connections and sessions)"
_CLASSES = {
    ("psycopg", "Connection"): ("psycopg", False),
    ("psycopg", "AsyncConnection"): ("psycopg", True),
    ("asyncpg", "Connection"): ("asyncpg", True),
    ("asyncpg", "PoolConnectionProxy"): ("asyncpg", True),
    ("sqlalchemy", "Connection"): ("sqlalchemy", False),
    ("sqlalchemy", "Session"): ("sqlalchemy", False),
    ("sqlalchemy", "scoped_session"): ("sqlalchemy", False),
    ("sqlalchemy", "AsyncConnection"): ("sqlalchemy", True),
    ("sqlalchemy", "AsyncSession"): ("sqlalchemy", True),
    ("sqlalchemy", "async_scoped_session"): ("sqlalchemy", True),
}
"""Package and class -> how it is spoken to, and whether it is awaited."""


def enqueue(connection: Any, specs: Iterable[JobSpec]) -> list[Created]:
    """Store jobs in the transaction of a connection that is not awaited.

    TypeError for a connection of another kind, ValueError for one that is closed, and before anything is
    sent BadInput for a job that cannot be. What the database says of a job comes as BadInput or Conflict, and
    has ended the transaction; what else goes wrong comes as the driver's own error.
    """
    way = _way(connection, awaited=False)
    kept: list[Created] = []
    with _sending(list(specs), kept) as calls:
        for text, jobs in calls:
            with _told(len(jobs)):
                rows = _psycopg(connection, text) if way == "psycopg" else _sqlalchemy(connection, text)
            kept += _kept(rows, jobs)
    return kept


async def aenqueue(connection: Any, specs: Iterable[JobSpec]) -> list[Created]:
    """As :func:`enqueue`, for a connection that is awaited."""
    way = _way(connection, awaited=True)
    kept: list[Created] = []
    with _sending(list(specs), kept) as calls:
        for text, jobs in calls:
            with _told(len(jobs)):
                if way == "asyncpg":
                    rows = await connection.fetch(_SQL.format("$1"), text)
                elif way == "psycopg":
                    rows = await _apsycopg(connection, text)
                else:
                    rows = (await connection.execute(_statement(), {"jobs": text})).all()
            kept += _kept(rows, jobs)
    return kept


def keyed(spec: JobSpec, key: str | None) -> JobSpec:
    """A job with the idempotency key that a caller gave beside it."""
    if key is None:
        return spec
    if spec.idempotency_key is not None:
        raise ValueError("Give idempotency_key for the request or in the job, not both.")
    return msgspec.structs.replace(spec, idempotency_key=key)


def no_key(key: str | None) -> None:
    """ValueError for a key of several jobs, which only a request to a server has."""
    if key is not None:
        raise ValueError("With connection give each job an idempotency_key of its own.")


def _way(connection: Any, *, awaited: bool) -> str:
    """How this connection is spoken to; raises what is wrong with it."""
    kind = type(connection)
    found = None
    for one in kind.__mro__:
        found = _CLASSES.get((one.__module__.partition(".")[0], one.__name__))
        if found is not None:
            break
    name = f"{kind.__module__}.{kind.__qualname__}"
    if found is None:
        why = " Jobs of a store on SQLite have no such way; leave connection out." if "sqlite" in name else ""
        raise TypeError(f"connection must be one of {_KNOWN}, not {name}.{why}")
    way, is_awaited = found
    if is_awaited != awaited:
        other = "aenqueue, or a connection that is not" if is_awaited else "enqueue, or a connection that is"
        told = "is awaited" if is_awaited else "is not awaited"
        raise TypeError(f"This connection ({name}) {told}; use {other}.")
    if way == "sqlalchemy":
        bind = connection.get_bind() if hasattr(connection, "get_bind") else connection
        if bind.dialect.name != "postgresql":
            raise TypeError(
                f"connection must lead to PostgreSQL, not {bind.dialect.name}: only there a store takes "
                "part in transactions of others. Leave connection out to send the job to a server."
            )
    is_closed = getattr(connection, "is_closed", None)
    if is_closed() if callable(is_closed) else getattr(connection, "closed", False) is True:
        raise ValueError(f"connection ({name}) is closed.")
    return way


@contextlib.contextmanager
def _sending(specs: Sequence[JobSpec], kept: Sequence[Created]) -> Iterator[Iterable[tuple[str, Any]]]:
    """The jobs, checked, as what is sent in each statement."""
    if not specs:
        yield ()
        return
    now = SystemClock().now()
    for start in range(0, len(specs), MOST):
        part = specs[start : start + MOST]
        try:
            request(part, now, _LIMITS, many=len(specs) > 1)
        except BadInput as error:
            if start and error.field is not None:
                index, _, rest = error.field.removeprefix("jobs[").partition("]")
                error.field = f"jobs[{int(index) + start}]{rest}"
            raise
    with trace.sending(specs, "") as stored:
        yield _calls(_traced(specs))
        stored(kept[0] if len(kept) == 1 else kept)


def _traced(specs: Sequence[JobSpec]) -> Sequence[JobSpec]:
    carried = trace.carried()
    if not carried:
        return specs
    if len(specs) > 1:
        carried = w3c.as_many(carried)
    return [
        spec
        if spec.headers and any(name.lower() in w3c.NAMES for name in spec.headers)
        else msgspec.structs.replace(spec, headers={**(spec.headers or {}), **carried})
        for spec in specs
    ]


def _calls(specs: Sequence[JobSpec]) -> Iterator[tuple[str, Sequence[JobSpec]]]:
    part: list[str] = []
    first = size = 0
    for index, spec in enumerate(specs):
        text = msgspec.json.encode(spec).decode()
        if part and (len(part) == MOST or size + len(text) > _BYTES):
            yield f"[{','.join(part)}]", specs[first:index]
            part, first, size = [], index, 0
        part.append(text)
        size += len(text)
    yield f"[{','.join(part)}]", specs[first:]


def _kept(rows: Sequence[Any], specs: Sequence[JobSpec]) -> list[Created]:
    return [
        Created(
            id=id,
            state=None if state is None else State(state),
            type=spec.type,
            queue=spec.queue or DEFAULT_QUEUE,
            created=created,
            why=why,
        )
        for (id, state, created, why), spec in zip(rows, specs, strict=True)
    ]


def _psycopg(connection: Any, text: str) -> list[Any]:
    import psycopg
    from psycopg.rows import tuple_row

    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        return cursor.execute(_SQL.format("%s"), (text,)).fetchall()


async def _apsycopg(connection: Any, text: str) -> list[Any]:
    import psycopg
    from psycopg.rows import tuple_row

    async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL.format("%s"), (text,))
        return await cursor.fetchall()


def _sqlalchemy(connection: Any, text: str) -> list[Any]:
    rows: list[Any] = connection.execute(_statement(), {"jobs": text}).all()
    return rows


def _statement() -> Any:
    from sqlalchemy import text

    return text(_SQL.format(":jobs"))


@contextlib.contextmanager
def _told(jobs: int) -> Iterator[None]:
    """Errors of the function as ours."""
    try:
        yield
    except Exception as error:
        ours = _ours(error, jobs)
        if ours is None:
            raise
        raise ours from error


def _ours(error: BaseException, jobs: int) -> RotaError | None:
    found = next((one for one in _behind(error) if getattr(one, "sqlstate", None)), None)
    if found is None:
        return None
    # psycopg keeps apart what asyncpg has on the error itself.
    facts = getattr(found, "diag", found)
    said = getattr(facts, "message_primary", None) or getattr(facts, "message", None) or str(found)
    code, field = getattr(facts, "constraint_name", None), getattr(facts, "column_name", None)
    if jobs == 1:
        said = said.replace("jobs[0].", "")
        field = field and field.removeprefix("jobs[0].")
    match str(getattr(found, "sqlstate", "")):
        case "22023" if code:
            status = 413 if code == "payload_too_large" else None
            return BadInput(said, code=code, status=status, field=field or None)
        case "23505" if code == "idempotency_mismatch":
            return Conflict(said, code=code, field=field or None)
        case "3F000" | "42883" if "rota" in said:
            return StoreError(
                "There is no Rota in this database, or an older one: run `rota migrate` with its URL, "
                f"or start a server on it ({said}).",
                code="no_schema",
            )
        case "42501":
            return Forbidden(
                f"This user of the database may not call rota.enqueue_many ({said}): GRANT USAGE ON SCHEMA "
                "rota and EXECUTE on its functions to it.",
                code="forbidden",
            )
    return None


def _behind(error: BaseException) -> Iterator[BaseException]:
    """An error, and those of the driver that it was made of: the innermost first."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        one = getattr(one, "orig", None) or one.__cause__
    yield from reversed(seen)
