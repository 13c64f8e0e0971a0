"""The composition root: builds one of each, wires them, and runs them in one TaskGroup."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Iterator

import msgspec
import uvicorn
import uvloop
from starlette.types import ASGIApp

from rota import __version__, bridges, builtin, doors, supervise, terms
from rota.config import Settings
from rota.core import bound, joblog, limits, peers, upkeep
from rota.engines import places
from rota.engines.open import open_engine
from rota.model.errors import BadConfig
from rota.model.protocol import MAX_FRAME
from rota.web import connection, frames

log = logging.getLogger("rota")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(settings: Settings) -> int:
    """Serve until told to stop; the exit status."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


async def serve(settings: Settings) -> int:
    """Open the store, listen, work, and on the first signal drain. Raises BadConfig and StoreError."""
    bridges.validate(settings)
    listeners = doors.open_doors(settings)
    stop = _signals()
    try:
        engine = await open_engine(settings.store, migrate=settings.migrate)
    except BaseException:
        doors.close(listeners)
        raise
    settings = msgspec.structs.replace(settings, connections=doors.make_room(settings.connections))
    url, *others = [doors.url_of(listener) for listener in listeners]
    try:
        service, among = await peers.join(
            engine, terms.rules(settings), terms.limits(settings), url, __version__
        )
        await limits.publish(engine, service.limits)
        publishers = await bridges.feeds(service, settings)
        fronts = list(doors.fronts(service, settings))
        servers = [_Server(_web(one, settings)) for one in doors.applications(service, settings, fronts)]
        for server in servers[1:]:
            # One bound for the connections of all doors.
            server.server_state = servers[0].server_state
        # What is loaded by now stays: looking through all of it again and again would hold everybody up.
        gc.freeze()
        async with asyncio.TaskGroup() as group:
            timers = [group.create_task(upkeep.run(service))]
            if among is not None:
                timers.append(group.create_task(among.run()))
            timers += [group.create_task(one.run()) for one in fronts if one.run is not None]
            timers += [group.create_task(one.run()) for one in publishers]
            if settings.dev:
                group.create_task(joblog.run(service))
            webs = [
                group.create_task(server.serve([listener]))
                for server, listener in zip(servers, listeners, strict=True)
            ]
            inside = [group.create_task(one.run(service)) for one in builtin.workers(settings)]
            # Behind "listening": a server that starts does not wait for its sandbox.
            inside.append(group.create_task(builtin.run_programs(service, settings, stop)))
            edges = group.create_task(bridges.run(service, settings))
            children = group.create_task(_children(settings, url, stop))
            log.info(
                "listening", extra={"url": url, "store": places.shown(settings.store), "pid": os.getpid()}
            )
            for (_, names), other in zip(settings.listeners, others, strict=True):
                log.info("listening for fronts", extra={"url": other, "fronts": names})
            _tell_older(settings)
            supervise.tell_system("READY=1")
            await asyncio.wait([asyncio.create_task(stop.wait()), *webs], return_when=asyncio.FIRST_COMPLETED)
            log.info("draining", extra={"grace": settings.grace})
            supervise.tell_system("STOPPING=1")
            stop.set()
            service.drain()
            edges.cancel()
            endings = [
                *(end(settings.grace) for end in service.endings),
                bound.at_rest(service, settings.grace),
            ]
            await asyncio.wait([*inside, edges, children, *(group.create_task(ending) for ending in endings)])
            service.workers.answer_fetches()
            service.bus.close()
            for server in servers:
                server.should_exit = True
            await asyncio.wait(webs)
            for timer in timers:
                timer.cancel()
        await service.series.stop()
        if among is not None:
            await among.leave()
    except ExceptionGroup as errors:
        if (unusable := errors.subgroup(supervise.Unusable)) is not None:
            raise BadConfig([f"work: {unusable.exceptions[0]} cannot be run; see above."]) from None
        raise
    finally:
        doors.close(listeners)
        await engine.close()
    log.info("stopped")
    return 0


class _Server(uvicorn.Server):
    """Signals are ours: the first one drains before the server stops listening."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _web(web: ASGIApp, settings: Settings) -> uvicorn.Config:
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
        # Whose word counts about the address of a client: only that of a proxy on this machine, whatever
        # the environment says.
        forwarded_allow_ips=["127.0.0.1", "::1", "::ffff:127.0.0.1"],
        timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=2,
        backlog=2048,
    )


def _tell_older(settings: Settings) -> None:
    """What came of an older program's settings that its users should know."""
    if settings.idle:
        log.info("settings without effect", extra={"keys": list(settings.idle)})
    if settings.local_only:
        log.warning(
            "open to other machines without a token",
            extra={
                "listen": settings.listen,
                "origin": settings.origins["listen"],
                "served_there": "the parallel queue and the probes; all else on this machine only",
            },
        )


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
