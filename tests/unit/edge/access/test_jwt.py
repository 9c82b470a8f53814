"""The token verifier with valid and invalid tokens, all with real keys."""

from __future__ import annotations

from typing import Any

import pytest

from bff.calls import DeclarationError
from bff.edge.access.jwks import usable_keys
from bff.edge.access.jwt import TokenVerifier
from bff.edge.access.provider import Provider
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings, OidcSettings
from bff.policies.tokens import Reason

from .hostile import EDWARDS, KEY, KEY_SET, OTHER, RSA, battery
from .issuing import ISSUER, NOW, Clocks, Served, claims, jwk, sign

KEYS_URL = "https://issuer.test/keys"
SECOND = "https://second.test"


def settings(**changes: Any) -> IssuerSettings:
    return IssuerSettings(**{"issuer": ISSUER, "audience": "shop", "jwks_uri": KEYS_URL, **changes})


def served() -> Served:
    return Served({KEYS_URL: KEY_SET, f"{SECOND}/keys": {"keys": [jwk(OTHER, "k1")]}})


def verifier(fetch: Served | None = None, clock: Clocks | None = None, **changes: Any) -> TokenVerifier:
    clock = clock or Clocks()
    return TokenVerifier([settings(**changes)], fetch or served(), clock, clock)


