"""Every frame in docs/protocol.md is one that the code takes or sends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from rota.model import protocol

TEXT = (Path(__file__).parents[2] / "docs/protocol.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", TEXT, re.DOTALL)]
FRAMES = [example for example in EXAMPLES if "op" in example]


def test_there_are_examples_of_every_kind() -> None:
    kinds = {example["op"] for example in FRAMES}
    assert kinds == {
        "hello",
        "welcome",
        "jobs",
        "finish",
        "finished",
        "beat",
        "log",
        "cancel",
        "drain",
        "error",
    }


@pytest.mark.parametrize("frame", FRAMES, ids=[frame["op"] for frame in FRAMES])
def test_a_frame_of_the_page_is_a_frame_of_the_code(frame: dict[str, object]) -> None:
    kind: object = protocol.FromServer
    if frame["op"] in {"hello", "finish", "beat", "log", "drain"}:
        kind = protocol.FromWorker
    text = json.dumps(frame).encode()
    decoded = msgspec.json.decode(text, type=kind)
    for name, value in frame.items():
        told = value[0] if isinstance(value, list) and isinstance(value[0], dict) else {}
        for key in told:
            # Nothing of the example was passed over as unknown.
            assert key in type(getattr(decoded, name)[0]).__struct_fields__


def test_the_fetch_of_the_page_is_one() -> None:
    [fetch] = [example for example in EXAMPLES if "op" not in example]
    assert msgspec.convert(fetch, protocol.Fetch).slots == 2


def test_every_end_has_its_line() -> None:
    assert set(get_args(protocol.End)) == set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) - {"end"}
