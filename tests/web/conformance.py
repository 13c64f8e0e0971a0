"""Real answers, held against what /openapi.json says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from starlette.routing import compile_path

from rota.web import openapi
from rota.web.api import ROUTES
from rota.web.openapi.build import plain

Json = dict[str, Any]


class Description:
    """The document, and its schemas made strict: an answer may hold nothing that is not described."""

    def __init__(self) -> None:
        self.document: Json = json.loads(openapi.page(ROUTES))
        self._routes = [
            (route.method, compile_path(route.path)[0], plain(route.path))
            for route in ROUTES
            if plain(route.path) in self.document["paths"]
        ]
        self._strict = json.loads(json.dumps(self.document["components"]))
        for name, schema in self._strict["schemas"].items():
            # A problem may carry more, such as the error of the job that failed.
            if name != "Problem" and "properties" in schema:
                schema.setdefault("additionalProperties", False)

    def operation(self, method: str, path: str) -> Json | None:
        """The operation that answers a request."""
        written = path in self.document["paths"]
        for known, pattern, name in self._routes:
            if known == method and (name == path if written else pattern.match(path)):
                found: Json = self.document["paths"][name][method.lower()]
                return found
        return None

    def faults(self, schema: Json, value: Any, strict: bool = False) -> list[str]:
        """Why a value does not fit a schema of the document."""
        components = self._strict if strict else self.document["components"]
        check = Draft202012Validator(
            {**schema, "components": components}, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        return [f"{error.json_path}: {error.message[:300]}" for error in check.iter_errors(value)]

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """AssertionError unless an answer is described."""
        operation = self.operation(method, path)
        where = f"{method} {path}: {status} {body[:300]!r}"
        if operation is None:
            assert status in (400, 401, 403, 404, 405, 414, 421, 431, 503) or method == "HEAD", where
            return
        declared = operation["responses"].get(str(status))
        assert declared is not None, f"{where}: status not described"
        if "$ref" in declared:
            declared = self.document["components"]["responses"][declared["$ref"].rpartition("/")[2]]
        for name, header in declared.get("headers", {}).items():
            assert name.lower() in headers or not header.get("required"), f"{where}: no header {name}"
        content = declared.get("content")
        if content is None:
            assert not body, where
            return
        given = headers["content-type"].partition(";")[0]
        fitting = [
            (media, told)
            for media, told in content.items()
            if re.fullmatch(re.escape(media).replace(r"\*", "[^/]+"), given)
        ]
        assert fitting, f"{where}: {given} not described"
        [(media, told)] = fitting
        values: list[Any] = []
        schema = told["schema"]
        if "x-lines" in schema:
            schema = schema["x-lines"]
            values = [json.loads(line) for line in body.splitlines()]
        elif given.endswith("json") and media != "*/*":
            values = [json.loads(body)]
        for value in values:
            faults = self.faults(schema, value, strict=True)
            assert not faults, f"{where}: {faults}"


DESCRIPTION = Description()
