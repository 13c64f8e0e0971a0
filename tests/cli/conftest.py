"""One server per module, which runs the tasks of ``shop.py`` too, and commands that speak to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.kit import SHOP, Cli, end_all, wait_until
from tests.server import Server, running_server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server of the module runs; ``shop.py`` is in it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "shop.py").write_text(SHOP)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with running_server(folder, "--work", "shop:app", "--slots", "4") as server:
        rota = Cli(folder, server.url)
        wait_until(lambda: rota.outside(), "the worker is there")
        yield server


@pytest.fixture(scope="module")
def rota(server: Server, folder: Path) -> Cli:
    """Commands for the server of the module."""
    return Cli(folder, server.url)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture
def alone(tmp_path: Path) -> Cli:
    """Commands in an empty folder, for a server that is not there."""
    return Cli(tmp_path, "http://127.0.0.1:9")
