"""The client of the identity provider against answers as providers give them, and against hostile ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bff.calls import DeclarationError
from bff.edge.access.fetch import FetchFailed, FetchResponse
from bff.edge.access.issuer import GAP, Issuer
from bff.edge.access.provider import SIGNING_IN, Demands, Provider, SignInRefused
from bff.edge.access.session_record import SessionKey, SessionRecord, TokenSet
from bff.edge.settings import IssuerSettings, OidcSettings
from bff.policies.tokens import TokenRefused, parse

from ....waiting import until
from .issuing import ISSUER, NOW, Clocks, PrivateKey, claims, ec_key, jwk, sign

KEY = ec_key()
OTHER = ec_key()
RSA = rsa.generate_private_key(65537, 2048)
ALGORITHMS: dict[str, PrivateKey] = {
    "ES256": KEY,
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
}


class Idp:
    """A provider behind a fetch. document, keys, tokens, claims: what it answers; a member with the value ... is left
    out. asked: every request as address, form and headers."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
        }
        self.keys: list[dict[str, Any]] = [jwk(KEY, "k1")]
        self.id_token: str | None = None
        self.claims: dict[str, Any] = {"name": "Ada"}
        self.tokens: dict[str, Any] = {}
        self.answers: dict[str, FetchResponse | FetchFailed] = {}
        self.asked: list[tuple[str, dict[str, str], Mapping[str, str]]] = []
        self.holds: asyncio.Event | None = None

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse:
        path = url.removeprefix(ISSUER)
        self.asked.append((path, dict(pair for pair in _pairs(body)), headers or {}))
        if path == "/token" and self.holds is not None:
            await self.holds.wait()
        if path in self.answers:
            answer = self.answers[path]
            if isinstance(answer, FetchFailed):
                raise answer
            return answer
        if path == "/.well-known/openid-configuration":
            return _json(self.document)
        if path == "/keys":
            return _json({"keys": self.keys})
        if path == "/token":
            given = {
                "access_token": "a",
                "token_type": "Bearer",
                "expires_in": 300,
                "scope": "openid profile",
            }
            given |= {"id_token": self.id_token or id_token(**self.claims)} | self.tokens
            return _json({name: one for name, one in given.items() if one is not ...})
        return 404, {}, b"{}"

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]


def _pairs(body: bytes) -> list[tuple[str, str]]:
    return [(name, values[0]) for name, values in parse_qs(body.decode()).items()]


def _json(value: object, status: int = 200, kind: str = "application/json") -> FetchResponse:
    return status, {"content-type": kind}, json.dumps(value).encode()


def id_token(key: PrivateKey = KEY, alg: str = "ES256", kid: str = "k1", **more: Any) -> str:
    facts = claims(**{"aud": "c", "nonce": "n", "client_id": ..., "scope": ..., "name": ...} | more)
    return sign(key, facts, alg=alg, kid=kid, typ="JWT")


@pytest.fixture
def idp() -> Idp:
    return Idp()


def provider(
    idp: Idp, clock: Clocks | None = None, trusted: Issuer | None = None, **changes: Any
) -> Provider:
    settings = {"issuer": ISSUER, "client_id": "c", "client_secret": "secret-of-c", **changes}
    chosen = OidcSettings.model_validate({name: one for name, one in settings.items() if one is not ...})
    now = clock or Clocks()
    return Provider(
        chosen, idp, redirect_uri="https://shop.test/cb", trusted=trusted, clock=now, monotonic=now
    )


async def signed_in(idp: Idp, demands: Demands | None = None, **changes: Any) -> SessionRecord:
    return await provider(idp, **changes).exchange(
        "code-of-ada", verifier="v", nonce="n", demands=demands or Demands()
    )


# ---- tokens as providers send them


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_an_id_token_with_any_algorithm_of_the_metadata_is_accepted(idp: Idp, alg: str) -> None:
    idp.document["id_token_signing_alg_values_supported"] = ["none", "HS256", alg]
    idp.keys = [jwk(ALGORITHMS[alg], "k1")]
    idp.id_token = id_token(ALGORITHMS[alg], alg, name="Ada")
    assert (await signed_in(idp)).subject == "ada"


