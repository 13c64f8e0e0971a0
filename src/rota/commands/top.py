"""``rota top``: a live page of queues, workers and failures."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from rota.commands import output
from rota.commands.common import Span, as_json, connect_async, json_option, server_options

if TYPE_CHECKING:
    from rota.commands.top_page import View
    from rota.commands.top_source import Figures, Source
    from rota.sdk.aclient import AsyncClient

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|.)?")
"""What arrows and their like send."""
SORTS = ("busy", "pending", "oldest", "failed", "name")


@click.command()
@click.option(
    "--interval", type=Span(0.2, 3600), default="2s", metavar="TIME", help="Read figures so often. [2s]"
)
@click.option(
    "--sort", type=click.Choice(SORTS), default="busy", show_default=True, help="Order of the queues."
)
@click.option("--once", is_flag=True, help="Print one page and exit.")
@json_option
@server_options
def top(interval: float, sort: str, once: bool) -> None:
    """Show queues, workers and failures as they change.

    Keys: q quits, s sorts the queues by the next figure, r turns the order round, space holds the page still.
    With --once (and --json) it is for scripts and pipes.
    """
    from rota.commands.top_page import View

    if as_json() and not once:
        raise click.UsageError(
            "--json goes with --once; for a stream of news there is 'rota jobs watch --json'."
        )
    if not once and not output.terminal():
        raise click.UsageError("This is no terminal; --once prints one page.")
    view = View(sort)
    status = asyncio.run(_once(view) if once else _live(view, interval))
    click.get_current_context().exit(status)


async def _once(view: View) -> int:
    from rota.commands.top_page import printed
    from rota.commands.top_source import Source

    async with connect_async() as client:
        source = Source(client)
        figures = await source.read()
        if as_json():
            import msgspec

            output.document(msgspec.json.encode(figures.shape()))
        else:
            printed(figures, view, client.url)
    return 0


async def _live(view: View, interval: float) -> int:
    """Until q, Ctrl-C or SIGTERM."""
    from rota.commands.top_source import Source

    async with connect_async() as client:
        source = Source(client)
        # What is wrong from the start is told as a sentence, not on a page.
        figures = await source.read()
        page = _Page(client, source, view, figures)
        with _signals(page), _keys(page):
            return await page.run(interval)


class _Page:
    """The page on the terminal, and what makes it change."""

    def __init__(self, client: AsyncClient, source: Source, view: View, figures: Figures) -> None:
        self._url = client.url
        self._source = source
        self._view = view
        self._figures = figures
        self._changed = asyncio.Event()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(self, status: int) -> None:
        """Leave."""
        if not self._ended.done():
            self._ended.set_result(status)
        self._changed.set()

    def draw(self) -> None:
        """Draw again, soon."""
        self._changed.set()

    def key(self, key: str) -> None:
        """Somebody pressed it."""
        match key:
            case "q" | "Q":
                self.end(0)
            case "s":
                self._view.sort = SORTS[(SORTS.index(self._view.sort) + 1) % len(SORTS)]
            case "r":
                self._view.turned = not self._view.turned
            case " ":
                self._view.held = not self._view.held
        self.draw()

    async def run(self, interval: float) -> int:
        from rich.console import Console
        from rich.live import Live

        from rota.commands.top_page import page

        console = Console(
            highlight=False, markup=False, emoji=False, color_system="auto" if output.colours() else None
        )
        reading = asyncio.create_task(self._read(interval))
        # Drawn only when something changed, and here: no thread, no timer.
        live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        try:
            with live:
                while not self._ended.done():
                    self._changed.clear()
                    size = console.size
                    live.update(
                        page(self._figures, self._view, self._url, size.width, size.height), refresh=True
                    )
                    # The time of day goes on even if nothing else does.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1.0):
                            await self._changed.wait()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return self._ended.result()

    async def _read(self, interval: float) -> None:
        try:
            async for figures in self._source.follow(interval):
                if not self._view.held or figures.away != self._figures.away:
                    self._figures = figures
                self.draw()
        except Exception as error:
            if not self._ended.done():
                self._ended.set_exception(error)
            self.draw()


@contextlib.contextmanager
def _signals(page: _Page) -> Iterator[None]:
    """SIGTERM leaves the terminal clean too; a new size is a new page. (Ctrl-C ends the loop by itself.)"""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, page.end, 128 + signal.SIGTERM)
    loop.add_signal_handler(signal.SIGWINCH, page.draw)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_signal_handler(signal.SIGWINCH)


@contextlib.contextmanager
def _keys(page: _Page) -> Iterator[None]:
    """Keys as they are pressed, unseen; the terminal is as before afterwards."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield
        return
    import os
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    loop = asyncio.get_running_loop()

    def pressed() -> None:
        try:
            typed = os.read(number, 64)
        except OSError:
            typed = b""
        if not typed:
            page.end(0)
        for key in _ESCAPES.sub("", typed.decode("utf-8", "ignore")):
            page.key(key)

    tty.setcbreak(number)
    loop.add_reader(number, pressed)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)
