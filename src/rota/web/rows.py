"""All jobs that match, as lines of JSON or as CSV: written a page at a time. Knows no framework."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from rota.core.service import BATCH, Service
from rota.core.whole import whole
from rota.model.job import Job, Match, Page
from rota.web import wire
from rota.web.filters import FILTERS, match_of
from rota.web.parameters import Asked, Choices, Parameter, Whole, Word
from rota.web.terms import Flag

LISTED = (
    *("id", "type", "queue", "state", "priority", "attempt", "max_attempts", "created_at", "run_at"),
    *("started_at", "finished_at", "expires_at", "timeout", "retention", "retry", "tags", "unique_key"),
    *("unique_states", "worker", "lease", "lease_until", "losses", "cancel_requested", "reason"),
    *("fingerprint", "progress", "waiting_because"),
)
"""What a list shows of a job."""
CARRIED = (
    *("headers", "content_type", "payload", "payload_base64", "result_type", "result", "result_base64"),
    *("error", "attempts"),
)
"""What a whole job has besides."""
PIECE = 64 * 1024
"""Bytes after which what there is goes out."""
EXPORT = (
    *FILTERS,
    Parameter("format", Word(("ndjson", "csv")), "how jobs are written", default="ndjson"),
    Parameter("columns", Choices((*LISTED, *CARRIED)), "only these, in this order", example="id,state"),
    Parameter("whole", Flag(), "with payload, result, error and attempts", default=False),
    Parameter("limit", Whole(1), "at most so many jobs"),
)
"""Of an export."""

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
# What a spreadsheet takes for the beginning of a formula, also in its wide forms.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


async def written(service: Service, asked: Asked) -> AsyncIterator[bytes]:
    """What :data:`EXPORT` asks for, piece by piece. What is wrong with it, or with the store, is raised
    before the first one.
    """
    carries = asked["whole"] or not set(asked["columns"] or ()) <= set(LISTED)
    found = _Found(service, match_of(asked), asked["limit"])
    await found.begin()
    jobs = _jobs(service, found, carries)
    if asked["format"] == "ndjson":
        return _pieces(jobs, _ndjson(asked["columns"]), [])
    columns = asked["columns"] or ((*LISTED, *CARRIED) if carries else LISTED)
    return _pieces(jobs, _csv(columns), [_line(columns)])


class _Found:
    """The pages of a list, up to so many jobs."""

    def __init__(self, service: Service, match: Match, limit: int | None) -> None:
        self._service = service
        self._match = match
        self._left = limit
        self._page = Page([], None)

    async def begin(self) -> None:
        """Get the first page."""
        await self._next(None)

    async def pages(self) -> AsyncIterator[Sequence[Job]]:
        """All pages; an empty one while there is nothing to show but still something to look at."""
        while True:
            page = self._page
            yield page.jobs
            if self._left is not None:
                self._left -= len(page.jobs)
            if page.cursor is None or self._left == 0:
                return
            await self._next(page.cursor)

    async def _next(self, cursor: str | None) -> None:
        most = BATCH if self._left is None else min(BATCH, self._left)
        self._page = await self._service.jobs(self._match, most, cursor)


async def _jobs(service: Service, found: _Found, carries: bool) -> AsyncIterator[dict[str, Any] | None]:
    """Jobs as the API shows them; None at the end of a page."""
    async for jobs in found.pages():
        if carries:
            async for job in whole(service, _once([job.id for job in jobs])):
                yield wire.job(job, service.waits_for(job))
        else:
            for job in jobs:
                yield wire.job(job, service.waits_for(job), whole=False)
        yield None


async def _once(ids: Sequence[str]) -> AsyncIterator[Sequence[str]]:
    yield ids


async def _pieces(
    jobs: AsyncIterator[dict[str, Any] | None], write: Callable[[dict[str, Any]], bytes], ready: list[bytes]
) -> AsyncIterator[bytes]:
    """What is written of the jobs. At the end of a page something goes out, if only nothing: whoever is gone
    is noticed then.
    """
    size = 0
    async for job in jobs:
        if job is not None:
            ready.append(write(job))
            size += len(ready[-1])
        if job is None or size >= PIECE:
            yield b"".join(ready)
            ready, size = [], 0


def _ndjson(columns: Sequence[str] | None) -> Callable[[dict[str, Any]], bytes]:
    def line(job: dict[str, Any]) -> bytes:
        shape = job if columns is None else {name: job[name] for name in columns if name in job}
        # Payloads are as they came, perhaps over several lines; in JSON that is but white space.
        return wire.encode(shape).translate(_ONE_LINE) + b"\n"

    return line


def _csv(columns: Sequence[str]) -> Callable[[dict[str, Any]], bytes]:
    return lambda job: _line(cell(job.get(name)) for name in columns)


def _line(cells: Iterable[str]) -> bytes:
    """As RFC 4180 has it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode("utf-8", "replace")


def cell(value: Any) -> str:
    """Texts as they are, nothing as nothing, all else as JSON. What would run as a formula gets an apostrophe
    before it.
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else wire.encode(value).decode()
    if text.startswith(_FORMULA) and _NUMBER.fullmatch(text) is None:
        return "'" + text
    return text