@pytest.mark.parametrize("listed", [["RS256"], ["none"], [], [["ES256"]], ["es256"]])
async def test_an_id_token_with_an_algorithm_that_the_metadata_does_not_list_is_refused(
    idp: Idp, listed: list[Any]
) -> None:
    idp.document["id_token_signing_alg_values_supported"] = listed
    with pytest.raises(SignInRefused, match="algorithm is not allowed"):
        await signed_in(idp)


async def test_algorithms_in_the_settings_of_the_same_issuer_hold_for_id_tokens_too(idp: Idp) -> None:
    idp.document["id_token_signing_alg_values_supported"] = ["PS256"]
    idp.keys = [jwk(ALGORITHMS["PS256"], "k1")]
    idp.id_token = id_token(ALGORITHMS["PS256"], "PS256", name="Ada")
    plain = IssuerSettings(issuer=ISSUER, audience="shop")
    named = IssuerSettings(issuer=ISSUER, audience="shop", algorithms=("ES256",))
    assert await signed_in(idp, trusted=Issuer(plain, idp))
    with pytest.raises(SignInRefused, match="algorithm is not allowed"):
        await signed_in(idp, trusted=Issuer(named, idp))


@pytest.mark.parametrize(("said", "lasts"), [("3599", 3599), (None, 300), (..., 300), (1.5, 1.5)])
async def test_a_lifetime_is_read_from_text_and_is_five_minutes_where_there_is_none(
    idp: Idp, said: Any, lasts: float
) -> None:
    idp.tokens["expires_in"] = said
    assert (await signed_in(idp)).tokens.expires_at == NOW + lasts


@pytest.mark.parametrize("said", [0, -1, "soon", "1e3", [300], True, 1e10, "٣٠٠"])
async def test_a_lifetime_that_cannot_be_read_signs_nobody_in(idp: Idp, said: Any) -> None:
    idp.tokens["expires_in"] = said
    with pytest.raises(SignInRefused, match="expiry"):
        await signed_in(idp)


async def test_tokens_of_64_kb_are_stored_and_longer_ones_are_refused_by_name(idp: Idp) -> None:
    groups = ["g" * 36] * 1200
    idp.id_token, idp.tokens["access_token"] = id_token(name="Ada", groups=groups), "a" * 65_536
    assert 60_000 < len(idp.id_token) <= 65_536
    record = await signed_in(idp, roles="groups")
    assert record.tokens.id_token == idp.id_token and record.claims["groups"] == groups
    key = SessionKey.new()
    assert key.open(key.seal(record)) == record
    idp.tokens["access_token"] = "a" * 65_537
    with pytest.raises(SignInRefused, match="access_token is longer than 64 KB"):
        await signed_in(idp)
    idp.tokens["access_token"], idp.id_token = "a", id_token(groups=groups * 2)
    with pytest.raises(SignInRefused, match="id_token is longer than 64 KB"):
        await signed_in(idp)


async def test_a_long_id_token_is_no_hint_in_the_address_of_the_providers_logout(idp: Idp) -> None:
    idp.document["end_session_endpoint"] = f"{ISSUER}/logout"
    for size, hinted in ((3000, True), (3001, False)):
        url = await provider(idp).end_session_url("x" * size, "https://shop.test/")
        assert ("id_token_hint" in parse_qs(urlsplit(str(url)).query)) is hinted


async def test_an_error_that_repeats_the_secret_or_the_code_is_not_shown(idp: Idp) -> None:
    said = "bad secret-of-c for code-of-ada"
    idp.answers["/token"] = _json({"error": "invalid_client", "error_description": said}, 401)
    with pytest.raises(SignInRefused) as caught:
        await signed_in(idp)
    assert "withheld" in caught.value.reason
    assert not any(secret in caught.value.reason for secret in ("secret-of-c", "code-of-ada"))


# ---- claims and roles


async def test_claims_come_from_userinfo_where_the_id_token_has_too_few(idp: Idp) -> None:
    idp.claims = {}
    idp.answers["/userinfo"] = _json({"sub": "ada", "name": "Ada", "roles": ["customer"], "iss": "x"})
    record = await signed_in(idp)
    assert record.claims == {"sub": "ada", "name": "Ada", "roles": ["customer"]}
    assert record.roles == {"customer"} and idp.asked[-1][2]["authorization"] == "Bearer a"
    assert "/userinfo" in idp.paths()


async def test_userinfo_is_not_asked_where_the_id_token_has_the_claims_or_settings_forbid_it(
    idp: Idp,
) -> None:
    await signed_in(idp)
    idp.claims = {}
    await signed_in(idp, userinfo="never")
    idp.tokens["scope"] = "openid"
    await signed_in(idp)
    assert "/userinfo" not in idp.paths()


