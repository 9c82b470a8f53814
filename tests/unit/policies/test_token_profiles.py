"""The rules of a profile, one at a time. What real providers send is in tests/unit/edge/access/test_profiles.py."""

from __future__ import annotations

from typing import Any

import pytest

from bff.policies.token_profiles import (
    GENERIC_TYPES,
    ID_TOKEN_CLAIMS,
    OTHER_TYPES,
    PROFILES,
    RequiredClaim,
    TokenRules,
    client_of,
    has_mark,
)
from bff.policies.tokens import ACCESS_TOKEN_TYPES, Parsed, Reason, TokenRefused

NOW = 1_800_000_000.0

MARKED: dict[str, dict[str, Any]] = {
    "rfc9068": {},
    "keycloak": {"typ": "Bearer"},
    "auth0": {"azp": "app"},
    "entra": {"scp": "read"},
    "okta": {"cid": "app", "scp": ["read"]},
    "cognito": {"token_use": "access", "client_id": "desk"},
    "jwt": {},
}


def rules(name: str, **changes: Any) -> TokenRules:
    profile = PROFILES[name]
    base: dict[str, Any] = {
        "audiences": frozenset({"desk", "desk.api"}),
        "types": profile.types,
        "scope_claims": profile.scope_claims,
        "scope_lists": profile.scope_lists,
        "roles": profile.roles,
    }
    return TokenRules(profile, **(base | changes))


def token(name: str, **changes: Any) -> Parsed:
    said = {"aud": "desk", "sub": "ada", "iat": NOW - 5, "exp": NOW + 60, **MARKED[name], **changes}
    header = {"typ": "at+jwt"} if name == "rfc9068" else {}
    return Parsed(header, {key: value for key, value in said.items() if value is not ...}, b"", b"")


def refused(name: str, rules_: TokenRules | None = None, **changes: Any) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        (rules_ or rules(name)).check(token(name, **changes), NOW)
    return caught.value


@pytest.mark.parametrize("name", PROFILES)
def test_a_token_with_its_mark_is_accepted_and_grants_nothing_that_it_does_not_name(name: str) -> None:
    grant = rules(name).check(token(name, scp=...) if name == "okta" else token(name), NOW)
    assert (grant.scopes, grant.roles, grant.key) == (
        frozenset({"read"} if name == "entra" else ()),
        set(),
        None,
    )


@pytest.mark.parametrize("name", [name for name, mark in MARKED.items() if mark])
def test_a_token_without_its_mark_is_refused_and_the_mark_is_named_in_the_log(name: str) -> None:
    for claim in MARKED[name]:
        if (name, claim) in (("okta", "scp"), ("cognito", "client_id")):
            continue
        refusal = refused(name, **{claim: ...})
        assert (refusal.reason, refusal.expected) == (Reason.NO_MARK, PROFILES[name].marked_by)
        assert refusal.seen == sorted(token(name, **{claim: ...}).claims)


@pytest.mark.parametrize("name", ["auth0", "entra", "okta", "cognito", "jwt"])
def test_claims_of_id_and_logout_tokens_are_foreign_to_access_tokens(name: str) -> None:
    for claim in ID_TOKEN_CLAIMS | {"events"}:
        refusal = refused(name, **{claim: None})
        assert (refusal.reason, refusal.seen) == (Reason.OTHER_KIND, [claim])


def test_types_are_those_of_the_rules_and_case_does_not_count() -> None:
    only = rules("okta", types=frozenset({"at+jwt"}))
    assert refused("okta", only).reason is Reason.TYPE
    good = token("okta")
    assert only.check(Parsed({"typ": "AT+jwt"}, good.claims, b"", b""), NOW)
    assert PROFILES["rfc9068"].types == ACCESS_TOKEN_TYPES
    assert all(not profile.types & OTHER_TYPES for profile in PROFILES.values())
    assert all(profile.types >= GENERIC_TYPES for name, profile in PROFILES.items() if name != "rfc9068")


