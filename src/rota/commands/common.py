"""What commands share: which server, times and durations as people write them, JSON on demand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rota.sdk.aclient import AsyncClient
    from rota.sdk.calls import Answer, Call
    from rota.sdk.client import Client

    _Seconds = click.ParamType[float]
    _Text = click.ParamType[str]
else:
    # Older versions of click know no such brackets.
    _Seconds = _Text = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

DONE, FAILED, MISUSED, GOES_ON, INTERRUPTED, UNREAD = 0, 1, 2, 3, 130, 141
"""Exit statuses."""


class Misused(click.ClickException):
    """Something cannot be run as it was told; the sentence says why."""

    exit_code = MISUSED


_URL, _TOKEN, _JSON = "rota.url", "rota.token", "rota.json"


def server_options(command: F) -> F:
    """``--url`` and ``--token-file``, before or after the name of the command; see :func:`connect`."""
    url = click.option(
        "--url",
        metavar="URL",
        expose_value=False,
        multiple=True,
        callback=_remember(_URL, _together),
        help="The server; several over one database with commas between, or the flag several times. "
        "[ROTA_URL, else http://127.0.0.1:8080]",
    )
    token = click.option(
        "--token-file",
        metavar="FILE",
        expose_value=False,
        callback=_remember(_TOKEN, _read_token),
        help="A file that holds the server's token. [ROTA_TOKEN, else the file ROTA_TOKEN_FILE]",
    )
    return url(token(command))


def json_option(command: F) -> F:
    """``--json``; see :func:`as_json`."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_remember(_JSON),
        help="Print one JSON document, in the shapes of the API.",
    )(command)


def as_json() -> bool:
    """Whether this command was asked for JSON."""
    return bool(click.get_current_context().meta.get(_JSON))


def given_url() -> str | None:
    """What ``--url`` said."""
    return click.get_current_context().meta.get(_URL)


def given_token() -> str | None:
    """What was in the file that ``--token-file`` named."""
    return click.get_current_context().meta.get(_TOKEN)


def connect(retries: int = 2) -> Client:
    """A client for the server that was asked for. BadConfig when its address cannot be one."""
    from rota.sdk.client import Client

    return Client(given_url(), given_token(), retries=retries)


def connect_async(retries: int = 2) -> AsyncClient:
    """The same, awaited."""
    from rota.sdk.aclient import AsyncClient

    return AsyncClient(given_url(), given_token(), retries=retries)


def raw(call: Call[Any]) -> Call[bytes]:
    """The same call, its answer as the server wrote it (but still checked to be one)."""
    import msgspec

    def read(answer: Answer) -> bytes:
        call.read(answer)
        return answer.body

    return msgspec.structs.replace(call, read=read)


def start_logs(level: str, format: str, file: str | None, secrets: Iterable[str]) -> None:
    """Log to standard error or to ``file``, which SIGHUP opens anew. BadConfig when it cannot be opened."""
    import signal

    from rota import logs
    from rota.model.errors import BadConfig

    try:
        logs.setup(level, format, secrets=secrets, file=file)
    except OSError as error:
        raise BadConfig([f"log_file: {file} cannot be opened: {error.strerror}."]) from error
    if file is not None:
        # Where logs go elsewhere, a closed terminal still ends the process.
        signal.signal(signal.SIGHUP, lambda number, frame: logs.reopen())


def confirm(question: str, yes: bool) -> None:
    """Ask before something that cannot be undone; programs are not asked."""
    streams = (sys.stdin, sys.stderr)
    if yes or not all(stream is not None and stream.isatty() for stream in streams):
        return
    if not click.confirm(question, err=True):
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(FAILED)


class Span(_Seconds):
    """Seconds, or a text such as ``5m``."""

    name = "duration"

    def __init__(self, low: float = 0, high: float = 3650 * 86400) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from rota.config.kinds import Duration, Refused

        kind = Duration(self.low, self.high)
        try:
            return float(kind.parse(value))
        except Refused:
            self.fail(f"{value!r} is not {kind.allowed}.", param, ctx)


class Moment(_Text):
    """RFC 3339 with a zone, or a duration back from now; gives RFC 3339."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from rota.config.kinds import Duration, Refused
        from rota.model.errors import BadInput
        from rota.model.spec import parse_time

        try:
            back = timedelta(seconds=Duration(0, 3650 * 86400).parse(value))
            return (datetime.now(UTC) - back).isoformat().replace("+00:00", "Z")
        except Refused:
            pass
        try:
            parse_time("time", value)
        except BadInput:
            self.fail(
                f"{value!r} is neither a time such as 2026-01-31T08:30:00Z nor, for so long ago, 90s or 2h."
            )
        return str(value)


def whole(ctx: click.Context, parameter: click.Parameter, value: T) -> T:
    """Callback for arguments that are ids: refuses what would make another path of the URL."""
    for id in [value] if isinstance(value, str) else value if isinstance(value, Iterable) else ():
        if id in ("", ".", ".."):
            raise click.BadParameter(
                f"{id!r} is no job id; ids are whole, such as those 'rota jobs list' shows."
            )
    return value


def _remember(
    name: str, read: Callable[[Any], object] = lambda value: value
) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Keeps a flag for the whole command, whichever part of it the flag stood behind."""

    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            ctx.meta[name] = read(value)

    return callback


def _together(urls: Sequence[str]) -> str:
    return ",".join(urls)


def _read_token(name: str) -> str:
    try:
        token = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise click.BadParameter(f"{name!r} cannot be read: {why}.") from None
    if not token:
        raise click.BadParameter(f"{name!r} is empty; it must hold the token.")
    return token


one_id = click.argument("id", callback=whole)
many_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True, callback=whole)
some_ids = click.argument("ids", metavar="[ID...]", nargs=-1, callback=whole)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
