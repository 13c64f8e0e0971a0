"""What every test stands on: no settings from the machine it runs on, and property tests that repeat.

Nor does it matter how the tests were started: a shell that starts them in the background has Ctrl-C ignored
by all that they start.
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# A slow machine is no fault of the code, and a failure found once has to be found by everybody.
settings.register_profile("rota", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("rota")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ROTA_")]:
        monkeypatch.delenv(name)
