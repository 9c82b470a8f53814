"""A refresh whose answer does not say which scopes were granted, or not readably.

Input: a session with fewer scopes than were requested, and a refresh answer without `scope`, with a list, a number,
null, or with more than was granted. Before: the session had every scope that was requested at sign-in.
Right: the scopes stay as granted before; a refresh may remove scopes and never adds one (RFC 6749 sections 5.1 and 6).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bff.edge.access.fetch import FetchFailed, FetchResponse
from bff.edge.access.provider import Provider, SignInRefused
from bff.edge.access.session_record import SessionKey, SessionRecord, TokenSet
from bff.edge.access.token_endpoint import DEFAULT_LIFETIME
from bff.edge.settings.gateway import OidcSettings

from ..unit.edge.access.issuing import ec_key, jwk, sign

ASKED = ("openid", "desk.read", "desk.write")
GRANTED = frozenset({"openid", "desk.read"})
ISSUER = "https://issuer.test"
KEY = ec_key()
NOW = 1_800_000_000.0


def provider(**answer: Any) -> Provider:
    """A provider whose token endpoint answers this; a member with the value ... is left out."""

    async def fetch(
        url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse:
        if "well-known" in url:
            places = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "jwks_uri": f"{ISSUER}/keys"}
            return 200, {}, json.dumps(places).encode()
        if url.endswith("/keys"):
            return 200, {}, json.dumps({"keys": [jwk(KEY, "k", use="sig", alg="ES256")]}).encode()
        given = {"access_token": "a2", "token_type": "Bearer", "expires_in": 300, **answer}
        return 200, {}, json.dumps({name: one for name, one in given.items() if one is not ...}).encode()

    settings = OidcSettings.model_validate(
        {"issuer": ISSUER, "client_id": "c", "client_secret": "s", "scopes": ASKED}
    )
    return Provider(settings, fetch, redirect_uri="https://gateway.test/cb", clock=lambda: NOW)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (..., GRANTED),
        (None, GRANTED),
        (["openid", "desk.write"], GRANTED),
        ({"desk.write": True}, GRANTED),
        (7, GRANTED),
        (True, GRANTED),
        ("openid desk.read", GRANTED),
        ("openid desk.read desk.write admin", GRANTED),
        ("openid", {"openid"}),
        ("desk.write", set()),
        ("", set()),
        ("   ", set()),
    ],
    ids=repr,
)
async def test_a_refresh_never_grants_what_was_not_granted(said: object, left: set[str]) -> None:
    granted = TokenSet("a1", 0, 1, GRANTED, "r1")
    after = granted.renewed_by(await provider(scope=said).renew("r1"))
    assert after.scopes == left
    # A removed scope does not come back with an answer that has no scope.
    assert after.renewed_by(await provider(scope=...).renew("r1")).scopes == left


@pytest.mark.parametrize(
    ("said", "granted"),
    [
        (..., set(ASKED)),
        (None, set(ASKED)),
        ("openid desk.read", GRANTED),
        ("", set()),
        (["openid", "desk.read"], set()),
        (7, set()),
    ],
    ids=repr,
)
async def test_at_sign_in_an_unreadable_scope_grants_nothing(said: object, granted: set[str]) -> None:
    claims = {"iss": ISSUER, "sub": "ada", "aud": "c", "iat": NOW, "exp": NOW + 60, "nonce": "n"}
    answer = {"scope": said, "id_token": sign(KEY, claims, kid="k", typ="JWT")}
    record = await provider(**answer).exchange("code", verifier="v", nonce="n")
    assert record.tokens.scopes == granted
    key = SessionKey.new()
    kept = key.open(key.seal(record))
    assert kept is not None and kept.tokens.scopes == granted


@pytest.mark.parametrize(
    ("said", "life"),
    [(..., DEFAULT_LIFETIME), (None, DEFAULT_LIFETIME), ("60", 60), (60, 60), (60.5, 60.5)],
    ids=repr,
)
async def test_a_missing_expiry_is_short_and_one_in_text_is_read(said: object, life: float) -> None:
    assert (await provider(expires_in=said).renew("r1")).expires_at == NOW + life


@pytest.mark.parametrize(
    "said",
    [0, -1, True, [], {}, "", "soon", "1e3", "٣", 1e12, "99999999999999999999", "Infinity"],
    ids=repr,
)
async def test_an_unreadable_expiry_makes_the_token_answer_invalid(said: object) -> None:
    with pytest.raises(FetchFailed):
        await provider(expires_in=said).renew("r1")
    with pytest.raises(SignInRefused):
        await provider(expires_in=said).exchange("code", verifier="v", nonce="n")


def test_a_record_without_scopes_has_none() -> None:
    key = SessionKey.new()
    kept = key.open(key.seal(SessionRecord(ISSUER, "ada", None, {}, TokenSet("a1", 0, 1))))
    assert kept is not None and kept.tokens.scopes == frozenset()