async def test_no_claim_of_the_id_token_is_replaced_by_userinfo(idp: Idp) -> None:
    idp.claims = {"roles": ["customer"], "email": "ada@shop.test"}
    idp.answers["/userinfo"] = _json({"sub": "ada", "name": "Ada", "roles": ["admin"], "email": "x"})
    record = await signed_in(idp)
    assert record.roles == {"customer"}
    assert (record.claims["email"], record.claims["name"]) == ("ada@shop.test", "Ada")


@pytest.mark.parametrize("sub", ["grace", "", None, ["ada"], ...])
async def test_userinfo_about_another_person_signs_nobody_in(idp: Idp, sub: Any) -> None:
    idp.claims = {}
    answer = {"sub": sub, "name": "Ada"}
    idp.answers["/userinfo"] = _json({name: one for name, one in answer.items() if one is not ...})
    with pytest.raises(SignInRefused, match="about another person"):
        await signed_in(idp)


@pytest.mark.parametrize(
    "answer",
    [
        FetchFailed("away"),
        (500, {}, b""),
        (401, {}, b"{}"),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {"content-type": "application/jwt"}, b"not a jwt"),
    ],
    ids=str,
)
async def test_a_failing_userinfo_costs_its_claims_and_the_sign_in_only_where_it_is_demanded(
    idp: Idp, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    idp.claims = {}
    idp.answers["/userinfo"] = answer
    assert (await signed_in(idp)).claims == {"sub": "ada"}
    assert "without the claims of UserInfo" in caplog.text
    with pytest.raises((SignInRefused, FetchFailed)):
        await signed_in(idp, userinfo="always")


async def test_signed_userinfo_counts_with_the_right_signature_and_client_alone(idp: Idp) -> None:
    idp.claims = {}

    def answer(key: PrivateKey = KEY, **changes: Any) -> FetchResponse:
        token = sign(key, {"iss": ISSUER, "aud": "c", "sub": "ada", "name": "Ada"} | changes, typ=None)
        return 200, {"content-type": "application/jwt; charset=utf-8"}, token.encode()

    idp.answers["/userinfo"] = answer()
    assert (await signed_in(idp)).claims["name"] == "Ada"
    for bad in (answer(OTHER), answer(aud="d"), answer(iss="https://evil.test")):
        idp.answers["/userinfo"] = bad
        assert "name" not in (await signed_in(idp)).claims


@pytest.mark.parametrize(
    ("where", "found"),
    [("id_token", {"reader"}), ("access_token", {"admin", "cook"}), ("both", {"reader", "admin", "cook"})],
)
async def test_roles_come_from_the_tokens_and_claims_that_the_settings_name(
    idp: Idp, where: str, found: set[str]
) -> None:
    idp.claims |= {"realm_access": {"roles": ["reader"]}}
    access = {"realm_access": {"roles": ["admin"]}, "resource_access": {"c": {"roles": ["cook"]}}}
    idp.tokens["access_token"] = sign(KEY, claims(**access), typ="JWT")
    roles = ("realm_access.roles", "resource_access.{client}.roles")
    assert (await signed_in(idp, roles=roles, roles_in=where)).roles == found


async def test_an_access_token_that_the_issuer_did_not_sign_gives_no_roles(
    idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    for token in (
        "opaque",
        sign(OTHER, claims(roles=["admin"])),
        sign(KEY, claims(roles=["admin"], iss="https://evil.test")),
        sign(KEY, claims(roles=[["admin"]])),
    ):
        idp.tokens["access_token"] = token
        assert (await signed_in(idp, roles_in="access_token")).roles == frozenset()
    assert "no roles are read from the access token" in caplog.text


@pytest.mark.parametrize(
    "marks",
    [
        {"hasgroups": True},
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"access_token": "secret"}}},
    ],
)
async def test_groups_that_the_provider_left_out_are_named_and_give_no_role(
    idp: Idp, marks: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    idp.claims |= marks
    record = await signed_in(idp, roles=("groups", "roles"))
    assert record.roles == frozenset() and "left out the claim groups" in caplog.text
    assert record.left_out == ("groups",)
    assert "secret" not in str(record.claims)
    caplog.clear()
    assert (await signed_in(idp, roles="roles")).left_out == ()
    assert caplog.text == ""


# ---- pushed requests, and the client's proof


async def test_a_request_is_pushed_where_the_provider_offers_it(idp: Idp) -> None:
    idp.document["pushed_authorization_request_endpoint"] = f"{ISSUER}/par"
    idp.answers["/par"] = _json({"request_uri": "urn:x:1", "expires_in": 60}, 201)
    url = await provider(idp).authorize_url(state="s", nonce="n", verifier="v", asked={"login_hint": "ada"})
    assert parse_qs(urlsplit(url).query) == {"client_id": ["c"], "request_uri": ["urn:x:1"]}
    path, form, headers = idp.asked[-1]
    assert (path, form["login_hint"], form["state"]) == ("/par", "ada", "s")
    assert headers["authorization"].startswith("Basic ") and "client_secret" not in form


@pytest.mark.parametrize(
    "answer",
    [
        FetchFailed("away"),
        _json({"error": "unauthorized_client"}, 401),
        (500, {}, b""),
        _json({"request_uri": 7}, 201),
        _json({"request_uri": ""}, 201),
    ],
    ids=str,
)
async def test_a_refused_push_is_sent_with_the_browser_unless_the_provider_demands_it(
    idp: Idp, answer: Any
) -> None:
    idp.document["pushed_authorization_request_endpoint"] = f"{ISSUER}/par"
    idp.answers["/par"] = answer
    url = await provider(idp).authorize_url(state="s", nonce="n", verifier="v")
    assert parse_qs(urlsplit(url).query)["state"] == ["s"]
    idp.document["require_pushed_authorization_requests"] = True
    with pytest.raises(FetchFailed):
        await provider(idp).authorize_url(state="s", nonce="n", verifier="v")


async def test_nothing_is_pushed_where_the_settings_say_never_and_the_provider_does_not_demand_it(
    idp: Idp,
) -> None:
    idp.document["pushed_authorization_request_endpoint"] = f"{ISSUER}/par"
    await provider(idp, pushed="never").authorize_url(state="s", nonce="n", verifier="v")
    assert "/par" not in idp.paths()


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"])
async def test_a_client_key_signs_an_assertion_for_each_request(idp: Idp, tmp_path: Path, alg: str) -> None:
    file = tmp_path / "client.pem"
    file.write_bytes(_pem(ALGORITHMS[alg]))
    idp.document["token_endpoint_auth_signing_alg_values_supported"] = ["RS256", "ES256", alg]
    client = provider(idp, Clocks(NOW), client_secret=..., client_key=file, client_key_id="one")
    await client.exchange("code", verifier="v", nonce="n")
    await client.exchange("code", verifier="v", nonce="n")
    made = []
    for path, form, headers in idp.asked:
        if path == "/token":
            assert "authorization" not in headers and "client_secret" not in form
            assert form["client_assertion_type"].endswith(":jwt-bearer") and form["client_id"] == "c"
            assertion = form["client_assertion"]
            assert jwt.get_unverified_header(assertion) == {"alg": alg, "kid": "one", "typ": "JWT"}
            options: Any = {"verify_exp": False, "verify_iat": False}
            public = ALGORITHMS[alg].public_key()
            made.append(jwt.decode(assertion, public, algorithms=[alg], audience=ISSUER, options=options))
    assert [(one["iss"], one["sub"], one["exp"] - one["iat"]) for one in made] == [("c", "c", 60)] * 2
    assert len({one["jti"] for one in made}) == 2


async def test_a_changed_client_key_signs_the_next_assertion_and_an_unusable_one_does_not(
    idp: Idp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "client.pem"

    def put(content: bytes) -> None:
        (tmp_path / "new").write_bytes(content)
        (tmp_path / "new").rename(file)

    put(_pem(ALGORITHMS["ES256"]))
    client = provider(idp, Clocks(NOW), client_secret=..., client_key=file)
    client.start()
    try:
        before = client.secret
        await client.exchange("code", verifier="v", nonce="n")
        put(_pem(ALGORITHMS["ES384"]))
        await until(lambda: client.secret != before)
        after = client.secret
        await client.exchange("code", verifier="v", nonce="n")
        put(b"no key")
        await until(lambda: "their last content stays in use" in caplog.text)
        await client.exchange("code", verifier="v", nonce="n")
    finally:
        await client.close()
    assert "files of the client key" not in {task.get_name() for task in asyncio.all_tasks()}
    assertions = [form["client_assertion"] for path, form, _ in idp.asked if path == "/token"]
    algorithms = [jwt.get_unverified_header(one)["alg"] for one in assertions]
    assert (algorithms, client.secret) == (["ES256", "ES384", "ES384"], after)


async def test_an_assertion_names_the_token_endpoint_where_the_provider_wants_it(
    idp: Idp, tmp_path: Path
) -> None:
    file = tmp_path / "client.jwk"
    private: Any = jwt.algorithms.ECAlgorithm.to_jwk(KEY, as_dict=True)
    file.write_text(json.dumps(private | {"kid": "own"}))
    await signed_in(idp, client_secret=..., client_key=file, assertion_audience="token_endpoint")
    assertion = next(form for path, form, _ in idp.asked if path == "/token")["client_assertion"]
    assert parse(assertion).claims["aud"] == f"{ISSUER}/token"
    assert jwt.get_unverified_header(assertion)["kid"] == "own"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"secret words",
        b"{",
        b'{"kty": "oct", "k": "c2VjcmV0IHdvcmRz"}',
        _pem(rsa.generate_private_key(65537, 1024)),
        _pem(ec.generate_private_key(ec.SECP256K1())),
        json.dumps(jwk(KEY, "public")).encode(),
    ],
    ids=range(7),
)
def test_a_client_key_that_cannot_be_used_stops_the_start(idp: Idp, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(DeclarationError, match=f"client_key {file}") as caught:
        provider(idp, client_secret=..., client_key=file)
    assert "secret words" not in str(caught.value)
    with pytest.raises(DeclarationError, match="cannot be read"):
        provider(idp, client_secret=..., client_key=tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"client_secret": None}, "either client_secret or client_key"),
        ({"client_key": "/k"}, "either client_secret or client_key"),
        ({"issuer": "https://github.com"}, "GitHub"),
        ({"issuer": "https://token.actions.github.com/x"}, "GitHub"),
        ({"scopes": ("profile",)}, "openid"),
    ],
    ids=str,
)
def test_settings_with_which_nobody_could_sign_in_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        OidcSettings.model_validate({"issuer": ISSUER, "client_id": "c", "client_secret": "s"} | changes)


