"""What pages ask of the server besides jobs: tickets, and how it is set up."""

from __future__ import annotations

from rota.core.about import Setting
from rota.core.catalog import TypeInfo
from rota.web.openapi import about, codes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import Answer, Example, Header, Routes, Said
from rota.web.tickets import Ticket, TicketRequest

SERVER, JOBS = "Server", "Jobs"
A_TICKET = Ticket("AQAGUlzD3kAAq83vEjRWeJCrze8SNFZ4kA" + "A" * 42, 30)
NO_WORKER = "42 jobs wait in emails, the oldest for 3m, and no worker serves it."
CONDITION = about.ServerCondition(
    level="error",
    at=given.NOW,
    sentence=NO_WORKER,
    findings=[
        about.FoundThing(
            "no_worker",
            "error",
            NO_WORKER,
            {"jobs": 42, "oldest_age": 184.2},
            "emails",
            None,
            "rota work app:app --queues emails",
        )
    ],
)
TYPE = TypeInfo(
    type="resize",
    queues=["images"],
    workers=2,
    built_in=False,
    description="Make a picture smaller.",
    schema={"type": "object", "properties": {"width": {"type": "integer"}}, "required": ["width"]},
    example=None,
    accepts=["json"],
)
SETTINGS = about.ServerSettings(
    version="0.1.0",
    server="c93d7d62",
    started_at=given.EARLIER,
    store=about.StoreAbout("postgresql", "17.6", "postgresql://rota:***@db.example.com/rota"),
    token=True,
    settings=[
        Setting("lease", 30.0, 15.0, "file", "rota.yaml:3", False),
        Setting("token", "***", None, "environment", "ROTA_TOKEN", True),
    ],
)

SAID: Routes = {
    ("POST", "/v1/tickets"): Said(
        "give_ticket",
        SERVER,
        (Answer(201, "A ticket.", Ticket, example=A_TICKET),),
        (
            Example("For the WebSocket of events", 201, TicketRequest("/v1/live")),
            Example("To save a result", 201, TicketRequest(f"/v1/jobs/{given.ID}/result")),
        ),
        (codes.BODY, codes.TICKETS),
        body=(TicketRequest,),
    ),
    ("GET", "/v1/condition"): Said(
        "get_condition",
        SERVER,
        (Answer(200, "What is to be known.", about.ServerCondition, example=CONDITION),),
        (
            Example("How is it?", 200),
            Example("How is it just now?", 200, headers={"Cache-Control": "no-cache"}),
        ),
        headers=(Header("Cache-Control", "`no-cache`: a new answer.", {"type": "string"}, "no-cache"),),
    ),
    ("GET", "/v1/types"): Said(
        "list_types",
        JOBS,
        (Answer(200, "All types, by name.", about.TypeList, example=about.TypeList([TYPE])),),
        (Example("All types", 200),),
        (codes.READ,),
    ),
    ("GET", "/v1/settings"): Said(
        "get_settings",
        SERVER,
        (Answer(200, "All settings.", about.ServerSettings, example=SETTINGS),),
        (Example("All settings", 200),),
    ),
}
