"""Where the server listens, and which interfaces are served there."""

from __future__ import annotations

import logging
import resource
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from starlette.types import ASGIApp

from rota import __version__
from rota.config import Settings
from rota.config.fronts import NAMES
from rota.config.kinds import split_address
from rota.config.table import table
from rota.core.about import About, BuiltIn
from rota.core.service import Service
from rota.engines import places
from rota.model.errors import BadConfig, BadInput
from rota.programs.archive_index import read_index
from rota.programs.archive_rules import ArchiveLimits, BadArchive
from rota.sdk import trace
from rota.web import api, front
from rota.web.access import AccessLog
from rota.web.auth import Gate
from rota.web.front import Front
from rota.web.fronts import jobq, jobsapi, jqgo, poll, pqexec
from rota.web.ticket import Tickets

log = logging.getLogger("rota")

OTHER_FILES = 200
"""Descriptors kept back for the store, child processes and answers to those who find no room."""
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A peer that vanished without a word is noticed after two minutes; seconds, and a number of tries."""
PQEXEC = "pqexec"


def open_doors(settings: Settings) -> list[socket.socket]:
    """A listening socket for the interface itself, then one for each of ``listeners``. Raises BadConfig."""
    places = [("listen", settings.listen), *(("listeners", place) for place, _ in settings.listeners)]
    opened: list[socket.socket] = []
    try:
        for key, place in places:
            opened.append(_listen(key, place))
    except BaseException:
        close(opened)
        raise
    return opened


def close(listeners: Sequence[socket.socket]) -> None:
    """Close all of them."""
    for listener in listeners:
        listener.close()


def url_of(listener: socket.socket) -> str:
    """The address that clients use."""
    host, port = listener.getsockname()[:2]
    return f"http://{'[' + host + ']' if ':' in host else host}:{port}"


def applications(service: Service, settings: Settings, served: Sequence[Front]) -> list[ASGIApp]:
    """One for each door, in their order. Of fronts that have the same path the first of NAMES has it."""
    fronts = {one.name: one for one in served}
    service.condition.room = lambda: _room(settings.store)
    elsewhere = {name for _, names in settings.listeners for name in names}
    here = [fronts[name] for name in NAMES if name in fronts and name not in elsewhere]
    most = settings.body_limit
    found: list[ASGIApp] = [
        api.build(service, _main_gate(service, settings, here), most, here, _entries, _about(settings))
    ]
    for _, names in settings.listeners:
        there = [fronts[name] for name in NAMES if name in fronts and name in names]
        found.append(api.build_fronts(service, _gate(settings, there), most, there))
    return [_watched(one, settings) for one in found]


def make_room(connections: int) -> int:
    """Allow so many connections in open files, and answer for how many there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            log.warning("fewer connections than asked for", extra={"open_files": soft, "asked": connections})
            return max(10, soft - OTHER_FILES)
    return connections


def fronts(service: Service, settings: Settings) -> Iterator[Front]:
    """The older interfaces that are served."""
    old, most = settings.fronts, settings.body_limit
    if old.jqgo.enabled:
        yield jqgo.build(service, old.jqgo.queue, most)
    if old.jobq.enabled:
        yield jobq.build(service, old.jobq.queue, most)
    if old.poll.enabled:
        yield poll.build(
            service,
            old.poll.queue,
            most,
            lease=old.poll.lease,
            text=old.poll.payload == "text",
            credentials=old.poll.credentials,
            token=_token(settings),
        )
    if old.jobsapi.enabled:
        yield jobsapi.build(service, old.jobsapi.queue, most)
    if old.pqexec.enabled:
        yield pqexec.build(service, old.pqexec.queue, *_surface(settings), most)


def _surface(settings: Settings) -> tuple[str, bool]:
    """What the parallel queue serves besides REST, and whether ``/`` is its page. The dashboard has that
    place unless somebody asked for the page by name, or who comes may see nothing else.
    """
    asked = settings.fronts.pqexec.surface
    alone = any(PQEXEC in names for _, names in settings.listeners)
    home = asked != "auto" or alone or settings.local_only
    return "html_ws" if asked == "auto" else asked, home


def _entries(source: BinaryIO) -> int:
    """How many entries an archive has whose directory is sound; its content shows when it is unpacked."""
    try:
        return len(read_index(source, ArchiveLimits()))
    except BadArchive as error:
        told = f"{error.detail[:1].upper()}{error.detail[1:]}."
        about = {} if error.entry is None else {"entry": error.entry}
        raise BadInput(told, code=error.code, status=error.status, **about) from None


def _about(settings: Settings) -> About:
    return About(
        version=__version__,
        store=places.shown(settings.store),
        token=settings.token is not None,
        settings=table(settings),
        built_in=cache(lambda: _built_in(settings)),
    )


def _room(store: str) -> tuple[int, int] | None:
    """Bytes free and in all on the disk of a store that is a file here."""
    if places.is_postgres(store):
        return None
    try:
        usage = shutil.disk_usage(Path(places.sqlite(store)[0]).absolute().parent)
    except OSError:
        return None
    return usage.free, usage.total


def _built_in(settings: Settings) -> Mapping[str, BuiltIn]:
    # A server that nobody asks need not load what this takes.
    from rota.handlers.catalog import PROGRAMS, catalog

    types = (*settings.handlers.active, *(PROGRAMS if settings.programs.enabled else ()))
    told = catalog(types, settings.handlers.sleep.max_ms)
    return {type: BuiltIn(*one) for type, one in told.items()}


def _main_gate(service: Service, settings: Settings, fronts: Sequence[Front]) -> Gate:
    """Of ``listen``. Where its address comes from the parallel queue's file and there is no token, other
    machines are served that interface and nothing else (docs/decisions/0012).
    """
    token = _token(settings)
    tickets = Tickets(None if token is None else token.encode(), service.clock.now)
    if not settings.local_only:
        return _gate(settings, fronts, tickets)
    anyone = front.paths([one for one in fronts if one.name == PQEXEC])
    # Programs of this machine may go by the address that the server tells.
    return Gate(None, (*settings.allowed_hosts, settings.host), anyone=anyone, tickets=tickets)


def _gate(settings: Settings, fronts: Sequence[Front], tickets: Tickets | None = None) -> Gate:
    token = _token(settings)
    # Without a token nothing but the address protects us from pages in the user's own browser.
    guarded = token is not None and not settings.fronts.open
    hosts = None if guarded or settings.insecure else settings.allowed_hosts
    open = front.paths(fronts) if settings.fronts.open else front.open_paths(fronts)
    return Gate(token, hosts, open, tickets=tickets)


def _token(settings: Settings) -> str | None:
    return None if settings.token is None else settings.token.reveal()


def _watched(web: ASGIApp, settings: Settings) -> ASGIApp:
    if (tracing := trace.tracer()) is not None:
        from rota.web.spans import Traced

        web = Traced(web, tracing)
    if settings.dev or settings.log_level == "debug":
        web = AccessLog(web, logging.INFO if settings.dev else logging.DEBUG)
    return web


def _listen(key: str, place: str) -> socket.socket:
    host, port = split_address(place)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Whom it lets in may wait for hours without a word: the system finds those who are gone.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise BadConfig([f"{key}: cannot listen on {place}: {error.strerror}."]) from error
    listener.setblocking(False)
    return listener
