"""Every error that Rota raises on purpose.

::

    RotaError                    500 internal
    ├── BadInput                 422 (or 400, 413, 415: see ``status``)
    ├── NotFound                 404
    ├── Conflict                 409
    │   └── StaleLease           409 stale_lease
    ├── Unauthorized             401
    ├── Forbidden                403
    ├── Unavailable              503
    │   └── StoreError           503 store_unavailable
    ├── BadConfig                -   (command line and start-up; carries every complaint)
    └── JobError                 -   (raised by the SDK while waiting for a job)
        ├── JobFailed
        ├── JobCancelled
        └── WaitTimeout

Each carries a stable ``code`` (snake_case, part of the interface), the HTTP ``status`` it is
answered with, a sentence that says what is wrong and what would be right, and the ``field`` it is
about where there is one.
"""

from __future__ import annotations


class RotaError(Exception):
    """The root: a sentence for people, a code for programs."""

    code = "internal"
    status = 500

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        field: str | None = None,
        **extra: object,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.extra = extra
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class BadInput(RotaError):
    """What was sent cannot be accepted; nothing was stored."""

    code = "invalid_input"
    status = 422


class NotFound(RotaError):
    """There is no such thing, or no longer."""

    code = "not_found"
    status = 404


class Conflict(RotaError):
    """The request is well formed but does not fit the present state."""

    code = "conflict"
    status = 409


class StaleLease(Conflict):
    """The report came with a lease that is no longer the job's; it changed nothing."""

    code = "stale_lease"


class Unauthorized(RotaError):
    """No credentials, or wrong ones."""

    code = "missing_credentials"
    status = 401


class Forbidden(RotaError):
    """Known, but not allowed."""

    code = "forbidden"
    status = 403


class Unavailable(RotaError):
    """Not now; trying again later is right."""

    code = "unavailable"
    status = 503


class StoreError(Unavailable):
    """The store refused a read or a write; what was asked did not happen."""

    code = "store_unavailable"


class BadConfig(RotaError):
    """The configuration has faults; ``complaints`` lists all of them, each naming its key."""

    code = "bad_config"

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


class JobError(RotaError):
    """A job that somebody waits for did not give a result."""

    code = "job_error"


class JobFailed(JobError):
    """The job ended as ``failed``; ``error`` holds its last error (type, message, traceback)."""

    code = "job_failed"


class JobCancelled(JobError):
    """The job ended as ``cancelled``; ``reason`` in ``extra`` says why."""

    code = "job_cancelled"


class WaitTimeout(JobError):
    """The job has not ended within the time given; it goes on."""

    code = "wait_timeout"
