"""The command line: which commands there are, and how all of them end.

Only click is imported before a command runs; a command's module is loaded when it is asked for.

Exit status: 0 done; 1 it did not work (or the job failed); 2 used or configured wrongly; 3 the job goes on;
130 interrupted by Ctrl-C; 141 nobody reads the output any more.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import NamedTuple, NoReturn

import click

from rota.commands.common import INTERRUPTED, UNREAD, Misused, server_options


class Entry(NamedTuple):
    """Where a command is, and its line in the list of commands."""

    place: str
    summary: str


SECTIONS: Mapping[str, Mapping[str, Entry]] = {
    "Server": {
        "serve": Entry("rota.commands.serve:serve", "Run the server."),
        "check": Entry("rota.commands.serve:check", "Check the configuration, or the store."),
        "backup": Entry("rota.commands.store:backup", "Copy the store, also while a server works on it."),
        "migrate": Entry("rota.commands.migrate:migrate", "Bring the store's schema up to date."),
        "move": Entry(
            "rota.commands.move:move", "Carry a store into another one, as from SQLite to PostgreSQL."
        ),
        "health": Entry("rota.commands.health:health", "Ask a server whether it is ready."),
        "bench": Entry("rota.commands.bench:bench", "Measure what this machine does."),
    },
    "Your tasks": {
        "work": Entry("rota.commands.work:work", "Run the tasks of a program."),
    },
    "Jobs": {
        "run": Entry("rota.commands.run:run", "Run a folder with a Makefile as a job."),
        "enqueue": Entry("rota.commands.enqueue:enqueue", "Hand over a job, or a file full of them."),
        "jobs": Entry("rota.commands.jobs:jobs", "List, show, watch, cancel and retry jobs."),
        "failures": Entry("rota.commands.failures:failures", "List failed jobs by what they failed of."),
        "queues": Entry("rota.commands.queues:queues", "List, pause, resume and clear queues."),
        "workers": Entry("rota.commands.queues:workers", "List and drain workers."),
        "top": Entry("rota.commands.top:top", "A live page of queues, workers and failures."),
    },
}


def main() -> NoReturn:
    """The entry of ``rota`` and ``python -m rota``."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal does not have is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        rota.main(prog_name="rota")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0)


class Root(click.Group):
    """Loads commands when they are asked for, and turns what goes wrong into a sentence and a status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for entries in SECTIONS.values() for name in entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entries in SECTIONS.values():
            if cmd_name in entries:
                module, _, name = entries[cmd_name].place.partition(":")
                command = getattr(import_module(module), name)
                assert isinstance(command, click.Command)
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in (known := self.list_commands(ctx)):
            import difflib

            near = difflib.get_close_matches(args[0], known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}."
            raise click.UsageError(f"There is no command {args[0][:100]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in entries.items()], col_max=12)

    def invoke(self, ctx: click.Context) -> object:
        with _told():
            try:
                return super().invoke(ctx)
            finally:
                # Here a reader that has left is still a sentence's worth of trouble; later it is a trace.
                if sys.stdout is not None:
                    sys.stdout.flush()


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="'rota COMMAND --help' says more. The server is http://127.0.0.1:8080 unless --url or "
    "ROTA_URL names another.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, asked: _version(ctx) if asked else None,
    help="Show the version and exit.",
)
@server_options
def rota() -> None:
    """Rota, a durable job queue."""


def _version(ctx: click.Context) -> None:
    from rota import __version__

    click.echo(f"rota {__version__}")
    ctx.exit()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors that are no bugs of ours, as people want to read them."""
    from rota.commands.output import inert
    from rota.model.errors import BadConfig, RotaError

    try:
        yield
    except BrokenPipeError:
        # Whatever is still buffered has nowhere to go; writing it at exit would be a second complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        raise click.exceptions.Exit(UNREAD) from None
    except (KeyboardInterrupt, click.Abort):
        if sys.stderr is not None and sys.stderr.isatty():
            click.echo(err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BadConfig as error:
        faults = error.complaints
        told = faults[0]
        if len(faults) > 1:
            told = f"The configuration has {len(faults)} faults:" + "".join(
                f"\n  {fault}" for fault in faults
            )
        # What the system refuses (a port that is taken) is no fault in what was written.
        kind = click.ClickException if isinstance(error.__cause__, OSError) else Misused
        raise kind(inert(told, lines=True)) from None
    except RotaError as error:
        raise click.ClickException(inert(error.detail, lines=True)) from None
    except UnicodeEncodeError as error:
        if not any("\ud800" <= character <= "\udfff" for character in error.object):
            raise
        raise Misused("An argument is not text in UTF-8.") from None
