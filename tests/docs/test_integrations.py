"""The examples of docs/integrations with the real frameworks, a real server and a real worker."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.cli.kit import Cli, wait_until
from tests.docs.kit import DOCS, EXAMPLES, beside, blocks, copy_of, web
from tests.server import Server, environment, running_server

PAGES = {"fastapi": "fastapi_app", "flask": "flask_app", "django": "django_app"}


@contextmanager
def at_work(folder: Path, server: Server, target: str) -> Iterator[Cli]:
    """The worker of an example, connected."""
    rota = Cli(folder, server.url)
    with beside(folder, "rota", "work", target, env={"ROTA_URL": server.url}):
        wait_until(lambda: rota.outside(), "the worker is there")
        yield rota


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_the_files_as_they_are(name: str) -> None:
    shown = set()
    for block in blocks(f"integrations/{name}.md"):
        if block.kind == "python":
            assert block.note is not None, f"which file is this?\n{block.text}"
            text = (EXAMPLES / PAGES[name] / block.note).read_text(encoding="utf-8")
            assert block.text in text, f"{block.note} has not what the page shows"
            shown.add(block.note)
    files = {path for path in (EXAMPLES / PAGES[name]).rglob("*.py") if path.read_text().strip()}
    hidden = {str(path.relative_to(EXAMPLES / PAGES[name])) for path in files} - shown
    linked = (DOCS / f"integrations/{name}.md").read_text(encoding="utf-8")
    assert not {file for file in hidden if f"{PAGES[name]}/{file}" not in linked}


def test_fastapi(tmp_path: Path, server: Server) -> None:
    folder = copy_of("fastapi_app", tmp_path)
    env = {"ROTA_URL": server.url}
    uvicorn = ["uvicorn", "main:web", "--host", "127.0.0.1", "--port", "{port}"]
    with at_work(folder, server, "jobs:app") as rota, web(folder, *uvicorn, env=env) as client:
        made = client.post("/reports?year=2026", headers={"Idempotency-Key": "k1"})
        assert made.status_code == 202
        again = client.post("/reports?year=2026", headers={"Idempotency-Key": "k1"})
        assert again.json() == made.json()
        other = client.post("/reports?year=2027", headers={"Idempotency-Key": "k1"})
        assert (other.status_code, other.json()["error"]) == (409, "idempotency_mismatch")
        seen = set()

        def half_way() -> bool:
            seen.add(client.get(made.json()["progress"]).json()["progress"])
            return 1.0 in seen

        wait_until(half_way, "it is done")
        assert len(seen) > 2
        result = client.get(made.json()["result"])
        assert (result.status_code, len(result.json())) == (200, 12)
        assert client.get("/reports/00000000-0000-7000-8000-000000000000").status_code == 404

        gone = client.post("/reports?year=2030").json()
        assert client.delete(f"/reports/{gone['job']}").status_code == 202
        wait_until(lambda: rota.job(gone["job"])["state"] == "cancelled", "it is cancelled")

        hook = {"id": "p1", "cents": 250}
        assert client.post("/hooks/payments", json=hook).json() == {"new": True}
        assert client.post("/hooks/payments", json=hook).json() == {"new": False}
        # A worker that still had to report would wait for the server.
        path = "/v1/jobs?type=book_payment&state=done"
        wait_until(lambda: rota.get(path)["jobs"], "the payment is booked")
        server.kill()
        assert client.get(f"/reports/{gone['job']}").status_code == 503
    server.close()


def test_flask_with_processes_that_are_forked(tmp_path: Path, server: Server) -> None:
    folder = copy_of("flask_app", tmp_path)
    env = {"ROTA_URL": server.url}
    gunicorn = [
        "gunicorn",
        "--preload",
        "--workers",
        "2",
        "--threads",
        "4",
        "--bind",
        "{}",
        "shop:create_app()",
    ]
    with at_work(folder, server, "jobs:app"), web(folder, *gunicorn, env=env) as client:
        [once] = re.findall(r'name="once" value="([^"]+)"', client.get("/").text)
        first = client.post("/orders", data={"once": once, "item": "lamp"})
        second = client.post("/orders", data={"once": once, "item": "lamp"})
        assert first.status_code == 303
        assert first.headers["location"] == second.headers["location"]
        page = first.headers["location"]
        wait_until(lambda: "Your invoice is done" in client.get(page).text, "it is done")
        [path] = re.findall(r"It is in ([^<]+)\.</p>", client.get(page).text)
        assert (folder / path).read_text() == "1 lamp\n"
        assert len(list((folder / "invoices").iterdir())) == 1
        assert client.get("/orders/00000000-0000-7000-8000-000000000000").status_code == 404

        # Many at once in both processes: each request gets its own answer.
        def ask(length: int) -> tuple[int, int]:
            with httpx2.Client(trust_env=False, timeout=20) as one:
                return length, one.get(client.base_url.join(f"/prices/{'x' * length}")).json()["cents"]

        with ThreadPoolExecutor(8) as pool:
            for length, cents in pool.map(ask, range(1, 41)):
                assert cents == 100 * length


def test_django(tmp_path: Path, server: Server) -> None:
    folder = copy_of("django_app", tmp_path)
    env = {"ROTA_URL": server.url}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--run-syncdb", "--verbosity", "0"],
        cwd=folder, env=environment(env), check=True, timeout=50,
    )  # fmt: skip
    gunicorn = ["gunicorn", "--preload", "--workers", "2", "--bind", "{}", "shop.wsgi"]
    with at_work(folder, server, "shop.worker:app") as rota, web(folder, *gunicorn, env=env) as client:
        form = client.get("/")
        fields = dict(re.findall(r'name="(\w+)" value="([^"]+)"', form.text)) | {"email": "ann@example.com"}
        assert client.post("/", data={**fields, "csrfmiddlewaretoken": "no"}).status_code == 403
        first = client.post("/", data=fields)
        second = client.post("/", data=fields)
        assert (first.status_code, second.headers["location"]) == (302, first.headers["location"])
        shown = client.get(first.headers["location"], params={"wait": "1"}).json()
        assert shown["state"] == "done"
        assert re.fullmatch(r"sent to ann@example\.com by job \S+", shown["receipt"])
        assert client.get("/orders/77").status_code == 404
        jobs = rota.get("/v1/jobs")["jobs"]
        assert [job["type"] for job in jobs] == ["send_receipt"]
        # A child process begins with the module that sets up Django, too.
        job = rota.job(rota.end("count_orders"))
        assert (job["state"], job["result"]) == ("done", 1), job


def test_django_enqueues_nothing_for_what_was_rolled_back(tmp_path: Path, server: Server) -> None:
    folder = copy_of("django_app", tmp_path)
    code = """
