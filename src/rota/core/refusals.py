"""Why the jobs of a request were not stored, where the store answered instead of raising."""

from __future__ import annotations

from collections.abc import Sequence

from rota.model.errors import Conflict, RotaError, StoreError, Unavailable
from rota.model.job import Kept, Request


def refusal(request: Request, kept: Sequence[Kept]) -> RotaError | None:
    """The error that the caller gets; None when the answer is one."""
    # These are said of all jobs of a request.
    match kept[0].why if kept else None:
        case "no_upload":
            return StoreError("The upload went away before the job was stored; send it again.")
        case "busy":
            return Unavailable(
                "A transaction of another program that is still open has stored a job with this key; "
                "nothing was stored here. Try again.",
                code="key_in_transaction",
            )
    if not request.keys or all(one.why != "mismatch" for one in kept):
        return None
    return Conflict(
        "This idempotency key was used before with another body; nothing was stored.",
        code="idempotency_mismatch",
        field="idempotency_key",
    )
