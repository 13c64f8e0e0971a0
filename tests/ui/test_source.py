"""The dashboard's source: its own tests, by Node, and the types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("script", ["test", "check"])
def test_the_source_holds(script: str) -> None:
    told = subprocess.run(
        [sys.executable, "hatch_build.py", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
