"""What the fronts share: their shape, and the few things each of them does.

A front is one module of :mod:`rota.web.fronts`: a table of its requests, a table of its words for states,
pure functions from its requests to jobs and from jobs to its answers, and handlers that call one verb each.
Its jobs carry its name as a tag, so that it shows no others, whatever queue they are in.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute, compile_path
from starlette.types import ASGIApp

from rota.core.service import BATCH, Service
from rota.model.errors import BadInput, NotFound, RotaError, StoreError, Unauthorized
from rota.model.job import Job, Match, NewJob
from rota.model.spec import FRONT_TAG, JobSpec, Limits, request
from rota.web import strict
from rota.web.asgi import BROKEN, read

log = logging.getLogger("rota.web")
_skim = msgspec.json.Decoder(msgspec.Raw).decode

Handler = Callable[[Request], Awaitable[Response]]
Refusal = Callable[[RotaError], Response]


class Front(NamedTuple):
    """An older interface, ready to be mounted."""

    name: str
    requests: Mapping[tuple[str, str], Handler]
    """By method and path. Without one for HEAD the one for GET is called, which must not do then what only a
    GET may.
    """
    refuse: Refusal
    """How it says no."""
    sockets: Mapping[str, ASGIApp] = {}
    """WebSockets by path."""
    open: Sequence[str] = ()
    """Paths that need no token: pages, which tell nothing of the server."""
    run: Callable[[], Coroutine[Any, Any, None]] | None = None
    """What it has to do all the time, until cancelled."""


def routes(front: Front) -> list[BaseRoute]:
    """For the router."""
    paths: dict[str, dict[str, Handler]] = {}
    for (method, path), handler in front.requests.items():
        paths.setdefault(path, {})[method] = handler
    plain = [Route(path, _Endpoint(by_method, front.refuse)) for path, by_method in paths.items()]
    return [*(WebSocketRoute(path, app) for path, app in front.sockets.items()), *plain]


def paths(fronts: Sequence[Front]) -> Callable[[str], bool]:
    """Whether a path is one of theirs."""
    return _one_of({path for one in fronts for path in (*(p for _, p in one.requests), *one.sockets)})


def refusals(fronts: Sequence[Front]) -> Callable[[str], Refusal | None]:
    """By path, how the front refuses that has it, also what does not get as far as its handlers."""
    known = [(paths([one]), one.refuse) for one in fronts]

    def find(path: str) -> Refusal | None:
        refuse = next((refuse for has, refuse in known if has(path)), None)
        return None if refuse is None else lambda error: _refused(refuse, error)

    return find


def open_paths(fronts: Sequence[Front]) -> Callable[[str], bool]:
    """Whether a path needs no token."""
    return _one_of({path for one in fronts for path in one.open})


async def body(request: Request, most: int) -> bytes:
    """The whole body. BadInput with status 413 above ``most`` bytes."""
    return await read(request.receive, most, request.headers.get("content-length"))


async def gone(request: Request) -> None:
    """Returns when the client has gone away. Its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def submit(service: Service, front: str, spec: JobSpec, limits: Limits | None = None) -> NewJob:
    """Store one job of a front. ``limits``: those of the front, where the service's are not meant."""
    (job,) = await submit_all(service, front, [spec], limits)
    return job


async def submit_all(
    service: Service, front: str, specs: Sequence[JobSpec], limits: Limits | None = None
) -> tuple[NewJob, ...]:
    """Store jobs of a front, all or none."""
    asked = request(specs, service.clock.now(), limits or service.limits, front=front)
    await service.enqueue(asked)
    return asked.jobs


async def job(service: Service, front: str, id: str) -> Job:
    """A job of this front. NotFound for one of another, too."""
    found = await service.job(id)
    if FRONT_TAG + front not in found.tags:
        raise NotFound(f"There is no job {id[:100]!r}.", code="job_not_found", field="id")
    return found


async def ids(service: Service, front: str, **match: Any) -> AsyncIterator[Sequence[str]]:
    """Of all jobs of a front that match, oldest first, some at a time (perhaps none)."""
    wanted, cursor = Match(tags=(FRONT_TAG + front,), **match), None
    while True:
        found = await service.engine.select(wanted, BATCH, cursor)
        yield found.ids
        cursor = found.cursor
        if cursor is None:
            return


def is_json(body: bytes) -> bool:
    """Whether this can be kept as a payload in JSON."""
    try:
        _skim(body)
        strict.check_escapes(body)
        # As a member: long texts are taken apart at their top, which must be an object then.
        strict.check(b'{"":%b}' % body, 1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadInput):
        return False
    return True


def without_store(text: str, handler: Handler) -> Handler:
    """The handler, with what the older program said when its store failed; ``{}``: the reason."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except StoreError as error:
            raise RotaError(text.format(error.detail)) from error

    return guarded


class Json(Response):
    """JSON as the older programs wrote it, with a line end where they had one."""

    media_type = "application/json"

    def __init__(self, shape: object, status: int = 200, end: bytes = b"") -> None:
        super().__init__(msgspec.json.encode(shape) + end, status)


class Text(Response):
    """Plain text."""

    media_type = "text/plain; charset=utf-8"


class _Endpoint:
    """One path: by method, refusals in the words of the front. The router hands everything on to a class."""

    def __init__(self, by_method: Mapping[str, Handler], refuse: Refusal) -> None:
        self._by_method = by_method
        self._refuse = refuse

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        method = scope["method"]
        try:
            handler = self._by_method.get(method) or (
                self._by_method.get("GET") if method == "HEAD" else None
            )
            if handler is None:
                allow = ", ".join(sorted(self._by_method))
                raise RotaError("Method not allowed.", code="method_not_allowed", status=405, allow=allow)
            answer = await handler(Request(scope, receive))
        except RotaError as error:
            answer = _refused(self._refuse, error)
            if error.status == 405:
                answer.headers["allow"] = ", ".join(sorted(self._by_method))
        except Exception:
            log.exception("request failed", extra={"method": method, "path": scope["path"]})
            answer = _refused(self._refuse, RotaError(BROKEN))
        await answer(scope, receive, send)


def _one_of(paths: set[str]) -> Callable[[str], bool]:
    # Every request of a server with a token may ask this, and most paths are plain.
    plain = {path for path in paths if "{" not in path}
    patterns = [compile_path(path)[0] for path in paths - plain]
    return lambda path: path in plain or any(pattern.match(path) for pattern in patterns)


def _refused(refuse: Refusal, error: RotaError) -> Response:
    answer = refuse(error)
    if isinstance(error, Unauthorized):
        answer.headers["www-authenticate"] = "Bearer"
    if error.status == 503 and not error.extra.get("kept"):
        answer.headers["retry-after"] = "1"
    if error.status == 413 or error.code == "bad_framing":
        # What is left of the body is not read, or nobody knows where it ends.
        answer.headers["connection"] = "close"
    return answer
