"""What pages ask of the server besides jobs: how it is, how it is set up, types, views and tickets."""

from __future__ import annotations

from rota.core.about import Setting
from rota.core.catalog import TypeInfo
from rota.web.openapi import about, codes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import Answer, Example, Header, Routes, Said
from rota.web.tickets import Ticket, TicketRequest
from rota.web.views import NewView, SavedView

SERVER, JOBS, VIEWS = "Server", "Jobs", "Views"
VIEW = SavedView("Failed mails", "jobs", "state=failed&queue=emails", None)
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
    ("GET", "/v1/views"): Said(
        "list_views",
        VIEWS,
        (Answer(200, "All views, by name.", about.ViewList, example=about.ViewList([VIEW])),),
        (Example("All views", 200),),
        (codes.READ,),
    ),
    ("PUT", "/v1/views/{view}"): Said(
        "put_view",
        VIEWS,
        (
            Answer(200, "It has taken the place of another.", SavedView, example=VIEW),
            Answer(201, "It is new.", SavedView, example=VIEW),
        ),
        (
            Example("Mails that failed", 201, NewView("jobs", VIEW.query)),
            Example("With columns", 201, NewView("jobs", "state=running", ["id", "type", "started_at"])),
        ),
        (codes.BODY, codes.VIEW, codes.WRITE),
        body=(NewView,),
        path={"view": VIEW.name},
    ),
    ("DELETE", "/v1/views/{view}"): Said(
        "delete_view",
        VIEWS,
        (Answer(204, "It is gone."),),
        (Example("Delete a view", 204),),
        (codes.NO_VIEW, codes.WRITE),
        path={"view": VIEW.name},
    ),
    ("GET", "/v1/settings"): Said(
        "get_settings",
        SERVER,
        (Answer(200, "All settings.", about.ServerSettings, example=SETTINGS),),
        (Example("All settings", 200),),
    ),
}
