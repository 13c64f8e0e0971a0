"""The numbered changes by which the schema of a store came to be, in every engine: `migrations/*.sql`.

A release serves a schema that is one step ahead of its own, so that servers can be upgraded one after the
other; hence every step must leave the statements of the release before it working (expand first, contract a
release later).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import NamedTuple

import msgspec

from rota.model.errors import StoreError

AHEAD = 1
"""Steps that a store may be ahead of this program."""


class Migration(NamedTuple):
    """A numbered change of the schema; ``checksum`` tells whether the text is the one that was run."""

    number: int
    name: str
    text: str
    checksum: str


class Done(NamedTuple):
    """What a store says of a step: ``at`` in microseconds UTC. An older Rota wrote down neither checksum nor
    time in files."""

    name: str | None = None
    checksum: str | None = None
    at: int | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step as a list shows it. ``sound``: the text that was run is that of this program (None: it was not
    run, or this program does not know it, or nobody wrote it down).
    """

    number: int
    name: str
    known: bool
    done: bool
    sound: bool | None = None
    at: int | None = None


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a store; ``fault``: why this program cannot serve from it, or bring it up to date."""

    store: str
    steps: tuple[Step, ...]
    fault: str | None = None

    @property
    def pending(self) -> int:
        """Steps that were not run yet."""
        return sum(not step.done for step in self.steps)

    @property
    def current(self) -> bool:
        """Whether there is nothing to do, and nothing wrong."""
        return self.fault is None and not self.pending


Told = Callable[[Migration, int, int], None]
"""Told of a step before it is run: which of how many."""


def silent(step: Migration, number: int, of: int) -> None:
    """Tells nobody."""


def read(package: str) -> list[Migration]:
    """The steps of an engine, in order."""
    folder = resources.files(package) / "migrations"
    found = []
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name):
        text = file.read_text(encoding="utf-8")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        found.append(Migration(int(file.name.split("_", 1)[0]), file.name, text, checksum))
    return found


def pending(where: str, steps: Sequence[Migration], done: Mapping[int, Done]) -> list[Migration]:
    """The steps that are left to do. StoreError for a store that this program must leave alone; ``where`` it
    is, as the beginning of a sentence.
    """
    newest = steps[-1].number
    if done and max(done) > newest + AHEAD:
        raise StoreError(
            f"{where} was written by a newer Rota (schema {max(done)}, this one knows {newest}); "
            "nothing was changed."
        )
    for step in steps:
        if step.number in done and done[step.number].checksum not in (None, step.checksum):
            raise StoreError(
                f"The schema of {_inside(where)} is not the one of this Rota: {step.name} differs "
                "from what was run; nothing was changed."
            )
    return [step for step in steps if step.number not in done]


def behind(where: str, steps: Sequence[Migration], left: Sequence[Migration]) -> StoreError:
    """Why a server that must not migrate does not start."""
    names = ", ".join(step.name for step in left)
    return StoreError(
        f"{where} lacks {len(left)} of the {len(steps)} steps of this Rota's schema ({names}), and this "
        "server is told not to run them (migrate: false): run 'rota migrate' first."
    )


def failed(where: str, step: Migration, why: str) -> StoreError:
    """A step did not work."""
    return StoreError(f"The step {step.name} failed, and nothing was changed in {_inside(where)}: {why}.")


def _inside(where: str) -> str:
    """Within a sentence."""
    return where[0].lower() + where[1:]


def listed(store: str, where: str, steps: Sequence[Migration], done: Mapping[int, Done]) -> Schema:
    """Everything that is known of the steps of a store."""
    known = {step.number: step for step in steps}
    rows = []
    for number in sorted(known.keys() | done.keys()):
        step, ran = known.get(number), done.get(number)
        sound = None if step is None or ran is None or ran.checksum is None else ran.checksum == step.checksum
        name = (
            step.name if step is not None else (ran.name if ran is not None and ran.name else f"{number:04}")
        )
        at = None if ran is None else ran.at
        rows.append(
            Step(number=number, name=name, known=step is not None, done=ran is not None, sound=sound, at=at)
        )
    try:
        pending(where, steps, done)
        fault = None
    except StoreError as error:
        fault = error.detail
    return Schema(store=store, steps=tuple(rows), fault=fault)
