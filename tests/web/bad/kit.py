"""Send what should not be sent, and see that it is refused, that nothing is kept of it, and that life goes on."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import httpx2

from tests.web.kit import PATIENCE, Answer, Json, Site, problem


class Case(NamedTuple):
    """A request and its refusal. ``line``: see catalogue.py; ``words`` have to stand in the sentence."""

    line: int
    name: str
    sent: bytes
    status: int
    code: str
    field: str | None = None
    words: str = ""

    def __str__(self) -> str:
        return f"{self.line}-{self.name}"


def names(case: object) -> str:
    """Test ids: the line and the name."""
    return str(case)


async def unharmed(site: Site, jobs: int = 0) -> None:
    """Nothing was stored, and the server serves."""
    assert await site.stored() == jobs
    assert await site.get("/livez") == {"status": "ok"}


async def refused(site: Site, answer: Answer | httpx2.Response, case: Case) -> Json:
    """Check the answer to a case, and that it did no harm."""
    told = problem(answer, case.status, case.code, case.field)
    assert case.words in told["detail"], told
    await unharmed(site)
    return told


def head(site: Site, start: str = "POST /v1/jobs HTTP/1.1", *lines: str) -> bytes:
    """The beginning of a request, with a Host."""
    return "\r\n".join([start, f"Host: 127.0.0.1:{site.port}", *lines, "", ""]).encode("latin-1")


async def say(site: Site, sent: bytes) -> tuple[list[Answer], bool]:
    """Write bytes, and read answers until the server closes. The second is whether it did, in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    answers = []
    try:
        writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            while True:
                answers.append(await Answer.read(reader))
    except asyncio.IncompleteReadError as rest:
        if rest.partial:
            raise AssertionError(f"half an answer: {rest.partial!r}") from rest
        return answers, True
    except ConnectionResetError:
        return answers, True
    except TimeoutError:
        return answers, False
    finally:
        writer.close()
