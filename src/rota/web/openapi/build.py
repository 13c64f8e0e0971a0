"""The description, from the table of routes, the handlers, their parameters and the types."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from rota import __version__
from rota.core.views import NAME as VIEW_NAME
from rota.core.views import NAME_LENGTH as VIEW_LENGTH
from rota.model.schema import NAME_PATTERN
from rota.web import wire
from rota.web.auth import PROBES
from rota.web.bulk import LINES
from rota.web.hot import QUERIES
from rota.web.incoming import ZIP
from rota.web.openapi import codes
from rota.web.openapi.fields import meaning
from rota.web.openapi.routes import SAID, TAGS
from rota.web.openapi.saying import BINARY, JSON, Answer, Example, Said
from rota.web.openapi.shapes import Problem
from rota.web.parameters import NOTHING, Parameter, Query
from rota.web.route import Route
from rota.web.takes import query_of

Shape = dict[str, Any]

PLACES: Mapping[str, Shape] = {
    "id": {"description": "The id of a job.", "schema": {"type": "string", "format": "uuid"}},
    "name": {
        "description": "The name of a queue.",
        "schema": {"type": "string", "pattern": f"^{NAME_PATTERN}$"},
    },
    "worker": {
        "description": "The id of a worker.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    },
    "view": {
        "description": "The name of a view.",
        "schema": {"type": "string", "pattern": VIEW_NAME, "maxLength": VIEW_LENGTH},
    },
    "file": {"description": "The name of a file of the page.", "schema": {"type": "string", "minLength": 1}},
}
"""What may stand in a path."""

INTRODUCTION = (
    "JSON in, JSON out. Times are RFC 3339 in UTC, durations seconds, ids UUIDs. Unknown fields and "
    "parameters "
    "are refused by name. Errors are `application/problem+json` with a stable `code`; what was refused "
    "was not "
    "stored, not even in part."
)


def document(routes: Iterable[Route]) -> Shape:
    """OpenAPI 3.1."""
    types = _types()
    shapes, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for schema, shape in components.items():
        for name, field in shape.get("properties", {}).items():
            if (told := meaning(schema, name)) is not None:
                field["description"] = told
    build = _Builder(dict(zip(map(repr, types), shapes, strict=True)))
    paths: dict[str, Shape] = {}
    for route in routes:
        said = SAID.get((route.method, route.path))
        if said is None:
            continue
        paths.setdefault(plain(route.path), {})[route.method.lower()] = build.operation(route, said)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rota",
            "version": __version__,
            "summary": "A durable job queue.",
            "description": INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name, "description": told} for name, told in TAGS.items()],
        # Without a token the server asks nobody for one.
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": _tidy(components),
            "responses": build.problems,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of the server (`ROTA_TOKEN`), where it has one.",
                },
                "ticket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "For one request of one path, in place of the header: `POST /v1/tickets`.",
                },
            },
        },
    }


def plain(path: str) -> str:
    """A path without the converters of the framework."""
    return re.sub(r":\w+}", "}", path)


class _Builder:
    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = shapes
        self.problems: dict[str, Shape] = {}
        """Refusals by name: many routes have the same."""

    def operation(self, route: Route, said: Said) -> Shape:
        query = query_of(route.handler) if route.handler is not None else QUERIES.get(route.path, NOTHING)
        told = said.told or (route.handler.__doc__ if route.handler else None) or route.summary
        shape: Shape = {
            "operationId": said.name,
            "tags": [said.tag],
            "summary": route.summary[:1].upper() + route.summary[1:],
            "description": _text(told),
        }
        parameters = [*self._path(route, said), *self._query(query), *self._headers(said)]
        if parameters:
            shape["parameters"] = parameters
        if said.body or said.archive:
            shape["requestBody"] = {"required": True, "content": self._bodies(said)}
        shape["responses"] = self._responses(route.path, said, query)
        # For pages and tests: whole requests, each with the status that answers it.
        shape["x-examples"] = [_example(one, said) for one in said.examples]
        if said.open:
            shape["security"] = []
        elif said.ticket:
            shape["security"] = [{}, {"bearer": []}, {"ticket": []}]
        return shape

    def _bodies(self, said: Said) -> Shape:
        content: Shape = {}
        if said.body:
            examples = {
                _slug(one): {"summary": one.name, "value": _wire(one.body)}
                for one in said.examples
                if one.body is not None and not one.query and not one.headers
            }
            content[JSON] = {"schema": self._any(said.body), "examples": examples}
        if said.archive:
            content[ZIP] = {"schema": {**BINARY, "description": said.archive}}
        return content

    def _path(self, route: Route, said: Said) -> Iterable[Shape]:
        for name in re.findall(r"{(\w+)", route.path):
            yield {"name": name, "in": "path", "required": True, **PLACES[name], "example": said.path[name]}

    def _query(self, query: Query) -> Iterable[Shape]:
        for one in query.parameters:
            yield _parameter(one)

    def _headers(self, said: Said) -> Iterable[Shape]:
        for one in said.headers:
            yield {
                "name": one.name,
                "in": "header",
                "description": one.told,
                "schema": dict(one.schema),
                "example": one.example,
            }

    def _responses(self, path: str, said: Said, query: Query) -> Shape:
        found: dict[str, Shape] = {}
        for one in said.answers:
            shape, before = self._answer(one), found.get(str(one.status))
            if before is not None:
                # The same in another form.
                before["description"] += f" {shape['description']}"
                before["content"] |= shape["content"]
            else:
                found[str(one.status)] = shape
        for status, names in sorted(refusals(said, query, probe=path in PROBES).items()):
            found[str(status)] = self._problem(status, names)
        return found

    def _answer(self, one: Answer) -> Shape:
        shape: Shape = {"description": one.told}
        if one.body is not None:
            schema = dict(one.body) if isinstance(one.body, dict) else self._any(_parts(one.body))
            example = _wire(one.example)
            if one.media == LINES:
                # OpenAPI has no word for it: to a generator of clients it is text.
                schema = {"type": "string", "x-lines": schema}
                example = "".join(f"{wire.encode(line).decode()}\n" for line in one.example)
            shape["content"] = {one.media: {"schema": schema, "example": example}}
        if one.links:
            shape["links"] = {
                name: {"operationId": name, "parameters": {"path.id": "$response.body#/id"}}
                for name in one.links
            }
        return shape

    def _problem(self, status: int, names: Sequence[str]) -> Shape:
        told = codes.TOLD[status]
        schema = {
            "allOf": [
                self._shapes[repr(Problem)],
                {"properties": {"status": {"const": status}, "code": {"enum": list(names)}}},
            ]
        }
        example = Problem(
            type=f"urn:rota:problem:{names[0]}",
            title=names[0].replace("_", " ").capitalize(),
            status=status,
            detail=told,
            code=names[0],
        )
        shape: Shape = {
            "description": f"{told} Codes: {', '.join(f'`{name}`' for name in names)}.",
            "content": {"application/problem+json": {"schema": schema, "example": _wire(example)}},
        }
        header = {401: "WWW-Authenticate", 503: "Retry-After", 405: "Allow", 426: "Upgrade"}.get(status)
        if header:
            shape["headers"] = {header: {"required": True, "schema": {"type": "string"}}}
        name, number = f"Problem{status}", 1
        while self.problems.setdefault(name, shape) != shape:
            number += 1
            name = f"Problem{status}_{number}"
        return {"$ref": f"#/components/responses/{name}"}

    def _any(self, types: Sequence[Any]) -> Shape:
        found = [self._shapes[repr(one)] for one in types]
        return dict(found[0]) if len(found) == 1 else {"anyOf": found}


def refusals(said: Said, query: Query, *, probe: bool = False) -> dict[int, list[str]]:
    """Statuses with their codes that a route may answer with."""
    found: dict[int, list[str]] = {}
    groups = [*said.codes, codes.HTTP, codes.SERVER]
    if not probe:
        groups.append(codes.CROWD)
    if not said.open:
        groups += [codes.TOKEN, codes.QUERY]
    if said.ticket:
        groups.append(codes.TICKET)
    if query.parameters:
        asked = {one.kind.code(one.name) for one in query.parameters}
        if not all(one.repeated for one in query.parameters):
            asked.add("duplicate_parameter")
        if any(one.required for one in query.parameters):
            asked.add("missing_parameter")
        groups.append({name: codes.ASKED[name] for name in sorted(filter(None, asked))})
    for group in groups:
        for name, status in group.items():
            if name not in found.setdefault(status, []):
                found[status].append(name)
    return found


def _types() -> list[Any]:
    """All types that the routes name, each once."""
    found: dict[str, Any] = {repr(Problem): Problem}
    for said in SAID.values():
        bodies = [one.body for one in said.answers if one.body is not None and not isinstance(one.body, dict)]
        for body in [*said.body, *(part for one in bodies for part in _parts(one))]:
            found.setdefault(repr(body), body)
    return list(found.values())


def _parts(body: Any) -> tuple[Any, ...]:
    """The members of a union."""
    return tuple(getattr(body, "__args__", (body,)))


def _parameter(one: Parameter) -> Shape:
    schema = one.kind.schema()
    if one.default is not None:
        schema["default"] = one.default
    shape: Shape = {"name": one.name, "in": "query", "description": one.told}
    if one.repeated:
        schema = {"type": "array", "items": schema}
    if one.required:
        shape["required"] = True
    if schema["type"] == "array":
        shape |= {"style": "form", "explode": one.repeated}
    shape["schema"] = schema
    if one.example is not None:
        value: Any = one.example
        if schema["type"] == "array":
            value = [value] if one.repeated else value.split(",")
        elif schema["type"] in ("integer", "number"):
            value = msgspec.json.decode(value)
        shape["example"] = value
    return shape


def _example(one: Example, said: Said) -> Shape:
    shape: Shape = {"summary": one.name, "status": one.status}
    for name, value in (("path", said.path), ("query", one.query), ("headers", one.headers)):
        if value:
            shape[name] = dict(value)
    if one.body is not None:
        shape["body"] = _wire(one.body)
    if one.archive is not None:
        shape |= {"media": ZIP, "body_base64": base64.b64encode(one.archive).decode()}
    return shape


def _wire(value: Any) -> Any:
    """As it goes over the wire."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _tidy(shape: Any) -> Any:
    """Descriptions come from docstrings; what is not wanted in pages goes."""
    if isinstance(shape, dict):
        return {
            key: _text(value) if key == "description" and isinstance(value, str) else _tidy(value)
            for key, value in shape.items()
            if not (key == "required" and value == [])
        }
    return [_tidy(one) for one in shape] if isinstance(shape, list) else shape


def _text(docstring: str) -> str:
    return " ".join(docstring.replace("``", "`").split())


def _slug(one: Example) -> str:
    return re.sub(r"\W+", "_", one.name.lower()).strip("_")
