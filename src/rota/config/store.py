"""Where the store is, as a setting."""

from __future__ import annotations

import re

from rota.config.kinds import Kind, Refused
from rota.engines import places
from rota.model.errors import BadInput

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Store(Kind):
    allowed = places.ALLOWED

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= 4096 or _CONTROL.search(value):
            raise Refused
        if re.match(r"postgres(ql)?\+\w+://", value):
            raise Refused("must begin with postgresql://, without the name of a driver")
        if places.is_postgres(value):
            try:
                places.postgres(value)
            except BadInput as error:
                raise Refused(f"is no store: {error.detail.removesuffix('.')}") from None
            return value
        path, _, query = value.removeprefix("sqlite:///").partition("?")
        if not value.startswith("sqlite:///") or not path or path.endswith("/"):
            raise Refused
        if path == ":memory:":
            raise Refused(f"must name a file, for jobs are kept on disk: {self.allowed}")
        if query and re.fullmatch(r"vfs=[\w.-]+", query) is None:
            raise Refused(f"knows no option but ?vfs=NAME: {self.allowed}")
        return value

    def show(self, value: str) -> str:
        return places.shown(value)

    def plain(self, value: str) -> str:
        return places.shown(value)
