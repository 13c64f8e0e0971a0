"""/openapi.json: valid, complete, true. (Every answer of the other tests here is held against it, too.)"""

from __future__ import annotations

import ast
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest

import rota
from rota.config import Settings
from rota.config.secret import Secret
from rota.model import errors
from rota.web.api import ROUTES
from rota.web.openapi import codes, examples, fields
from rota.web.openapi.build import plain
from rota.web.openapi.routes import SAID, TAGS
from rota.web.parameters import Whole
from rota.web.takes import query_of
from tests.web.conformance import DESCRIPTION
from tests.web.kit import Site, problem, serving

SOURCE = Path(rota.__file__).parent
DOCUMENT = DESCRIPTION.document
OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
NAMED = {operation["operationId"]: (method, path, operation) for method, path, operation in OPERATIONS}
EXAMPLES = [
    pytest.param(name, one, id=f"{name}: {one['summary']}")
    for name, (_, _, operation) in NAMED.items()
    for one in operation["x-examples"]
]
Json = dict[str, Any]


def responses(operation: Json) -> Iterator[tuple[int, Json]]:
    for status, one in operation["responses"].items():
        if "$ref" in one:
            one = DOCUMENT["components"]["responses"][one["$ref"].rpartition("/")[2]]
        yield int(status), one


# --- the document ---


def test_it_is_openapi() -> None:
    openapi_spec_validator.validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["info"]["version"] == rota.__version__


def test_every_route_is_described_and_nothing_else() -> None:
    assert set(SAID) == {(route.method, route.path) for route in ROUTES}
    assert {(method, path) for method, path, _ in OPERATIONS} == {
        (route.method, plain(route.path)) for route in ROUTES
    }
    assert len(NAMED) == len(OPERATIONS), "names of operations are unique"


@pytest.mark.parametrize("name", NAMED)
def test_every_operation_says_what_it_is(name: str) -> None:
    _, path, operation = NAMED[name]
    assert operation["summary"]
    assert len(operation["description"]) > len(operation["summary"]) / 2
    assert operation["description"][-1] == "."
    assert operation["tags"][0] in TAGS
    assert operation["x-examples"]
    assert any(status < 400 for status, _ in responses(operation))
    assert {500} <= {status for status, _ in responses(operation)}
    named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
    assert all("{" + one + "}" in path for one in named)
    assert path.count("{") == len(named)
    for one in operation.get("parameters", []):
        assert one["description"]
        assert one["schema"]["type"]
    for media, content in operation.get("requestBody", {"content": {}})["content"].items():
        if media == "application/json":
            assert content["examples"]
        else:
            assert any(one.get("media") == media for one in operation["x-examples"])


@pytest.mark.parametrize("name", NAMED)
def test_examples_are_what_the_schemas_say(name: str) -> None:
    _, _, operation = NAMED[name]
    for one in operation.get("parameters", []):
        if "example" in one:
            assert not DESCRIPTION.faults(one["schema"], one["example"])
        if "default" in one["schema"]:
            assert not DESCRIPTION.faults(one["schema"], one["schema"]["default"])
    for content in operation.get("requestBody", {"content": {}})["content"].values():
        for one in content.get("examples", {}).values():
            assert not DESCRIPTION.faults(content["schema"], one["value"])
    for status, one in responses(operation):
        assert one["description"]
        for media in one.get("content", {}).values():
            assert not DESCRIPTION.faults(media["schema"], media["example"], strict=True), status


def test_the_fields_of_a_job_have_a_meaning() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name, meanings in fields.MEANINGS.items():
        assert set(meanings) <= set(schemas[name]["properties"])
    assert all("description" in field for field in schemas["JobSpec"]["properties"].values())


# --- what it says of refusals ---


def test_the_codes_are_those_of_the_source() -> None:
    known = codes.everything()
    made: dict[str, set[int]] = {}
    for floor in ("web", "core", "engines", "model"):
        for code, status in made_in(SOURCE / floor):
            made.setdefault(code, set()).add(status)
    for code, status in known.items():
        # Codes that are put together, such as invalid_FIELD, are not written out anywhere.
        assert status in made.get(code, {status}), code
    elsewhere = {"no_hello", "second_hello", "too_many_subscriptions", "invalid_store", "bad_config"}
    roots = {"invalid_input", "conflict", "forbidden", "unavailable"}
    assert set(made) - set(known) == elsewhere | roots


