"""Programs that fork: servers that load an application once and then copy themselves, as gunicorn does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import environment, running_server

CHILDREN, JOBS = 4, 60

PROGRAM = f"""
import os, sys, threading
import rota

app = rota.App()

@app.task
def greet(name: str) -> None: ...

client = rota.Client()

def store(name):
    if sys.argv[1] == "app":
        return greet.enqueue(name).id
    return client.enqueue(rota.job("greet", {{"name": name}})).id

def look(id):
    job = client.job(id) if sys.argv[1] == "client" else app.client.job(id)
    return job.id, job.payload["name"]

# The connection is made, and kept, before the fork.
parent = store("parent")
children = []
for number in range({CHILDREN}):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for count in range({JOBS}):
                name = f"{{number}}/{{count}}"
                id = store(name)
                assert look(id) == (id, name), (id, name)
            status = 0
        finally:
            os._exit(status)
    children.append(pid)
for count in range({JOBS}):
    assert look(parent) == (parent, "parent")
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""

ASYNC = """
import asyncio, os
import rota

client = rota.AsyncClient()

async def store(name):
    return (await client.enqueue(rota.job("greet", {"name": name}))).id

async def many(prefix):
    for count in range(20):
        id = await store(f"{prefix}/{count}")
        job = await client.job(id)
        assert (job.id, job.payload["name"]) == (id, f"{prefix}/{count}")

asyncio.run(store("parent"))
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asyncio.run(many(number))
            status = 0
        finally:
            os._exit(status)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.parametrize("way", ["client", "app"])
def test_every_process_has_connections_of_its_own(tmp_path: Path, way: str) -> None:
    with running_server(tmp_path) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, way],
            env=environment({"ROTA_URL": server.url}),
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert done.returncode == 0, done.stderr


def test_an_asynchronous_client_starts_afresh_in_a_child(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", ASYNC],
            env=environment({"ROTA_URL": server.url}),
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert done.returncode == 0, done.stderr
