"""Which keys of a set are used. Without the rule that refuses it, an unsafe key set lets an attacker's token in."""

from __future__ import annotations

import json

import pytest

from bff.calls import DeclarationError
from bff.edge.access import jwks
from bff.edge.access.fetch import FetchFailed, fetch_json
from bff.edge.access.jwks import usable_keys
from bff.edge.access.jwt import TokenVerifier
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings

from .hostile_keys import CONTROL, TRAPS, good_claims
from .issuing import ISSUER, NOW, Clocks, Served

KEYS_URL = f"{ISSUER}/keys"
ALLOWED = frozenset({"ES256", "RS256", "EdDSA"})


async def verdict(body: bytes, token: str) -> int:
    trusted = IssuerSettings(issuer=ISSUER, audience="shop", jwks_uri=KEYS_URL)
    verifier = TokenVerifier([trusted], Served({KEYS_URL: body}), Clocks(), Clocks())
    try:
        await verifier.verify(token)
    except Problem as problem:
        return problem.status
    return 200


async def test_a_valid_token_of_a_valid_key_set_is_accepted() -> None:
    (token,) = CONTROL.tokens(good_claims(ISSUER, NOW))
    assert await verdict(CONTROL.body, token) == 200


@pytest.mark.parametrize("name", [name for name, trap in TRAPS.items() if trap.status == 200])
async def test_no_token_is_accepted_with_an_unsafe_key_set(name: str) -> None:
    trap = TRAPS[name]
    if "gzip" in trap.headers or "larger" in name:
        return  # the fetch refuses these, see tests/wire/test_signin_keys.py
    for token in trap.tokens(good_claims(ISSUER, NOW)):
        assert await verdict(trap.body, token) in (401, 503)


@pytest.mark.parametrize(
    "name",
    [
        "an exponent of 3",
        "an exponent of two thousand bits",
        "an RSA key of 1,024 bits",
        "an Edwards point of small order",
    ],
)
async def test_the_token_of_a_weak_key_would_be_accepted_if_the_key_were_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "is_sound", lambda key: True)
    for token in TRAPS[name].tokens(good_claims(ISSUER, NOW)):
        assert await verdict(TRAPS[name].body, token) == 200


async def test_a_key_set_that_names_a_member_twice_is_a_failed_fetch() -> None:
    with pytest.raises(FetchFailed, match="twice"):
        await fetch_json(Served({KEYS_URL: TRAPS["keys named twice"].body}), KEYS_URL)


def test_only_the_first_32_keys_are_read() -> None:
    document = json.loads(TRAPS["fourteen hundred keys, the right one last"].body)
    assert len(usable_keys(document, ALLOWED)) == 32


def test_an_algorithm_is_bound_to_its_issuer() -> None:
    document = json.loads(CONTROL.body)
    assert len(usable_keys(document, frozenset({"ES256"}))) == 1
    assert usable_keys(document, frozenset({"RS256", "ES384"})) == ()
    with pytest.raises(DeclarationError):
        TokenVerifier([IssuerSettings(issuer=ISSUER, audience="a", algorithms=("HS256",))], Served())
