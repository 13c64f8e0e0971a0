"""``rota health``: for containers and scripts that have no curl, and for people who want to know."""

from __future__ import annotations

import click
import msgspec

from rota.commands import output
from rota.commands.common import as_json, connect, json_option, server_options
from rota.model.errors import RotaError


class Found(msgspec.Struct):
    """Of a finding, what is shown."""

    level: str
    sentence: str
    command: str | None = None


class Condition(msgspec.Struct):
    """Of an answer, what is shown."""

    findings: list[Found]


@click.command()
@json_option
@server_options
def health() -> None:
    """Ask a server whether it is ready: its store takes writes, and it is not shutting down. And tell what
    is the matter with it and its jobs, if anything is.

    The status is 0 when it is ready, 1 when it is not or does not answer.
    """
    from rota.sdk.calls import Answer, Call

    def read(answer: Answer) -> bytes:
        return answer.body

    with connect(retries=0) as client:
        body = client.send(Call("GET", "/readyz", read))
        told: bytes | None = None
        try:
            told = client.send(Call("GET", "/v1/condition", read))
        except RotaError:
            # Without a token that is nobody's business; an older server knows no such thing.
            pass
        if as_json():
            ready = msgspec.json.decode(body)
            output.document(msgspec.json.encode({**ready, "condition": msgspec.Raw(told or b"null")}))
            return
        output.say(f"ready: {output.inert(client.url)}")
        found = msgspec.json.decode(told, type=Condition).findings if told else []
        for one in found:
            output.say(output.inert(f"{'note' if one.level == 'ok' else one.level}: {one.sentence}"))
            if one.command is not None:
                output.say(output.inert(f"    {one.command}"))
