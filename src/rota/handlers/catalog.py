"""What people should know of the built-in types to make jobs of them, from what the handlers decode with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from rota.handlers.files import ALGORITHMS, FilePayload
from rota.handlers.message import EmailPayload
from rota.handlers.program_payload import ExecurlPayload, ProgramPayload
from rota.handlers.webhook import METHODS, WebhookPayload
from rota.sdk.describing import json_schema

Shape = dict[str, Any]


class Told(NamedTuple):
    """``schema``: JSON Schema of the payload; ``example``: one that could be sent."""

    description: str
    schema: Shape
    example: Any
    accepts: tuple[str, ...] = ("json",)


class Sleep(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of the handler, as a job has them."""

    ms: int


# An empty archive with one Makefile is too long to be read: this one has nothing in it.
_NO_ZIP = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="
_LIMITS: Mapping[str, Shape] = {
    "timeout": {"description": "Seconds that it may run.", "exclusiveMinimum": 0},
    "cpu_seconds": {"description": "CPU time of all its processes together.", "exclusiveMinimum": 0},
    "cpus": {"description": "Cores at once.", "exclusiveMinimum": 0},
    "memory": {"description": "Of all its processes: bytes, or a text such as 256MiB."},
    "network": {"description": "Whether it gets the machine's network, where the server allows that."},
    "env": {"description": "Environment variables."},
}
_TYPES: Mapping[str, tuple[type[msgspec.Struct], str, Any, Mapping[str, Shape]]] = {
    "sleep": (
        Sleep,
        "Waits, and shows how far it is. For trying things out.",
        {"ms": 1500},
        {"ms": {"description": "How long, in milliseconds.", "minimum": 0}},
    ),
    "send_email": (
        EmailPayload,
        "Sends a message by SMTP, or puts it into a Maildir folder.",
        {"to": "ann@example.com", "subject": "Your order", "text": "It is on its way."},
        {
            "to": {
                "description": "One address or a list of them: ann@example.com, Ann Lee <ann@example.com>."
            },
            "subject": {"description": "Plain text."},
            "text": {"description": "The body as plain text; text, html or both."},
            "html": {"description": "The body as HTML."},
            "from": {"description": "The sender; that of the server when left out."},
            "cc": {"description": "As to."},
            "bcc": {"description": "As to; appear nowhere in the message."},
            "reply_to": {"description": "As to."},
            "headers": {"description": "More headers, by name."},
            "attachments": {"description": "Files, each with filename and content_base64."},
        },
    ),
    "webhook": (
        WebhookPayload,
        "Makes an HTTP request.",
        {"url": "https://example.com/hooks/orders", "body": {"order": 7, "state": "paid"}},
        {
            "url": {"description": "Where to.", "format": "uri", "maxLength": 2048},
            "method": {"description": "POST when left out.", "enum": list(METHODS)},
            "headers": {"description": "By name."},
            "body": {"description": "Any JSON value."},
            "body_text": {"description": "Text in place of body."},
            "body_base64": {"description": "Bytes in place of body.", "contentEncoding": "base64"},
            "timeout": {
                "description": "Seconds for everything together.",
                "exclusiveMinimum": 0,
                "maximum": 600,
            },
            "expected_status": {"description": "What counts as success: 200, 2xx, or a list of such."},
        },
    ),
    "process_file": (
        FilePayload,
        "Checksum, counts, gzip or gunzip of a file in the server's folder.",
        {"operation": "checksum", "path": "reports/2026.csv"},
        {
            "operation": {"description": "What to do."},
            "path": {"description": "The file to read, from the folder on."},
            "output": {"description": "For gzip and gunzip: the file to write."},
            "algorithm": {"description": "For checksum; sha256 when left out.", "enum": [None, *ALGORITHMS]},
        },
    ),
    "program_zip": (
        ProgramPayload,
        "Unpacks a zip archive and runs make run in it, in a sandbox.",
        {"zip": _NO_ZIP, "timeout": 30},
        {
            "zip": {
                "description": "The archive in base64, unless it is the body of the request.",
                "contentEncoding": "base64",
            },
            **_LIMITS,
        },
    ),
    "execurl": (
        ExecurlPayload,
        "Downloads a program and runs it, in a sandbox.",
        {"url": "https://example.com/tools/report.sh", "timeout": 30},
        {"url": {"description": "Where the program is.", "format": "uri", "maxLength": 2048}, **_LIMITS},
    ),
}
PROGRAMS = ("program_zip", "execurl")
_BY_THE_SERVER = ("upload",)
"""Fields that the server sets."""


def catalog(types: Iterable[str], max_sleep_ms: int) -> dict[str, Told]:
    """Those of the built-in types that are named here."""
    found = {type: _told(type) for type in types if type in _TYPES}
    if "sleep" in found:
        found["sleep"].schema["properties"]["ms"]["maximum"] = max_sleep_ms
    return found


def _told(type: str) -> Told:
    payload, description, example, about = _TYPES[type]
    schema = json_schema(payload)
    schema.pop("description", None)
    fields: dict[str, Shape] = schema["properties"]
    for name in _BY_THE_SERVER:
        fields.pop(name, None)
    schema.get("$defs", {}).pop("Upload", None)
    for name, more in about.items():
        fields[name] |= more
    return Told(description, schema, example, ("json", "zip") if type == "program_zip" else ("json",))
