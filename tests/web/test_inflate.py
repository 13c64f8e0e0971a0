"""Compressed bodies: whole and within bounds, or refused."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from rota.model.errors import BadInput
from rota.web.inflate import inflate


def pack(text: bytes) -> bytes:
    """The same bytes each time."""
    return gzip.compress(text, mtime=0)


TEXT = b"the same words again and again, " * 100
MOST = len(TEXT)


def bare(text: bytes) -> bytes:
    """Deflate without a frame."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(text) + stream.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", pack(TEXT)),
        ("GZIP", pack(TEXT)),
        ("x-gzip", pack(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
        ("gzip, deflate", zlib.compress(pack(TEXT))),
        ("gzip,identity", pack(TEXT)),
        ("gzip", pack(TEXT[:1000]) + pack(TEXT[1000:])),
        ("gzip", b"".join(pack(TEXT[at : at + 10]) for at in range(0, MOST, 10))),
        ("identity", TEXT),
        ("", TEXT),
        ("zstd", TEXT),
    ],
)
def test_what_was_packed_comes_out(coding: str, body: bytes) -> None:
    assert inflate(body, coding, MOST) == TEXT


def test_what_is_inside_an_unknown_coding_stays() -> None:
    inner = pack(TEXT)
    assert inflate(pack(inner), "gzip, zstd, gzip", MOST) == inner
    assert inflate(b"", "gzip", MOST) == b""
    assert inflate(TEXT, None, MOST) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "spoil",
    [lambda body: body[:-1], lambda body: body[:5], lambda body: body + b"x", lambda body: b"x" + body],
)
def test_what_is_damaged_is_refused(coding: str, spoil: object) -> None:
    body = pack(TEXT) if coding == "gzip" else zlib.compress(TEXT)
    with pytest.raises(BadInput) as refused:
        inflate(spoil(body), coding, MOST)  # type: ignore[operator]
    assert refused.value.status == 400


@pytest.mark.parametrize("squeeze", [pack, zlib.compress, bare])
@pytest.mark.parametrize("size", [MOST + 1, 100 * 1024 * 1024])
def test_not_a_byte_more_comes_out_than_is_allowed(squeeze: object, size: int) -> None:
    packed = squeeze(bytes(size))  # type: ignore[operator]
    coding = "gzip" if squeeze is pack else "deflate"
    with pytest.raises(BadInput) as refused:
        inflate(packed, coding, MOST)
    assert refused.value.status == 413


def test_a_bomb_is_not_unpacked_before_it_is_refused() -> None:
    packed = pack(bytes(50 * 1024 * 1024))
    tracemalloc.start()
    try:
        with pytest.raises(BadInput):
            inflate(packed, "gzip", MOST)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_many_members_share_one_bound() -> None:
    with pytest.raises(BadInput) as refused:
        inflate(pack(TEXT) * 2, "gzip", MOST)
    assert refused.value.status == 413


def test_a_body_of_nothing_but_members_is_refused() -> None:
    with pytest.raises(BadInput) as refused:
        inflate(pack(b"") * 1001, "gzip", MOST)
    assert refused.value.status == 400


def test_brotli_is_refused_in_so_many_words() -> None:
    with pytest.raises(BadInput, match="br is not taken") as refused:
        inflate(TEXT, "br", MOST)
    assert refused.value.status == 415
