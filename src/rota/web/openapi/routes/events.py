"""Streams of events."""

from __future__ import annotations

from rota.web.openapi import codes
from rota.web.openapi.saying import Answer, Example, Header, Routes, Said

EVENTS = "Events"
LAST_EVENT = Header(
    "Last-Event-ID",
    "The `id` of the last event seen; what came since is told first.",
    {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9]{1,18}$"},
    "c93d7d62-17",
)

SAID: Routes = {
    ("GET", "/v1/events"): Said(
        "events",
        EVENTS,
        (
            Answer(
                200,
                "Events without end. Each has `id`, `event` and, as JSON, `data`; a comment every 15 "
                "seconds when "
                "nothing happens.",
                {"type": "string"},
                media="text/event-stream",
                example="retry: 1000\nid: c93d7d62-17\nevent: ready\ndata: {}\n\n",
            ),
        ),
        (
            Example("Everything", 200),
            Example("One queue", 200, query={"topic": "queue:default"}),
            Example("Take up again", 200, headers={"Last-Event-ID": "c93d7d62-17"}),
        ),
        (codes.CURSOR,),
        headers=(LAST_EVENT,),
    ),
    ("GET", "/v1/live"): Said(
        "live_socket",
        EVENTS,
        (Answer(101, "The WebSocket is open; subscribe to topics."),),
        (Example("Without an upgrade", 426),),
        (codes.UPGRADE,),
        ticket=True,
        told="The same events on a WebSocket, many to a frame: for pages that watch many things. "
        "docs/events.md "
        "describes the frames. To anything but an upgrade the answer is 426.",
    ),
}
