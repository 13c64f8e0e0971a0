"""The composition root: builds one of each, wires them, and runs them in one TaskGroup."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
from collections.abc import Iterator, Sequence

import msgspec
import uvicorn
import uvloop
from starlette.types import ASGIApp

from rota import handlers, supervise
from rota.config import Settings
from rota.core import joblog, upkeep
from rota.core.inside import InsideSource
from rota.core.reports import Rules
from rota.core.service import Service
from rota.engines.open import open_engine
from rota.handlers.settings import (
    EmailSettings,
    FileSettings,
    HandlerSettings,
    SleepSettings,
    WebhookSettings,
)
from rota.model.clock import seconds
from rota.model.errors import BadConfig
from rota.model.protocol import MAX_FRAME
from rota.model.spec import Limits
from rota.sdk import trace
from rota.sdk.worker import Worker
from rota.web import api, connection, frames
from rota.web.access import AccessLog
from rota.web.auth import Gate

log = logging.getLogger("rota")

OTHER_FILES = 200
"""Descriptors kept back for the store, child processes and answers to those who find no room."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(settings: Settings) -> int:
    """Serve until told to stop; the exit status."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


async def serve(settings: Settings) -> int:
    """Open the store, listen, work, and on the first signal drain. Raises BadConfig and StoreError."""
    listener = _listen(settings)
    stop = _signals()
    try:
        engine = await open_engine(settings.store)
    except BaseException:
        listener.close()
        raise
    service = Service(engine, rules=_rules(settings), limits=_limits(settings))
    settings = msgspec.structs.replace(settings, connections=_descriptors(settings.connections))
    host, port = listener.getsockname()[:2]
    url = f"http://{'[' + host + ']' if ':' in host else host}:{port}"
    try:
        await service.load()
        await upkeep.rescue_inside(service)
        server = _Server(_web(service, settings))
        async with asyncio.TaskGroup() as group:
            timers = group.create_task(upkeep.run(service))
            if settings.dev:
                group.create_task(joblog.run(service))
            web = group.create_task(server.serve([listener]))
            inside = [
                group.create_task(_built_in(service, settings, *one)) for one in _built_in_queues(settings)
            ]
            children = group.create_task(_children(settings, url, stop))
            log.info("listening", extra={"url": url, "store": _shown(settings.store), "pid": os.getpid()})
            supervise.tell_system("READY=1")
            await asyncio.wait([asyncio.create_task(stop.wait()), web], return_when=asyncio.FIRST_COMPLETED)
            log.info("draining", extra={"grace": settings.grace})
            supervise.tell_system("STOPPING=1")
            stop.set()
            service.drain()
            await asyncio.wait([*inside, children])
            service.workers.answer_fetches()
            service.bus.close()
            server.should_exit = True
            await web
            timers.cancel()
        await service.series.stop()
    except ExceptionGroup as errors:
        if (unusable := errors.subgroup(supervise.Unusable)) is not None:
            raise BadConfig([f"work: {unusable.exceptions[0]} cannot be run; see above."]) from None
        raise
    finally:
        listener.close()
        await engine.close()
    log.info("stopped")
    return 0


class _Server(uvicorn.Server):
    """Signals are ours: the first one drains before the server stops listening."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _web(service: Service, settings: Settings) -> uvicorn.Config:
    token = None if settings.token is None else settings.token.reveal()
    # Without a token nothing but the address protects us from pages in the user's own browser.
    hosts = None if token is not None or settings.insecure else settings.allowed_hosts
    web: ASGIApp = api.build(service, Gate(token, hosts), settings.body_limit)
    if (tracing := trace.tracer()) is not None:
        from rota.web.spans import Traced

        web = Traced(web, tracing)
    if settings.dev or settings.log_level == "debug":
        web = AccessLog(web, logging.INFO if settings.dev else logging.DEBUG)
    return uvicorn.Config(
        web,
        http=connection.within(
            connection.Bounds(settings.header_timeout, settings.body_timeout, settings.connections)
        ),
        ws=frames.Frames,
        ws_max_size=MAX_FRAME,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=2,
        backlog=2048,
    )


def _rules(settings: Settings) -> Rules:
    return Rules(
        lease=seconds(settings.lease),
        beat=seconds(settings.beat),
        socket_grace=seconds(settings.socket_grace),
        result_bytes=settings.result_limit,
        log_lines=settings.log_lines,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        payload_bytes=settings.payload_limit,
        max_attempts=settings.max_attempts,
        retention=seconds(settings.retention),
    )


def _built_in_queues(settings: Settings) -> Sequence[tuple[str, int]]:
    return list(settings.handlers.queues.items()) if settings.handlers.active else []


async def _built_in(service: Service, settings: Settings, queue: str, slots: int) -> None:
    """The worker inside this process, for one queue."""
    ours = settings.handlers
    email = ours.email
    app = handlers.build(
        HandlerSettings(
            enabled=ours.active,
            sleep=SleepSettings(max_ms=ours.sleep.max_ms),
            email=EmailSettings(
                host=email.host,
                port=email.port,
                tls=email.tls,  # type: ignore[arg-type]
                username=email.username,
                password=None if email.password is None else email.password.reveal(),
                sender=email.sender,
                maildir=email.maildir,
                timeout=email.timeout,
            ),
            webhook=WebhookSettings(
                allow_private=ours.webhook.allow_private,
                allow_networks=ours.webhook.allow_networks,
                max_response_bytes=ours.webhook.max_response_bytes,
                timeout=ours.webhook.timeout,
            ),
            files=FileSettings(folder=ours.files.folder, max_bytes=ours.files.max_bytes),
        )
    )
    while True:
        try:
            worker = Worker(
                app,
                InsideSource(service),
                queues=(queue,),
                slots=slots,
                grace=settings.grace,
                name=f"built-in {queue}",
                same_loop=True,
            )
            await worker.run()
            return
        except Exception:
            log.exception("the built-in worker failed; starting another", extra={"queue": queue})
            await asyncio.sleep(1)


async def _children(settings: Settings, url: str, stop: asyncio.Event) -> None:
    if not settings.work:
        return
    env = {} if settings.token is None else {"ROTA_TOKEN": settings.token.reveal()}
    options = ["--url", url, "--slots", str(settings.slots), "--grace", str(settings.grace)]
    # One that starts its processes again by itself needs no siblings.
    again = ["--reload", "--processes", str(settings.processes)] if settings.dev else []
    commands = [
        supervise.python("work", *options, *again, target)
        for target in settings.work
        for _ in range(1 if again else settings.processes)
    ]
    await supervise.run(commands, env, stop, settings.grace)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise BadConfig([f"listen: cannot listen on {settings.listen}: {error.strerror}."]) from error
    listener.setblocking(False)
    return listener


def _descriptors(connections: int) -> int:
    """Make room for so many connections, and answer for how many there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            log.warning("fewer connections than asked for", extra={"open_files": soft, "asked": connections})
            return max(10, soft - OTHER_FILES)
    return connections


def _signals() -> asyncio.Event:
    """Set by the first signal; a second one ends the process at once."""
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return stop


def _shown(store: str) -> str:
    """A store's URL without a password."""
    scheme, _, rest = store.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
