"""The error tree is what its docstring draws, and each error carries what callers rely on."""

from __future__ import annotations

import re

import pytest

from rota.model import errors
from rota.model.errors import RotaError

CLASSES = {
    name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, RotaError)
}


def drawn() -> dict[str, str | None]:
    """Name -> name of the parent, read from the drawing in the module's docstring."""
    parents: dict[str, str | None] = {}
    open_: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ((?:│   |    |├── |└── )*)([A-Z]\w+)", line)
        if found is None:
            continue
        depth = len(found[1]) // 4
        parents[found[2]] = open_[depth - 1] if depth else None
        open_[depth:] = [found[2]]
    return parents


def test_the_drawing_holds_every_error_under_its_parent() -> None:
    real = {name: None if cls is RotaError else cls.__mro__[1].__name__ for name, cls in CLASSES.items()}
    assert drawn() == real


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [
        ("RotaError", "internal", 500),
        ("BadInput", "invalid_input", 422),
        ("NotFound", "not_found", 404),
        ("Conflict", "conflict", 409),
        ("StaleLease", "stale_lease", 409),
        ("Unauthorized", "missing_credentials", 401),
        ("Forbidden", "forbidden", 403),
        ("Unavailable", "unavailable", 503),
        ("StoreError", "store_unavailable", 503),
    ],
)
def test_codes_and_statuses_are_part_of_the_interface(name: str, code: str, status: int) -> None:
    error = CLASSES[name]("No.")
    assert (error.code, error.status, error.detail, str(error), error.field) == (
        code,
        status,
        "No.",
        "No.",
        None,
    )


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [cls.code for cls in CLASSES.values()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


def test_one_error_can_be_more_exact_without_touching_its_class() -> None:
    error = errors.BadInput("Too big.", code="payload_too_large", status=413, field="payload", limit=5)
    assert (error.code, error.status, error.field, error.extra) == (
        "payload_too_large",
        413,
        "payload",
        {"limit": 5},
    )
    assert (errors.BadInput.code, errors.BadInput.status) == ("invalid_input", 422)


def test_bad_config_keeps_every_complaint() -> None:
    error = errors.BadConfig(["store: unknown scheme", "listen: no port"])
    assert error.complaints == ["store: unknown scheme", "listen: no port"]
    assert str(error) == "store: unknown scheme\nlisten: no port"
