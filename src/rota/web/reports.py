"""What workers say, read so that nothing in it can hold up their reports."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from rota.model.errors import BadInput
from rota.model.protocol import Ending, Error
from rota.web import strict, wire

T = TypeVar("T")

_PLACE = re.compile(r"outcomes\[(\d+)\]\.(result|error)(?![^.\[])")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode what a worker says; BadInput as :func:`rota.web.wire.decode`.

    A result that cannot be kept fails its job; in an error, characters that cannot be kept are replaced, and
    details are left out: the worker would have nothing else to send, and the job would run into its end again
    and again.
    """
    try:
        return wire.decode(decoder, body)
    except BadInput as refusal:
        text = strict.with_numbers(body)
        try:
            frame = decoder.decode(strict.with_characters(text))
            found = list(strict.faults(text, most=strict.MAX_DEPTH + wire.LEVELS))
        except (ValueError, RecursionError):
            raise refusal from None
        outcomes: list[Ending] = list(getattr(frame, "outcomes", ()))
        if not found or not outcomes:
            raise
        for fault in found:
            place = _PLACE.match(fault.path)
            if place is None:
                raise
            number = int(place[1])
            if place[2] == "result":
                outcomes[number] = _rejected(outcomes[number], fault)
            elif fault.code not in strict.CHARACTERS:
                outcomes[number] = _without_details(outcomes[number], fault)
        return msgspec.structs.replace(frame, outcomes=outcomes)  # type: ignore[type-var]


def _without_details(ending: Ending, fault: strict.Fault) -> Ending:
    error = ending.error
    if error is None or isinstance(error.details, msgspec.UnsetType):
        return ending
    told = f"{error.message} (its details were not kept: {fault.told})"
    return msgspec.structs.replace(ending, error=Error(error.type, told, error.traceback))


def _rejected(ending: Ending, fault: strict.Fault) -> Ending:
    where = fault.path.partition(".")[2]
    error = Error("ResultRejected", f"{fault.told} ({where[:100]})")
    return Ending(ending.id, ending.lease, "failed", error=error, retry=False)
