"""docs/events.md names every event that the server tells, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import rota.core

TEXT = (Path(__file__).parents[2] / "docs/events.md").read_text(encoding="utf-8")
TOLD = re.compile(
    r'(?:event=|_publish\(\s*|_publish_queue\(|_joined\(worker, |moved\()"(\w+)"'
    r'|"(finished)" if .* else "(requeued)"'
)


def test_every_event_has_its_line() -> None:
    core = Path(str(rota.core.__file__)).parent
    source = "\n".join(path.read_text(encoding="utf-8") for path in core.glob("*.py"))
    told = {name for names in TOLD.findall(source) for name in names if name}
    table = TEXT.partition("| --- |")[2].partition("\n\n")[0]
    listed = {name for row in table.splitlines()[1:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == listed
