"""What docs/handlers.md shows is what the handlers take and give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rota.handlers import TYPES, HandlerSettings, build
from rota.handlers.email import EmailResult
from rota.handlers.files import FilePayload, FileResult
from rota.handlers.fronts import PROGRAMS
from rota.handlers.message import EmailPayload
from rota.handlers.program import build_programs
from rota.handlers.program_payload import ExecurlPayload, ProgramPayload
from rota.handlers.program_run import Report
from rota.handlers.settings import FileSettings, ProgramSettings
from rota.handlers.sleep import SleepResult
from rota.handlers.webhook import WebhookPayload, WebhookResult
from rota.model.protocol import Work
from rota.model.spec import JobSpec
from rota.programs.sandbox import Sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "handlers.md").read_text()
ALL_TYPES = (*TYPES, *PROGRAMS)
SECTIONS = dict(zip(ALL_TYPES, re.split(r"^## `\w+`$", PAGE, flags=re.MULTILINE)[1:], strict=True))
REQUESTS = [
    (type, request)
    for type, section in SECTIONS.items()
    for request in re.findall(r"curl --json '(\{.*?\})' '", section, re.DOTALL)
]
RESULTS: dict[str, Any] = dict(
    zip(ALL_TYPES, (SleepResult, EmailResult, WebhookResult, FileResult, Report, Report), strict=True)
)
PAYLOADS: dict[str, type[msgspec.Struct]] = {
    "send_email": EmailPayload,
    "webhook": WebhookPayload,
    "process_file": FilePayload,
    "program_zip": ProgramPayload,
    "execurl": ExecurlPayload,
}


@pytest.mark.parametrize(("type", "request_"), REQUESTS)
def test_requests_are_taken(type: str, request_: str) -> None:
    spec = msgspec.json.decode(request_, type=JobSpec)
    assert spec.type == type
    tasks = build(HandlerSettings(files=FileSettings(folder="."))).tasks
    tasks |= build_programs(ProgramSettings(), Sandbox()).tasks
    task = tasks[type]
    task.signature.decode(Work("id", 1, type, "default", 1, 1, payload=spec.payload))


def test_every_section_has_a_request() -> None:
    assert {type for type, _ in REQUESTS} == set(ALL_TYPES)


@pytest.mark.parametrize("type", ALL_TYPES)
def test_results_have_these_fields(type: str) -> None:
    blocks = re.findall(r"^```json\n(.*?)^```$", SECTIONS[type], re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        shown = msgspec.json.decode(block)
        assert msgspec.to_builtins(msgspec.convert(shown, RESULTS[type])) == shown


@pytest.mark.parametrize("type", PAYLOADS)
def test_every_field_of_a_payload_has_its_line(type: str) -> None:
    cells = re.findall(r"^\| (`.*?) \|", SECTIONS[type], re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert told >= {field.encode_name for field in msgspec.structs.fields(PAYLOADS[type])}
