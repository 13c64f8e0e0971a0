"""A worker without the SDK: standard library, plain HTTP, one job. ``python bare.py URL NOTES``.

It fetches, notes that it began, waits for the file ``gate`` beside its notes, reports, and notes the answer.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.crash.history import History


def post(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=40) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def main(url: str, notes: str) -> None:
    history = History(Path(notes))
    _, fetched = post(f"{url}/v1/fetch", {"worker": "bare", "queues": ["default"], "wait": 30})
    [job] = fetched["jobs"]
    key = job["payload"]["key"]
    history.note("began", id=job["id"], key=key, attempt=job["attempt"])
    while not (history.folder / job["payload"]["gate"]).exists():
        time.sleep(0.01)
    history.note("ended", id=job["id"], key=key, attempt=job["attempt"])
    result = {"key": key, "attempt": job["attempt"], "by": "bare"}
    outcome = {"id": job["id"], "lease": job["lease"], "end": "done", "result": result}
    status, answer = post(f"{url}/v1/finish", {"worker": "bare", "outcomes": [outcome]})
    history.note("answered", id=job["id"], status=status, answer=answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
