"""/v1/condition: over the wire."""

from __future__ import annotations

from rota import doors
from tests.web.kit import Site

LONG_AGO = "2026-01-31T08:30:00Z"


async def test_it_tells_what_is_the_matter(site: Site) -> None:
    told = await site.get("/v1/condition")
    assert (told["level"], told["findings"]) == ("ok", [])
    await site.enqueue(queue="emails", run_at=LONG_AGO)
    # What was said a moment ago stands, unless somebody wants to know.
    assert (await site.get("/v1/condition"))["level"] == "ok"
    headers = {"cache-control": "no-cache"}
    told = (await site.http.get("/v1/condition", headers=headers)).json()
    [found] = told["findings"]
    assert told["sentence"] == found["sentence"]
    assert (found["code"], found["queue"], found["numbers"]["jobs"]) == ("no_worker", "emails", 1)
    assert found["command"] == f"rota work app:app --queues emails --url {site.url}"


async def test_where_a_command_finds_the_server(site: Site) -> None:
    await site.enqueue(run_at=LONG_AGO)

    async def command(host: str) -> str:
        answer = await site.http.get("/v1/condition", headers={"host": host})
        return str(answer.json()["findings"][0]["command"]).removeprefix("rota work app:app --queues default")

    assert await command("localhost:8080") == ""
    assert await command("127.0.0.1:8080") == ""
    assert await command("localhost") == " --url http://localhost"
    assert await command("[::1]:9000") == " --url http://[::1]:9000"


async def test_the_disk_of_the_store_is_looked_at(site: Site) -> None:
    # As the settings of a test have it, whatever the store of the test is.
    free, total = site.service.condition.room() or (0, 0)
    assert 0 < free <= total
    assert doors._room("postgresql://somewhere/else") is None
    assert doors._room("sqlite:////no/such/folder/rota.db") is None
    site.service.condition.room = lambda: (1, 2)
    assert (await site.get("/v1/condition"))["findings"][0]["code"] == "disk_full"
