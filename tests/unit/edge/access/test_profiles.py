"""Each profile accepts its provider's access tokens, and no other token that the provider signs, nor one that was
changed: at least sixty hostile tokens for each, every one refused for its own reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bff.calls import DeclarationError
from bff.edge.access.authorization import Requirements, authorize
from bff.edge.access.jwt import TokenVerifier
from bff.edge.access.profiles import issuer_mistakes, rules_of
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings
from bff.policies.token_profiles import PROFILES, RequiredClaim
from bff.policies.tokens import Reason

from .hostile import KEY, KEY_SET, OTHER, P384, RSA, WEAK, hs256
from .issuing import NOW, Clocks, Served, b64, jwk, seal, sign
from .provider_tokens import ALL, ENTRA, KEYCLOAK, RFC9068, Kind, Provider, without

AT = int(NOW)
RSA_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def verifier(provider: Provider, **changes: Any) -> TokenVerifier:
    keys = f"{provider.issuer.rstrip('/')}/keys"
    settings = IssuerSettings.model_validate({"jwks_uri": keys, **provider.settings, **changes})
    return TokenVerifier([settings], Served({keys: KEY_SET}), Clocks(), Clocks())


def signed(provider: Provider, claims: Mapping[str, Any], **header: Any) -> str:
    return sign(RSA, claims, **({"alg": "RS256", "kid": "rsa", "typ": provider.typ} | header))


async def refusal(token: str, provider: Provider, **changes: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await verifier(provider, **changes).verify(token)
    return caught.value


def names(providers: tuple[Provider, ...]) -> Any:
    return pytest.mark.parametrize("provider", providers, ids=[one.name for one in providers])


@names(ALL)
async def test_the_access_token_of_a_provider_is_accepted_with_its_scopes_and_roles(
    provider: Provider,
) -> None:
    principal = await verifier(provider).verify(signed(provider, provider.claims))
    assert (principal.issuer, principal.subject) == (provider.issuer, provider.claims["sub"])
    assert (principal.scopes, principal.roles) == (provider.scopes, provider.roles)
    assert principal.expires_at == AT + 300
    client = next(
        provider.claims[name] for name in ("azp", "appid", "cid", "client_id") if name in provider.claims
    )
    assert principal.claims["client_id"] == client


@pytest.mark.parametrize(
    ("provider", "name"),
    [(one, name) for one in ALL for name in one.others],
    ids=lambda one: getattr(one, "name", one),
)
async def test_the_other_access_tokens_of_a_provider_are_accepted(provider: Provider, name: str) -> None:
    claims = provider.others[name]
    typ = "at+jwt" if "9068" in name else provider.typ
    principal = await verifier(provider).verify(signed(provider, claims, typ=typ))
    assert principal.subject == claims["sub"]
    machines = ("of a service account", "of a machine", "of an app", "of a service")
    assert principal.is_person == (name not in machines)


@pytest.mark.parametrize(
    "overflow",
    [
        {"hasgroups": True},
        {"hasgroups": "true"},
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"access_token": "secret"}}},
    ],
    ids=str,
)
async def test_groups_that_entra_leaves_out_give_no_role_and_the_403_and_the_log_say_why(
    overflow: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tokens = verifier(ENTRA, roles=["roles", "groups"])
    principal = await tokens.verify(signed(ENTRA, without(ENTRA.claims, **overflow)))
    assert (principal.roles, principal.left_out) == ({"Agent"}, ("groups",))
    assert "secret" not in str(principal.claims)
    authorize(principal, Requirements(roles=frozenset({"Agent"})))
    with pytest.raises(Problem) as caught:
        authorize(principal, Requirements(roles=frozenset({"6e74172b-admins"})))
    assert (caught.value.status, caught.value.code) == (403, "forbidden")
    assert "left groups out of the token" in caught.value.detail
    with pytest.raises(Problem) as caught:
        authorize(principal, Requirements(scopes=frozenset({"other"})))
    assert "groups" not in caught.value.detail, "a scope is missing for another reason"
    for number in range(5):
        await tokens.verify(signed(ENTRA, without(ENTRA.claims, uti=str(number), **overflow)))
    said = [one.getMessage() for one in caplog.records if "left the claim groups out" in one.getMessage()]
    assert len(said) == 1 and ENTRA.issuer in said[0]


async def test_groups_that_are_no_roles_here_are_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    principal = await verifier(ENTRA).verify(signed(ENTRA, without(ENTRA.claims, hasgroups=True)))
    assert principal.left_out == ()
    assert "left the claim" not in caplog.text
    with_groups = without(ENTRA.claims, groups=["g"], hasgroups=True)
    principal = await verifier(ENTRA, roles=["groups"]).verify(signed(ENTRA, with_groups))
    assert (principal.left_out, principal.roles) == ((), {"g"})


NO_PERSON = {
    "keycloak": {"sid": ..., "session_state": ...},
    "auth0": {"sub": "5f7c8ec7c33c6c004bbafe82"},
    "entra v2": {"scp": ...},
    "entra v1": {"scp": ..., "roles": ["Desk.All"]},
    "okta": {"uid": ...},
    "cognito": {"username": ...},
}
"""By provider, changes to a person's token that take away what marks it as a person's; elsewhere the client
as its subject does."""


@names(ALL)
async def test_a_token_is_a_persons_only_where_it_has_the_mark_of_one_and_none_of_a_client(
    provider: Provider,
) -> None:
    async def is_person(changes: Mapping[str, Any]) -> bool:
        claims = {name: one for name, one in without(provider.claims, **changes).items() if one is not ...}
        return (await verifier(provider).verify(signed(provider, claims))).is_person

    client = next(
        provider.claims[name] for name in ("azp", "appid", "cid", "client_id") if name in provider.claims
    )
    assert await is_person({})
    assert not await is_person(NO_PERSON.get(provider.name, {"sub": client}))
    for mark in (
        {"sub": client},
        {"sub": f"{client}@clients"},
        {"gty": "client-credentials"},
        {"gty": ["client_credentials"]},
        {"grant_type": "client_credentials"},
        {"idtyp": "app"},
        {"idtyp": ["user"]},
        {"preferred_username": "service-account-desk"},
        {"clientHost": "10.0.0.1"},
        {"clientAddress": "10.0.0.1"},
    ):
        assert not await is_person(mark), mark


@pytest.mark.parametrize(
    ("client", "auth_time", "person"),
    [
        (None, None, False),
        (None, NOW - 60, True),
        (None, "yes", False),
        ("app", None, True),
        ("ada", NOW, False),
    ],
)
async def test_a_token_that_names_no_client_is_a_persons_where_it_says_when_the_person_signed_in(
    client: str | None, auth_time: object, person: bool
) -> None:
    given = {"client_id": client, "auth_time": auth_time}
    claims = without(RFC9068.claims, "client_id", "auth_time") | {
        name: one for name, one in given.items() if one is not None
    }
    for changes in ({}, {"profile": "jwt", "types": ["at+jwt"]}):
        principal = await verifier(RFC9068, **changes).verify(signed(RFC9068, claims))
        assert principal.is_person == person


def hostile(provider: Provider) -> Iterator[tuple[str, str, Reason]]:
    """Name, token, reason. Everything else in a token is right, so that only the named fault can refuse it."""
    good = provider.claims
    accepted = signed(provider, good)
    head, claimed, signature = accepted.split(".")

    def kind(name: str, one: Kind) -> tuple[str, str, Reason]:
        return name, signed(provider, one.claims, typ=one.typ), one.reason

    def changed(name: str, reason: Reason, *gone: str, **changes: Any) -> tuple[str, str, Reason]:
        return name, signed(provider, without(good, *gone, **changes)), reason

    def raw(name: str, reason: Reason, header: str, claims: str | None = None) -> tuple[str, str, Reason]:
        typ = "" if provider.typ is None else f',"typ":"{provider.typ}"'
        body = json.dumps(good) if claims is None else claims
        return name, seal(RSA, header.replace("<typ>", typ).encode(), body.encode(), "RS256"), reason

    def text(**changes: Any) -> str:
        return json.dumps(without(good, **changes))

    for name, one in provider.kinds.items():
        yield kind(name, one)
    for number, claims in enumerate(provider.without_mark):
        yield f"without its mark, {number}", signed(provider, claims), Reason.NO_MARK
    # no token at all
    yield "nothing", "", Reason.CHARACTERS
    yield "one part", "abc", Reason.OPAQUE
    yield "two parts", f"{head}.{claimed}", Reason.NOT_A_JWT
    yield "four parts", f"{accepted}.x", Reason.NOT_A_JWT
    yield "an encrypted token", "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", Reason.NOT_A_JWT
    yield "no signature", f"{head}.{claimed}.", Reason.NOT_A_JWT
    yield "a blank inside", f"{head}. {claimed}.{signature}", Reason.CHARACTERS
    yield "a line end", f"{accepted}\n", Reason.CHARACTERS
    yield "padding", f"{head}.{claimed}.{signature}==", Reason.NOT_A_JWT
    yield "longer than 8 KB", signed(provider, without(good, padding="x" * 8192)), Reason.TOO_LONG
    yield "claims that are a list", signed(provider, json.dumps([good]).encode()), Reason.NOT_JSON  # type: ignore[arg-type]
    # the header
    header = '{"alg":"RS256","kid":"rsa"<typ>'
    yield raw("a header that is named twice", Reason.MEMBER_TWICE, header + ',"kid":"k1"}')
    yield raw("a critical extension", Reason.EXTENSION, header + ',"crit":["exp"]}')
    yield raw("an unencoded payload", Reason.EXTENSION, header + ',"b64":false}')
    yield raw("alg none", Reason.ALGORITHM, '{"alg":"none","kid":"rsa"<typ>}')
    yield raw("alg NONE", Reason.ALGORITHM, '{"alg":"NONE","kid":"rsa"<typ>}')
    yield raw("no alg", Reason.ALGORITHM, '{"kid":"rsa"<typ>}')
    yield raw("alg as a list", Reason.ALGORITHM, '{"alg":["RS256"],"kid":"rsa"<typ>}')
    yield raw("alg HS256 over a signature of RSA", Reason.ALGORITHM, '{"alg":"HS256","kid":"rsa"<typ>}')
    yield (
        "HS256 with the public key",
        hs256(good, RSA_PEM, kid="rsa", typ=provider.typ or ""),
        Reason.ALGORITHM,
    )
    yield (
        "HS256 with a key of the set",
        hs256(good, b"0" * 32, kid="secret", typ=provider.typ or ""),
        Reason.ALGORITHM,
    )
    yield raw("a key id that is a number", Reason.KEY_ID, '{"alg":"RS256","kid":1<typ>}')
    yield raw("an empty key id", Reason.KEY_ID, '{"alg":"RS256","kid":""<typ>}')
    yield raw(
        "an algorithm that the issuer may not use",
        Reason.ISSUER_ALGORITHM,
        '{"alg":"PS256","kid":"rsa"<typ>}',
    )
    unknown = {"kid": "../../dev/null"}
    yield "a key id that is a path", signed(provider, good, **unknown), Reason.UNKNOWN_KEY
    yield "a key id with a query", signed(provider, good, kid="x' OR 1=1 --"), Reason.UNKNOWN_KEY
    yield "a key id of two keys", signed(provider, good, kid="twice"), Reason.UNKNOWN_KEY
    yield "a weak key", sign(WEAK, good, alg="RS256", kid="weak", typ=provider.typ), Reason.UNKNOWN_KEY
    yield "a key for encryption", sign(OTHER, good, kid="encrypts", typ=provider.typ), Reason.UNKNOWN_KEY
    yield "ES384", sign(P384, good, alg="ES384", kid="p384", typ=provider.typ), Reason.ISSUER_ALGORITHM
    brought = {"kid": "mine", "jwk": jwk(OTHER, "mine"), "alg": "ES256", "typ": provider.typ}
    yield "the key brought along", sign(OTHER, good, **brought), Reason.UNKNOWN_KEY
    there = {"kid": "mine", "jku": "https://evil.test/keys", "alg": "ES256", "typ": provider.typ}
    yield "the key's address brought along", sign(OTHER, good, **there), Reason.UNKNOWN_KEY
    for typ in ("logout+jwt", "id_token+jwt", "dpop+jwt", "secevent+jwt", "token-introspection+jwt"):
        yield f"the type {typ}", signed(provider, good, typ=typ), Reason.TYPE
    yield raw("a type that is a list", Reason.TYPE, '{"alg":"RS256","kid":"rsa","typ":["JWT","at+jwt"]}')
    # the signature
    other = sign(WEAK, good, alg="RS256", kid="rsa", typ=provider.typ)
    yield "another key's signature", other, Reason.SIGNATURE
    yield "another body", f"{head}.{b64(text(sub='admin').encode())}.{signature}", Reason.SIGNATURE
    yield "a signature of zeros", f"{head}.{claimed}.{b64(bytes(256))}", Reason.SIGNATURE
    yield "a short signature", f"{head}.{claimed}.{signature[:100]}", Reason.SIGNATURE
    yield "EC's signature for RSA", sign(KEY, good, kid="rsa", typ=provider.typ), Reason.UNKNOWN_KEY
    # the issuer and the audience
    yield changed("no issuer", Reason.NO_ISSUER, "iss")
    yield changed("a list of issuers", Reason.NO_ISSUER, iss=[provider.issuer])
    yield changed("an issuer in capitals", Reason.ISSUER, iss=provider.issuer.upper())
    yield changed("an issuer with a slash more", Reason.ISSUER, iss=f"{provider.issuer}/")
    yield changed("an issuer with a blank", Reason.ISSUER, iss=f"{provider.issuer} ")
    yield changed("another issuer", Reason.ISSUER, iss="https://evil.test")
    yield changed("Google", Reason.GOOGLE, iss="https://accounts.google.com")
    yield changed("another audience", Reason.AUDIENCE, aud="bank")
    yield changed("other audiences", Reason.AUDIENCE, aud=["bank", "shop"])
    yield changed(
        "an audience among numbers", Reason.AUDIENCE_UNREADABLE, aud=[provider.settings["audience"], 1]
    )
    yield changed(
        "an audience in a list in a list", Reason.AUDIENCE_UNREADABLE, aud=[[provider.settings["audience"]]]
    )
    yield changed("an audience as an object", Reason.AUDIENCE_UNREADABLE, aud={"desk": True})
    yield changed("an empty audience", Reason.AUDIENCE_UNREADABLE, aud="")
    yield changed("no audiences", Reason.AUDIENCE_UNREADABLE, aud=[])
    # the times
    yield changed("expired", Reason.EXPIRED, exp=AT - 11)
    for value in (None, str(AT + 300), True, -1, [AT + 300], 1e300):
        yield changed(f"an expiry of {value!r}", Reason.EXPIRY, exp=value)
    yield raw("an expiry of NaN", Reason.NOT_JSON, header + "}", text(exp="<exp>").replace('"<exp>"', "NaN"))
    yield changed("no expiry", Reason.EXPIRY, "exp")
    yield changed("issued in the future", Reason.FUTURE, iat=AT + 60)
    yield changed("issued in text", Reason.ISSUED, iat=str(AT))
    yield changed("no time of issue", Reason.ISSUED, "iat")
    yield changed("not valid yet", Reason.NOT_YET, nbf=AT + 60)
    yield changed("a start in text", Reason.START, nbf="0")
    # the subject, the binding and the grant
    yield changed("no subject", Reason.SUBJECT, "sub")
    yield changed("an empty subject", Reason.SUBJECT, sub="")
    yield changed("a list of subjects", Reason.SUBJECT, sub=["ada"])
    yield changed("a subject that is a number", Reason.SUBJECT, sub=1)
    yield changed("a subject with a line end", Reason.SUBJECT_CHARACTERS, sub="ada\r\nX: y")
    yield changed("bound to a certificate", Reason.CERTIFICATE, cnf={"x5t#S256": "a" * 43})
    yield changed("bound to a key by itself", Reason.BINDING, cnf={"jwk": jwk(OTHER, "k")})
    yield changed("bound to nothing", Reason.BINDING, cnf=None)
    yield changed("bound to a key", Reason.BOUND, cnf={"jkt": "a" * 43})
    if provider.scope_claim == "scope":
        yield changed("a scope that is an object", Reason.SCOPE, scope={"admin": True})
        yield changed("a scope that is a number", Reason.SCOPE, scope=1)
    body = json.dumps(good)
    yield raw("a claim that is named twice", Reason.MEMBER_TWICE, header + "}", body[:-1] + ',"sub":"admin"}')
    deep = body[:-1] + ',"x":{"a":1,"a":2}}'
    yield raw("a claim that is named twice inside", Reason.MEMBER_TWICE, header + "}", deep)


HOSTILE = {f"{one.name}: {name}": (one, token, why) for one in ALL for name, token, why in hostile(one)}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_token_is_refused_for_its_own_reason(name: str) -> None:
    provider, token, reason = HOSTILE[name]
    problem = await refusal(token, provider)
    assert (problem.status, problem.code, problem.extra["reason"]) == (401, "invalid-token", reason.code)
    assert f'error_description="{reason.text}"' in problem.headers["www-authenticate"]


@names(ALL)
def test_each_profile_meets_sixty_hostile_tokens_at_least(provider: Provider) -> None:
    assert sum(one is provider for one, _, _ in HOSTILE.values()) >= 60


# ---- the settings ------------------------------------------------------------------------------------------


def test_the_names_of_the_profiles_are_those_of_the_setting() -> None:
    assert set(get_args(IssuerSettings.model_fields["profile"].annotation)) == set(PROFILES)


def settings(**changes: Any) -> IssuerSettings:
    return IssuerSettings.model_validate({"issuer": "https://id.test", "audience": "desk", **changes})


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"profile": "jwt"}, "set required_claims"),
        ({"profile": "jwt", "types": ["JWT", "at+jwt"]}, "set required_claims"),
        (
            {"profile": "jwt", "required_claims": {"azp": ["desk"], "sub": [], "email.x": []}},
            "set required_claims",
        ),
        ({"algorithms": ["HS256"]}, "algorithms must be among"),
        ({"algorithms": []}, "algorithms must be among"),
        ({"types": ["at+jwt", "application/logout+jwt"]}, "types must not have logout.jwt"),
        ({"types": ["dpop+jwt"]}, "types must not have dpop.jwt"),
        ({"issuer": "https://accounts.google.com"}, "access tokens of Google are opaque"),
        ({"issuer": "https://id.test/a|b"}, "cannot be told from a subject"),
        (
            {"profile": "entra", "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"},
            "name each tenant",
        ),
        ({"profile": "entra", "issuer": "https://login.microsoftonline.com/common/v2.0"}, "name each tenant"),
        (
            {"profile": "entra", "issuer": "https://login.microsoftonline.com/organizations"},
            "name each tenant",
        ),
        ({"profile": "entra", "audience": ["x", "https://graph.microsoft.com"]}, "your own API"),
        ({"profile": "okta", "issuer": "https://dev-1.okta.com"}, "custom authorization server"),
    ],
)
def test_settings_that_would_accept_another_token_stop_the_start(changes: dict[str, Any], cure: str) -> None:
    wrong = settings(**changes)
    with pytest.raises(DeclarationError, match=cure) as caught:
        TokenVerifier([wrong], Served())
    assert wrong.issuer in str(caught.value)
    assert issuer_mistakes([settings(), wrong]) == [f"BFF_ISSUERS: {caught.value}"]


ALGORITHMS = "ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"profile": "jwt"},
            "the profile jwt needs a mark that only access tokens of this issuer have, so that its ID tokens are not "
            'accepted: set required_claims, such as {"token_use": ["access"]}, or types without jwt, such as '
            '["at+jwt"]',
        ),
        ({"algorithms": ["ES256", "none"]}, f"algorithms must be among {ALGORITHMS}"),
        (
            {"issuer": "a|b"},
            "an issuer with | cannot be told from a subject; ask the provider for another one",
        ),
        (
            {"issuer": "accounts.google.com"},
            "access tokens of Google are opaque and only for services of Google; sign browsers in with "
            "BFF_OIDC__ISSUER, and give API clients another provider",
        ),
        (
            {"types": ["at+jwt", "SECEVENT+jwt", "application/Logout+JWT"]},
            "types must not have logout+jwt, which no access token has",
        ),
        (
            {"profile": "entra", "issuer": "https://login.microsoftonline.com/consumers/v2.0"},
            "no token has this issuer; name each tenant as an issuer of its own, with its id in the address",
        ),
        (
            {"profile": "entra", "audience": "00000003-0000-0000-c000-000000000000"},
            "tokens for Microsoft Graph can only be verified by Graph; set the audience to your own API",
        ),
        (
            {"profile": "okta", "issuer": "https://dev-1.okta.com/oauth2"},
            "tokens of Okta's org authorization server can only be verified by Okta; use a custom authorization "
            "server, such as https://example.okta.com/oauth2/default, or introspection with the profile jwt",
        ),
    ],
    ids=str,
)
def test_a_mistake_names_the_issuer_and_the_cure(changes: dict[str, Any], fault: str) -> None:
    wrong = settings(**changes)
    assert issuer_mistakes(iter([wrong])) == [f"BFF_ISSUERS: issuer {wrong.issuer}: {fault}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://id.test/common/v2.0"},
        {"audience": "https://graph.microsoft.com"},
        {"issuer": "https://dev-1.okta.com"},
        {"profile": "okta", "issuer": "https://dev-1.okta.com/oauth2/default"},
        {"profile": "entra", "issuer": "https://login.microsoftonline.com/9122040d/v2.0"},
        {"algorithms": ALGORITHMS.split(", ")},
    ],
    ids=str,
)
def test_what_is_a_mistake_with_one_profile_only_is_none_elsewhere(changes: dict[str, Any]) -> None:
    assert issuer_mistakes([settings(**changes)]) == []


def test_the_rules_have_what_the_settings_and_the_profile_say() -> None:
    given = settings(
        audience=["desk", "desk-2"],
        types=["AT+JWT", ""],
        required_claims={"azp": ["desk"], "realm": []},
        clients=["one", "two"],
        leeway=3,
        bound_only=True,
    )
    rules, profile = rules_of(given), PROFILES["rfc9068"]
    assert rules.profile is profile
    assert rules.audiences == {"desk", "desk-2"}
    assert rules.types == {"at+jwt", ""}
    assert rules.required == (RequiredClaim("azp", frozenset({"desk"})), RequiredClaim("realm", frozenset()))
    assert (rules.clients, rules.leeway, rules.bound_only) == ({"one", "two"}, 3, True)
    assert (rules.scope_claims, rules.scope_lists) == (profile.scope_claims, profile.scope_lists)
    assert rules.roles == profile.roles
    plain = rules_of(settings())
    assert (plain.types, plain.bound_only, plain.clients) == (profile.types, False, frozenset())
    own = rules_of(settings(scope_claims=["permissions"], roles="groups"))
    assert (own.scope_claims, own.scope_lists, own.roles) == (("permissions",), True, ("groups",))
    assert rules_of(settings(roles=["a", "b.c"])).roles == ("a", "b.c")


@pytest.mark.parametrize("name", PROFILES)
def test_scopes_may_be_lists_where_the_profile_or_the_settings_say_so(name: str) -> None:
    more = {"required_claims": {"token_use": ["access"]}} if name == "jwt" else {}
    where = {"issuer": "https://id.test/oauth2/default"} if name == "okta" else {}
    assert rules_of(settings(profile=name, **more, **where)).scope_lists == PROFILES[name].scope_lists
    assert rules_of(settings(profile=name, scope_claims=["s"], **more, **where)).scope_lists


@pytest.mark.parametrize(
    "changes",
    [
        {"types": ["at+jwt"]},
        {"types": ["application/x-access+jwt"]},
        {"required_claims": {"token_use": ["access"]}},
        {"required_claims": {"realm_access.roles": []}},
        {"required_claims": {"https://desk.example/kind": ["access"]}},
    ],
)
def test_a_type_or_a_claim_that_only_access_tokens_have_is_a_mark(changes: dict[str, Any]) -> None:
    assert rules_of(settings(profile="jwt", **changes))


async def test_the_settings_replace_what_the_profile_says() -> None:
    claims = {**KEYCLOAK.claims, "permissions": ["a", "b"], "groups": ["g"]}
    token = signed(KEYCLOAK, claims)
    principal = await verifier(KEYCLOAK, scope_claims=["permissions"], roles="groups").verify(token)
    assert (principal.scopes, principal.roles) == ({"a", "b"}, {"g"})
    problem = await refusal(token, KEYCLOAK, types=["at+jwt"])
    assert problem.extra["reason"] == "type"
    assert (await verifier(KEYCLOAK, roles=[]).verify(token)).roles == frozenset()


@pytest.mark.parametrize(
    ("required", "fits"),
    [
        ({"azp": ["desk-spa"]}, True),
        ({"azp": ["other"]}, False),
        ({"aud": ["account"]}, True),
        ({"email_verified": ["true"]}, True),
        ({"email_verified": ["false"]}, False),
        ({"realm_access.roles": ["staff"]}, True),
        ({"realm_access.roles": ["boss"]}, False),
        ({"sid": []}, True),
        ({"missing": []}, False),
        ({"realm_access": []}, True),
        ({"empty": []}, False),
        ({"nothing": []}, False),
        ({"azp": ["desk-spa"], "missing": []}, False),
        ({"level": ["2"]}, True),
        ({"level": ["2.0"]}, False),
    ],
)
async def test_required_claims_must_all_be_there_with_one_of_their_values(
    required: dict[str, list[str]], fits: bool
) -> None:
    token = signed(KEYCLOAK, {**KEYCLOAK.claims, "empty": [], "nothing": "", "level": 2})
    if fits:
        assert await verifier(KEYCLOAK, required_claims=required).verify(token)
    else:
        assert (await refusal(token, KEYCLOAK, required_claims=required)).extra["reason"] == "claim"


async def test_only_named_clients_are_accepted_where_they_are_named() -> None:
    token = signed(KEYCLOAK, KEYCLOAK.claims)
    assert await verifier(KEYCLOAK, clients=["desk-cli", "desk-spa"]).verify(token)
    assert (await refusal(token, KEYCLOAK, clients=["desk-cli"])).extra["reason"] == "client"


async def test_an_issuer_that_binds_its_tokens_has_no_bearer_tokens() -> None:
    token = signed(KEYCLOAK, KEYCLOAK.claims)
    assert (await refusal(token, KEYCLOAK, bound_only=True)).extra["reason"] == "bearer"
    bound = signed(KEYCLOAK, {**KEYCLOAK.claims, "typ": "DPoP", "cnf": {"jkt": "a" * 43}})
    assert (await refusal(bound, KEYCLOAK, bound_only=True)).extra["reason"] == "bound"
    _, key = await verifier(KEYCLOAK, bound_only=True).verify_bound(bound)
    assert key == "a" * 43


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("ya29.a0AfH6SMBx", Reason.GOOGLE),
        ("gho_16C7e42F292c6912E7710c838347Ae178B4a", Reason.GITHUB),
        ("github_pat_11AAAAAAA0abc", Reason.GITHUB),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", Reason.GITHUB),
        ("ory_at_abc", Reason.OPAQUE),
    ],
)
async def test_tokens_that_nobody_here_can_verify_are_refused_by_name(token: str, reason: Reason) -> None:
    assert (await refusal(token, KEYCLOAK)).extra["reason"] == reason.code
