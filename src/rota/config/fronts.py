"""The settings of the five older interfaces; ``docs/configuration.md`` has a line for each."""

from __future__ import annotations

from typing import Annotated

import msgspec

from rota.config import kinds

DAY = 86400
NAMES = ("jqgo", "poll", "jobq", "jobsapi", "pqexec")
_ADDRESS = kinds.Address()
SURFACES = ("rest", "ws", "html", "html_ws")


class Listeners(kinds.Kind):
    """Further addresses, each with the fronts that are served there and nowhere else."""

    allowed = (
        "a list such as [{listen: 127.0.0.1:3000, fronts: [poll]}], "
        f"or a text 127.0.0.1:3000=poll+jqgo,...; fronts are {', '.join(NAMES)}"
    )

    def parse(self, value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
        pairs: list[tuple[object, object]] = []
        if isinstance(value, str):
            texts = [text.partition("=") for text in value.replace(",", " ").split()]
            pairs = [(place, names.split("+") if names else None) for place, _, names in texts]
        elif isinstance(value, list | tuple):
            for one in value:
                if not isinstance(one, dict) or set(one) != {"listen", "fronts"}:
                    raise kinds.Refused
                pairs.append((one["listen"], one["fronts"]))
        else:
            raise kinds.Refused
        found: list[tuple[str, tuple[str, ...]]] = []
        seen: set[str] = set()
        for place, names in pairs:
            if not isinstance(names, list | tuple) or not names:
                raise kinds.Refused
            for name in names:
                if name not in NAMES:
                    raise kinds.Refused(f"has {str(name)[:50]!r}, which is no front ({', '.join(NAMES)})")
                if name in seen:
                    raise kinds.Refused(f"has the front {name} twice")
                seen.add(name)
            try:
                found.append((_ADDRESS.parse(place), tuple(names)))
            except kinds.Refused as refused:
                told = str(refused) or f"must be {_ADDRESS.allowed}"
                raise kinds.Refused(f"has the address {str(place)[:100]!r}, which {told}") from None
        return tuple(found)

    def show(self, value: object) -> str:
        pairs = value if isinstance(value, tuple) else ()
        return ", ".join(f"{address}={'+'.join(names)}" for address, names in pairs) or "none"

    def plain(self, value: object) -> object:
        pairs = value if isinstance(value, tuple) else ()
        return [{"listen": address, "fronts": list(names)} for address, names in pairs]


class Jqgo(msgspec.Struct, frozen=True, kw_only=True):
    """JobQueueGo. ``slots``, and ``programs`` at a time: of the workers that stand in while none of its
    kind is connected. ``program_timeout``: wall time.
    """

    enabled: Annotated[bool, kinds.Truth()] = True
    queue: Annotated[str, kinds.Queue()] = "jqgo"
    slots: Annotated[int, kinds.Whole(0, 10_000)] = 10
    programs: Annotated[int, kinds.Whole(0, 1000)] = 4
    program_timeout: Annotated[float, kinds.Duration(0.1, DAY)] = 15.0


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """job-poll-queue. ``lease``: how long a worker may take; ``payload``: what workers are given."""

    enabled: Annotated[bool, kinds.Truth()] = True
    queue: Annotated[str, kinds.Queue()] = "poll"
    lease: Annotated[float, kinds.Duration(0.1, 30 * DAY)] = 300.0
    payload: Annotated[str, kinds.Choice("json", "text")] = "json"
    credentials: Annotated[bool, kinds.Truth()] = True


class Jobq(msgspec.Struct, frozen=True, kw_only=True):
    """The prototype. ``slots``: of its worker; ``work``: how long a job takes there."""

    enabled: Annotated[bool, kinds.Truth()] = True
    queue: Annotated[str, kinds.Queue()] = "jobq"
    slots: Annotated[int, kinds.Whole(0, 10_000)] = 10
    work: Annotated[float, kinds.Duration(0, DAY)] = 1.0


class Jobsapi(msgspec.Struct, frozen=True, kw_only=True):
    """Job Queue + Worker API. ``work``: how long a job of a type without a handler takes."""

    enabled: Annotated[bool, kinds.Truth()] = True
    queue: Annotated[str, kinds.Queue()] = "jobsapi"
    slots: Annotated[int, kinds.Whole(0, 10_000)] = 10
    work: Annotated[float, kinds.Duration(0, DAY)] = 2.0


class Pqexec(msgspec.Struct, frozen=True, kw_only=True):
    """Parallel queue processing. ``workers_limit``: tasks at a time."""

    enabled: Annotated[bool, kinds.Truth()] = True
    queue: Annotated[str, kinds.Queue()] = "pqexec"
    workers_limit: Annotated[int, kinds.Whole(0, 10_000)] = 10
    surface: Annotated[str, kinds.Choice("auto", *SURFACES)] = "auto"


class Fronts(msgspec.Struct, frozen=True, kw_only=True):
    """The five older interfaces. ``open``: they need no token, which their clients cannot send."""

    open: Annotated[bool, kinds.Truth()] = False
    jqgo: Jqgo = Jqgo()
    poll: Poll = Poll()
    jobq: Jobq = Jobq()
    jobsapi: Jobsapi = Jobsapi()
    pqexec: Pqexec = Pqexec()
