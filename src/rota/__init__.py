"""Rota, a durable job queue: the names that programs use.

They are loaded when first touched, so that ``import rota`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rota.model.errors import (
        BadConfig as BadConfig,
    )
    from rota.model.errors import (
        BadInput as BadInput,
    )
    from rota.model.errors import (
        Conflict as Conflict,
    )
    from rota.model.errors import (
        Forbidden as Forbidden,
    )
    from rota.model.errors import (
        JobCancelled as JobCancelled,
    )
    from rota.model.errors import (
        JobError as JobError,
    )
    from rota.model.errors import (
        JobFailed as JobFailed,
    )
    from rota.model.errors import (
        NotFound as NotFound,
    )
    from rota.model.errors import (
        RotaError as RotaError,
    )
    from rota.model.errors import (
        Unauthorized as Unauthorized,
    )
    from rota.model.errors import (
        Unavailable as Unavailable,
    )
    from rota.model.errors import (
        WaitTimeout as WaitTimeout,
    )
    from rota.model.job import (
        Delays as Delays,
    )
    from rota.model.job import (
        Exponential as Exponential,
    )
    from rota.model.job import (
        Fixed as Fixed,
    )
    from rota.model.job import (
        NoRetry as NoRetry,
    )
    from rota.model.job import (
        State as State,
    )
    from rota.model.spec import JobSpec as JobSpec
    from rota.sdk.aclient import AsyncClient as AsyncClient
    from rota.sdk.answers import JobInfo as JobInfo
    from rota.sdk.app import App as App
    from rota.sdk.client import Client as Client
    from rota.sdk.context import Context as Context
    from rota.sdk.context import current as current
    from rota.sdk.control import Fail as Fail
    from rota.sdk.control import JobStopped as JobStopped
    from rota.sdk.control import Retry as Retry
    from rota.sdk.control import Snooze as Snooze
    from rota.sdk.events import Event as Event
    from rota.sdk.handle import Handle as Handle
    from rota.sdk.options import job as job
    from rota.sdk.tasks import Task as Task

    __version__: str

_HOMES = {
    "rota.model.errors": (
        "BadConfig BadInput Conflict Forbidden JobCancelled JobError JobFailed NotFound RotaError "
        "Unauthorized Unavailable WaitTimeout"
    ),
    "rota.model.job": "Delays Exponential Fixed NoRetry State",
    "rota.model.spec": "JobSpec",
    "rota.sdk.answers": "JobInfo",
    "rota.sdk.aclient": "AsyncClient",
    "rota.sdk.app": "App",
    "rota.sdk.client": "Client",
    "rota.sdk.context": "Context current",
    "rota.sdk.control": "Fail JobStopped Retry Snooze",
    "rota.sdk.events": "Event",
    "rota.sdk.handle": "Handle",
    "rota.sdk.options": "job",
    "rota.sdk.tasks": "Task",
}
_PUBLIC = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [*sorted(_PUBLIC), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _PUBLIC:
        from importlib import import_module

        value = getattr(import_module(_PUBLIC[name]), name)
    else:
        raise AttributeError(f"module 'rota' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("rota")
    except PackageNotFoundError:
        return "0.0.0"
