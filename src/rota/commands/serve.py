"""``rota serve`` and ``rota check``."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rota.commands import output
from rota.commands.common import DONE, FAILED, MISUSED, as_json, json_option, start_logs
from rota.commands.output import Column
from rota.commands.settings import DEFAULT_FILE, load_settings

if TYPE_CHECKING:
    from rota.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

IN_FORCE = "-"
"""The store of the settings."""

_STORE = click.option(
    "--store", metavar="URL", help="Where jobs are kept. [sqlite:///rota.db, in this folder]"
)
_STORE_TO_CHECK = click.option(
    "--store",
    metavar="[URL]",
    is_flag=False,
    flag_value=IN_FORCE,
    help="Check this store, not the settings. [without URL the one of the settings]",
)
_FLAGS = (
    click.argument("targets", metavar="[MODULE:APP]...", nargs=-1),
    click.option(
        "--dev",
        is_flag=True,
        default=None,
        help="For development: start tasks again when their source changes, log all requests and jobs.",
    ),
    click.option(
        "--config",
        metavar="FILE",
        help=f"Settings in YAML. [ROTA_CONFIG, else {DEFAULT_FILE} if there is one]",
    ),
    click.option("--listen", metavar="HOST:PORT", help="Where to listen. [127.0.0.1:8080]"),
    click.option(
        "--migrate/--no-migrate",
        default=None,
        help="Bring the store's schema up to date at the start, or leave that to 'rota migrate'. [do it]",
    ),
    click.option(
        "--token-file", metavar="FILE", help="A file with the token that every request has to show."
    ),
    click.option(
        "--insecure", is_flag=True, default=None, help="Listen beyond this machine without a token."
    ),
    click.option(
        "--work",
        metavar="MODULE:APP",
        multiple=True,
        help="Run the tasks of this program, too; may be given again. The same as MODULE:APP.",
    ),
    click.option("--processes", metavar="N", help="Processes for each --work. [1]"),
    click.option("--slots", metavar="N", help="Jobs that each of them runs at once. [10]"),
    click.option(
        "--surface",
        metavar="NAME",
        help="What the parallel queue serves besides REST: rest, ws, html or html_ws; its page then stands "
        "in the place of the dashboard. [auto: html_ws, beside it]",
    ),
    click.option(
        "--unsafe-programs",
        is_flag=True,
        default=None,
        help="Run programs of others even where no sandbox holds them: with the rights of this server.",
    ),
    click.option("--grace", metavar="TIME", help="How long running jobs may go on once it is to stop. [30s]"),
    click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error. [info]"),
    click.option("--log-format", metavar="FORMAT", help="json, text or auto: text on a terminal. [auto]"),
    click.option("--log-file", metavar="FILE", help="Log into this file. [standard error]"),
)


def settings_options(store: Any = _STORE) -> Callable[[F], F]:
    """The flags of the server, in this order."""

    def add(command: F) -> F:
        for option in reversed((*_FLAGS[:3], store, *_FLAGS[3:])):
            command = option(command)
        return command

    return add


@click.command()
@settings_options()
def serve(config: str | None, targets: tuple[str, ...], **flags: Any) -> None:
    """Run the server, with its built-in handlers and, if you name programs, their tasks.

    With --dev, on this machine only: workers start again when the source of their program changes; the log
    has requests, jobs and tracebacks for people to read; webhooks may call this machine and private networks;
    running jobs get 2s at the end.

    Every flag is also a variable (ROTA_LISTEN, ...) and a key of the YAML file; there are more settings than
    flags, see 'rota check'. SIGTERM or Ctrl-C lets running jobs finish (see --grace), a second one ends
    at once.
    """
    from rota import supervise

    supervise.die_with_parent()
    settings = load_settings(config, flags, targets)
    from rota import app, logs
    from rota.sdk import trace

    secrets = [one.reveal() for one in (settings.token, settings.handlers.email.password) if one is not None]
    secrets += settings.kafka.secrets
    start_logs(settings.log_level, settings.log_format, settings.log_file, secrets)
    # The worker processes log as their server does.
    os.environ.update(ROTA_LOG_LEVEL=settings.log_level, ROTA_LOG_FORMAT=settings.log_format)
    if settings.log_file is not None:
        os.environ["ROTA_LOG_FILE"] = settings.log_file
    quiet = settings.log_format == "json" and settings.log_file is None
    if not quiet and sys.stderr is not None and sys.stderr.isatty():
        logging.getLogger("rota").addHandler(_Banner(settings))
    trace.setup("rota")
    try:
        status = app.main(settings)
    finally:
        trace.shutdown()
        logs.shutdown()
    click.get_current_context().exit(status)


@click.command()
@settings_options(_STORE_TO_CHECK)
@click.option("--repair", is_flag=True, help="With --store: set wrong counters right; no server may run.")
@json_option
def check(config: str | None, targets: tuple[str, ...], repair: bool, **flags: Any) -> None:
    """Read the configuration as 'serve' would, start nothing, and print every setting with the place it comes
    from; then try the sandbox, layer by layer, and say whether programs of others run here.

    With faults in it, all of them are printed, and the status is 2. A database that is the store is connected
    to, and so is Kafka; when one could not be used, the status is 1.

    With --store, check the store instead (--store URL: that one), also while a server works on it: the file,
    what belongs together, the counters. Nothing is changed, and the status is 1 when something is wrong.
    """
    if flags["store"] is not None:
        from rota.commands.store import check_store

        status = check_store(config, flags["store"] if flags["store"] != IN_FORCE else None, repair)
        raise click.exceptions.Exit(status)
    if repair:
        raise click.UsageError("--repair is for a store: rota check --store --repair.")
    from rota.model.errors import BadConfig

    try:
        settings = load_settings(config, flags, targets)
    except BadConfig as error:
        if not as_json():
            raise
        _json({"complaints": error.complaints})
        raise click.exceptions.Exit(MISUSED) from None
    from rota.commands import kafka, programs
    from rota.config import describe

    shown = describe(settings)
    found = programs.find(settings.programs)
    if as_json():
        _reach(settings.store)
        cluster = kafka.find(settings)
        rows = [{"key": one.key, "value": one.value, "origin": one.origin} for one in shown]
        _json({"settings": rows, "programs": found.shape(), "kafka": kafka.shape(cluster)})
        raise click.exceptions.Exit(FAILED if any(one.fault for one in cluster) else DONE)
    columns = [Column("SETTING", whole=True), Column("VALUE", whole=True), Column("FROM", whole=True)]
    output.table(columns, [(one.key, one.text, one.origin) for one in shown])
    output.say()
    programs.show(found)
    if settings.local_only:
        output.note(
            f"\n{settings.listen} is open to other machines without a token: they are served the parallel "
            "queue and the probes, all else is for this machine only."
        )
    if (there := _reach(settings.store)) is not None:
        output.note(f"\nstore: {there}.")
    kafka.show(cluster := kafka.find(settings))
    raise click.exceptions.Exit(FAILED if any(one.fault for one in cluster) else DONE)


def _reach(store: str) -> str | None:
    """Try the connection to a store elsewhere. Raises StoreError."""
    from rota.engines.open import reach

    return reach(store)


class _Banner(logging.Handler):
    """Greets whoever started the server by hand, once it listens."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(logging.INFO)
        self._settings = settings

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "listening":
            from rota import logs

            logs.flush()
            output.note(_greeting(self._settings, record.__dict__["url"], record.__dict__["store"]))


