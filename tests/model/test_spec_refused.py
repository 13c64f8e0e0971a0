"""Bad input gets a clear error that names the field."""

from __future__ import annotations

import msgspec
import pytest

from rota.model import spec
from rota.model.clock import DAY, SECOND, to_text
from rota.model.errors import BadInput
from rota.model.job import Delays, Exponential, Fixed, State
from rota.model.spec import JobSpec, Limits

NOW = 1_800_000_000 * SECOND
LIMITS = Limits(payload_bytes=100)


def refused(**fields: object) -> BadInput:
    with pytest.raises(BadInput) as caught:
        spec.new_job(JobSpec(**{"type": "t", **fields}), NOW, LIMITS)  # type: ignore[arg-type]
    error = caught.value
    assert error.detail.endswith(".")
    assert len(error.detail) < 400
    return error


BAD_NAMES = [
    "",
    "a" * 201,
    "two words",
    "../x",
    "a..b",
    ".a",
    "-a",
    "/a",
    "*",
    "a\n",
    "é",
    "🐱",
    "a\x00",
    "a\u202eb",
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("field", ["type", "queue"])
def test_names(field: str, name: str) -> None:
    error = refused(**{field: name})
    assert (error.code, error.field, error.status) == (f"invalid_{field}", field, 422)
    assert error.detail.startswith(f"{field} must be 1 to 200 of")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("priority", 101, "invalid_priority"),
        ("priority", -101, "invalid_priority"),
        ("priority", 10**30, "invalid_priority"),
        ("max_attempts", 0, "invalid_max_attempts"),
        ("max_attempts", -1, "invalid_max_attempts"),
        ("max_attempts", 1001, "invalid_max_attempts"),
        ("delay", -1.0, "invalid_duration"),
        ("delay", -1e-6, "invalid_duration"),
        ("delay", 3650 * 86400 + 1.0, "invalid_duration"),
        ("delay", 1e300, "invalid_duration"),
        ("delay", float("nan"), "invalid_duration"),
        ("delay", float("inf"), "invalid_duration"),
        ("delay", float("-inf"), "invalid_duration"),
        ("retention", -1.0, "invalid_duration"),
        ("retention", 1e12, "invalid_duration"),
        ("timeout", 0.0, "invalid_timeout"),
        ("timeout", -3.0, "invalid_timeout"),
        ("timeout", 30 * 86400 + 1.0, "invalid_timeout"),
        ("unique_key", "", "invalid_unique_key"),
        ("unique_key", "é" * 101, "invalid_unique_key"),
        ("unique_key", "a\nb", "invalid_unique_key"),
        ("tags", tuple(str(n) for n in range(33)), "too_many_tags"),
        ("tags", ("",), "invalid_tags"),
        ("tags", ("x" * 65,), "invalid_tags"),
        ("tags", ("a\x7f",), "invalid_tags"),
        ("tags", ("front:jobq",), "invalid_tags"),
        ("headers", {f"h{n}": "" for n in range(101)}, "invalid_headers"),
        ("headers", {"h": "x" * 32768}, "invalid_headers"),
        ("headers", {"two words": "x"}, "invalid_headers"),
        ("headers", {"": "x"}, "invalid_headers"),
        ("headers", {"h": "a\r\nb: c"}, "invalid_headers"),
        ("payload_base64", "a===", "invalid_base64"),
        ("payload_base64", "YQ", "invalid_base64"),
        ("payload_base64", "Y Q==", "invalid_base64"),
        ("payload_base64", "YQ==\n", "invalid_base64"),
        ("payload_base64", "Y-_=", "invalid_base64"),
        ("payload_base64", "é", "invalid_base64"),
    ],
)
def test_values_out_of_bounds(field: str, value: object, code: str) -> None:
    error = refused(**{field: value})
    assert (error.code, error.field, error.status) == (code, field, 422)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "1800000000000",
        "2026-01-31",
        "2026-01-31T08:30:00",
        "2026-02-30T00:00:00Z",
        "2026-01-31T25:00:00Z",
        "10000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize("field", ["run_at", "expires_at"])
def test_times(field: str, text: str) -> None:
    error = refused(**{field: text})
    assert (error.code, error.field) == ("invalid_time", field)
    assert "2026-01-31T08:30:00Z" in error.detail


@pytest.mark.parametrize("kind", ["image", "image/", "a/b\nc", "a/b; x=\r\n", "x" * 198 + "/yz", "a/ü"])
def test_content_types(kind: str) -> None:
    error = refused(payload_base64="YQ==", content_type=kind)
    assert (error.code, error.field) == ("invalid_content_type", "content_type")


