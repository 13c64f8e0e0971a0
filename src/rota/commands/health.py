"""``rota health``: for containers and scripts that have no curl."""

from __future__ import annotations

import click

from rota.commands import output
from rota.commands.common import as_json, connect, json_option, server_options


@click.command()
@json_option
@server_options
def health() -> None:
    """Ask a server whether it is ready: its store takes writes, and it is not shutting down.

    The status is 0 when it is, 1 when it is not or does not answer.
    """
    from rota.sdk.calls import Answer, Call

    def read(answer: Answer) -> bytes:
        return answer.body

    with connect(retries=0) as client:
        body = client.send(Call("GET", "/readyz", read))
        if as_json():
            output.document(body)
        else:
            output.say(f"ready: {output.inert(client.url)}")
