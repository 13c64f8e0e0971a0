"""/v1/types: which types there are, and what is known of each."""

from __future__ import annotations

import asyncio
from typing import Any

import rota
from rota.core import catalog
from rota.core.service import Service
from rota.model import protocol
from rota.sdk.socket import SocketSource
from rota.sdk.worker import Worker
from tests.web.kit import PATIENCE, Site, serving, until

SCHEMA = {"type": "object", "properties": {"width": {"type": "integer"}}, "required": ["width"]}
ABOUT = {"resize": {"description": "Make it smaller.", "schema": SCHEMA}}
BUILT_IN = {"sleep", "send_email", "webhook", "program_zip", "execurl"}


async def kept(site: Site, text: bytes) -> None:
    """Returns once this is among what workers told: they are welcomed before it is kept."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not any(text in (note.body or b"") for note in await site.service.engine.notes(catalog.KIND)):
        assert asyncio.get_running_loop().time() < deadline, text
        await asyncio.sleep(0.002)


async def types(site: Site) -> dict[str, Any]:
    found = (await site.get("/v1/types"))["types"]
    assert [one["type"] for one in found] == sorted(one["type"] for one in found)
    return {one.pop("type"): one for one in found}


async def test_types_of_workers_of_jobs_and_our_own(site: Site) -> None:
    assert set(await types(site)) == BUILT_IN
    await site.enqueue("forgotten", queue="old")
    options = {"types": ["resize", "crop"], "about": ABOUT}
    async with site.worker("w1", queues=["images", "default"], **options):
        async with site.worker("w2", queues=["rush"], types=["resize"]):
            async with site.worker("w3", queues=["all"]):
                await kept(site, b"smaller")
                found = await types(site)
        assert set(found) == BUILT_IN | {"forgotten", "resize", "crop"}
        assert found["resize"] == {
            "queues": ["default", "images", "rush"],
            "workers": 3,
            "built_in": False,
            "description": "Make it smaller.",
            "schema": SCHEMA,
            "example": None,
            "accepts": ["json"],
        }
        nothing = {"built_in": False, "description": None, "schema": None, "example": None}
        anything = ["json", "zip", "bytes"]
        assert found["crop"] == {
            **nothing,
            "queues": ["default", "images"],
            "workers": 2,
            "accepts": anything,
        }
        assert found["forgotten"] == {**nothing, "queues": ["old"], "workers": 1, "accepts": anything}
    assert found["sleep"]["built_in"] is True
    assert found["sleep"]["example"] == {"ms": 1500}
    assert found["sleep"]["schema"]["properties"]["ms"]["type"] == "integer"
    await until(lambda: not site.service.workers.roster, "that they have left")
    assert set(await types(site)) == BUILT_IN | {"forgotten"}


async def test_who_stands_in_for_an_older_interface_is_for_its_clients_only(site: Site) -> None:
    hello = protocol.Hello("inside-x", ("jobq",), 1, ("theirs",))

    def nothing(*_: Any) -> None: ...

    await site.service.workers.attach(hello, "inside", nothing, nothing, nothing, stand_in=True)
    assert set(await types(site)) == BUILT_IN


async def test_what_was_told_survives_the_worker_and_the_server(store: str) -> None:
    async with serving(store) as site:
        async with site.worker(types=["resize"], about=ABOUT):
            await site.enqueue("resize")
            await kept(site, b"smaller")
    async with serving(store) as site:
        assert (await types(site))["resize"]["schema"] == SCHEMA
        async with site.worker(types=["resize"], about={"resize": {"accepts": ["bytes"]}}):
            await kept(site, b"bytes")
        now = (await types(site))["resize"]
        assert (now["schema"], now["accepts"]) == (None, ["bytes"])


async def test_what_is_known_is_not_written_again(site: Site) -> None:
    known = site.service.catalog
    about = {"resize": protocol.About("Make it smaller.")}
    await known.keep(about)
    before = site.service.engine.vitals()["commits"]
    await known.keep(about)
    await catalog.Catalog(site.service.engine).keep(about)
    assert site.service.engine.vitals()["commits"] == before


async def test_what_cannot_be_kept_is_refused(site: Site) -> None:
    wrong: list[Any] = [
        {"": {}},
        {"a b": {}},
        {"a": {"description": "x" * 501}},
        {"a": {"schema": [1]}},
        {"a": {"schema": None}},
        {"a": {"schema": {"title": "x" * protocol.MAX_SCHEMA}}},
        {f"t{n}": {} for n in range(protocol.MAX_ABOUT + 1)},
    ]
    for about in wrong:
        async with site.socket() as worker:
            await worker.send("hello", worker="w", queues=["default"], slots=1, about=about)
            told = await worker.refused()
            assert (told["code"], told["field"]) == ("invalid_types", "about")
    wrong = [{"a": {"colour": 1}}, {"a": {"accepts": ["xml"]}}, {"a": 1}]
    for about in wrong:
        async with site.socket() as worker:
            await worker.send("hello", worker="w", queues=["default"], slots=1, about=about)
            assert (await worker.refused())["code"] in ("unknown_field", "wrong_type")
    assert await site.service.engine.notes(catalog.KIND) == []


async def test_there_is_an_end_to_what_is_kept(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(catalog, "MOST", 3)
    service: Service = site.service
    for n in range(5):
        await service.catalog.keep({f"t{n}": protocol.About(f"{n}"), "t0": protocol.About("0 again")})
    notes = await service.engine.notes(catalog.KIND)
    assert [note.key for note in notes] == ["t0", "t1", "t2"]


async def test_a_worker_of_the_sdk_tells_of_its_tasks(site: Site) -> None:
    app = rota.App()

    @app.task(name="shrink")
    def shrink(width: int, colour: str = "red") -> None:
        """Make it smaller."""

    worker = Worker(app, SocketSource(site.url))
    running = asyncio.create_task(worker.run())
    await kept(site, b"smaller")
    found = (await types(site))["shrink"]
    worker.drain()
    await running
    assert found["description"] == "Make it smaller."
    assert found["schema"]["required"] == ["width"]
    assert found["schema"]["properties"]["colour"] == {"type": "string", "default": "red"}