def _greeting(settings: Settings, url: str, store: str) -> str:
    from rota import __version__
    from rota.sdk.address import DEFAULT_URL

    where = "" if url == DEFAULT_URL else f" --url {shlex.quote(url)}"
    token = "" if settings.token is None else "  (with ROTA_TOKEN set; every request needs the token)\n"
    example = "enqueue sleep '{\"ms\": 500}' --wait 5"
    if "sleep" not in settings.handlers.active or "default" not in settings.handlers.queues:
        example = "enqueue TYPE PAYLOAD"
    return (
        f"\n  Rota {__version__} listens on {url} and keeps its jobs in {store}\n\n"
        f"{_pages(url)}{_dev(settings) if settings.dev else ''}"
        f"  Hand over a job:   rota {example}{where}\n"
        f"  See all jobs:      rota jobs list{where}\n"
        f"{token}"
        f"  Stop:              Ctrl-C; running jobs get {output.span(settings.grace)} to finish\n"
    )


def _pages(url: str) -> str:
    """What a browser can open, as far as this version has it."""
    from rota.web.api import ROUTES

    paths = {route.path for route in ROUTES}
    named = {"/": "All in a page:  ", "/docs": "The interface:  "}
    return "".join(f"  {name}   {url}{path}\n" for path, name in named.items() if path in paths)


def _dev(settings: Settings) -> str:
    email = settings.handlers.email
    mail = f"goes into the folder {email.maildir}" if email.host is None else f"is sent by {email.host}"
    private = settings.handlers.webhook.allow_private
    hooks = "may call this machine and private networks" if private else "may call public addresses only"
    tasks = ", ".join(settings.work)
    return (f"  Tasks:             {tasks}, started again when their source changes\n" if tasks else "") + (
        f"  Mail and webhooks: mail {mail}; webhooks {hooks}\n"
    )


def _json(shape: object) -> None:
    import msgspec

    output.document(msgspec.json.encode(shape))
