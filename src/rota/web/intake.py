"""What comes in from Kafka, as JSON."""

from __future__ import annotations

from typing import Any

from rota.core.intake import Intake


def shape(intake: Intake) -> list[dict[str, Any]] | None:
    """Each partition that this server reads, with why it stands still, if it does; None: it reads nothing."""
    if not intake.away:
        return None
    return [
        {
            "group": group,
            "connected": away is None,
            "reason": away,
            "topics": [
                {
                    "topic": topic,
                    "records": intake.records[group, topic],
                    "dead_letters": intake.dead[group, topic],
                }
                for topic in sorted(
                    {name for of, name, _ in intake.stretches if of == group}
                    | {name for of, name in [*intake.records, *intake.dead] if of == group}
                )
            ],
            "partitions": [
                {
                    "topic": one.topic,
                    "partition": one.partition,
                    "next": one.next,
                    "lag": one.lag,
                    "stopped": one.stopped,
                }
                for one in intake.sorted()
                if one.group == group
            ],
        }
        for group, away in sorted(intake.away.items())
    ]
