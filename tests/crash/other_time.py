"""Rota as on a machine whose wall clock is wrong: ``python other_time.py SECONDS -m rota ARGUMENTS``."""

from __future__ import annotations

import runpy
import sys
import time

seconds = float(sys.argv[1])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + seconds
time.time_ns = lambda: _time_ns() + int(seconds * 1e9)
sys.argv = ["rota", *sys.argv[4:]]
runpy.run_module("rota", run_name="__main__", alter_sys=True)
