"""The workers inside the server: for its built-in handlers, and for the older interfaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from rota import confined, handlers
from rota.config import Settings
from rota.core.inside import InsideSource, StandIn
from rota.core.programs import Programs, State
from rota.core.service import Service
from rota.handlers import fronts
from rota.handlers.settings import (
    EmailSettings,
    FileSettings,
    HandlerSettings,
    SleepSettings,
    WebhookSettings,
)
from rota.model import protocol
from rota.sdk.app import App
from rota.sdk.worker import Worker

log = logging.getLogger("rota")


class BuiltIn(NamedTuple):
    """A worker for one queue. ``front``: it only stands in, for that front; see :class:`StandIn`."""

    queue: str
    slots: int
    grace: float
    build: Callable[[], App]
    front: str | None = None
    except_types: tuple[str, ...] = ()
    sandbox: protocol.Sandbox | None = None

    async def run(self, service: Service) -> None:
        """Until the service is drained."""
        app = self.build()
        stand_in, kind = None, "built-in"
        if self.front is not None:
            stand_in, kind = StandIn(self.front, frozenset(app.tasks), self.except_types), "stand-in"
        if self.sandbox is not None:
            kind += " programs"
        while True:
            try:
                worker = Worker(
                    app,
                    InsideSource(service, stand_in),
                    queues=(self.queue,),
                    slots=self.slots,
                    grace=self.grace,
                    name=f"{kind} {self.queue}",
                    same_loop=True,
                    sandbox=self.sandbox,
                )
                await worker.run()
                return
            except Exception:
                log.exception(
                    "a worker of the server failed; starting another",
                    extra={"worker": f"{kind} {self.queue}"},
                )
                await asyncio.sleep(1)


def workers(settings: Settings) -> list[BuiltIn]:
    """All that the settings ask for."""
    ours: list[BuiltIn] = []
    if settings.handlers.active:
        ours += [
            BuiltIn(queue, slots, settings.grace, lambda: _app(settings))
            for queue, slots in settings.handlers.queues.items()
        ]
    return ours + list(_stand_ins(settings))


async def run_programs(service: Service, settings: Settings, stop: asyncio.Event) -> None:
    """The workers that run programs of others, until the service is drained: open their sandbox, work, close
    it. Where it does not hold they do not work, and the service says why.
    """
    ours, jqgo = settings.programs, settings.fronts.jqgo
    stands_in = jqgo.enabled and jqgo.programs > 0
    queues = {*ours.queues, *([jqgo.queue] if stands_in else [])}
    known = Programs(queues=frozenset(queues), types=frozenset(fronts.PROGRAMS))
    if not ours.enabled:
        service.programs = replace(known, state="off", reason="programs.enabled is false")
        return
    if not queues or stop.is_set():
        return
    service.programs = replace(known, state="opening")
    try:
        async with confined.opened(ours) as (sandbox, verdict):
            confined.log_verdict(verdict)
            state: State = "refused" if verdict.refused else "on"
            service.programs = replace(known, state=state, reason=verdict.refused, sandbox=verdict.shown)
            if sandbox is None or verdict.refused:
                return
            box = verdict.shown
            inside = [
                BuiltIn(
                    queue, slots, settings.grace, lambda: confined.handlers(settings, sandbox), sandbox=box
                )
                for queue, slots in ours.queues.items()
            ]
            if stands_in:
                build = lambda: confined.jqgo_handlers(settings, sandbox)  # noqa: E731
                inside.append(BuiltIn(jqgo.queue, jqgo.programs, settings.grace, build, "jqgo", sandbox=box))
            await asyncio.gather(*(one.run(service) for one in inside))
    except Exception:
        log.exception("the sandbox failed; programs wait for other workers")
        service.programs = replace(known, state="refused", reason="the sandbox failed; the log says how")


def _stand_ins(settings: Settings) -> Iterator[BuiltIn]:
    old, grace = settings.fronts, settings.grace
    if old.jqgo.enabled and old.jqgo.slots:
        yield BuiltIn(old.jqgo.queue, old.jqgo.slots, grace, fronts.jqgo, "jqgo", fronts.PROGRAMS)
    if old.jobq.enabled and old.jobq.slots:
        yield BuiltIn(old.jobq.queue, old.jobq.slots, grace, lambda: fronts.jobq(old.jobq.work), "jobq")
    if old.jobsapi.enabled and old.jobsapi.slots:
        work = old.jobsapi.work
        yield BuiltIn(
            old.jobsapi.queue,
            old.jobsapi.slots,
            grace,
            lambda: fronts.jobsapi(work, lambda: _app(settings)),
            "jobsapi",
        )
    if old.pqexec.enabled and old.pqexec.workers_limit:
        yield BuiltIn(old.pqexec.queue, old.pqexec.workers_limit, grace, fronts.pqexec, "pqexec")


def _app(settings: Settings) -> App:
    """The built-in handlers."""
    ours = settings.handlers
    email = ours.email
    return handlers.build(
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