def test_the_times_have_the_leeway_of_the_rules() -> None:
    assert refused("okta", exp=NOW - 1).reason is Reason.EXPIRED
    assert rules("okta", leeway=5.0).check(token("okta", exp=NOW - 1), NOW)
    assert rules("okta").leeway == 0.0


def test_every_token_has_a_subject() -> None:
    assert refused("okta", sub=...).reason is Reason.SUBJECT
    assert refused("okta", sub="a\nb").reason is Reason.SUBJECT_CHARACTERS


@pytest.mark.parametrize(
    ("claims", "marked"),
    [
        ({"typ": "Bearer"}, True),
        ({"typ": "DPoP", "cnf": {"jkt": "a" * 43}}, True),
        ({"typ": "DPoP"}, False),
        ({"typ": "BEARER"}, False),
        ({"typ": "ID", "cnf": {}}, False),
    ],
)
def test_keycloak_marks_access_tokens_by_the_claim_typ(claims: dict[str, Any], marked: bool) -> None:
    assert PROFILES["keycloak"].mark(claims) is marked


@pytest.mark.parametrize(
    ("claims", "marked"),
    [
        ({"azp": "app"}, True),
        ({"client_id": "app"}, True),
        ({"azp": "desk"}, False),
        ({"azp": "", "client_id": "app"}, False),
        ({"azp": 7}, False),
        ({}, False),
    ],
)
def test_the_client_of_an_auth0_token_is_not_its_audience(claims: dict[str, Any], marked: bool) -> None:
    assert PROFILES["auth0"].mark({"aud": ["desk", "userinfo"], **claims}) is marked


@pytest.mark.parametrize(
    ("claims", "marked"),
    [
        ({"scp": "read"}, True),
        ({"scp": " ", "azp": "app", "roles": ["a"]}, False),
        ({"scp": None, "azp": "app", "roles": ["a"]}, False),
        ({"azp": "app", "roles": ["a", "b"]}, True),
        ({"appid": "app", "roles": ["a"]}, True),
        ({"azp": "app", "roles": ["a", ""]}, False),
        ({"azp": "app", "roles": []}, False),
        ({"azp": "app", "roles": "a"}, False),
        ({"azp": "", "appid": None, "roles": ["a"]}, False),
        ({"roles": ["a"]}, False),
        ({"azp": "app"}, False),
    ],
)
def test_entra_marks_delegated_tokens_by_scp_and_apps_by_their_roles(
    claims: dict[str, Any], marked: bool
) -> None:
    assert PROFILES["entra"].mark(claims) is marked


@pytest.mark.parametrize(
    ("claims", "marked"),
    [
        ({"token_use": "access", "client_id": "desk"}, True),
        ({"token_use": "access", "client_id": " "}, False),
        ({"token_use": "access"}, False),
        ({"token_use": "id", "client_id": "desk"}, False),
    ],
)
def test_cognito_marks_access_tokens_by_their_use_and_client(claims: dict[str, Any], marked: bool) -> None:
    assert PROFILES["cognito"].mark(claims) is marked


def test_the_client_stands_in_for_a_missing_audience_at_cognito_only() -> None:
    assert rules("cognito").check(token("cognito", aud=...), NOW)
    refusal = refused("cognito", aud=..., client_id="other")
    assert (refusal.reason, refusal.seen) == (Reason.AUDIENCE, "other")
    assert refusal.expected == ["desk", "desk.api"]
    for client in (["desk"], {"desk": 1}, None, ...):
        assert refused("cognito", aud=..., client_id=client).reason is Reason.AUDIENCE
    assert refused("cognito", aud="bank").reason is Reason.AUDIENCE
    assert refused("okta", aud=..., client_id="desk").reason is Reason.AUDIENCE_UNREADABLE


def test_client_roles_are_those_of_the_audiences_that_the_token_names() -> None:
    roles = {"desk": {"roles": ["a"]}, "desk.api": {"roles": ["b"]}, "app": {"roles": ["c"]}}
    for aud, expected in (("desk", {"a"}), (["desk.api", "app"], {"b"}), (["desk", "desk.api"], {"a", "b"})):
        grant = rules("keycloak").check(token("keycloak", aud=aud, azp="app", resource_access=roles), NOW)
        assert grant.roles == expected


