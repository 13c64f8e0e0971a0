"""The workers inside the server: for its built-in handlers, and for the older interfaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rota import handlers
from rota.config import Settings
from rota.core.inside import InsideSource, StandIn
from rota.core.service import Service
from rota.handlers import fronts
from rota.handlers.settings import (
    EmailSettings,
    FileSettings,
    HandlerSettings,
    SleepSettings,
    WebhookSettings,
)
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

    async def run(self, service: Service) -> None:
        """Until the service is drained."""
        app = self.build()
        stand_in, kind = None, "built-in"
        if self.front is not None:
            stand_in, kind = StandIn(self.front, frozenset(app.tasks), self.except_types), "stand-in"
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
