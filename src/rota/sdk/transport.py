"""What both clients share: address, credentials, when to try again, and how a failure is told."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import httpx2
import msgspec

from rota.model.errors import Unavailable
from rota.model.protocol import MAX_FRAME
from rota.model.spec import MAX_JOBS, JobSpec
from rota.sdk import calls, trace
from rota.sdk.address import Servers, find_token
from rota.sdk.answers import Created
from rota.sdk.calls import JSON, Answer, Call

T = TypeVar("T")

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
FILE_SECONDS = 60.0
"""On top of that for a file, which has to get onto a disk before there is an answer."""
RETRIES = 4
MAX_PAUSE = 5.0

_BODY = MAX_FRAME - 64 * 1024
_json = msgspec.json.Encoder()


class Damaged(httpx2.TransportError):
    """A file that arrived is not the one that the server has."""


class Transport:
    """Where the server is and how to speak to it.

    ``url`` is the argument, else ``ROTA_URL``, else http://127.0.0.1:8080; ``token`` the argument, else
    ``ROTA_TOKEN``, else what the file ``ROTA_TOKEN_FILE`` holds. BadConfig when one of them cannot be used.
    A URL may name several servers over one store, with commas between: one of them is asked until it fails.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, retries: int = RETRIES) -> None:
        self.servers = Servers(url)
        self.token = find_token(token)
        self.retries = retries

    @property
    def url(self) -> str:
        """The server that is asked now."""
        return self.servers.url

    def options(self) -> dict[str, Any]:
        """Arguments for either httpx2 client."""
        headers = {"User-Agent": "rota-sdk", "Accept": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return {
            "headers": headers,
            "limits": _LIMITS,
            # Proxies from the environment are for the world outside of this machine.
            "trust_env": not self.servers.local,
            # Reading the machine's certificates takes 40 ms; plain HTTP has no use for them.
            "verify": any(url.startswith("https:") for url in self.servers.urls),
        }

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """Arguments for ``request`` of either httpx2 client."""
        headers = dict(call.headers)
        if call.body is not None:
            headers["Content-Type"] = JSON
        if call.jobs:
            # Beside the body: the same job from another trace is the same job to its idempotency key.
            headers |= trace.carried()
        return {
            "method": call.method,
            "url": self.url + call.path,
            "content": call.body,
            "headers": headers,
            "timeout": httpx2.Timeout(
                ANSWER_SECONDS + call.wait + (FILE_SECONDS if call.file is not None else 0.0),
                connect=CONNECT_SECONDS,
            ),
        }

    def pause(self, call: Call[Any], url: str, tries: int, failure: httpx2.TransportError | Answer) -> float:
        """Seconds before the next try, or raise what ``failure`` of the server at ``url`` means when there
        should be none.

        A connection that was never made can always be tried again; a request that may have been carried out
        (the answer was lost, 503) only when doing it twice does no harm. Where there are several servers,
        each is tried once without a pause.
        """
        rounds, others = divmod(tries, len(self.servers.urls))
        asked = ""
        if isinstance(failure, Answer):
            if failure.status != 503 or not call.again or rounds > self.retries:
                raise calls.error_of(failure)
            self.servers.leave(url)
            asked = failure.retry_after or ""
        else:
            self.servers.leave(url)
            unsent = isinstance(failure, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
            # Who waited so long for an answer waits for it once more only where somebody else may give it.
            late = isinstance(failure, httpx2.ReadTimeout) and rounds > 0
            if rounds > self.retries or late or not (unsent or call.again):
                raise self.unreachable(failure, url) from failure
        if others:
            return 0.0
        if asked.isdecimal():
            return min(float(asked), MAX_PAUSE)
        return random.uniform(0.5, 1.0) * min(0.1 * 2.0 ** (rounds - 1), MAX_PAUSE)

    def unreachable(self, failure: Exception, url: str) -> Unavailable:
        """The error for a server that does not answer at all."""
        if isinstance(failure, httpx2.ReadTimeout):
            return Unavailable(f"The Rota server at {url} did not answer in time.", code="timeout")
        if isinstance(failure, Damaged):
            return Unavailable(str(failure), code="damaged")
        why = str(failure) or type(failure).__name__
        return Unavailable(
            f"No Rota server answers at {' or '.join(self.servers.urls)} ({why}). Start one with "
            "`rota serve`, or name another with ROTA_URL.",
            code="unreachable",
        )


def answer_of(response: httpx2.Response) -> Answer:
    """An httpx2 response as the value that calls read."""
    return Answer(
        response.status_code,
        response.headers.get("content-type", ""),
        response.content,
        response.headers.get("retry-after"),
    )


def read(call: Call[T], answer: Answer) -> T:
    """What a call was answered; raises the error that the answer stands for."""
    if answer.status >= 400:
        raise calls.error_of(answer)
    return call.read(answer)


def new_key() -> str:
    """An idempotency key for a request whose caller gave none."""
    return uuid.uuid4().hex


def key_for(spec: JobSpec, key: str | None) -> str | None:
    """The Idempotency-Key of a request with this one job; None when the job has its own."""
    return key if spec.idempotency_key is not None else key or new_key()


def split(specs: Iterable[JobSpec], key: str | None) -> Iterator[Call[list[Created]]]:
    """Requests for any number of jobs, each within what a server takes at once.

    Every job gets a key, so that a repeated request makes no second one: its own, the request's, or a new
    one.
    """
    part: list[msgspec.Raw] = []
    size = number = first = 0
    keyed = list(specs)
    own = any(spec.idempotency_key is not None for spec in keyed)
    if own:
        if key is not None:
            raise ValueError("Give idempotency_key for the request or in the jobs, not both.")
        keyed = [
            spec
            if spec.idempotency_key is not None
            else msgspec.structs.replace(spec, idempotency_key=new_key())
            for spec in keyed
        ]
    for index, spec in enumerate(keyed):
        text = _json.encode(spec)
        if part and (len(part) == MAX_JOBS or size + len(text) > _BODY):
            yield _request(part, key, number, own, keyed[first:index])
            part, size, number, first = [], 0, number + 1, index
        part.append(msgspec.Raw(text))
        size += len(text) + 1
    if part:
        yield _request(part, key, number, own, keyed[first:])


def _request(
    part: Sequence[msgspec.Raw], key: str | None, number: int, own: bool, jobs: Sequence[JobSpec]
) -> Call[list[Created]]:
    if own:
        return calls.enqueue_many(part, None, jobs)
    if key is None:
        return calls.enqueue_many(part, new_key(), jobs)
    return calls.enqueue_many(part, key if number == 0 else f"{key}/{number}", jobs)


_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0)
