"""Whether the server runs programs, as explanations tell it; and what workers say of their sandbox."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from rota.core.facts import explain_job
from rota.core.inside import InsideSource
from rota.core.programs import Programs
from rota.core.service import Service
from rota.model.errors import BadInput
from rota.model.protocol import MAX_LAYERS, MAX_REASON, Fetch, Hello, Layer, Sandbox
from tests.core.kit import attach, put

BOX = Sandbox("basic", (Layer("bubblewrap", False, "not installed"), Layer("landlock", True)), "standard")
OURS = Programs("refused", "basic lacks landlock", BOX, frozenset({"default"}), frozenset({"program_zip"}))


async def causes(service: Service, id: str) -> list[str]:
    return [one.code for one in (await explain_job(service, id)).causes]


@pytest.mark.parametrize(
    ("state", "code", "sentence"),
    [
        ("off", "programs_off", "This server runs no programs: basic lacks landlock."),
        ("opening", "programs_opening", "The sandbox of this server's programs is being opened."),
        ("refused", "programs_refused", "This server refuses to run programs: basic lacks landlock."),
    ],
)
async def test_a_program_that_waits_for_the_server_says_why(
    service: Service, state: str, code: str, sentence: str
) -> None:
    service.programs = msgspec.structs.replace(OURS, state=state)
    id = await put(service, "program_zip")
    told = await explain_job(service, id)
    assert [one.code for one in told.causes] == [code, "no_worker"]
    assert told.causes[0].sentence == sentence == service.waits_for(await service.job(id))
    assert told.causes[0].numbers["reason"] == "basic lacks landlock"
    assert told.certainty is None


async def test_what_a_refusal_rests_on(service: Service) -> None:
    service.programs = OURS
    told = await explain_job(service, await put(service, "program_zip"))
    assert told.causes[0].numbers == {
        "reason": "basic lacks landlock",
        "profile": "basic",
        "missing": "standard",
    }


async def test_it_is_said_only_of_what_the_server_would_run(service: Service) -> None:
    service.programs = OURS
    assert await causes(service, await put(service, "program_zip", queue="other")) == ["no_worker"]
    assert await causes(service, await put(service, "resize")) == ["no_worker"]
    id = await put(service, "program_zip")
    service.programs = msgspec.structs.replace(OURS, state="on")
    assert await causes(service, id) == ["no_worker"]
    # Somebody else runs it.
    service.programs = OURS
    hand = await attach(service, types=("program_zip",))
    await hand.until(1)
    assert "programs_refused" not in await causes(service, id)


async def test_a_worker_inside_that_comes_after_the_drain_leaves_at_once(service: Service) -> None:
    service.drain()
    source = InsideSource(service)
    await source.open(Hello("late", ("default",), 1))
    await asyncio.wait_for(source.drained.wait(), 1)


BAD = [
    Sandbox("basic", (Layer("", True),)),
    Sandbox("basic", (Layer("two\nlines", True),)),
    Sandbox("basic", (Layer("x" * 101, True),)),
    Sandbox("basic", (Layer("a", False, "x" * (MAX_REASON + 1)),)),
    Sandbox("basic", (), "x" * (MAX_REASON + 1)),
    Sandbox("basic", (Layer("a", True),) * (MAX_LAYERS + 1)),
]


@pytest.mark.parametrize("box", BAD)
async def test_a_sandbox_that_cannot_be_shown_is_refused(service: Service, box: Sandbox) -> None:
    with pytest.raises(BadInput) as caught:
        await service.workers.fetch(Fetch("w", ("q",), wait=0, sandbox=box))
    assert (caught.value.code, caught.value.field) == ("invalid_worker", "sandbox")
    with pytest.raises(BadInput):
        await attach(service, sandbox=box)
    assert not service.workers.roster


async def test_a_polling_worker_says_it_once(service: Service) -> None:
    await service.workers.fetch(Fetch("w", ("q",), wait=0, sandbox=BOX))
    assert service.workers.roster["w"].sandbox == BOX
    await service.workers.fetch(Fetch("w", ("q",), wait=0))
    assert service.workers.roster["w"].sandbox == BOX
    await service.workers.fetch(Fetch("other", ("q",), wait=0))
    assert service.workers.roster["other"].sandbox is None
