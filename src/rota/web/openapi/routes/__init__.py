"""What is said of each route, one module per resource; see :mod:`rota.web.openapi.saying`."""

from __future__ import annotations

from collections.abc import Mapping

from rota.web.openapi.routes import about, events, files, jobs, many, protocol, queues, search, server
from rota.web.openapi.saying import Routes

TAGS: Mapping[str, str] = {
    "Jobs": "Store jobs, look at them, act on them.",
    "Files": "Archives that came with jobs, and that they left.",
    "Queues": "Lines of jobs.",
    "Workers": "Who is connected.",
    "Worker protocol": "What a worker itself asks; docs/protocol.md tells how the requests go together.",
    "Events": "What happens, as it happens; docs/events.md lists the events.",
    "Views": "What people saved of the dashboard's pages.",
    "Server": "Figures, probes, and this description.",
}

SAID: Routes = {
    **jobs.SAID,
    **files.SAID,
    **many.SAID,
    **search.SAID,
    **queues.SAID,
    **protocol.SAID,
    **events.SAID,
    **about.SAID,
    **server.SAID,
}
"""What has to be said of a route, beyond what its line in the table and its handler say themselves."""
