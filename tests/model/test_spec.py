"""What a job as clients write it becomes."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.model import spec
from rota.model.clock import DAY, HOUR, SECOND, to_text
from rota.model.errors import BadInput
from rota.model.job import Delays, Exponential, Fixed, NoRetry, State
from rota.model.spec import JobSpec, Limits

NOW = 1_800_000_000 * SECOND
LIMITS = Limits()
decode = msgspec.json.Decoder(JobSpec).decode


def test_the_smallest_job_gets_all_defaults() -> None:
    job = spec.new_job(decode(b'{"type":"send_email"}'), NOW, LIMITS)
    assert msgspec.structs.asdict(job) == {
        "id": job.id,
        "type": "send_email",
        "queue": "default",
        "state": State.PENDING,
        "payload": b"null",
        "content_type": None,
        "headers": None,
        "priority": 0,
        "created_at": NOW,
        "run_at": NOW,
        "expires_at": None,
        "timeout": None,
        "max_attempts": 10,
        "retry": None,
        "tags": (),
        "unique_key": None,
        "unique_states": (),
        "retention": 7 * DAY,
    }


def test_every_field_arrives() -> None:
    body = {
        "type": "ns/thing:v1.run-2",
        "payload": {"a": [1, 2.5, None, "é"]},
        "headers": {"X-Trace": "abc"},
        "queue": "mail",
        "priority": -100,
        "delay": 90.5,
        "expires_at": to_text(NOW + HOUR),
        "timeout": 0.5,
        "max_attempts": 1,
        "retry": {"kind": "list", "delays": [1, 2]},
        "tags": ["b", "a", "b"],
        "unique_key": "one",
        "unique_states": ["scheduled", "pending", "done"],
        "retention": 0,
    }
    job = spec.new_job(decode(msgspec.json.encode(body)), NOW, LIMITS)
    assert (job.type, job.queue, job.priority, job.max_attempts) == ("ns/thing:v1.run-2", "mail", -100, 1)
    assert (job.state, job.created_at, job.run_at) == (State.SCHEDULED, NOW, NOW + 90_500_000)
    assert (job.expires_at, job.timeout, job.retention) == (NOW + HOUR, 500_000, 0)
    assert (job.payload, job.content_type) == (msgspec.json.encode(body["payload"]), None)
    assert (job.headers, job.tags, job.retry) == ({"X-Trace": "abc"}, ("b", "a"), Delays((1.0, 2.0)))
    assert (job.unique_key, job.unique_states) == ("one", (State.SCHEDULED, State.PENDING, State.DONE))


def test_the_servers_limits_are_the_defaults() -> None:
    job = spec.new_job(JobSpec(type="t"), NOW, Limits(max_attempts=4, retention=DAY))
    assert (job.max_attempts, job.retention) == (4, DAY)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(), st.lists, max_leaves=5
    )
)
def test_json_payloads_keep_their_bytes(payload: object) -> None:
    text = msgspec.json.encode(payload)
    job = spec.new_job(decode(b'{"payload": ' + text + b' , "type":"t"}'), NOW, LIMITS)
    assert type(job.payload) is bytes
    assert (job.payload, job.content_type) == (text, None)


@given(st.binary(max_size=300))
def test_bytes_payloads_keep_their_bytes(payload: bytes) -> None:
    body = {"type": "t", "payload_base64": base64.b64encode(payload).decode(), "content_type": "image/png"}
    job = spec.new_job(decode(msgspec.json.encode(body)), NOW, LIMITS)
    assert (job.payload, job.content_type) == (payload, "image/png")


@pytest.mark.parametrize(
    ("given_", "kept"),
    [(None, "application/octet-stream"), ("text/plain; charset=utf-8", "text/plain; charset=utf-8")],
)
def test_the_content_type_of_bytes(given_: str | None, kept: str) -> None:
    job = spec.new_job(JobSpec(type="t", payload_base64="", content_type=given_), NOW, LIMITS)
    assert (job.payload, job.content_type) == (b"", kept)


def test_json_may_say_that_it_is_json() -> None:
    job = spec.new_job(JobSpec(type="t", content_type="application/json"), NOW, LIMITS)
    assert job.content_type is None


@pytest.mark.parametrize(
    ("run_at", "state"),
    [(-1, State.PENDING), (0, State.PENDING), (1, State.SCHEDULED), (DAY, State.SCHEDULED)],
)
def test_only_a_later_start_is_scheduled(run_at: int, state: State) -> None:
    job = spec.new_job(JobSpec(type="t", run_at=to_text(NOW + run_at)), NOW, LIMITS)
    assert (job.state, job.run_at) == (state, NOW + run_at)


def test_a_delay_of_nothing_is_now() -> None:
    job = spec.new_job(JobSpec(type="t", delay=0), NOW, LIMITS)
    assert (job.state, job.run_at) == (State.PENDING, NOW)


def test_a_unique_key_holds_until_the_end_unless_told() -> None:
    job = spec.new_job(JobSpec(type="t", unique_key="k"), NOW, LIMITS)
    assert job.unique_states == (State.SCHEDULED, State.PENDING, State.RUNNING)


@pytest.mark.parametrize(
    "retry", [NoRetry(), Fixed(0), Fixed(1e8), Delays((0.0,)), Exponential(), Exponential(1e-9, 1, 1e8, 1)]
)
def test_sensible_retry_policies_are_kept(retry: Exponential | Fixed | Delays | NoRetry) -> None:
    assert spec.new_job(JobSpec(type="t", retry=retry), NOW, LIMITS).retry == retry


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-01-31T08:30:00Z", 1_769_848_200_000_000),
        ("2026-01-31T08:30:00.000001Z", 1_769_848_200_000_001),
        ("2026-01-31T10:00:00+01:30", 1_769_848_200_000_000),
    ],
)
def test_times_are_rfc_3339(text: str, micros: int) -> None:
    assert spec.parse_time("run_at", text) == micros


def test_limits_are_inclusive() -> None:
    full = JobSpec(
        type="t" * 200,
        queue="q" * 200,
        priority=100,
        payload=msgspec.Raw(b'"' + b"x" * 8 + b'"'),
        delay=3650 * 86400,
        timeout=30 * 86400,
        max_attempts=1000,
        tags=tuple(f"{n:064}" for n in range(32)),
        headers={f"h{n}": "v" for n in range(100)},
        unique_key="é" * 100,
        retention=3650 * 86400,
    )
    job = spec.new_job(full, NOW, Limits(payload_bytes=10))
    assert (len(job.tags), job.timeout, job.run_at - NOW) == (32, 30 * DAY, 3650 * DAY)


def test_ids_are_uuid7_and_rise() -> None:
    ids = [spec.new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert all(len(id) == 36 and id[14] == "7" and id == id.lower() for id in ids)


def test_ids_of_several_threads_never_meet() -> None:
    with ThreadPoolExecutor(4) as pool:
        lots = list(pool.map(lambda _: [spec.new_id() for _ in range(5_000)], range(4)))
    assert len({id for ids in lots for id in ids}) == 20_000


def test_a_request_keeps_the_order_and_has_fresh_ids() -> None:
    made = spec.request([JobSpec(type=f"t{n}") for n in range(100)], NOW, LIMITS)
    assert [job.type for job in made.jobs] == [f"t{n}" for n in range(100)]
    assert [job.id for job in made.jobs] == sorted({job.id for job in made.jobs})
    assert made.keys == ()


@pytest.mark.parametrize("size", [1, 10_000])
def test_a_request_holds_1_to_10_000_jobs(size: int) -> None:
    assert len(spec.request([JobSpec(type="t")] * size, NOW, LIMITS).jobs) == size


def test_a_key_for_the_whole_request_covers_all_jobs() -> None:
    [key] = spec.request([JobSpec(type="t")] * 3, NOW, LIMITS, key="k", body=b"body").keys
    assert (key.key, key.start, key.stop) == ("k", 0, 3)
    [same] = spec.request([JobSpec(type="t")] * 3, NOW + 1, LIMITS, key="k", body=b"body").keys
    [other] = spec.request([JobSpec(type="t")] * 3, NOW, LIMITS, key="k", body=b"bodY").keys
    assert same.fingerprint == key.fingerprint != other.fingerprint


def test_keys_of_single_jobs_cover_just_these() -> None:
    made = spec.request(
        [JobSpec(type="a", idempotency_key="x"), JobSpec(type="b"), JobSpec(type="c", idempotency_key="y")],
        NOW,
        LIMITS,
    )
    assert [(key.key, key.start, key.stop) for key in made.keys] == [("x", 0, 1), ("y", 2, 3)]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "u"},
        {"queue": "q"},
        {"priority": 1},
        {"payload": msgspec.Raw(b"1")},
        {"delay": 1.0},
        {"tags": ("a",)},
        {"headers": {"a": "b"}},
        {"retry": Fixed(1)},
        {"unique_key": "u"},
        {"retention": 1.0},
    ],
)
def test_any_difference_shows_in_the_fingerprint(change: dict[str, object]) -> None:
    def fingerprint(made: JobSpec) -> bytes:
        return spec.request([made], NOW, LIMITS).keys[0].fingerprint

    plain = JobSpec(type="t", idempotency_key="k")
    assert fingerprint(msgspec.structs.replace(plain)) == fingerprint(plain)
    assert fingerprint(msgspec.structs.replace(plain, **change)) != fingerprint(plain)


def test_a_request_takes_one_kind_of_key_only() -> None:
    with pytest.raises(BadInput) as caught:
        spec.request([JobSpec(type="t", idempotency_key="k")], NOW, LIMITS, many=False, key="k2")
    assert (caught.value.code, caught.value.field) == ("conflicting_fields", "idempotency_key")