import shop.worker
from django.db import transaction
from orders.models import Order
from orders.views import hand_over
import uuid
try:
    with transaction.atomic():
        order = Order.objects.create(once=uuid.uuid4(), email="a@example.com")
        transaction.on_commit(lambda: hand_over(order))
        raise RuntimeError
except RuntimeError:
    pass
assert Order.objects.count() == 0
"""
    env = environment({"ROTA_URL": server.url})
    for command in (["manage.py", "migrate", "--run-syncdb", "--verbosity", "0"], ["-c", code]):
        subprocess.run([sys.executable, *command], cwd=folder, env=env, check=True, timeout=50)
    assert Cli(folder, server.url).get("/v1/jobs")["jobs"] == []


def test_a_worker_of_django_reloads(tmp_path: Path, server: Server) -> None:
    folder = copy_of("django_app", tmp_path)
    env = {"ROTA_URL": server.url}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--run-syncdb", "--verbosity", "0"],
        cwd=folder, env=environment(env), check=True, timeout=50,
    )  # fmt: skip
    rota = Cli(folder, server.url)
    with beside(folder, "rota", "work", "--reload", "shop.worker:app", env=env):
        wait_until(lambda: rota.outside(), "the worker is there")
        jobs = folder / "orders/jobs.py"
        jobs.write_text(jobs.read_text().replace("Order.objects.count()", "Order.objects.count() + 41"))
        wait_until(lambda: "reloading" in (folder / "said.log").read_text(), "it reloads")
        assert rota.job(rota.end("count_orders"))["result"] == 41
