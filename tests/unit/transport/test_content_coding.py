"""Content codings: every input gives a body or one of two errors, within bounds of bytes and members."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.transport.content_coding import MAX_MEMBERS, decode_body
from bff.transport.wire import WireInvalidResponse, WireResponseTooLarge


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.integers(0, 100))
def test_gzip_members_are_joined_and_zeros_after_them_are_ignored(parts: list[bytes], zeros: int) -> None:
    body = b"".join(map(gzip.compress, parts)) + bytes(zeros)
    assert decode_body(body, "gzip", 10_000) == b"".join(parts)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.data())
def test_a_cut_gzip_body_is_invalid_unless_it_ends_with_a_member(
    parts: list[bytes], data: st.DataObject
) -> None:
    packed = [gzip.compress(part) for part in parts]
    body = b"".join(packed)
    at = data.draw(st.integers(1, len(body) - 1))
    ends = {sum(map(len, packed[:count])): b"".join(parts[:count]) for count in range(1, len(packed))}
    if at in ends:
        assert decode_body(body[:at], "gzip", 10_000) == ends[at]
    else:
        with pytest.raises(WireInvalidResponse):
            decode_body(body[:at], "gzip", 10_000)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "x", "", None]))
def test_random_bytes_are_a_body_or_invalid(body: bytes, coding: str | None) -> None:
    try:
        decode_body(body, coding, 100_000)
    except WireInvalidResponse:
        assert coding
    except WireResponseTooLarge:
        pass


def test_members_are_bounded_in_number_and_in_sum() -> None:
    empty = gzip.compress(b"")
    assert decode_body(empty * MAX_MEMBERS, "gzip", 1) == b""
    with pytest.raises(WireInvalidResponse):
        decode_body(empty * (MAX_MEMBERS + 1), "gzip", 1)
    with pytest.raises(WireResponseTooLarge):
        decode_body(gzip.compress(b"a" * 600) * 2, "gzip", 1_000)


def test_large_bodies_are_decoded_whole_and_junk_is_invalid() -> None:
    body = gzip.compress(bytes(7_000)) * 900
    assert len(decode_body(body + b"\0" * 4_000_000, "gzip", 8_000_000)) == 6_300_000
    for junk in (gzip.compress(b"") * 400_000, zlib.compress(b"") * 400_000):
        with pytest.raises(WireInvalidResponse):
            decode_body(junk, "gzip", 8_000_000)