async def refused(token: str, **changes: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await verifier(**changes).verify(token)
    return caught.value


async def test_a_good_token_becomes_its_principal() -> None:
    token = sign(KEY, claims())
    principal = await verifier().verify(token)
    assert principal.id == f"{ISSUER}|ada"
    assert principal.token == token
    assert principal.scopes == {"shop", "read"}
    assert principal.expires_at == NOW + 300
    assert principal.claims == {"sub": "ada", "name": "Ada", "client_id": "bff"}
    assert principal.session is None


@pytest.mark.parametrize(
    ("key", "alg", "kid"), [(RSA, "RS256", "rsa"), (EDWARDS, "EdDSA", "ed")], ids=["rsa", "edwards"]
)
async def test_each_kind_of_key_verifies_its_own_algorithm(key: Any, alg: str, kid: str) -> None:
    assert (await verifier().verify(sign(key, claims(), alg=alg, kid=kid))).subject == "ada"


async def test_the_long_form_of_the_type_and_a_list_of_audiences_are_accepted() -> None:
    token = sign(KEY, claims(aud=["other", "shop"]), typ="application/AT+JWT")
    assert (await verifier().verify(token)).subject == "ada"


HOSTILE = battery(NOW)


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_token_is_refused_with_401(name: str) -> None:
    problem = await refused(HOSTILE[name])
    assert (problem.status, problem.code) == (401, "invalid-token")
    reason = next(one for one in Reason if one.code == problem.extra["reason"])
    scheme, _, parameters = problem.headers["www-authenticate"].partition(" ")
    assert scheme == ("DPoP" if reason is Reason.BOUND else "Bearer")
    described = f'realm="bff", error="invalid_token", error_description="{reason.text}"'
    assert parameters.partition(", algs=")[0] == described
    assert not any(part and len(part) > 8 and part in problem.detail for part in HOSTILE[name].split("."))


async def test_hostile_tokens_are_refused_for_different_reasons() -> None:
    whys = {name: (await refused(token)).detail for name, token in HOSTILE.items()}
    assert len(set(whys.values())) >= 15
    assert "critical" not in whys["expired"] and "expired" in whys["expired"]
    assert "audience" in whys["another audience"]
    assert "signature is wrong" in whys["another key's signature"]
    assert "another kind" in whys["an ID token"]


async def test_an_address_that_a_token_names_is_never_fetched() -> None:
    fetch = served()
    for name in (
        "the key's address brought along",
        "a certificate's address brought along",
        "another issuer",
    ):
        with pytest.raises(Problem):
            await verifier(fetch).verify(HOSTILE[name])
    assert set(fetch.asked) == {KEYS_URL}


async def test_an_issuers_key_does_not_sign_for_another_issuer() -> None:
    second = IssuerSettings(issuer=SECOND, audience="shop", jwks_uri=f"{SECOND}/keys")
    both = TokenVerifier([settings(), second], served(), Clocks(), Clocks())
    assert (await both.verify(sign(OTHER, claims(iss=SECOND)))).id == f"{SECOND}|ada"
    with pytest.raises(Problem, match="signature"):
        await both.verify(sign(KEY, claims(iss=SECOND)))


async def test_an_expired_token_is_accepted_within_the_leeway_only() -> None:
    assert await verifier().verify(sign(KEY, claims(exp=int(NOW) - 9)))
    await refused(sign(KEY, claims(exp=int(NOW) - 9)), leeway=5)


async def test_a_cached_token_ends_when_it_expires() -> None:
    clock = Clocks()
    checks = verifier(clock=clock)
    token = sign(KEY, claims(exp=int(NOW) + 20))
    assert await checks.verify(token) is await checks.verify(token)
    clock.now += 31
    with pytest.raises(Problem, match="expired"):
        await checks.verify(token)


async def test_a_cached_token_is_refused_once_its_key_is_withdrawn() -> None:
    clock, fetch = Clocks(), served()
    checks = verifier(fetch, clock)
    token = sign(KEY, claims(exp=int(NOW) + 3600))
    await checks.verify(token)
    fetch.documents[KEYS_URL] = {"keys": [jwk(OTHER, "k9")]}
    clock.now += 301
    await checks.verify(token)  # the new keys are fetched in the background
    await checks.issuers[ISSUER].keys.find("k9", "ES256")
    with pytest.raises(Problem, match="no such key"):
        await checks.verify(token)


def test_keys_that_share_an_id_are_all_ignored_whatever_their_type() -> None:
    keys = [jwk(KEY, "twice"), jwk(RSA, "twice"), jwk(EDWARDS, "once"), jwk(OTHER, None), jwk(RSA, None)]
    usable = usable_keys({"keys": keys}, frozenset({"ES256", "RS256", "EdDSA"}))
    assert [key.kid for key in usable] == ["once", None, None]


async def test_bearer_tokens_and_sign_in_share_the_documents_of_an_issuer() -> None:
    discovery = f"{ISSUER}/.well-known/openid-configuration"
    document = {"issuer": ISSUER, "jwks_uri": KEYS_URL, "authorization_endpoint": f"{ISSUER}/authorize"}
    fetch, clock = Served({KEYS_URL: KEY_SET, discovery: document}), Clocks()
    checks = TokenVerifier([settings(jwks_uri=None)], fetch, clock, clock)
    oidc = OidcSettings.model_validate({"issuer": ISSUER, "client_id": "c", "client_secret": "s"})
    provider = Provider(oidc, fetch, redirect_uri="https://shop.test/cb", trusted=checks.issuers[ISSUER])
    assert await checks.verify(sign(KEY, claims()))
    assert (await provider.authorize_url(state="s", nonce="n", verifier="v")).startswith(
        f"{ISSUER}/authorize?"
    )
    assert fetch.asked == [discovery, KEYS_URL]


async def test_no_keys_at_all_is_503_and_not_401() -> None:
    problem = await refused(sign(KEY, claims()), fetch=Served())
    assert (problem.status, problem.code) == (503, "unavailable")
    assert problem.retry_after is not None


@pytest.mark.parametrize("algorithms", [("HS256",), ("none",), ("ES256", "HS512"), ()])
def test_algorithms_that_must_never_be_allowed_stop_the_start(algorithms: tuple[str, ...]) -> None:
    with pytest.raises(DeclarationError, match=ISSUER):
        verifier(algorithms=algorithms)


def test_an_issuer_configured_twice_stops_the_start() -> None:
    with pytest.raises(DeclarationError, match="twice"):
        TokenVerifier([settings(), settings(audience="bank")], served())


async def test_the_cache_of_verified_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bff.edge.access.jwt.MAX_CACHED", 3)
    checks = verifier()
    first = sign(KEY, claims(jti="first"))
    kept = await checks.verify(first)
    for number in range(3):
        await checks.verify(sign(KEY, claims(jti=str(number))))
    assert await checks.verify(first) is not kept
