"""``rota work``: a program's tasks, in this process or in several; and programs of others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from rota.commands.common import MISUSED, Misused, Span, given_token, given_url, server_options, start_logs

if TYPE_CHECKING:
    from rota.commands.work_programs import Asked
    from rota.sdk.app import App
    from rota.sdk.source import Source
    from rota.sdk.worker import Worker

log = logging.getLogger("rota.work")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE, SHORT_GRACE = 30.0, 2.0
"""Seconds that running jobs get at the end, and with --reload."""
AT_ONCE = 1.0
"""Seconds after the second signal in which jobs are handed back."""
PATIENCE = 3.0
"""Seconds that a process leaves to the first of several to say what is wrong with all of them."""
LEAVE = 3.0
"""Seconds that threads and exit hooks get at the end."""


@click.command()
@click.argument("target", metavar="[MODULE:APP]", required=False)
@click.option("--slots", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Jobs at once.")
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes with so many slots each.",
)
@click.option(
    "--queues",
    metavar="A,B",
    envvar="ROTA_QUEUES",
    help="Take jobs from these queues, the first ones first. [ROTA_QUEUES, else those the tasks name]",
)
@click.option(
    "--store",
    metavar="URL",
    envvar="ROTA_WORK_STORE",
    help="Take jobs from the database itself, without a server: postgresql://... [ROTA_WORK_STORE]",
)
@click.option("--poll", is_flag=True, help="Fetch jobs by plain HTTP, where a WebSocket cannot pass.")
@click.option(
    "--grace",
    type=Span(),
    help="How long running jobs may go on at the end. [30s; with --reload 2s]",
)
@click.option(
    "--programs", is_flag=True, help="Run programs of others (program_zip, execurl), in a sandbox here."
)
@click.option(
    "--unsafe-programs",
    is_flag=True,
    default=None,
    help="With --programs: even where no sandbox holds them, with the rights of this user.",
)
@click.option(
    "--config",
    metavar="FILE",
    help="With --programs or --store: settings in YAML, of which programs.*, or leases and limits, count. "
    "[as for 'rota serve']",
)
@click.option("--reload", is_flag=True, help="Start again whenever the source of the program changes.")
@click.option(
    "--name", metavar="NAME", envvar="ROTA_NAME", help="What people see. [ROTA_NAME, else HOST:PID]"
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    envvar="ROTA_LOG_LEVEL",
)
@click.option(
    "--log-format", type=click.Choice(["auto", "json", "text"]), default="auto", envvar="ROTA_LOG_FORMAT"
)
@click.option(
    "--log-file", metavar="FILE", envvar="ROTA_LOG_FILE", help="Log into this file. [ROTA_LOG_FILE]"
)
@server_options
def work(
    target: str | None,
    slots: int,
    processes: int,
    queues: str | None,
    store: str | None,
    poll: bool,
    grace: float | None,
    programs: bool,
    unsafe_programs: bool | None,
    config: str | None,
    reload: bool,
    name: str | None,
    log_level: str,
    log_format: str,
    log_file: str | None,
) -> None:
    """Run the tasks of a program: APP is the rota.App in MODULE, which is looked for in this folder first.

    A server that is away is waited for. SIGTERM or Ctrl-C takes no more jobs and lets the running ones finish
    (see --grace); a second one hands them back at once. With --reload the same happens whenever a Python file
    changes in this folder or in another that the program imports from; a program that cannot be imported then
    waits for the next change.

    With --store it works without a server, straight on the database that servers share.

    With --programs it runs programs that others sent, too, from the queues that the settings programs.queues
    name; without APP nothing else, and --queues and --slots are then about these.
    """
    from rota import logs, supervise
    from rota.commands.load import check_target, load
    from rota.sdk import trace

    siblings = supervise.die_with_parent()
    direct = None if store is None else _direct(store, config, poll)
    if target is not None:
        check_target(target)
    elif not programs:
        raise click.UsageError("Say what to run: MODULE:APP, or --programs.")
    asked = None
    if programs:
        if processes > 1 or reload:
            raise click.UsageError("--programs goes with neither --processes nor --reload.")
        asked = _asked(target, config, unsafe_programs, queues, slots)
    token = given_token() or os.environ.get("ROTA_TOKEN")
    start_logs(log_level, log_format, log_file, [token] if token else [])
    status = 0
    if grace is None:
        grace = SHORT_GRACE if reload else GRACE
    try:
        _pass_on()
        if processes > 1 or reload:
            options = ["--slots", str(slots), "--grace", str(grace), *(["--poll"] if poll else [])]
            options += [] if queues is None else ["--queues", queues]
            os.environ.update(ROTA_LOG_LEVEL=log_level, ROTA_LOG_FORMAT=log_format)
            if log_file is not None:
                os.environ["ROTA_LOG_FILE"] = log_file
            if store is not None:
                # Not as an argument, which everybody on this machine can read: it may hold a password.
                os.environ["ROTA_WORK_STORE"] = store
            options += [] if config is None else ["--config", config]
            status = asyncio.run(_supervise(str(target), options, processes, name, grace, reload))
        else:
            try:
                app = None if target is None else load(target)
            except Misused:
                if siblings:
                    # Let the first one say it; it takes the others with it.
                    time.sleep(PATIENCE)
                raise
            # Behind the program, which may have set up OpenTelemetry itself.
            trace.setup("rota-worker")
            status = _run(app, target, slots, queues, direct or _network(app, poll), grace, name, asked)
    finally:
        trace.shutdown()
        logs.shutdown()
    click.get_current_context().exit(status)


def _asked(
    target: str | None, config: str | None, unsafe: bool | None, queues: str | None, slots: int
) -> Asked:
    """What is said of programs, where they are to be run."""
    from rota.commands import work_programs

    given = click.get_current_context().get_parameter_source("slots") is ParameterSource.COMMANDLINE
    return work_programs.asked(
        config, unsafe, queues, slots if given else None, beside_tasks=target is not None
    )


def _network(app: App | None, poll: bool) -> Callable[[], Source]:
    """Sources of jobs from a server."""
    from rota.sdk.poll import PollSource
    from rota.sdk.socket import SocketSource

    url, token = given_url(), given_token()
    if app is not None:
        url, token = url or app.url, token or app.token
    return lambda: PollSource(url, token) if poll else SocketSource(url, token)


def _direct(store: str, config: str | None, poll: bool) -> Callable[[], Source]:
    """Sources of jobs from a database."""
    from rota import direct, terms
    from rota.commands.settings import load_settings
    from rota.model.errors import BadInput

    if given_url() is not None or poll:
        raise click.UsageError("--store goes with neither --url nor --poll: there is no server.")
    try:
        direct.check(store)
    except BadInput as error:
        raise Misused(error.detail) from None
    settings = load_settings(config, {})
    return lambda: direct.StoreSource(store, terms.rules(settings), terms.limits(settings))


def _run(
    app: App | None,
    target: str | None,
    slots: int,
    queues: str | None,
    source: Callable[[], Source],
    grace: float,
    name: str | None,
    programs: Asked | None,
) -> int:
    import uvloop

    from rota.commands import work_programs
    from rota.model.errors import BadInput, Forbidden, Unauthorized
    from rota.sdk.worker import Worker

    stopping, worker = _Stopping(), None
    if app is not None:
        named = [one.strip() for one in (queues or "").split(",") if one.strip()]
        worker = Worker(app, source(), queues=named or None, slots=slots, grace=grace, name=name)
        stopping.add(worker)
        log.info(
            "working",
            extra={
                "app": target,
                "tasks": sorted(app.tasks),
                **({} if app.others is None else {"any other type": app.others.name}),
                "queues": worker.queues,
                "slots": slots,
                "pid": os.getpid(),
            },
        )

    async def work() -> None:
        if programs is not None:
            await work_programs.run(programs, source, worker, grace, name, stopping.add)
        elif worker is not None:
            await worker.run()

    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        with stopping:
            runner.run(work())
    except (BadInput, Forbidden, Unauthorized) as error:
        stopping.status = MISUSED
        raise Misused(f"The server does not take this worker: {error.detail}") from None
    finally:
        # A handler's thread that does not end must not keep the process.
        _end_within(LEAVE, stopping.status)
        runner.close()
    log.info("stopped")
    return stopping.status


class _Stopping:
    """The first signal drains, the second hands back what runs, and in a second the process is gone.

    Plain handlers, not the loop's: they also come through while a handler blocks the loop.
    """

    def __init__(self) -> None:
        self.status = 0
        self._workers: list[Worker] = []
        self._signals = 0

    def add(self, worker: Worker) -> None:
        """A worker that is about to run."""
        self._workers.append(worker)
        for _ in range(self._signals):
            worker.drain()

    def __enter__(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def __exit__(self, *error: object) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # A further one changes nothing, also because the system may tell of a parent's death more than once:
        # each time that it finds a new parent among the threads of the old one.
        self._signals += 1
        for worker in self._workers:
            worker.drain()
        if self._signals == 2:
            self.status = 128 + number
            _end_within(AT_ONCE, self.status)


def _end_within(seconds: float, status: int) -> None:
    """End the process after so long, unless it has ended by then."""

    def end() -> None:
        from rota import logs

        logs.flush()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


async def _supervise(
    target: str, options: list[str], processes: int, name: str | None, grace: float, again: bool
) -> int:
    from rota import supervise
    from rota.commands.load import missing

    if told := missing(target):
        raise Misused(told)
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            # The children hear of our end, and take it as their second signal.
            os._exit(128 + number)
        log.info("draining")
        stop.set()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    names = [name] if processes == 1 else [name and f"{name}/{each}" for each in range(1, processes + 1)]
    commands = [
        supervise.python("work", *options, *([] if each is None else ["--name", each]), target)
        for each in names
    ]
    try:
        if again:
            from rota.commands import reload

            await reload.run(commands, stop, grace)
        else:
            await supervise.run(commands, {}, stop, grace)
    except supervise.Unusable:
        return supervise.UNUSABLE
    log.info("stopped")
    return 0


def _pass_on() -> None:
    """What the flags say of the server is also for what the tasks enqueue, and for child processes."""
    if (url := given_url()) is not None:
        os.environ["ROTA_URL"] = url
    if (token := given_token()) is not None:
        os.environ["ROTA_TOKEN"] = token
