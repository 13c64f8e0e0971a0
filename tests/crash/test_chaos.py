"""Three servers and six workers that are killed and frozen at random. ``python -m bench.chaos`` does the same
for as long as one likes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.chaos import chaos
from tests.postgres import Cluster

pytestmark = pytest.mark.timeout(300)

SECONDS = float(os.environ.get("ROTA_TEST_CHAOS_SECONDS", "8"))
SEED = int(os.environ.get("ROTA_TEST_CHAOS_SEED", "6"))


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_nothing_is_lost_and_nothing_stale_is_accepted(tmp_path: Path, engine: str) -> None:
    if engine == "sqlite":
        store, servers, workers = f"sqlite:///{tmp_path / 'rota.db'}", 1, 3
        verdict = chaos(
            tmp_path, store, seed=SEED, seconds=SECONDS, servers=servers, workers=workers, told=print
        )
    else:
        with Cluster(durable=True) as cluster:
            store = cluster.database("chaos")
            verdict = chaos(tmp_path, store, seed=SEED, seconds=SECONDS, servers=3, workers=6, told=print)
    assert not verdict.broken, "\n".join(verdict.broken)
    assert verdict.acked > 50
