"""JobQueueGo's worker, written from what is known of it: a program of its own that knows nothing of Rota.

    python jqgo_worker.py -host localhost -port 8080

Connects, then reads one message, runs it, answers, and only then reads the next one. What is no JSON is
information. Ends with status 0 when the connection does; it never connects again.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

MAKE_SECONDS = 15


def main() -> None:
    flags = argparse.ArgumentParser()
    flags.add_argument("-host", default="localhost")
    flags.add_argument("-port", default="8080")
    given = flags.parse_args()
    origin = Origin("http://localhost/")
    url = f"ws://{given.host}:{given.port}/ws/worker"
    try:
        with connect(url, origin=origin, ping_interval=None, max_size=None) as socket:
            while True:
                message = socket.recv()
                try:
                    job = json.loads(message)
                except ValueError:
                    print("information:", message, file=sys.stderr, flush=True)
                    continue
                print("running:", job["id"], file=sys.stderr, flush=True)
                started = time.monotonic()
                text, success = run(job)
                took = round((time.monotonic() - started) * 1000)
                result = {"job": job, "result": text, "duration": took, "success": success}
                socket.send(json.dumps({"RespType": "result", "Res": result}))
    except ConnectionClosed:
        print("the connection is gone", file=sys.stderr, flush=True)


def run(job: dict[str, Any]) -> tuple[str, bool]:
    """The result's text, and whether it went well."""
    match job["type"]:
        case "program_zip":
            return program(job["id"], job.get("input", ""))
        case "sleep":
            time.sleep(job.get("duration", 0))
            return f"Slept for {job.get('duration', 0)} seconds", True
        case "hash":
            return f"fakehash({job.get('input', '')})", True
        case _:
            return "Unknown job type", True


def program(id: str, input: str) -> tuple[str, bool]:
    try:
        packed = base64.b64decode(input, validate=True)
    except ValueError:
        return "failed to decode base64 input", False
    folder = Path("jobs") / f"job-{id}"
    try:
        zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
    except zipfile.BadZipFile:
        return "failed to unzip project", False
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    command = ["make", "run"]
    # The tests themselves may be run by a make, which would have a word in this one.
    env = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    try:
        done = subprocess.run(
            command,
            env=env,
            cwd=inside[0] if inside else folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MAKE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return "make run timed out", False
    if done.returncode:
        return f"make run error: exit status {done.returncode}\nOutput: {done.stdout}", False
    return done.stdout, True


if __name__ == "__main__":
    main()