@pytest.mark.parametrize(
    "retry",
    [
        Fixed(-1),
        Fixed(1e9),
        Fixed(float("nan")),
        Delays(()),
        Delays((1, -1)),
        Delays((1.0,) * 1001),
        Exponential(base=0),
        Exponential(base=-1),
        Exponential(factor=0.5),
        Exponential(factor=101),
        Exponential(max=0),
        Exponential(jitter=1.1),
        Exponential(jitter=-0.1),
        Exponential(base=float("inf")),
        Exponential(max=float("nan")),
    ],
)
def test_retry_policies(retry: object) -> None:
    error = refused(retry=retry)
    assert (error.code, error.field) == ("invalid_backoff", "retry")


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"run_at": to_text(NOW), "delay": 0.0}, "conflicting_fields", "delay"),
        ({"payload": msgspec.Raw(b"1"), "payload_base64": "YQ=="}, "conflicting_fields", "payload_base64"),
        ({"payload": msgspec.Raw(b"1"), "content_type": "image/png"}, "conflicting_fields", "content_type"),
        ({"expires_at": to_text(NOW)}, "expires_before_start", "expires_at"),
        ({"expires_at": to_text(NOW + DAY), "delay": 86400.0}, "expires_before_start", "expires_at"),
        (
            {"expires_at": to_text(NOW - 1), "run_at": to_text(NOW - DAY)},
            "expires_before_start",
            "expires_at",
        ),
        ({"unique_states": (State.PENDING,)}, "invalid_unique_states", "unique_states"),
        ({"unique_key": "k", "unique_states": (State.PENDING,)}, "invalid_unique_states", "unique_states"),
        ({"unique_key": "k", "unique_states": ()}, "invalid_unique_states", "unique_states"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, object], code: str, field: str) -> None:
    error = refused(**fields)
    assert (error.code, error.field) == (code, field)


@pytest.mark.parametrize(
    "spec_",
    [JobSpec(type="t", payload=msgspec.Raw(b"1" * 101)), JobSpec(type="t", payload_base64="YWFh" * 34)],
)
def test_a_payload_over_the_limit_says_both_sizes(spec_: JobSpec) -> None:
    with pytest.raises(BadInput) as caught:
        spec.new_job(spec_, NOW, LIMITS)
    error = caught.value
    assert (error.code, error.status, error.field) == ("payload_too_large", 413, "payload")
    assert "100" in error.detail
    assert "101" in error.detail or "102" in error.detail


@pytest.mark.parametrize("size", [0, 10_001])
def test_a_request_of_no_jobs_or_too_many(size: int) -> None:
    with pytest.raises(BadInput) as caught:
        spec.request([JobSpec(type="t")] * size, NOW, LIMITS)
    assert (caught.value.code, caught.value.field) == ("invalid_batch", "jobs")
    assert str(size) in caught.value.detail


@pytest.mark.parametrize(("many", "field"), [(True, "jobs[3].priority"), (False, "priority")])
def test_the_field_is_named_as_in_the_request(many: bool, field: str) -> None:
    specs = [JobSpec(type="t")] * 3 + [JobSpec(type="t", priority=101)]
    with pytest.raises(BadInput) as caught:
        spec.request(specs if many else specs[3:], NOW, LIMITS, many=many)
    assert (caught.value.field, caught.value.code) == (field, "invalid_priority")


@pytest.mark.parametrize("key", ["", "k" * 201, "a\x00"])
def test_idempotency_keys(key: str) -> None:
    for specs, header, field in (
        ([JobSpec(type="t", idempotency_key=key)], None, "jobs[0].idempotency_key"),
        ([JobSpec(type="t")], key, "Idempotency-Key"),
    ):
        with pytest.raises(BadInput) as caught:
            spec.request(specs, NOW, LIMITS, key=header)
        assert (caught.value.code, caught.value.field) == ("invalid_idempotency_key", field)


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"t","quue":"x"}',
        b'{"payload":1}',
        b'{"type":1}',
        b'{"type":"t","priority":"high"}',
        b'{"type":"t","priority":true}',
        b'{"type":"t","priority":1.5}',
        b'{"type":"t","delay":"5 parsecs"}',
        b'{"type":"t","tags":"a"}',
        b'{"type":"t","headers":{"a":1}}',
        b'{"type":"t","unique_states":["blocked"]}',
        b'{"type":"t","retry":{"kind":"sometimes"}}',
        b"[]",
        b"null",
    ],
)
def test_wrong_shapes_never_become_a_spec(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=JobSpec)