def test_a_token_is_checked_for_clients_required_claims_and_binding_in_this_order() -> None:
    strict = rules(
        "okta",
        required=(RequiredClaim("tenant", frozenset({"a", "b"})),),
        clients=frozenset({"app", "cli"}),
        bound_only=True,
    )
    refusal = refused("okta", strict, tenant="c")
    assert (refusal.reason, refusal.seen, refusal.expected) == (Reason.CLAIM, "c", "tenant ['a', 'b']")
    refusal = refused("okta", strict, tenant="a", cid="other")
    assert (refusal.reason, refusal.seen, refusal.expected) == (Reason.CLIENT, "other", ["app", "cli"])
    assert refused("okta", strict, tenant="a").reason is Reason.BEARER
    grant = strict.check(token("okta", tenant=["z", "b"], cnf={"jkt": "k" * 43}), NOW)
    assert (grant.key, grant.scopes) == ("k" * 43, {"read"})


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"azp": "a"}, "a"),
        ({"appid": "a"}, "a"),
        ({"cid": "a"}, "a"),
        ({"client_id": "a"}, "a"),
        ({"azp": "a", "client_id": "a"}, "a"),
        ({"azp": "a", "client_id": "b"}, None),
        ({"azp": ["a"]}, None),
        ({}, None),
    ],
)
def test_the_client_is_one_or_none(claims: dict[str, Any], client: str | None) -> None:
    assert client_of(claims) == client


@pytest.mark.parametrize(
    ("value", "values", "holds"),
    [
        ("a", (), True),
        ("", (), False),
        (None, (), False),
        (True, (), True),
        (0, (), True),
        ([], (), False),
        (["a"], (), True),
        ({}, (), False),
        ({"a": 1}, (), True),
        (1.5, (), False),
        ("a", ("a", "b"), True),
        ("c", ("a", "b"), False),
        (["c", "b"], ("a", "b"), True),
        (["c"], ("a",), False),
        (True, ("true",), True),
        (False, ("false",), True),
        (True, ("True",), False),
        (2, ("2",), True),
        ({"a": True}, ("a",), False),
        ([["a"]], ("a",), False),
    ],
)
def test_a_required_claim_has_one_of_its_values(value: Any, values: tuple[str, ...], holds: bool) -> None:
    assert RequiredClaim("x.y", frozenset(values)).holds({"x": {"y": value}}) is holds


@pytest.mark.parametrize(
    ("types", "required", "marked"),
    [
        ({"at+jwt"}, [], True),
        ({"", "at+jwt"}, [], False),
        ({"jwt"}, ["azp", "roles", "email.x", "sub"], False),
        ({"jwt"}, ["azp", "token_use"], True),
        ({"jwt"}, ["https://desk.example/kind"], True),
    ],
)
def test_a_mark_of_the_settings_is_nothing_that_an_id_token_has(
    types: set[str], required: list[str], marked: bool
) -> None:
    assert has_mark(frozenset(types), dict.fromkeys(required, ())) is marked


