"""`import rota` costs nothing, and programs that use the SDK load no server."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import rota

SERVER = ("starlette", "uvicorn", "uvloop", "apsw", "httptools", "yaml", "click", "rich", "aiosmtplib")
CLIENTS = ("httpx2", "httpcore2", "websockets", "asyncio", "msgspec")

MEASURE = """
import json, sys, time
before = time.perf_counter()
{statement}
print(json.dumps({{"ms": (time.perf_counter() - before) * 1000, "modules": sorted(sys.modules)}}))
"""


def measure(statement: str) -> tuple[float, set[str]]:
    code = MEASURE.format(statement=statement)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    found = json.loads(out)
    return found["ms"], set(found["modules"])


def test_importing_rota_is_quick_and_loads_neither_server_nor_client() -> None:
    results = [measure("import rota") for _ in range(3)]
    assert min(ms for ms, _ in results) < 60
    modules = results[0][1]
    assert not modules & {*SERVER, *CLIENTS}
    assert not {name for name in modules if name.startswith("rota.")}


def test_declaring_tasks_loads_no_http_client_and_no_server() -> None:
    statement = "import rota; app = rota.App(); app.task(name='one')(lambda x: x); rota.Context"
    _, modules = measure(statement)
    assert "rota.sdk.app" in modules
    assert not modules & {*SERVER, "httpx2", "websockets"}
    forbidden = ("rota.web", "rota.core", "rota.engines", "rota.config")
    assert not {name for name in modules if name.startswith(forbidden)}


def test_a_worker_loads_no_server() -> None:
    _, modules = measure("import rota.sdk.worker, rota.sdk.socket, rota.sdk.poll, rota.sdk.child")
    assert not modules & set(SERVER)
    forbidden = ("rota.web", "rota.core", "rota.engines", "rota.config", "rota.handlers", "rota.app")
    assert not {name for name in modules if name.startswith(forbidden)}


def test_every_public_name_is_there() -> None:
    for name in rota.__all__:
        assert getattr(rota, name) is not None
    assert set(rota.__all__) <= set(dir(rota))
    with pytest.raises(AttributeError, match="nothing_like_this"):
        rota.nothing_like_this  # noqa: B018
