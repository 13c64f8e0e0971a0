"""The statements of this engine, read from ``sql/*.sql``: one file per verb, parts named by ``-- name``
lines.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import NamedTuple

_NAME = re.compile(r"^-- (\w+)$", re.MULTILINE)


class Migration(NamedTuple):
    """A numbered change of the schema; ``checksum`` tells whether the text is the one that was run."""

    number: int
    name: str
    text: str
    checksum: str


def load(verb: str) -> dict[str, str]:
    """Statements of one verb by name."""
    text = (resources.files("rota.engines.postgres") / "sql" / f"{verb}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def migrations() -> list[Migration]:
    """Changes of the schema, in order."""
    folder = resources.files("rota.engines.postgres") / "migrations"
    found = []
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name):
        text = file.read_text(encoding="utf-8")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        found.append(Migration(int(file.name.split("_", 1)[0]), file.name, text, checksum))
    return found