# ---- recent and strong sign-ins


async def test_a_sign_in_asks_for_what_the_settings_and_the_request_want(idp: Idp) -> None:
    client = provider(idp, max_age=600, acr_values=("gold", "silver"), authorize={"prompt": "consent"})
    url = await client.authorize_url(state="s", nonce="n", verifier="v")
    query = parse_qs(urlsplit(url).query)
    assert (query["max_age"], query["acr_values"], query["prompt"]) == (["600"], ["gold silver"], ["consent"])
    asked = {"max_age": "5", "prompt": "login", "state": "forged", "scope": "admin"}
    url = await client.authorize_url(state="s", nonce="n", verifier="v", asked=asked)
    query = parse_qs(urlsplit(url).query)
    assert (query["max_age"], query["prompt"], query["state"]) == (["5"], ["consent login"], ["s"])
    assert query["scope"] == ["openid profile"]


@pytest.mark.parametrize(
    ("auth_time", "good"),
    [(NOW, True), (NOW - 105, True), (NOW - 200, False), (..., False), ("now", False), (True, False)],
)
async def test_a_sign_in_that_had_to_be_recent_was_so(idp: Idp, auth_time: Any, good: bool) -> None:
    idp.claims["auth_time"] = auth_time
    demands = Demands(max_age=60, began=NOW - 50)
    if good:
        assert (await signed_in(idp, demands)).auth_time == auth_time
        assert await signed_in(idp, Demands(began=NOW - 50), max_age=60)
    else:
        with pytest.raises(SignInRefused, match="new proof"):
            await signed_in(idp, demands)
        with pytest.raises(SignInRefused, match="new proof"):
            await signed_in(idp, Demands(began=NOW - 50), max_age=60)
        assert await signed_in(idp)