def test_the_statuses_of_codes_are_those_of_the_documents() -> None:
    told: dict[str, int] = {}
    for line in (SOURCE.parents[1] / "docs" / "errors.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and cells[1].isdigit():
            told |= {code.strip(" `"): int(cells[1]) for code in cells[0].split(",")}
    assert codes.everything() == {code: told.get(code) for code in codes.everything()}


def made_in(folder: Path) -> Iterator[tuple[str, int]]:
    """Code and status of every error that is made, as far as they are written out."""
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and path == Path(errors.__file__):
                kind = getattr(errors, node.name)
                if issubclass(kind, errors.RotaError) and not issubclass(kind, errors.JobError):
                    yield kind.code, kind.status
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            kind = getattr(errors, node.func.id, None)
            if not (isinstance(kind, type) and issubclass(kind, errors.RotaError)):
                continue
            words = {word.arg: word.value for word in node.keywords}
            code, status = words.get("code"), words.get("status")
            if isinstance(code, ast.Constant):
                yield (
                    str(code.value),
                    int(ast.literal_eval(status)) if status is not None else kind.status,
                )


# --- a real server ---


async def a_pending_job(site: Site) -> Json:
    return {examples.ID: await site.enqueue()}


async def a_scheduled_job(site: Site) -> Json:
    return {examples.ID: await site.enqueue(delay=60)}


async def a_done_job(site: Site) -> Json:
    ids = await running_jobs(site)
    ending = {"id": ids[examples.ID], "lease": 1, "result": {"sum": 3}}
    await site.post("/v1/finish", {"worker": examples.WORKER_ID, "outcomes": [ending]})
    return ids


async def running_jobs(site: Site) -> Json:
    ids = await site.enqueue_many(2)
    await site.post("/v1/fetch", {"worker": examples.WORKER_ID, "queues": ["default"], "slots": 2})
    return {examples.ID: ids[0], examples.OTHER: ids[1]}


async def a_job_with_files(site: Site) -> Json:
    headers = {"content-type": "application/zip", "rota-job": '{"type": "work"}'}
    answer = await site.http.post("/v1/jobs", content=examples.ARCHIVE, headers=headers)
    id = answer.json()["id"]
    await site.post("/v1/fetch", {"worker": examples.WORKER_ID, "queues": ["default"], "slots": 1})
    params = {"worker": examples.WORKER_ID, "lease": "1"}
    await site.http.put(f"/v1/jobs/{id}/artifact", content=examples.ARCHIVE, headers=headers, params=params)
    return {examples.ID: id}


async def a_view(site: Site) -> Json:
    await site.http.put("/v1/views/Failed mails", json={"page": "jobs", "query": ""})
    return {}


async def nothing(site: Site) -> Json:
    return {}


NEEDS: dict[str, Callable[[Site], Awaitable[Json]]] = {
    "get_job": a_pending_job,
    "delete": a_pending_job,
    "cancel": a_pending_job,
    "get_logs": a_pending_job,
    "get_upload": a_job_with_files,
    "get_artifact": a_job_with_files,
    "put_artifact": running_jobs,
    "explain": a_pending_job,
    "get_result": a_done_job,
    "retry": a_done_job,
    "run_now": a_scheduled_job,
    "finish": running_jobs,
    "beat": running_jobs,
    "drain_worker": running_jobs,
    "delete_view": a_view,
}


@pytest.fixture
async def guarded(store: str) -> AsyncIterator[Site]:
    """A server with a token."""
    async with serving(store, Settings(token=Secret("sesame"))) as site:
        yield site


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
async def test_every_example_works(guarded: Site, name: str, example: Json) -> None:
    method, path, _ = NAMED[name]
    text = json.dumps(example)
    for shown, real in (await NEEDS.get(name, nothing)(guarded)).items():
        text = text.replace(shown, real)
    example = json.loads(text)
    for one, value in example.get("path", {}).items():
        path = path.replace("{" + one + "}", value)
    body: Json = {"json": example.get("body")}
    headers = example.get("headers", {})
    if "media" in example:
        body = {"content": base64.b64decode(example["body_base64"])}
        headers = {**headers, "content-type": example["media"]}
    request = guarded.http.build_request(method, path, params=example.get("query"), headers=headers, **body)
    # The answer is held against the description by the client of the site.
    answer = await guarded.http.send(request, stream=True)
    assert answer.status_code == example["status"]
    if name == "events":
        assert (await anext(answer.aiter_bytes())).startswith(b"retry: 1000\nid: ")
    await answer.aclose()


@pytest.mark.parametrize("name", NAMED)
async def test_parameters_are_those_that_are_read(site: Site, name: str) -> None:
    method, path, operation = NAMED[name]
    ids = {"id": await site.enqueue(), "name": "default", "worker": "w", "file": "docs.css", "view": "v"}
    path = path.format(**ids)
    statuses = {status for status, _ in responses(operation)}
    probe = operation.get("security") == []
    if 426 not in statuses and not probe:
        answer = await site.http.request(method, path, params={"nonsense": "1"})
        problem(answer, 422, "unknown_parameter", "nonsense")
    for one in operation.get("parameters", []):
        if one["in"] != "query" or one["schema"]["type"] not in ("integer", "number"):
            continue
        for wrong in (one["schema"]["minimum"] - 1, one["schema"]["maximum"] + 1, "x", ""):
            answer = await site.http.request(method, path, params={one["name"]: wrong})
            problem(answer, 422, f"invalid_{one['name']}", one["name"])
        if one["schema"]["type"] == "integer":
            for right in (one["schema"]["minimum"], one["schema"]["maximum"]):
                answer = await site.http.request(method, path, params={one["name"]: right})
                # What else it needs is missing.
                assert answer.status_code == 200 or answer.json()["code"] == "missing_parameter"


def test_limits_of_parameters_come_from_the_table() -> None:
    [route] = [route for route in ROUTES if route.path == "/v1/jobs/{id}/logs"]
    limit = {one.name: one for one in query_of(route.handler).parameters}["limit"]
    assert isinstance(limit.kind, Whole)
    _, _, operation = NAMED["get_logs"]
    told = {one["name"]: one["schema"] for one in operation["parameters"]}
    assert told["limit"]["maximum"] == limit.kind.high
    assert told["limit"]["default"] == limit.default


JOB = DOCUMENT["components"]["schemas"]["JobSpec"]
EDGES: dict[str, list[Any]] = {
    "type": ["a", "a" * 200, "a" * 201, "", "a..b", ".a", "a b", 7, None],
    "queue": ["a/b", "a" * 200, "a" * 201, "", "..", 7, None],
    "content_type": ["image/png", "image", "a/b; c=d", "a/b c", "a" * 200 + "/b"],
    "headers": [{"a": "b"}, {str(n): "" for n in range(100)}, {str(n): "" for n in range(101)}, {"a": 1}, []],
    "priority": [-100, 100, -101, 101, 1.5, "1", None],
    "run_at": ["2026-01-31T08:30:00Z", "2026-01-31T08:30:00.5+01:00", "2026-01-31", "tomorrow", 7],
    "expires_at": ["2199-01-31T08:30:00Z", "2199-01-31", "never", 7, None],
    "delay": [0, 315360000, 315360001, -1, "1", None],
    "timeout": [0.001, 2592000, 2592001, 0, -1, None],
    "max_attempts": [1, 1000, 0, 1001, None],
    "retention": [0, 315360000, 315360001, -1, None],
    "tags": [[], ["a" * 64], ["a" * 65], [""], [1], None],
    "unique_key": ["a", "a" * 200, "a" * 201, "", "a\nb", None],
    "unique_states": [["scheduled", "pending"], ["waiting"], [7]],
    "idempotency_key": ["a", "a" * 200, "a" * 201, "", "a\tb", None],
    "payload_base64": ["AAAA", 7, None],
    "retry": [
        {"kind": "none"},
        {"kind": "fixed", "delay": 0},
        {"kind": "fixed", "delay": -1},
        {"kind": "fixed", "delay": 1e8},
        {"kind": "fixed", "delay": 1.1e8},
        {"kind": "list", "delays": []},
        {"kind": "list", "delays": [1]},
        {"kind": "list", "delays": [1] * 1000},
        {"kind": "list", "delays": [1] * 1001},
        {"kind": "exponential", "base": 0},
        {"kind": "exponential", "base": 0.1, "factor": 1, "max": 0.1, "jitter": 0},
        {"kind": "exponential", "factor": 0.9},
        {"kind": "exponential", "factor": 101},
        {"kind": "exponential", "jitter": 1.1},
        {"kind": "exponential", "max": 0},
        {"kind": "exponential", "colour": "red"},
        {"kind": "sometimes"},
        {},
        None,
    ],
}


@pytest.mark.parametrize("name", [name for name in JOB["properties"] if name != "payload"])
async def test_the_schema_of_a_job_takes_what_the_server_takes(site: Site, name: str) -> None:
    for value in EDGES[name]:
        body: Json = {"type": "work", name: value}
        if name == "content_type":
            body["payload_base64"] = ""
        if name == "unique_states":
            body["unique_key"] = "k"
        fits = not DESCRIPTION.faults({"$ref": "#/components/schemas/JobSpec"}, body)
        answer = await site.http.post("/v1/jobs", json=body)
        assert fits == (answer.status_code < 300), (body, answer.text)


async def test_it_is_guarded_like_the_rest(guarded: Site) -> None:
    answer = await guarded.http.get("/openapi.json", headers={"authorization": "Bearer wrong"})
    problem(answer, 401, "invalid_credentials")
    answer = await guarded.http.get("/openapi.json")
    assert answer.json() == DOCUMENT
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = await guarded.http.get("/openapi.json", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_server_that_nobody_asks_does_not_load_it() -> None:
    code = (
        "import sys, rota.app; print([name for name in sys.modules if name.startswith('rota.web.openapi')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
