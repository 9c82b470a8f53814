"""What an introspection answer must say before a token is accepted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bff.policies.introspection import ANSWER, NO_EXPIRY, AnswerUnusable, answer_rules, read_answer
from bff.policies.token_profiles import PROFILES, RequiredClaim, TokenRules
from bff.policies.tokens import Reason, TokenRefused

NOW = 1_800_000_000.0
ISSUER = "https://id.test"


def rules(**changes: Any) -> TokenRules:
    profile = PROFILES["okta"]
    base: dict[str, Any] = {
        "audiences": frozenset({"desk", "api://desk"}),
        "types": profile.types,
        "scope_claims": profile.scope_claims,
        "scope_lists": True,
        "roles": profile.roles,
        "leeway": 10.0,
    }
    return answer_rules(TokenRules(profile, **(base | changes)), scope_claims=None)


def answer(**changes: Any) -> dict[str, Any]:
    good = {
        "active": True,
        "iss": ISSUER,
        "aud": "desk",
        "sub": "ada",
        "client_id": "cli",
        "token_type": "Bearer",
    }
    good |= {"scope": "read write", "exp": NOW + 60, "iat": NOW - 5, "nbf": NOW - 5, "groups": ["g"]}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def refused(said: dict[str, Any], **changes: Any) -> Reason | None:
    with pytest.raises(TokenRefused) as caught:
        read_answer(said, rules(**changes), issuer=ISSUER, now=NOW)
    return caught.value.reason


def test_an_active_token_for_this_gateway_is_accepted() -> None:
    found = read_answer(answer(), rules(), issuer=ISSUER, now=NOW)
    assert found.claims["sub"] == "ada"
    # `scope` is where an answer has scopes; roles are where the profile has them.
    assert (found.grant.scopes, found.grant.roles, found.grant.key) == ({"read", "write"}, {"g"}, None)
    assert found.expires_at == NOW + 60
    assert read_answer(answer(iss=...), rules(), issuer=ISSUER, now=NOW)
    assert read_answer(answer(aud=["x", "api://desk"]), rules(), issuer=ISSUER, now=NOW)


def test_an_answer_is_about_a_person_where_it_has_what_the_provider_gives_for_people() -> None:
    def is_person(**changes: Any) -> bool:
        return read_answer(answer(**changes), rules(), issuer=ISSUER, now=NOW).grant.person

    assert is_person(uid="00u8")
    assert not is_person()
    assert not is_person(uid="00u8", sub="cli")
    generic = answer_rules(
        TokenRules(PROFILES["jwt"], frozenset({"desk"}), frozenset(), ("scope",), True, ()), scope_claims=None
    )
    for sub, person in (("ada", True), ("cli", False)):
        assert read_answer(answer(sub=sub), generic, issuer=ISSUER, now=NOW).grant.person == person


def test_times_are_optional_and_a_token_without_expiry_is_accepted_for_five_minutes() -> None:
    found = read_answer(answer(exp=..., iat=..., nbf=...), rules(), issuer=ISSUER, now=NOW)
    assert found.expires_at == NOW + NO_EXPIRY


@pytest.mark.parametrize("active", [..., None, "true", "false", 1, 0, [True], {}])
def test_an_answer_without_a_truth_value_says_nothing_about_the_token(active: Any) -> None:
    with pytest.raises(AnswerUnusable) as caught:
        read_answer(answer(active=active), rules(), issuer=ISSUER, now=NOW)
    assert str(caught.value) == "its `active` is neither true nor false"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"active": False}, Reason.INACTIVE),
        ({"iss": "https://other.test"}, Reason.ISSUER),
        ({"iss": None}, Reason.ISSUER),
        ({"iss": [ISSUER]}, Reason.ISSUER),
        ({"token_type": ...}, Reason.NO_MARK),
        ({"token_type": "Refresh"}, Reason.NO_MARK),
        ({"token_type": "refresh_token"}, Reason.NO_MARK),
        ({"token_type": ["Bearer"]}, Reason.NO_MARK),
        ({"token_use": "refresh_token"}, Reason.NO_MARK),
        ({"token_use": "id"}, Reason.NO_MARK),
        ({"token_use": None}, Reason.NO_MARK),
        ({"typ": "Refresh"}, Reason.NO_MARK),
        ({"typ": "ID"}, Reason.NO_MARK),
        ({"aud": "bank"}, Reason.AUDIENCE),
        ({"aud": ["bank", "shop"]}, Reason.AUDIENCE),
        ({"aud": ...}, Reason.AUDIENCE),
        ({"aud": []}, Reason.AUDIENCE),
        ({"aud": None}, Reason.AUDIENCE),
        ({"aud": ""}, Reason.AUDIENCE_UNREADABLE),
        ({"aud": {"desk": 1}}, Reason.AUDIENCE_UNREADABLE),
        ({"exp": NOW - 10}, Reason.EXPIRED),
        ({"exp": str(NOW + 60)}, Reason.EXPIRY),
        ({"exp": None}, Reason.EXPIRY),
        ({"iat": NOW + 11}, Reason.FUTURE),
        ({"iat": "now"}, Reason.ISSUED),
        ({"nbf": NOW + 11}, Reason.NOT_YET),
        ({"nbf": True}, Reason.START),
        ({"sub": ...}, Reason.SUBJECT),
        ({"sub": ["ada"]}, Reason.SUBJECT),
        ({"sub": "a\nb"}, Reason.SUBJECT_CHARACTERS),
        ({"scope": ["read"]}, Reason.SCOPE),
        ({"groups": {"g": True}}, Reason.ROLES),
        ({"cnf": {"x5t#S256": "x"}}, Reason.CERTIFICATE),
        ({"cnf": {}}, Reason.BINDING),
    ],
)
def test_an_active_token_that_is_not_for_this_gateway_is_refused(
    changes: dict[str, Any], reason: Reason
) -> None:
    assert refused(answer(**changes)) is reason


@pytest.mark.parametrize(
    ("changes", "seen", "expected"),
    [
        ({"iss": "https://other.test"}, "https://other.test", ISSUER),
        ({"token_type": "Refresh"}, "Refresh", ANSWER.marked_by),
        ({"aud": ..., "client_id": "other"}, "other", ["cli"]),
        ({"aud": "bank"}, ["bank"], ["api://desk", "desk"]),
    ],
)
def test_the_log_is_told_what_was_seen_and_expected(
    changes: dict[str, Any], seen: Any, expected: Any
) -> None:
    with pytest.raises(TokenRefused) as caught:
        read_answer(answer(**changes), rules(clients=frozenset({"cli"})), issuer=ISSUER, now=NOW)
    assert (caught.value.seen, caught.value.expected) == (seen, expected)


def test_a_token_may_expire_within_the_leeway() -> None:
    assert read_answer(answer(exp=NOW - 9), rules(), issuer=ISSUER, now=NOW).expires_at == NOW - 9


@pytest.mark.parametrize("aud", [..., [], None])
def test_a_client_that_is_named_stands_in_for_an_audience_that_is_not_sent(aud: Any) -> None:
    named = rules(clients=frozenset({"cli"}))
    assert read_answer(answer(aud=aud), named, issuer=ISSUER, now=NOW)
    for client in ("other", ..., ["cli"], None):
        with pytest.raises(TokenRefused) as caught:
            read_answer(answer(aud=aud, client_id=client), named, issuer=ISSUER, now=NOW)
        assert caught.value.reason is Reason.AUDIENCE
    # With an audience the client is checked in addition to it.
    assert refused(answer(client_id="other"), clients=frozenset({"cli"})) is Reason.CLIENT


def test_keycloak_hydra_and_dpop_answers_are_those_of_access_tokens() -> None:
    for changes in (
        {"typ": "Bearer", "token_type": "Bearer"},
        {"token_use": "access_token", "token_type": "bearer"},
        {"token_type": "DPoP", "cnf": {"jkt": "a" * 43}},
    ):
        assert read_answer(answer(**changes), rules(), issuer=ISSUER, now=NOW)


def test_required_claims_are_required_of_answers_too() -> None:
    required = (RequiredClaim("tenant", frozenset({"a"})),)
    assert refused(answer(), required=required) is Reason.CLAIM
    assert read_answer(answer(tenant="a"), rules(required=required), issuer=ISSUER, now=NOW)


def test_the_settings_say_where_else_scopes_are() -> None:
    own = answer_rules(rules(), scope_claims=("scp",))
    found = read_answer(answer(scp=["a"]), own, issuer=ISSUER, now=NOW)
    assert found.grant.scopes == {"a"}
    assert own.profile == replace(ANSWER, person=PROFILES["okta"].person)