@pytest.mark.parametrize(
    ("acr", "good"), [("gold", True), ("silver", True), ("bronze", False), (..., False), (["gold"], False)]
)
async def test_a_sign_in_that_had_to_be_strong_was_so(idp: Idp, acr: Any, good: bool) -> None:
    idp.claims["acr"] = acr
    demands = Demands(acr=("gold", "silver"))
    if good:
        assert (await signed_in(idp, demands)).acr == acr
    else:
        with pytest.raises(SignInRefused, match="stronger"):
            await signed_in(idp, demands)


def test_a_record_keeps_when_and_how_the_person_signed_in_and_the_release_before_can_read_it() -> None:
    tokens = TokenSet("a", 1.0, 2.0, frozenset({"openid"}))
    record = SessionRecord(ISSUER, "ada", None, {"name": "Ada"}, tokens, auth_time=5.0, acr="gold")
    key = SessionKey.new()
    sealed = key.seal(record)
    assert key.open(sealed) == record
    tree = json.loads(key.decrypt(sealed))
    assert tree.keys() == {"issuer", "subject", "sid", "claims", "tokens", "roles"}
    named = SessionRecord(ISSUER, "ada", None, {}, tokens, provider="staff")
    assert key.open(key.seal(named)) == named


# ---- a provider that is slow, and keys that change


