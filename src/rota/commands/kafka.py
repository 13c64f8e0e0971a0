"""What ``rota check`` says of Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.commands import output

if TYPE_CHECKING:
    from rota.config import Settings
    from rota.edges.kafka import Finding


def find(settings: Settings) -> list[Finding]:
    """What is to be said of the cluster; nothing where none is set."""
    from rota.bridges import look

    return look(settings)


def show(found: list[Finding]) -> None:
    """For people."""
    if found:
        output.say("\nKafka")
        rows = [(one.about, output.Styled(one.text, "red") if one.fault else one.text) for one in found]
        output.pairs([(f"  {about}", text) for about, text in rows])


def shape(found: list[Finding]) -> list[dict[str, Any]]:
    """For programs."""
    return [{"about": one.about, "text": one.text, "ok": not one.fault} for one in found]
