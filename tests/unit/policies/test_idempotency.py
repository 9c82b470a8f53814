"""The stored key and the fingerprint of a command, compared with hashes that the test computes itself."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from bff.policies.idempotency import fingerprint, key_hash, replayed_headers


def digest(*parts: bytes) -> str:
    whole = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(whole).hexdigest()


@given(st.tuples(*[st.text(max_size=5)] * 6))
def test_the_key_hash_depends_on_user_client_method_route_and_key(parts: tuple[str, ...]) -> None:
    issuer, subject, client, method, route, key = parts
    found = key_hash(issuer=issuer, subject=subject, client=client, method=method, route=route, key=key)
    assert found == digest(*(part.encode() for part in parts))


@given(
    st.text(max_size=5),
    st.binary(max_size=5),
    st.binary(max_size=5),
    st.text(max_size=5),
    st.binary(max_size=5),
)
def test_the_fingerprint_depends_on_all_parts_of_the_request(
    method: str, path: bytes, query: bytes, kind: str, body: bytes
) -> None:
    found = fingerprint(method=method, raw_path=path, query=query, content_type=kind, body=body)
    assert found == digest(method.encode(), path, query, kind.encode(), body)


def test_text_moved_from_one_part_to_the_next_changes_the_fingerprint() -> None:
    one = fingerprint(method="POST", raw_path=b"/a", query=b"bc", content_type="t", body=b"")
    other = fingerprint(method="POST", raw_path=b"/ab", query=b"c", content_type="t", body=b"")
    assert one != other and len(one) == 64


def test_only_headers_about_the_command_are_replayed_in_their_order() -> None:
    headers = {"etag": "a", "set-cookie": "b", "location": "c", "date": "d", "content-type": "e"}
    assert replayed_headers(headers) == (("etag", "a"), ("location", "c"), ("content-type", "e"))