# What a person's token of each profile has beside its mark.
OF_A_PERSON: dict[str, dict[str, Any]] = {
    "rfc9068": {"client_id": "app"},
    "keycloak": {"sid": "s1"},
    "auth0": {"sub": "auth0|1"},
    "entra": {"scp": "read"},
    "okta": {"uid": "00u1"},
    "cognito": {"username": "ada"},
    "jwt": {"client_id": "app"},
}
# And what says so instead, or does not.
OTHERWISE: list[tuple[str, dict[str, Any], bool]] = [
    ("rfc9068", {}, False),
    ("rfc9068", {"azp": "app"}, True),
    ("rfc9068", {"client_id": "ada"}, False),
    ("rfc9068", {"auth_time": NOW}, True),
    ("rfc9068", {"auth_time": "then"}, False),
    ("rfc9068", {"sub": "app", "client_id": "app", "auth_time": NOW}, False),
    ("jwt", {}, False),
    ("jwt", {"auth_time": NOW}, True),
    ("keycloak", {}, False),
    ("keycloak", {"sid": ""}, False),
    ("keycloak", {"session_state": "s1"}, True),
    ("keycloak", {"sid": "", "session_state": ""}, False),
    ("keycloak", {"SID": "s1"}, False),
    ("keycloak", {"SESSION_STATE": "s1"}, False),
    ("auth0", {}, False),
    ("auth0", {"sub": "ada"}, False),
    ("entra", {"scp": "", "azp": "app", "roles": ["x"]}, False),
    ("entra", {"scp": ..., "azp": "app", "roles": ["x"]}, False),
    ("okta", {}, False),
    ("okta", {"uid": ""}, False),
    ("cognito", {}, False),
    ("cognito", {"username": ""}, False),
]
# What only a client's own token has, whatever else says that it is a person's.
OF_A_CLIENT: list[dict[str, Any]] = [
    {"sub": "app", "azp": "app"},
    {"sub": "app", "appid": "app"},
    {"sub": "app", "cid": "app"},
    {"sub": "app", "client_id": "app"},
    {"sub": "app|x@clients"},
    {"gty": "client-credentials"},
    {"gty": "client_credentials"},
    {"gty": ["refresh_token", "client-credentials"]},
    {"grant_type": "client_credentials"},
    {"grant_type": ["client_credentials"]},
    {"idtyp": "app"},
    {"idtyp": "device"},
    {"preferred_username": "service-account-app"},
    {"clientHost": "10.0.0.1"},
    {"clientAddress": "10.0.0.1"},
]
# What looks like one of these, and says nothing.
OF_BOTH: list[dict[str, Any]] = [
    {"gty": "password"},
    {"gty": ["refresh_token", 7]},
    {"gty": 7},
    {"GTY": "client-credentials"},
    {"gty": "password", "grant_type": "client_credentials"},
    {"GRANT_TYPE": "client_credentials"},
    {"idtyp": "user"},
    {"IDTYP": "app"},
    {"preferred_username": "ada"},
    {"preferred_username": 7},
    {"PREFERRED_USERNAME": "service-account-app"},
    {"clienthost": "10.0.0.1"},
]


def of_a_person(name: str, **changes: Any) -> bool:
    claims = token(name, **{**OF_A_PERSON[name], **changes}).claims
    return PROFILES[name].is_person(claims)


@pytest.mark.parametrize("name", PROFILES)
def test_a_persons_token_is_one(name: str) -> None:
    assert of_a_person(name)
    grant = rules(name).grant(token(name, **OF_A_PERSON[name]).claims)
    assert grant.person is True and grant.left_out == ()


@pytest.mark.parametrize(("name", "claims", "person"), OTHERWISE)
def test_a_token_of_which_it_is_not_clear_is_no_persons(
    name: str, claims: dict[str, Any], person: bool
) -> None:
    assert PROFILES[name].is_person(token(name, **claims).claims) is person


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("claims", OF_A_CLIENT)
def test_a_clients_own_token_is_no_persons(name: str, claims: dict[str, Any]) -> None:
    assert not of_a_person(name, **claims)
    assert rules(name).grant(token(name, **{**OF_A_PERSON[name], **claims}).claims).person is False


@pytest.mark.parametrize("claims", OF_BOTH)
def test_a_claim_that_only_looks_like_a_clients_changes_nothing(claims: dict[str, Any]) -> None:
    assert of_a_person("keycloak", **claims)
    assert of_a_person("auth0", **claims)


def test_the_claims_with_roles_that_were_left_out_are_those_of_the_rules() -> None:
    claims = token("entra", _claim_names={"groups": "src1", "roles": "src1"}).claims
    assert rules("entra", roles=("groups",)).grant(claims).left_out == ("groups",)
    assert rules("entra").grant(claims).left_out == ("roles",)
