"""Counters of a server, and figures over time: which ones are asked for, and the JSON that tells them."""

from __future__ import annotations

from typing import Any

from rota import __version__
from rota.core import drains
from rota.core.history import GROUPS, MAX_GROUPS, Figures, Wish
from rota.core.series import COARSE, FINE, KEPT
from rota.core.servers import ServerNote
from rota.core.service import Service
from rota.model.clock import HOUR, MINUTE, SECOND, seconds, to_text
from rota.model.errors import BadInput
from rota.model.job import State
from rota.web import intake
from rota.web.parameters import Asked, Name, Parameter, Seconds, Time, Whole, Word

RESOLUTIONS = {"5s": FINE, "1m": COARSE}
_USUAL = {FINE: 10 * MINUTE, COARSE: HOUR}
"""How far back, where nothing is said."""
FIGURES = (
    Parameter("resolution", Word(tuple(RESOLUTIONS)), "the length of a point", "1m"),
    Parameter("since", Time(), "from then on"),
    Parameter("until", Time(), "up to then (now)"),
    Parameter("last", Seconds(KEPT // SECOND), "so many seconds back, in place of since"),
    Parameter("queue", Name(), "only this queue"),
    Parameter("type", Name(), "only this type"),
    Parameter("group", Word(GROUPS), "one line of figures for each", "none"),
    Parameter("limit", Whole(1, MAX_GROUPS), "that many groups, the busiest; the rest is one more", 20),
)


async def counters(service: Service) -> dict[str, Any]:
    """Jobs by state as they are in the store, everything else since the servers on it started."""
    states = dict.fromkeys(State, 0)
    for row in await service.engine.count():
        states[row.state] += row.jobs
    roster, own = service.workers.roster.everybody(), drains.counted(service)
    everywhere = [own, *service.others.figures()]
    return {
        "version": __version__,
        "uptime": (service.clock.now() - service.started_at) / SECOND,
        "states": states,
        "enqueued": sum(one.enqueued for one in everywhere),
        "started": sum(one.started for one in everywhere),
        "finished": {state: sum(one.finished.get(state, 0) for one in everywhere) for state in own.finished},
        "requeued": sum(one.requeued for one in everywhere),
        "rates": {name: round(sum(one.rates.get(name, 0.0) for one in everywhere), 3) for name in own.rates},
        "workers": len(roster),
        "slots": sum(worker.slots for worker in roster),
        "running": sum(worker.in_hand for worker in roster),
        "servers": [_server(one) for one in service.others.servers],
        "kafka_in": intake.shape(service.intake),
        "feeds": service.feeds.figures(),
    }


async def over_time(service: Service, asked: Asked) -> dict[str, Any]:
    """What is asked for with :data:`FIGURES`."""
    now = service.clock.now()
    wish = _wish(asked, now)
    found = await service.histories.read(wish, now)
    return {
        "resolution": wish.length // SECOND,
        "since": to_text(found.since),
        "until": to_text(found.until),
        "points": (found.until - found.since) // wish.length,
        "group": wish.group,
        "up": [{"since": to_text(run.since), "until": to_text(run.until)} for run in found.up],
        "series": [_line(one) for one in found.series],
    }


def _line(one: Figures) -> dict[str, Any]:
    """Names first, and only what there is."""
    return {
        name: value
        for name in one.__struct_fields__
        if (value := getattr(one, name)) is not None or name in ("queue", "type")
    }


def _wish(asked: Asked, now: int) -> Wish:
    length = RESOLUTIONS[asked["resolution"]]
    until = now if asked["until"] is None else asked["until"]
    since, last = asked["since"], asked["last"]
    if since is not None and last is not None:
        raise BadInput(
            "Give since, or last for so many seconds, not both.", code="conflicting_fields", field="last"
        )
    if since is None:
        since = until - (_USUAL[length] if last is None else seconds(last))
    if since >= until:
        raise BadInput("since must be before until.", code="invalid_time", field="since")
    return Wish(length, since, until, asked["queue"], asked["type"], asked["group"], asked["limit"])


def _server(one: ServerNote) -> dict[str, Any]:
    """A server as the API shows it."""
    return {
        "server": one.id,
        "host": one.host,
        "pid": one.pid,
        "version": one.version,
        "url": one.url,
        "started_at": to_text(one.since),
        "draining": one.stopped,
        "workers": len(one.workers),
    }
