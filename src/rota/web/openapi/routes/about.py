"""What pages ask of the server besides jobs: tickets."""

from __future__ import annotations

from rota.web.openapi import codes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import Answer, Example, Routes, Said
from rota.web.tickets import Ticket, TicketRequest

SERVER = "Server"
A_TICKET = Ticket("AQAGUlzD3kAAq83vEjRWeJCrze8SNFZ4kA" + "A" * 42, 30)

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
}
