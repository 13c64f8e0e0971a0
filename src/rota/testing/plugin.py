"""The pytest plugin: fixtures ``rota_jobs`` and ``rota_ajobs``, the marker ``rota``, the ini value
``rota_app``.

pytest imports this in every run of a project that has Rota installed, so it imports nothing until asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rota.sdk.app import App
    from rota.testing.harness import AsyncHarness, Harness, Run

_HOW = (
    'Which app? Say rota_app = "shop.jobs:app" in pytest\'s configuration, mark the test with '
    '@pytest.mark.rota("shop.jobs:app"), or give it as a fixture named rota_app.'
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("rota_app", "the apps whose jobs the fixture rota_jobs runs: module:name", type="args")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "rota(*apps, **options): apps and options of rota.testing.run for the fixture rota_jobs"
    )


@pytest.fixture
def rota_app(request: pytest.FixtureRequest) -> Any:
    """The app whose jobs run in the test, or several in a list. Made to be overridden."""
    named: list[Any] = []
    for mark in request.node.iter_markers("rota"):
        named = named or list(mark.args)
    return [_find(one) for one in named or request.config.getini("rota_app")]


@pytest.fixture
def rota_jobs(request: pytest.FixtureRequest, rota_app: Any) -> Iterator[Harness]:
    """:class:`rota.testing.Harness`: the jobs of the app run in the test, on a clock that the test moves."""
    with _run(request, rota_app) as harness:
        yield harness


@pytest.fixture
def rota_ajobs(request: pytest.FixtureRequest, rota_app: Any) -> Iterator[AsyncHarness]:
    """:class:`rota.testing.AsyncHarness`: the same for coroutines, whichever plugin runs them."""
    from rota.testing.harness import AsyncHarness

    with _run(request, rota_app) as harness:
        yield AsyncHarness.of(harness)


def _run(request: pytest.FixtureRequest, apps: App | list[App]) -> Run:
    from rota.testing.harness import run

    if not apps:
        raise pytest.UsageError(_HOW)
    options: dict[str, Any] = {}
    for mark in request.node.iter_markers("rota"):
        options = {**mark.kwargs, **options}
    return run(*(apps if isinstance(apps, list | tuple) else [apps]), **options)


def _find(app: Any) -> Any:
    if not isinstance(app, str):
        return app
    from pkgutil import resolve_name

    try:
        return resolve_name(app)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"rota_app {app!r} cannot be found: {error}") from error
