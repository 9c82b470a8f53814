"""Any input is refused or accepted, and never raises another error."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bff.edge.access.fetch import FetchFailed
from bff.edge.access.jwks import usable_keys
from bff.policies import tokens
from bff.policies.tokens import TokenRefused

from .issuing import b64, claims, ec_key, jwk

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(["kid", "kty", "crv", "alg", "use", "key_ops", "x", "y", "n", "e", "k", "d"])
GOOD_JWK = jwk(ec_key(), "k1")
ALLOWED = frozenset({"ES256", "RS256", "EdDSA"})


@given(ANYTHING)
def test_any_json_is_a_key_set_or_a_failed_fetch(document: Any) -> None:
    for shape in (document, {"keys": document}, {"keys": [document]}):
        with contextlib.suppress(FetchFailed):
            assert usable_keys(shape, ALLOWED) == ()


@given(
    st.dictionaries(
        MEMBERS, ANYTHING | st.sampled_from(["EC", "RSA", "OKP", "oct", "P-256", "Ed25519", "AQAB"])
    )
)
def test_any_altered_key_is_used_for_allowed_algorithms_or_ignored(bent: dict[str, Any]) -> None:
    for key in usable_keys({"keys": [{**GOOD_JWK, **bent}]}, ALLOWED):
        assert key.algorithms <= ALLOWED


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    with contextlib.suppress(TokenRefused):
        tokens.parse(text)


@given(
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit"]), ANYTHING),
    st.dictionaries(st.sampled_from([*claims(), "nbf"]), ANYTHING),
)
def test_any_header_and_claims_are_checked(header: dict[str, Any], bent: dict[str, Any]) -> None:
    head = json.dumps({"alg": "ES256", "typ": "at+jwt", **header}).encode()
    text = f"{b64(head)}.{b64(json.dumps({**claims(), **bent}).encode())}.AAAA"
    with contextlib.suppress(TokenRefused):
        parsed = tokens.parse(text)
        tokens.issuer_of(parsed)
        tokens.check_type(parsed, tokens.ACCESS_TOKEN_TYPES)
        tokens.check_claims(parsed.claims, audience="shop", now=1_800_000_000.0, leeway=10)
        tokens.scopes_of(parsed.claims)
        assert isinstance(parsed.claims["sub"], str) and parsed.claims["sub"].isprintable()
        assert parsed.claims["exp"] > 1_799_999_000
