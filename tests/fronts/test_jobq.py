"""The concurrent prototype's clients, at a real server."""

from __future__ import annotations

from pathlib import Path

from tests.fronts.kit import play, type_along
from tests.server import running_server


def test_answers_are_those_of_the_prototype(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__JOBQ__WORK": "20ms"}) as server:
        play(server.url, "jobq")


def test_the_page_is_typed_along(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert type_along("fronts/jobq.md", server.url, tmp_path) > 2