async def test_of_a_thousand_sign_ins_at_a_stalled_provider_a_few_wait_and_no_refresh_does(idp: Idp) -> None:
    idp.holds = asyncio.Event()
    client = provider(idp)
    people = [asyncio.ensure_future(client.exchange("code", verifier="v", nonce="n")) for _ in range(1000)]
    async with asyncio.timeout(60):
        while sum(one.done() for one in people) < 1000 - SIGNING_IN:
            await asyncio.sleep(0)
    waiting = [one for one in people if not one.done()]
    refused = [one.exception() for one in people if one.done()]
    assert len(waiting) == SIGNING_IN and all(isinstance(one, FetchFailed) for one in refused)
    assert "wait for" in str(refused[0])
    refreshing = asyncio.ensure_future(client.renew("r"))
    while idp.paths().count("/token") == SIGNING_IN:
        await asyncio.sleep(0)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    again = asyncio.ensure_future(client.exchange("code", verifier="v", nonce="n"))
    idp.holds.set()
    assert {record.subject for record in await asyncio.gather(*waiting, again)} == {"ada"}
    assert (await refreshing).access_token == "a"


async def test_a_key_replaced_under_the_same_id_is_found_within_the_gap(idp: Idp) -> None:
    clock = Clocks()
    client = provider(idp, clock)
    await client.exchange("code", verifier="v", nonce="n")
    idp.keys, idp.id_token = [jwk(OTHER, "k1")], id_token(OTHER, name="Ada")
    with pytest.raises(SignInRefused, match="signature"):
        await client.exchange("code", verifier="v", nonce="n")
    assert idp.paths().count("/keys") == 1
    clock.now += GAP
    assert await client.exchange("code", verifier="v", nonce="n")
    idp.id_token = id_token(name="Ada")
    for _ in range(20):
        with pytest.raises(SignInRefused, match="signature"):
            await client.exchange("code", verifier="v", nonce="n")
    assert idp.paths().count("/keys") == 2


async def test_forged_signatures_do_not_flood_the_issuer(idp: Idp) -> None:
    clock = Clocks()
    issuer = Issuer(IssuerSettings(issuer=ISSUER, audience="c"), idp, clock)
    await issuer.verify_signature(parse(id_token()))
    clock.now += GAP
    for _ in range(50):
        with pytest.raises(TokenRefused, match="signature"):
            await issuer.verify_signature(parse(id_token(OTHER)))
    assert idp.paths().count("/keys") == 2


# ---- revocation


async def test_both_tokens_of_a_session_are_revoked_where_the_provider_can(idp: Idp) -> None:
    tokens = TokenSet("access", 1.0, 2.0, refresh_token="refresh")
    await provider(idp).revoke(tokens)
    assert "/revoke" not in idp.paths()
    idp.document["revocation_endpoint"] = f"{ISSUER}/revoke"
    idp.answers["/revoke"] = (200, {}, b"")
    await provider(idp).revoke(tokens)
    sent = [(form["token"], form["token_type_hint"]) for path, form, _ in idp.asked if path == "/revoke"]
    assert sent == [("refresh", "refresh_token"), ("access", "access_token")]
    idp.answers["/revoke"] = _json({"error": "unsupported_token_type"}, 400)
    await provider(idp).revoke(tokens)
    idp.answers["/revoke"] = (503, {}, b"")
    with pytest.raises(FetchFailed, match="revocation"):
        await provider(idp).revoke(tokens)
