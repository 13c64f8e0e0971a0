"""GET /v1/jobs/{id}/explain."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from rota.core import causes, explain, programs
from tests.web.kit import NOBODY, Site

API = Path(__file__).parents[2] / "docs" / "api.md"


async def test_an_explanation(site: Site) -> None:
    id = await site.enqueue("odd", queue="mail", unique_key="k")
    await site.post("/v1/queues/mail/pause")
    async with site.worker(queues=["mail"], types=["even"]):
        told = await site.get(f"/v1/jobs/{id}/explain")
    now = told.pop("now")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", now)
    assert told == {
        "id": id,
        "type": "odd",
        "queue": "mail",
        "state": "pending",
        "cause": "queue_paused",
        "sentence": "The queue mail is paused.",
        "at": None,
        "certainty": None,
        "causes": [
            {
                "cause": "queue_paused",
                "sentence": "The queue mail is paused.",
                "at": None,
                "numbers": {"queue": "mail"},
            },
            {
                "cause": "unknown_type",
                "sentence": "No connected worker of the queue mail knows the type odd.",
                "at": None,
                "numbers": {"queue": "mail", "type": "odd", "workers": 1, "names": ["w1"], "elsewhere": []},
            },
            {
                "cause": "holds_unique_key",
                "sentence": "It holds the unique key 'k': no second job with that key is stored meanwhile.",
                "at": None,
                "numbers": {"unique_key": "k"},
            },
        ],
    }
    assert (await site.job(id))["waiting_because"] == told["sentence"]


async def test_times_are_texts(site: Site) -> None:
    id = await site.enqueue(delay=60)
    told = await site.get(f"/v1/jobs/{id}/explain")
    run_at = (await site.job(id))["run_at"]
    assert (told["at"], told["certainty"]) == (run_at, "not_before"), "nobody serves it yet"
    assert told["causes"][0]["numbers"]["run_at"] == run_at
    assert 59 < told["causes"][0]["numbers"]["seconds"] <= 60


async def test_refusals(site: Site) -> None:
    missing = await site.get(f"/v1/jobs/{NOBODY}/explain", 404)
    assert missing["code"] == "job_not_found"
    id = await site.enqueue()
    assert (await site.get(f"/v1/jobs/{id}/explain", 422, why="x"))["code"] == "unknown_parameter"


def test_every_cause_has_its_line_in_the_documents() -> None:
    """And what is not a cause is not in the list."""
    table = API.read_text().partition("| cause | means")[2].partition("\n\n")[0]
    told = {code for row in table.splitlines()[2:] for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    sources = "".join(inspect.getsource(module) for module in (explain, causes, programs))
    known = set(re.findall(r'(?:Cause\(|code(?:, told)? = )"(\w+)"', sources))
    assert len(known) > 20
    assert told - known == {"failed"}, "an unknown reason of a failure is told by its state"
    assert known <= told
