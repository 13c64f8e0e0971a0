"""A Rota worker in plain Python: takes `upper` jobs by long poll, two at a time, and leaves on SIGTERM."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request
import uuid

URL, TOKEN = os.environ.get("ROTA_URL", "http://127.0.0.1:8080"), os.environ.get("ROTA_TOKEN", "")
ME = {"worker": uuid.uuid4().hex}
SLOTS, BEAT = threading.Semaphore(2), 5
leaving = threading.Event()
running = {}  # id -> lease


def post(path, body):
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {os.environ.get('ROTA_TOKEN', '')}",
    }
    request = urllib.request.Request(URL + path, json.dumps(ME | body).encode(), headers)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)  # a problem; `stale_lease` means that the job is somebody else's by now
        except OSError:
            leaving.wait(1)  # the server is away; what we hold stays ours until its lease ends


def run(job):
    report = {"id": job["id"], "lease": job["lease"]}
    try:
        report |= {"end": "done", "result": job["payload"]["text"].upper()}
    except Exception as error:
        report |= {"end": "failed", "error": {"type": type(error).__name__, "message": str(error)}}
    del running[job["id"]]
    post("/v1/finish", {"outcomes": [report]})
    SLOTS.release()


def beat():
    while not leaving.wait(BEAT):
        if running:
            post("/v1/beat", {"leases": [{"id": id, "lease": lease} for id, lease in list(running.items())]})


signal.signal(signal.SIGTERM, lambda *_: leaving.set())
threading.Thread(target=beat, daemon=True).start()
while not leaving.is_set():
    SLOTS.acquire()
    got = post("/v1/fetch", {"queues": ["default"], "types": ["upper"], "slots": 1, "wait": 2})
    if not got.get("jobs"):
        SLOTS.release()
    for job in got.get("jobs", []):
        running[job["id"]] = job["lease"]
        threading.Thread(target=run, args=[job]).start()
