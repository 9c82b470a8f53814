"""A sign-in to the letter: what is asked of the provider, what of its answers becomes a session, and every refusal."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from bff.edge.access import provider as module
from bff.edge.access.fetch import FetchFailed, FetchResponse
from bff.edge.access.issuer import Issuer
from bff.edge.access.provider import (
    LOGOUT_EVENT,
    SIGNING_IN,
    Demands,
    LogoutToken,
    Provider,
    SignInRefused,
)
from bff.edge.access.refresh import RefreshRefused
from bff.edge.access.session_record import SessionRecord, TokenSet
from bff.edge.settings import IssuerSettings, OidcSettings
from bff.policies.tokens import TokenRefused

from .issuing import ISSUER, NOW, Clocks, claims, jwk, sign
from .test_provider import KEY, OTHER, RSA, Idp, id_token

CALLBACK = "https://shop.test/cb"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B


@pytest.fixture
def idp() -> Idp:
    return Idp()


def provider(
    idp: Idp, *, clock: Clocks | None = None, more: dict[str, Any] | None = None, **changes: Any
) -> Provider:
    """changes: of the settings; more: of the constructor."""
    settings = {"issuer": ISSUER, "client_id": "c", "client_secret": "s", **changes}
    now = clock or Clocks()
    options: dict[str, Any] = {"redirect_uri": CALLBACK, "clock": now, "monotonic": now}
    return Provider(OidcSettings.model_validate(settings), idp, **options | (more or {}))


def answer(value: Any, status: int = 200) -> FetchResponse:
    return status, {"content-type": "application/json"}, json.dumps(value).encode()


async def exchanged(one: Provider, demands: Demands | None = None) -> SessionRecord:
    return await one.exchange("code", verifier="v", nonce="n", demands=demands or Demands())


async def refused(one: Provider, demands: Demands | None = None) -> SignInRefused:
    with pytest.raises(SignInRefused) as caught:
        await exchanged(one, demands)
    return caught.value


async def failure(coroutine: Any) -> str:
    with pytest.raises(FetchFailed) as caught:
        await coroutine
    return str(caught.value)


def form(idp: Idp, path: str = "/token") -> dict[str, str]:
    return [given for asked, given, _ in idp.asked if asked == path][-1]


# ---- where the browser is sent


async def query(one: Provider, **said: Any) -> dict[str, str]:
    url = await one.authorize_url(state="s", nonce="n", verifier=VERIFIER, **said)
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ISSUER}/authorize"
    pairs = parse_qsl(parts.query)
    assert len(dict(pairs)) == len(pairs), "no parameter is there twice"
    return dict(pairs)


ASKED = {
    "response_type": "code",
    "client_id": "c",
    "redirect_uri": CALLBACK,
    "scope": "openid profile",
    "state": "s",
    "nonce": "n",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


async def test_a_sign_in_asks_for_a_code_that_only_this_gateway_can_redeem(idp: Idp) -> None:
    assert await query(provider(idp)) == ASKED
    assert await query(provider(idp), redirect_uri="https://staff.test/cb") == ASKED | {
        "redirect_uri": "https://staff.test/cb"
    }


async def test_settings_add_parameters_and_replace_none_of_the_gateways(idp: Idp) -> None:
    one = provider(idp, authorize={"audience": "api", "state": "forged", "client_id": "x"})
    assert await query(one) == ASKED | {"audience": "api"}


async def test_an_authorization_endpoint_with_a_query_keeps_it(idp: Idp) -> None:
    idp.document["authorization_endpoint"] = f"{ISSUER}/authorize?tenant=1"
    assert await query(provider(idp)) == ASKED | {"tenant": "1"}


@pytest.mark.parametrize(
    ("settings", "asked", "sent"),
    [
        ({}, {}, {}),
        ({}, {"max_age": "5", "prompt": "login"}, {"max_age": "5", "prompt": "login"}),
        ({"max_age": 600}, {}, {"max_age": "600"}),
        ({"max_age": 0}, {}, {"max_age": "0"}),
        ({"max_age": 600}, {"max_age": "900"}, {"max_age": "600"}),
        ({"max_age": 600}, {"max_age": "90"}, {"max_age": "90"}),
        ({"authorize": {"prompt": "consent login"}}, {"prompt": "login"}, {"prompt": "consent login"}),
        ({"authorize": {"prompt": "consent"}}, {"prompt": "login"}, {"prompt": "consent login"}),
        ({"authorize": {"prompt": "consent"}}, {}, {"prompt": "consent"}),
        ({"acr_values": ("gold", "silver")}, {}, {"acr_values": "gold silver"}),
        ({"acr_values": ("gold",)}, {"acr_values": "phr"}, {"acr_values": "phr"}),
        ({}, {"login_hint": "ada"}, {"login_hint": "ada"}),
    ],
    ids=str,
)
async def test_what_the_settings_and_the_request_want_is_asked_for_together(
    idp: Idp, settings: dict[str, Any], asked: dict[str, str], sent: dict[str, str]
) -> None:
    assert await query(provider(idp, **settings), asked=asked) == ASKED | sent


PAR = "pushed_authorization_request_endpoint"


@pytest.mark.parametrize(("status", "reference"), [(200, "urn:x:1"), (201, "u"), (201, "u" * 2048)])
async def test_a_pushed_request_is_named_by_its_reference(idp: Idp, status: int, reference: str) -> None:
    idp.document[PAR] = f"{ISSUER}/par"
    idp.answers["/par"] = answer({"request_uri": reference}, status)
    assert await query(provider(idp)) == {"client_id": "c", "request_uri": reference}
    assert form(idp, "/par") == ASKED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, {"request_uri": "urn:x:1"}),
        (400, {"request_uri": "urn:x:1"}),
        (201, {}),
        (201, {"request_uri": ""}),
        (201, {"request_uri": 7}),
        (201, {"request_uri": "u" * 2049}),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("demanded", [True, "true", None])
async def test_a_push_that_is_refused_is_sent_with_the_browser_unless_it_is_demanded(
    idp: Idp, status: int, body: dict[str, Any], demanded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    idp.document |= {PAR: f"{ISSUER}/par", "require_pushed_authorization_requests": demanded}
    idp.answers["/par"] = answer(body | {"error": "x", "error_description": "why"}, status)
    why = f"{ISSUER} refused a pushed request: {status} x: why"
    if demanded is True:
        assert await failure(query(provider(idp))) == why
    else:
        assert await query(provider(idp)) == ASKED
        assert caplog.messages == [f"an authorization request is sent with the browser: {why}"]


async def test_a_request_is_pushed_against_the_settings_where_the_provider_demands_it(idp: Idp) -> None:
    idp.document |= {PAR: f"{ISSUER}/par", "require_pushed_authorization_requests": True}
    idp.answers["/par"] = answer({"request_uri": "urn:x:1"}, 201)
    assert await query(provider(idp, pushed="never")) == {"client_id": "c", "request_uri": "urn:x:1"}
    del idp.document["require_pushed_authorization_requests"]
    assert await query(provider(idp, pushed="never")) == ASKED
    idp.document |= {"require_pushed_authorization_requests": True}
    del idp.document[PAR]
    assert await query(provider(idp)) == ASKED, "there is no endpoint to push to"


async def test_the_browsers_session_at_the_provider_is_ended_at_its_endpoint(idp: Idp) -> None:
    one = provider(idp)
    assert await one.end_session_url("hint", "https://shop.test/") is None
    idp.document["end_session_endpoint"] = f"{ISSUER}/logout?x=1"
    one = provider(idp)
    back = {"x": "1", "client_id": "c", "post_logout_redirect_uri": "https://shop.test/"}
    for hint, named in (("hint", {"id_token_hint": "hint"}), (None, {})):
        url = await one.end_session_url(hint, "https://shop.test/")
        assert url is not None and url.startswith(f"{ISSUER}/logout?x=1&")
        assert dict(parse_qsl(urlsplit(url).query)) == back | named


@pytest.mark.parametrize(("said", "names"), [(True, True), (False, False), ("true", False), (None, False)])
async def test_whether_answers_carry_the_issuer_is_read_from_the_metadata(
    idp: Idp, said: Any, names: bool
) -> None:
    idp.document["authorization_response_iss_parameter_supported"] = said
    assert await provider(idp).names_itself() is names
    assert await provider(Idp()).names_itself() is False


# ---- the answer


async def test_a_code_is_redeemed_with_its_verifier_and_redirect_uri(idp: Idp) -> None:
    one = provider(idp)
    await exchanged(one)
    assert form(idp) == {
        "grant_type": "authorization_code",
        "code": "code",
        "redirect_uri": CALLBACK,
        "code_verifier": "v",
    }
    await one.exchange("code", verifier="v", nonce="n", redirect_uri="https://staff.test/cb")
    assert form(idp)["redirect_uri"] == "https://staff.test/cb"


async def test_the_session_is_what_the_answer_says_of_the_person(idp: Idp) -> None:
    idp.claims = {"name": "Ada", "sid": "s1", "auth_time": NOW - 5, "acr": "gold", "roles": ["agent"]}
    idp.tokens = {"refresh_token": "r"}
    token = idp.id_token = id_token(**idp.claims)
    record = await exchanged(provider(idp, more={"name": "staff"}))
    tokens = TokenSet("a", NOW, NOW + 300, frozenset({"openid", "profile"}), "r", token)
    assert record.claims["name"] == "Ada" and record.claims["sub"] == "ada"
    assert record == SessionRecord(
        ISSUER, "ada", "s1", record.claims, tokens, frozenset({"agent"}), NOW - 5, "gold", "staff"
    )


@pytest.mark.parametrize(
    ("said", "granted"),
    [
        (..., {"openid", "profile"}),
        (None, {"openid", "profile"}),
        ("openid", {"openid"}),
        ("", set()),
        (["openid"], set()),
        (7, set()),
    ],
    ids=str,
)
async def test_a_scope_that_is_missing_was_granted_as_asked_and_one_that_cannot_be_read_grants_nothing(
    idp: Idp, said: Any, granted: set[str]
) -> None:
    idp.tokens["scope"] = said
    assert (await exchanged(provider(idp))).tokens.scopes == granted


@pytest.mark.parametrize("sid", ["", 7, None, ["s1"]])
async def test_a_session_id_that_cannot_be_read_is_none(idp: Idp, sid: Any) -> None:
    idp.claims = {"name": "Ada", "sid": sid}
    record = await exchanged(provider(idp))
    assert (record.sid, record.provider, record.auth_time, record.acr) == (None, "", None, None)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("invalid_grant", 400, "the identity provider refused the sign-in's code (invalid_grant)"),
        ("invalid_client", 502, "the identity provider refused this site (invalid_client)"),
        (None, 502, "the identity provider refused this site (no reason given)"),
    ],
)
async def test_a_code_that_is_not_redeemed_is_the_browsers_fault_or_this_sites(
    idp: Idp, error: str | None, status: int, message: str
) -> None:
    idp.answers["/token"] = answer({"error": error, "error_description": "why"}, 400)
    refusal = await refused(provider(idp))
    assert (refusal.status, str(refusal)) == (status, message)
    assert refusal.reason == f"it answered 400 {error or 'no reason given'}: why"


async def test_an_answer_with_another_status_than_200_signs_nobody_in(idp: Idp) -> None:
    idp.answers["/token"] = answer({"access_token": "a", "token_type": "Bearer", "id_token": id_token()}, 201)
    assert (await refused(provider(idp))).status == 502


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (None, "there is no ID token in it"),
        ("x", "it is not a signed JWT"),
        (id_token(iss="https://issuer.test/"), "it is from another issuer"),
        (id_token(aud="d"), "it is for another audience"),
        (id_token(sub=...), "it names no subject"),
        (id_token(exp=NOW - 10), "it has expired"),
        (id_token(iat=NOW + 11), "it was issued in the future"),
        (id_token(iat=NOW - 601), "it was issued for an earlier sign-in"),
        (id_token(nonce="m"), "its nonce belongs to another sign-in"),
        (id_token(nonce=...), "its nonce belongs to another sign-in"),
        (id_token(nonce=["n"]), "its nonce belongs to another sign-in"),
        (id_token(nonce="\ud83d"), "its nonce belongs to another sign-in"),
        (id_token(aud=["c", "d"]), "its authorized party is another client"),
        (id_token(aud=["c", "d"], azp="d"), "its authorized party is another client"),
        (id_token(azp="d"), "its authorized party is another client"),
        (id_token(OTHER), "its signature is wrong"),
        (id_token(kid="k2"), "its issuer has no such key"),
        (sign(KEY, claims(aud="c", nonce="n"), typ="at+jwt"), "it is another kind of token"),
        (sign(KEY, claims(aud="c", nonce="n"), typ="logout+jwt"), "it is another kind of token"),
    ],
    ids=range(19),
)
async def test_an_id_token_that_is_not_of_this_sign_in_is_refused(
    idp: Idp, token: str | None, why: str
) -> None:
    idp.tokens["id_token"] = token
    refusal = await refused(provider(idp))
    assert str(refusal) == f"the identity provider's answer cannot be accepted: {why}"
    assert (refusal.status, refusal.reason) == (502, "")


@pytest.mark.parametrize(
    "token",
    [
        id_token(aud=["c"], name="Ada"),
        id_token(aud=["c", "d"], azp="c", name="Ada"),
        id_token(azp="c", name="Ada"),
        id_token(iat=NOW - 600, name="Ada"),
        id_token(iat=NOW + 10, name="Ada"),
        id_token(exp=NOW - 9, name="Ada"),
        sign(KEY, claims(aud="c", nonce="n"), typ=None),
    ],
    ids=range(7),
)
async def test_an_id_token_of_this_sign_in_is_accepted(idp: Idp, token: str) -> None:
    idp.id_token = token
    assert (await exchanged(provider(idp))).subject == "ada"


@pytest.mark.parametrize(
    ("alg", "key", "good"), [("ES256", KEY, True), ("RS256", RSA, True), ("PS256", RSA, False)]
)
async def test_without_metadata_the_usual_algorithms_are_accepted(
    idp: Idp, alg: str, key: Any, good: bool
) -> None:
    idp.keys = [jwk(key, "k1")]
    idp.id_token = id_token(key, alg, name="Ada")
    if good:
        assert await exchanged(provider(idp))
    else:
        assert str(await refused(provider(idp))).endswith("its algorithm is not allowed for its issuer")


def trusted(idp: Idp, clock: Clocks, **changes: Any) -> Issuer:
    settings = {"issuer": ISSUER, "audience": "shop"} | changes
    return Issuer(IssuerSettings.model_validate(settings), idp, clock)


async def test_an_issuer_of_the_same_name_lends_its_document_its_keys_and_its_leeway(idp: Idp) -> None:
    clock = Clocks()
    issuer = trusted(idp, clock, leeway=0, jwks_uri=f"{ISSUER}/other-keys")
    idp.answers["/other-keys"] = answer({"keys": [jwk(OTHER, "k1")]})
    one = provider(idp, clock=clock, more={"trusted": issuer})
    idp.id_token = id_token(OTHER, name="Ada")
    assert await exchanged(one)
    assert "/keys" not in idp.paths()
    await issuer.discovery.document()
    assert idp.paths().count("/.well-known/openid-configuration") == 1
    idp.id_token = id_token(OTHER, iat=NOW + 1)
    assert str(await refused(one)).endswith("it was issued in the future")


async def test_the_document_is_fetched_at_the_inner_address_that_the_settings_name(idp: Idp) -> None:
    idp.document["token_endpoint"] = "http://inner:8080/token"
    assert await exchanged(provider(idp, internal_url="http://inner:8080"))


async def test_roles_of_an_access_token_of_another_issuer_are_not_read_and_the_log_says_why(
    idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    idp.tokens["access_token"] = sign(KEY, claims(roles=["admin"], iss="https://evil.test"))
    record = await exchanged(provider(idp, roles_in="access_token", userinfo="never"))
    assert record.roles == frozenset()
    why = "no roles are read from the access token of a sign-in: it is from another issuer"
    assert caplog.messages == [f"{ISSUER}: {why}"]


# ---- recent and strong sign-ins


@pytest.mark.parametrize(
    ("settings", "demands", "auth_time", "state"),
    [
        (None, Demands(max_age=60), NOW - 70, None),
        (None, Demands(max_age=60), NOW - 71, "too old"),
        (60, Demands(), NOW - 70, None),
        (60, Demands(), NOW - 71, "too old"),
        (60, Demands(max_age=5), NOW - 16, "too old"),
        (5, Demands(max_age=60), NOW - 16, "too old"),
        (0, Demands(), NOW - 10, None),
        (0, Demands(), NOW - 11, "too old"),
        (None, Demands(max_age=0), None, "missing"),
        (None, Demands(max_age=60, began=NOW - 100), NOW - 170, None),
        (None, Demands(max_age=60, began=NOW - 100), NOW - 171, "too old"),
        (None, Demands(max_age=60, began=0.0), NOW - 9999, None),
        (None, Demands(), None, None),
    ],
    ids=range(13),
)
async def test_the_age_of_an_authentication_counts_from_the_begin_of_the_sign_in(
    idp: Idp, settings: int | None, demands: Demands, auth_time: float | None, state: str | None
) -> None:
    idp.claims["auth_time"] = ... if auth_time is None else auth_time
    one = provider(idp, max_age=settings)
    if state is None:
        assert (await exchanged(one, demands)).auth_time == auth_time
        return
    refusal = await refused(one, demands)
    assert refusal.status == 400
    assert (
        str(refusal) == "this needs a new proof of who you are, and the identity provider did not ask for one"
    )
    youngest = min(age for age in (settings, demands.max_age) if age is not None)
    assert refusal.reason == f"auth_time is {state}, max_age is {youngest}"


async def test_a_class_of_authentication_that_was_not_reached_is_named_to_the_operator(idp: Idp) -> None:
    refusal = await refused(provider(idp), Demands(acr=("gold", "silver")))
    assert str(refusal) == "this needs a stronger sign-in, which the identity provider did not carry out"
    assert (refusal.status, refusal.reason) == (400, "acr is not one of gold silver")


# ---- refreshes and revocations


async def test_a_refresh_redeems_its_token_and_reads_the_answer(idp: Idp) -> None:
    idp.tokens = {"refresh_token": "r2", "id_token": ..., "scope": ...}
    assert await provider(idp).renew("r1") == TokenSet("a", NOW, NOW + 300, None, "r2")
    assert form(idp) == {"grant_type": "refresh_token", "refresh_token": "r1"}


async def test_only_a_refused_refresh_token_counts_as_refused(idp: Idp) -> None:
    one = provider(idp)
    idp.answers["/token"] = answer({"error": "invalid_grant"}, 400)
    with pytest.raises(RefreshRefused, match=r"^invalid_grant$"):
        await one.renew("r1")
    idp.answers["/token"] = answer({"error": "invalid_client", "error_description": "why"}, 401)
    assert await failure(one.renew("r1")) == f"{ISSUER} answered a refresh with 401 invalid_client: why"
    idp.answers["/token"] = answer({"access_token": "a", "token_type": "Bearer"}, 201)
    assert await failure(one.renew("r1")) == f"{ISSUER} answered a refresh with 201 no reason given"
    idp.answers["/token"] = answer({"error": "invalid_grant"}, 503)
    assert await failure(one.renew("r1")) == f"{ISSUER} answered its token_endpoint with 503 (invalid_grant)"
    idp.answers["/token"] = answer({"access_token": "a", "token_type": "mac"})
    assert await failure(one.renew("r1")) == (
        f"{ISSUER} answered a refresh with something unusable: there is no bearer token in it"
    )


async def test_each_kind_of_request_has_the_fetch_that_it_was_given() -> None:
    plain, exchange, refreshes = Idp(), Idp(), Idp()
    for one in (plain, exchange, refreshes):
        one.answers["/revoke"] = (200, {}, b"")
        one.answers["/par"] = answer({"request_uri": "urn:x:1"})
        one.answers["/userinfo"] = answer({"sub": "ada"})
        one.claims = {}
    plain.document |= {"revocation_endpoint": f"{ISSUER}/revoke", PAR: f"{ISSUER}/par"}
    tokens = TokenSet("access", 1.0, 2.0, refresh_token="refresh")

    async def paths(**more: Any) -> list[list[str]]:
        for one in (plain, exchange, refreshes):
            one.asked.clear()
        client = provider(plain, more=more)
        await client.authorize_url(state="s", nonce="n", verifier="v")
        await exchanged(client)
        await client.renew("r")
        await client.revoke(tokens)
        return [
            [path for path in one.paths() if "well-known" not in path] for one in (plain, exchange, refreshes)
        ]

    signing, later = ["/token", "/userinfo"], ["/token", "/revoke", "/revoke"]
    assert await paths(exchange=exchange, refreshes=refreshes) == [["/par", "/keys"], signing, later]
    assert await paths(exchange=exchange) == [["/par", "/keys"], signing + later, []]
    assert await paths() == [["/par", "/token", "/keys", "/userinfo", *later], [], []]


async def test_a_session_without_a_refresh_token_has_one_token_to_revoke(idp: Idp) -> None:
    idp.document["revocation_endpoint"] = f"{ISSUER}/revoke"
    idp.answers["/revoke"] = (200, {}, b"")
    await provider(idp).revoke(TokenSet("access", 1.0, 2.0))
    assert [
        (given["token"], given["token_type_hint"]) for path, given, _ in idp.asked if path == "/revoke"
    ] == [("access", "access_token")]


# ---- logout tokens


def logout(key: Any = KEY, typ: str | None = "logout+jwt", **changes: Any) -> str:
    good = {
        "iss": ISSUER,
        "aud": "c",
        "sub": "ada",
        "sid": "s1",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "l1",
        "events": {LOGOUT_EVENT: {}},
    }
    facts = {name: one for name, one in (good | changes).items() if one is not ...}
    return sign(key, facts, typ=typ)


@pytest.mark.parametrize(
    ("token", "read"),
    [
        (logout(), LogoutToken("s1", "ada", "l1", NOW + 130)),
        (logout(sid=...), LogoutToken(None, "ada", "l1", NOW + 130)),
        (logout(sub=...), LogoutToken("s1", None, "l1", NOW + 130)),
        (logout(typ=None), LogoutToken("s1", "ada", "l1", NOW + 130)),
        (logout(exp=NOW + 9999), LogoutToken("s1", "ada", "l1", NOW + 610)),
        (logout(iat=NOW - 609, exp=NOW + 120), LogoutToken("s1", "ada", "l1", NOW + 1)),
        (logout(events={LOGOUT_EVENT: {}, "other": 1}), LogoutToken("s1", "ada", "l1", NOW + 130)),
    ],
    ids=range(7),
)
async def test_a_logout_token_names_a_session_a_person_or_both(
    idp: Idp, token: str, read: LogoutToken
) -> None:
    assert await provider(idp).logout_token(token) == read


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (logout(events=...), "it announces no logout"),
        (logout(events=[LOGOUT_EVENT]), "it announces no logout"),
        (logout(events={"other": {}}), "it announces no logout"),
        (logout(events={LOGOUT_EVENT: True}), "it announces no logout"),
        (logout(nonce="n"), "it holds a nonce, so it is another kind of token"),
        (logout(nonce=None), "it holds a nonce, so it is another kind of token"),
        (logout(jti=...), "it has no id"),
        (logout(jti=""), "it has no id"),
        (logout(jti=7), "it has no id"),
        (logout(sid=..., sub=...), "it names neither a session nor a subject"),
        (logout(sid=""), "it names neither a session nor a subject"),
        (logout(sid=7), "it names neither a session nor a subject"),
        (logout(iat=NOW - 610, exp=NOW + 120), "it was issued too long ago"),
        (logout(exp=NOW - 10), "it has expired"),
        (logout(aud="d"), "it is for another audience"),
        (logout(iss="https://x.test"), "it is from another issuer"),
        (logout(sub=""), "it names no subject"),
        (logout(typ="at+jwt"), "it is another kind of token"),
        (logout(typ="id_token+jwt"), "it is another kind of token"),
        (logout(OTHER), "its signature is wrong"),
    ],
    ids=range(20),
)
async def test_a_token_that_announces_no_logout_here_and_now_ends_nothing(
    idp: Idp, token: str, why: str
) -> None:
    with pytest.raises(TokenRefused) as caught:
        await provider(idp).logout_token(token)
    assert str(caught.value) == why


async def test_a_logout_token_that_is_wrong_for_itself_makes_no_fetch(idp: Idp) -> None:
    with pytest.raises(TokenRefused):
        await provider(idp).logout_token(logout(events=...))
    assert idp.asked == []


# ---- the provider as a whole


async def test_a_provider_is_known_by_its_issuer_and_its_name(idp: Idp) -> None:
    assert (provider(idp).issuer, provider(idp).name) == (ISSUER, "")
    assert provider(idp, more={"name": "staff"}).name == "staff"
    assert provider(idp).secret == "s"


async def test_the_state_is_that_of_the_last_fetch_which_the_question_starts(idp: Idp) -> None:
    clock = Clocks()
    one = provider(idp, clock=clock)
    assert one.status() == {"issuer": ISSUER, "state": "unknown"}
    while one.status()["state"] == "unknown":
        await asyncio.sleep(0)
    assert one.status() == {"issuer": ISSUER, "state": "up"}
    assert idp.paths() == ["/.well-known/openid-configuration"]


async def test_closing_ends_the_fetches_under_way() -> None:
    async def endless(url: str, **said: Any) -> FetchResponse:
        await asyncio.Event().wait()
        raise AssertionError

    settings = OidcSettings.model_validate({"issuer": ISSUER, "client_id": "c", "client_secret": "s"})
    one = Provider(settings, endless, redirect_uri=CALLBACK)
    one.status()
    await asyncio.sleep(0)
    assert "bff-issuer" in {task.get_name() for task in asyncio.all_tasks()}
    await one.close()
    assert "bff-issuer" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_sign_ins_and_pushes_beyond_the_bound_are_told_to_come_again(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SIGNING_IN == 64
    monkeypatch.setattr(module, "SIGNING_IN", 1)
    idp.document |= {PAR: f"{ISSUER}/par", "require_pushed_authorization_requests": True}
    idp.answers["/par"] = answer({"request_uri": "urn:x:1"})
    one = provider(idp)
    for _ in range(3):
        await exchanged(one)
        await query(one)
    idp.holds = asyncio.Event()
    waiting = asyncio.ensure_future(exchanged(one))
    while idp.paths().count("/token") == 3:
        await asyncio.sleep(0)
    why = f"1 sign-ins wait for {ISSUER} already"
    assert await failure(exchanged(one)) == why
    assert await failure(query(one)) == why
    idp.holds.set()
    assert (await waiting).subject == "ada"
    assert await exchanged(one)
