"""Whether programs of others run here: what ``rota check`` says of the sandbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from rota.commands import output
from rota.commands.output import Column, Styled

if TYPE_CHECKING:
    from rota.config.programs import Programs
    from rota.model.protocol import Sandbox


class Found(NamedTuple):
    """As ``programs`` of ``GET /v1/workers``, and in words."""

    state: str
    reason: str | None
    sandbox: Sandbox | None
    words: str

    def shape(self) -> dict[str, Any]:
        """For JSON."""
        return {"state": self.state, "reason": self.reason, "sandbox": self.sandbox}


def find(settings: Programs) -> Found:
    """Try the sandbox of these settings, as a server does when it starts."""
    if not settings.enabled:
        reason = "programs.enabled is false"
        return Found("off", reason, None, f"Programs do not run here: {reason}.")
    from rota import confined

    async def ask() -> confined.Verdict:
        async with confined.opened(settings) as (_, verdict):
            return verdict

    verdict = asyncio.run(ask())
    state = "refused" if verdict.refused else "on"
    return Found(state, verdict.refused, verdict.shown, verdict.in_words())


def show(found: Found) -> None:
    """The layers as a table, and the words."""
    if found.sandbox is not None:
        columns = [Column("LAYER", whole=True), Column("WORKS", whole=True), Column("WHY NOT", whole=True)]
        rows = [
            (one.name, Styled("yes", "green") if one.works else Styled("no", "red"), one.why_not or "")
            for one in found.sandbox.layers
        ]
        output.table(columns, rows)
        output.say()
    output.say(output.inert(found.words))
