"""Where a store is, by its URL: what may stand in one, and how it is shown. Loads no engine."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from rota.model.errors import BadInput

POSTGRES = re.compile(r"postgres(?:ql)?://")
ALLOWED = (
    "sqlite:///relative.db, sqlite:////absolute/path.db or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
)
_MASK = "***"
_TLS_OPTIONS = frozenset(
    {"sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"}
    | {"ssl_min_protocol_version", "ssl_max_protocol_version"}
)
_PASSED_ON = _TLS_OPTIONS | {"passfile", "host", "port", "user", "password", "dbname", "database"}
_OURS = frozenset({"pooler", "listen", "application_name"})
_TLS = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_USER = re.compile(r"(?<=://)(.*)@")
"""To the last @: a password may hold anything, where somebody forgot to write it as %XX."""
_SECRETS = frozenset({"password", "sslpassword"})


class Postgres(msgspec.Struct, frozen=True):
    """A database. ``dsn`` as the driver takes it; ``pooler``: whether sessions are shared by others between
    transactions (None: found out); ``listen``: ``host:port`` of the server itself behind a pooler.
    """

    dsn: str
    pooler: bool | None
    listen: str | None
    name: str


def is_postgres(url: str) -> bool:
    """Whether this names a PostgreSQL."""
    return POSTGRES.match(url) is not None


def shown(url: str) -> str:
    """A store's URL without its passwords, also of one with faults."""

    def user(match: re.Match[str]) -> str:
        name, colon, _ = match[1].partition(":")
        return f"{name}{colon and ':' + _MASK}@"

    place, mark, query = url.partition("?")
    if "/" not in place.partition("://")[2] and "@" in query:
        # That was no beginning of options, but belongs to a password.
        end = url.rindex("@")
        rest, mark, query = url[end:].partition("?")
        place = url[:end] + rest
    return _USER.sub(user, place) + mark + re.sub(r"[^&#]+", _option, query)


def postgres(url: str) -> Postgres:
    """Take a ``postgresql://`` URL apart. BadInput for one with faults; its text holds no password."""
    if not is_postgres(url):
        raise _bad(f"store must be {ALLOWED}.")
    head, _, query = url.partition("?")
    try:
        parts = urlsplit(head.partition("://")[0] + "://h" if "@" not in head else head)
        assert parts.scheme
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except (ValueError, AssertionError):
        raise _bad("The store's URL cannot be read: write special characters of a password as %XX.") from None
    if "#" in url:
        raise _bad("The store's URL holds a '#': write it as %23.")
    place = head.partition("://")[2]
    hosts, _, database = place.rpartition("@")[2].partition("/")
    for host in hosts.split(",") if hosts else []:
        if re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:@/ ]*)(:\d{1,5})?", unquote(host)) is None:
            raise _bad(f"The store's URL names no host: {host[:100]!r}.")
    options: dict[str, str] = {}
    for name, value in given:
        if name not in _PASSED_ON | _OURS:
            known = ", ".join(sorted(_OURS | {"sslmode", "sslrootcert", "sslcert", "sslkey"}))
            raise _bad(f"A postgresql store knows no ?{name[:100]}=; there are {known} and others of TLS.")
        options[name] = value
    if options.get("sslmode", "prefer") not in _TLS:
        raise _bad(f"sslmode must be one of {', '.join(_TLS)}.")
    if options.get("pooler", "auto") not in ("auto", "yes", "no"):
        raise _bad("pooler must be auto, yes or no.")
    listen = options.get("listen") or None
    if listen is not None and listen != "no" and re.fullmatch(r"[^\s/@?]+:\d{1,5}", listen) is None:
        raise _bad("listen must be HOST:PORT of the database itself, or no.")
    if not database and not {"dbname", "database"} & options.keys():
        raise _bad(
            "The store's URL names no database: write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        )
    rest = "&".join(f"{k}={quote(v, safe='')}" for k, v in options.items() if k in _PASSED_ON)
    dsn = "postgresql://" + place + (f"?{rest}" if rest else "")
    pooler = {"yes": True, "no": False}.get(options.get("pooler", "auto"))
    return Postgres(dsn, pooler, listen, options.get("application_name", "rota"))


def sqlite(url: str) -> tuple[str, str | None]:
    """Path and VFS of a ``sqlite://`` URL; BadInput for one of nothing we know."""
    scheme, found, rest = url.partition("://")
    if scheme != "sqlite" or not found or not rest.startswith("/") or len(rest) < 2:
        raise _bad(f"store must be {ALLOWED}, not {shown(url)[:100]!r}.")
    path, _, query = rest[1:].partition("?")
    if query and not query.startswith("vfs="):
        raise _bad(f"A sqlite store knows only ?vfs=, not ?{query[:100]}.")
    return path, query.removeprefix("vfs=") or None


def _option(match: re.Match[str]) -> str:
    name, _, _ = match[0].partition("=")
    return f"{name}={_MASK}" if unquote(name).strip().lower() in _SECRETS else match[0]


def _bad(why: str) -> BadInput:
    return BadInput(why, code="invalid_store", field="store")
