"""Run the jobs of a program inside its tests, through the real service, on a clock that the test moves.

::

    with rota.testing.run(app) as t:
        welcome.options(delay=3600).enqueue(user=7)
        t.advance("1h")
        t.assert_enqueued(reminder, args={"user": 7}, delay="3d")

Nothing listens, nothing is configured, nobody sleeps. ``docs/testing.md`` tells the whole story. The names
are loaded when first touched, so that the pytest plugin costs nothing where it is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rota.testing.driver import Endless as Endless
    from rota.testing.driver import Stalled as Stalled
    from rota.testing.harness import AsyncHarness as AsyncHarness
    from rota.testing.harness import Harness as Harness
    from rota.testing.harness import run as run
    from rota.testing.look import Job as Job
    from rota.testing.trial import Trial as Trial
    from rota.testing.trial import aperform as aperform
    from rota.testing.trial import perform as perform

_PUBLIC = {
    "AsyncHarness": "harness",
    "Endless": "driver",
    "Harness": "harness",
    "Job": "look",
    "Stalled": "driver",
    "Trial": "trial",
    "aperform": "trial",
    "perform": "trial",
    "run": "harness",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rota.testing' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"rota.testing.{_PUBLIC[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
