"""Which refusals there are, by cause: stable codes with the status that each is answered with.

A test reads the source and holds this list against every place where an error is made.
"""

from __future__ import annotations

from collections.abc import Mapping

Codes = Mapping[str, int]

HTTP: Codes = {
    "bad_framing": 400,
    "bad_host": 400,
    "bad_encoding": 400,
    "bad_character": 400,
    "unsupported_upgrade": 400,
    "request_timeout": 408,
    "uri_too_long": 414,
    "headers_too_large": 431,
    "origin_not_allowed": 403,
    "local_only": 403,
    "unknown_host": 421,
}
"""Before anybody asks what the request is about; of every route."""
CROWD: Codes = {"too_many_connections": 503}
"""Of every route but the probes."""
TOKEN: Codes = {
    "credentials_in_url": 400,
    "ambiguous_credentials": 400,
    "missing_credentials": 401,
    "invalid_credentials": 401,
}
"""Of every route that needs one."""

SERVER: Codes = {"internal": 500}
READ: Codes = {"store_unavailable": 503}
WRITE: Codes = {"store_unavailable": 503, "storage_full": 507}
PROBE: Codes = {"draining": 503, "store_unavailable": 503, "storage_full": 507}

QUERY: Codes = {"unknown_parameter": 422}
ASKED: Codes = {
    "invalid_format": 422,
    "invalid_field": 422,
    "duplicate_parameter": 422,
    "missing_parameter": 422,
    "invalid_lease": 422,
    "invalid_filter": 422,
    "invalid_queue": 422,
    "invalid_type": 422,
    "invalid_time": 422,
    "invalid_limit": 422,
    "invalid_after": 422,
    "invalid_wait": 422,
    "invalid_topic": 422,
    "invalid_resolution": 422,
    "invalid_last": 422,
    "invalid_group": 422,
}
"""Faults of parameters; which of them a request can have follows from its parameters."""

BODY: Codes = {
    "invalid_json": 400,
    "duplicate_key": 400,
    "non_finite_number": 400,
    "number_too_large": 400,
    "invalid_utf8": 400,
    "invalid_unicode": 400,
    "too_deep": 400,
    "truncated_body": 400,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "unsupported_encoding": 415,
    "nul_character": 422,
    "wrong_type": 422,
    "out_of_range": 422,
    "missing_field": 422,
    "unknown_field": 422,
}
SPEC: Codes = {
    "invalid_batch": 422,
    "conflicting_fields": 422,
    "invalid_type": 422,
    "invalid_queue": 422,
    "invalid_priority": 422,
    "invalid_max_attempts": 422,
    "invalid_timeout": 422,
    "invalid_backoff": 422,
    "invalid_time": 422,
    "invalid_duration": 422,
    "expires_before_start": 422,
    "invalid_tags": 422,
    "too_many_tags": 422,
    "invalid_headers": 422,
    "invalid_content_type": 422,
    "invalid_base64": 422,
    "invalid_unique_key": 422,
    "invalid_unique_states": 422,
    "invalid_idempotency_key": 422,
    "idempotency_mismatch": 409,
    "key_in_transaction": 503,
}
ARCHIVE_BODY: Codes = {
    "truncated_body": 400,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "unsupported_encoding": 415,
    "too_many_uploads": 503,
}
ARCHIVE: Codes = {
    "archive_unreadable": 422,
    "archive_bad_name": 422,
    "archive_bad_kind": 422,
    "archive_duplicate_name": 422,
    "archive_encrypted": 422,
    "archive_unsupported": 422,
    "archive_damaged": 422,
    "archive_overlap": 422,
    "archive_too_many": 413,
    "archive_too_large": 413,
}
"""What the index of an archive shows."""
ID: Codes = {"invalid_worker": 422}
WORKER: Codes = {"invalid_worker": 422, "invalid_queues": 422, "invalid_types": 422, "invalid_slots": 422}
REPORT: Codes = {"stale_lease": 409}
BEAT: Codes = {"invalid_progress": 422, "invalid_level": 422, "invalid_time": 422}
MANY: Codes = {
    "empty_filter": 422,
    "conflicting_fields": 422,
    "invalid_filter": 422,
    "invalid_time": 422,
    "invalid_limit": 422,
}
FIGURES: Codes = {"too_many_points": 422, "conflicting_fields": 422}
CURSOR: Codes = {"invalid_cursor": 400}

NO_DASHBOARD: Codes = {"no_dashboard": 404}
NOWHERE: Codes = {"not_found": 404}
JOB: Codes = {"not_found": 404, "job_not_found": 404}
QUEUE: Codes = {"not_found": 404, "invalid_queue": 422}
NO_WORKER: Codes = {"not_found": 404, "worker_not_found": 404}
STATE: Codes = {"invalid_state": 409}
AGAIN: Codes = {"invalid_state": 409, "duplicate_job": 409}
RESULT: Codes = {"job_failed": 409, "job_cancelled": 409}
VIEW: Codes = {"not_found": 404, "invalid_view": 422, "too_many_views": 409}
NO_VIEW: Codes = {"not_found": 404, "view_not_found": 404}
TICKETS: Codes = {"invalid_path": 422}
TICKET: Codes = {"ambiguous_credentials": 400, "invalid_ticket": 401, "too_many_tickets": 503}
"""Of what may be asked for with a ticket."""
UPGRADE: Codes = {"bad_handshake": 400, "upgrade_required": 426}
METHOD: Codes = {"method_not_allowed": 405}

TOLD: Mapping[int, str] = {
    400: "The request cannot be read.",
    401: "No token, or not the right one.",
    403: "A web page of another origin; or another machine, where there is no token.",
    404: "There is no such thing, or no longer.",
    405: "See the header Allow.",
    408: "Head or body came too slowly; the connection is closed.",
    409: "It does not fit the present state; nothing was changed.",
    413: "Larger than this server takes.",
    414: "The target of a request may have 8 KiB.",
    415: "Send application/json, or application/zip where that is taken, uncompressed.",
    421: "The server does not answer to this name.",
    422: "Something in the request is not allowed; nothing was stored.",
    426: "This is a WebSocket; send an upgrade.",
    431: "A request may have 100 headers, and 32 KiB of them.",
    500: "A fault of the server; its log says more.",
    503: "Not now; try again later.",
    507: "The disk is full; nothing was stored.",
}


def everything() -> dict[str, int]:
    """All codes with their status."""
    groups = [value for name, value in globals().items() if name.isupper() and name != "TOLD"]
    return {code: status for group in groups for code, status in group.items()}
