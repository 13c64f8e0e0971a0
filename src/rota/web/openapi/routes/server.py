"""The server itself: figures, probes, and this description."""

from __future__ import annotations

from rota.web.openapi import codes, shapes
from rota.web.openapi import examples as given
from rota.web.openapi.pulse import PULSE, Pulse
from rota.web.openapi.saying import Answer, Example, Header, Routes, Said

SERVER = "Server"
TAG = Header(
    "If-None-Match",
    "The `ETag` of an answer of before; nothing is sent when it is still the same.",
    {"type": "string"},
    '"2290ca01ba306fa381e9264e"',
)
SAME = Answer(304, "Still the same.")

SAID: Routes = {
    ("GET", "/v1/stats"): Said(
        "stats",
        SERVER,
        (
            Answer(
                200,
                "Counters; with any parameter, figures over time.",
                shapes.Stats | shapes.Figures,
                example=given.STATS,
            ),
        ),
        (
            Example("Counters", 200),
            Example("The last hour", 200, query={"last": "3600"}),
            Example(
                "Each queue in the last minute",
                200,
                query={"resolution": "5s", "last": "60", "group": "queue"},
            ),
        ),
        (codes.FIGURES, codes.READ),
    ),
    ("GET", "/v1/pulse"): Said(
        "pulse",
        SERVER,
        (Answer(200, "How it is now.", Pulse, example=PULSE),),
        (Example("How it is now", 200),),
        (codes.READ,),
    ),
    ("GET", "/metrics"): Said(
        "metrics",
        SERVER,
        (
            Answer(
                200,
                "OpenMetrics.",
                {"type": "string"},
                media="application/openmetrics-text",
                example='rota_jobs{queue="default",state="pending"} 3.0\n# EOF\n',
            ),
        ),
        (Example("Scrape", 200),),
        (codes.READ,),
    ),
    ("GET", "/livez"): Said(
        "livez",
        SERVER,
        (Answer(200, "It answers.", shapes.Health, example=shapes.Health()),),
        (Example("Alive?", 200),),
        open=True,
    ),
    ("GET", "/readyz"): Said(
        "readyz",
        SERVER,
        (Answer(200, "It is ready.", shapes.Health, example=shapes.Health()),),
        (Example("Ready?", 200),),
        (codes.PROBE,),
        open=True,
    ),
    ("GET", "/health"): Said(
        "health",
        SERVER,
        (Answer(200, "It answers.", shapes.Health, example=shapes.Health()),),
        (Example("Alive?", 200),),
        open=True,
    ),
    ("GET", "/openapi.json"): Said(
        "openapi",
        SERVER,
        (Answer(200, "OpenAPI 3.1.", {"type": "object"}, example={"openapi": "3.1.0"}), SAME),
        (Example("This description", 200),),
        headers=(TAG,),
    ),
    ("GET", "/"): Said(
        "dashboard",
        SERVER,
        (Answer(200, "HTML.", {"type": "string"}, media="text/html", example="<!doctype html>"), SAME),
        (Example("The dashboard", 200),),
        (codes.NO_DASHBOARD,),
        open=True,
        headers=(TAG,),
    ),
    ("GET", "/ui/{file}"): Said(
        "dashboard_file",
        SERVER,
        (Answer(200, "The file.", {"type": "string"}, media="*/*", example="<svg/>"), SAME),
        (Example("Its sign", 200),),
        (codes.NOWHERE,),
        open=True,
        path={"file": "icon.svg"},
        headers=(TAG,),
    ),
    ("GET", "/docs"): Said(
        "docs",
        SERVER,
        (Answer(200, "HTML.", {"type": "string"}, media="text/html", example="<!doctype html>"), SAME),
        (Example("The page", 200),),
        open=True,
        headers=(TAG,),
    ),
    ("GET", "/docs/{file}"): Said(
        "docs_file",
        SERVER,
        (Answer(200, "The file.", {"type": "string"}, media="*/*", example="body { margin: 0 }"), SAME),
        (Example("The style", 200),),
        (codes.NOWHERE,),
        open=True,
        path={"file": "docs.css"},
        headers=(TAG,),
    ),
}
