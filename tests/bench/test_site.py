"""The processes that are measured: none is forgotten, whenever a signal comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from rota.bench.site import SIGNALS, postponed


@pytest.mark.parametrize("number", SIGNALS, ids=str)
def test_a_signal_while_a_process_starts_waits_until_the_process_is_remembered(number: int) -> None:
    """And the process itself hears signals as any other."""
    children: list[subprocess.Popen[bytes]] = []
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), postponed():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        assert signal.getsignal(number) is signal.default_int_handler
        (child,) = children
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == -signal.SIGTERM
    finally:
        signal.signal(number, before)
        for child in children:
            child.kill()
            child.wait()
