"""The frames: the JSON on the wire, there and back, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from rota.model import protocol as p
from rota.model.job import State

FROM_WORKER: list[tuple[p.FromWorker, str]] = [
    (
        p.Hello("w1", ("mail", "default"), 8, ("a",), "box", "0.1.0", (p.Lease("i", 2),)),
        (
            '{"op":"hello","worker":"w1","queues":["mail","default"],"slots":8,"types":["a"],"name":"box",'
            '"version":"0.1.0","held":[{"id":"i","lease":2}]}'
        ),
    ),
    (
        p.Finish(
            [p.Ending("i", 1, result=msgspec.Raw(b'{"x":1}')), p.Ending("j", 2, result=msgspec.Raw(b"null"))]
        ),
        '{"op":"finish","outcomes":[{"id":"i","lease":1,"result":{"x":1}},{"id":"j","lease":2,"result":null}]}',
    ),
    (
        p.Finish([p.Ending("i", 1, "failed", error=p.Error("ValueError", "no"), retry=False)]),
        (
            '{"op":"finish","outcomes":[{"id":"i","lease":1,"end":"failed",'
            '"error":{"type":"ValueError","message":"no"},"retry":false}]}'
        ),
    ),
    (
        p.Finish(
            [
                p.Ending("i", 1, "snoozed", delay=2.5),
                p.Ending("j", 1, result_base64="YQ==", content_type="a/b"),
            ]
        ),
        (
            '{"op":"finish","outcomes":[{"id":"i","lease":1,"end":"snoozed","delay":2.5},'
            '{"id":"j","lease":1,"result_base64":"YQ==","content_type":"a/b"}]}'
        ),
    ),
    (
        p.Beat([p.Lease("i", 1)], [p.Progress("i", 1, 0.5, "half")]),
        '{"op":"beat","leases":[{"id":"i","lease":1}],"progress":[{"id":"i","lease":1,"value":0.5,"message":"half"}]}',
    ),
    (
        p.Log([p.Line("i", "hello"), p.Line("i", "bad", "error", "2026-01-31T08:30:00Z")]),
        (
            '{"op":"log","lines":[{"id":"i","text":"hello"},'
            '{"id":"i","text":"bad","level":"error","at":"2026-01-31T08:30:00Z"}]}'
        ),
    ),
    (p.WorkerDrain(), '{"op":"drain"}'),
]

FROM_SERVER: list[tuple[p.FromServer, str]] = [
    (p.Welcome(15.0, 3.0, "0.1.0"), '{"op":"welcome","lease":15.0,"beat":3.0,"version":"0.1.0"}'),
    (
        p.Jobs([p.Work("i", 1, "t", "q", 1, 10, msgspec.Raw(b"[1]"), headers={"a": "b"}, timeout=1.5)]),
        (
            '{"op":"jobs","jobs":[{"id":"i","lease":1,"type":"t","queue":"q","attempt":1,"max_attempts":10,'
            '"payload":[1],"headers":{"a":"b"},"timeout":1.5}]}'
        ),
    ),
    (
        p.Jobs([p.Work("i", 1, "t", "q", 1, 10, payload_base64="YQ==", content_type="a/b")]),
        (
            '{"op":"jobs","jobs":[{"id":"i","lease":1,"type":"t","queue":"q","attempt":1,"max_attempts":10,'
            '"payload_base64":"YQ==","content_type":"a/b"}]}'
        ),
    ),
    (
        p.Finished(
            [p.Answer("i", 1, True, State.DONE), p.Answer("j", 2, False, code="stale_lease", detail="No.")]
        ),
        (
            '{"op":"finished","answers":[{"id":"i","lease":1,"applied":true,"state":"done"},'
            '{"id":"j","lease":2,"applied":false,"code":"stale_lease","detail":"No."}]}'
        ),
    ),
    (
        p.Cancel([p.Stop("i", 1, "cancelled"), p.Stop("j", 1, "stale_lease")]),
        (
            '{"op":"cancel","jobs":[{"id":"i","lease":1,"reason":"cancelled"},'
            '{"id":"j","lease":1,"reason":"stale_lease"}]}'
        ),
    ),
    (p.ServerDrain(), '{"op":"drain"}'),
    (
        p.Refused("invalid_json", "No.", "slots"),
        '{"op":"error","code":"invalid_json","detail":"No.","field":"slots"}',
    ),
]

BODIES: list[tuple[msgspec.Struct, str]] = [
    (
        p.Fetch("w", ("q",), 2, 5.0),
        '{"worker":"w","queues":["q"],"slots":2,"wait":5.0,"types":null,"name":"","version":""}',
    ),
    (p.Fetched([], 20.0, 5.0), '{"jobs":[],"lease":20.0,"beat":5.0,"drain":false}'),
    (p.FinishBody("w", [p.Ending("i", 1)]), '{"worker":"w","outcomes":[{"id":"i","lease":1}]}'),
    (
        p.BeatBody("w", [p.Lease("i", 1)], [], [p.Line("i", "x")]),
        '{"worker":"w","leases":[{"id":"i","lease":1}],"lines":[{"id":"i","text":"x"}]}',
    ),
    (
        p.Beaten([p.Stop("i", 1, "cancelled")]),
        '{"stop":[{"id":"i","lease":1,"reason":"cancelled"}],"drain":false}',
    ),
]


@pytest.mark.parametrize(("frame", "text"), FROM_WORKER)
def test_frames_of_a_worker(frame: p.FromWorker, text: str) -> None:
    assert msgspec.json.encode(frame).decode() == text
    assert msgspec.json.decode(text, type=p.FromWorker) == frame


@pytest.mark.parametrize(("frame", "text"), FROM_SERVER)
def test_frames_of_the_server(frame: p.FromServer, text: str) -> None:
    assert msgspec.json.encode(frame).decode() == text
    assert msgspec.json.decode(text, type=p.FromServer) == frame


@pytest.mark.parametrize(("body", "text"), BODIES)
def test_bodies_of_the_plain_requests(body: msgspec.Struct, text: str) -> None:
    assert msgspec.json.encode(body).decode() == text
    assert msgspec.json.decode(text, type=type(body)) == body


def test_every_frame_is_shown_above() -> None:
    assert {type(frame) for frame, _ in FROM_WORKER} == set(p.FromWorker.__args__)
    assert {type(frame) for frame, _ in FROM_SERVER} == set(p.FromServer.__args__)


@pytest.mark.parametrize("end", ["done", "failed", "snoozed", "released", "cancelled", "timeout"])
def test_the_words_of_an_ending(end: str) -> None:
    text = f'{{"id":"i","lease":1,"end":"{end}"}}'
    assert msgspec.json.decode(text, type=p.Ending).end == end


def test_no_result_is_not_a_null_result() -> None:
    plain = msgspec.json.decode(b'{"id":"i","lease":1}', type=p.Ending)
    null = msgspec.json.decode(b'{"id":"i","lease":1,"result":null}', type=p.Ending)
    assert plain.result is msgspec.UNSET
    assert null.result == msgspec.Raw(b"null")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"op":"hallo"}',
        '{"op":"jobs","jobs":[]}',
        '{"op":"hello","worker":"w","queues":["q"]}',
        '{"op":"hello","worker":"w","queues":["q"],"slots":"many"}',
        '{"op":"hello","worker":"w","queues":["q"],"slots":1,"slot":1}',
        '{"op":"finish"}',
        '{"op":"finish","outcomes":[{"id":"i"}]}',
        '{"op":"finish","outcomes":[{"id":"i","lease":1.5}]}',
        '{"op":"finish","outcomes":[{"id":"i","lease":1,"end":"lost"}]}',
        '{"op":"drain","now":true}',
    ],
)
def test_other_frames_are_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=p.FromWorker)


@pytest.mark.parametrize(
    "text",
    [
        '{"op":"finish","outcomes":[{"id":"i","lease":1,"edn":"failed"}]}',
        '{"op":"finish","outcomes":[{"id":"i","lease":1,"end":"failed","error":{"type":"a","message":"b","tb":"c"}}]}',
        '{"op":"beat","leases":[{"id":"i","lease":1,"progress":1}]}',
        '{"op":"beat","progress":[{"id":"i","lease":1,"value":1,"mesage":"x"}]}',
        '{"op":"log","lines":[{"id":"i","text":"x","lvl":"error"}]}',
    ],
)
def test_a_misspelt_field_is_refused_at_every_depth(text: str) -> None:
    # Taken for its default, a misspelt "end" would turn a failure into done.
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(text, type=p.FromWorker)


def test_a_worker_understands_a_newer_server() -> None:
    work = '{"id":"i","lease":1,"type":"t","queue":"q","attempt":1,"max_attempts":1,"new":1}'
    text = f'{{"op":"jobs","jobs":[{work}],"n":2}}'
    assert msgspec.json.decode(text, type=p.FromServer) == p.Jobs([p.Work("i", 1, "t", "q", 1, 1)])
