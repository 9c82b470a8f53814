"""The checks of a JWT without a key: each refusal has its reason, and each bound is tested on both sides."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.policies import tokens
from bff.policies.tokens import MAX_TOKEN, Parsed, Reason, TokenRefused, parse

NOW = 1_800_000_000.0
LEEWAY = 10.0


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(header: Any = None, claims: Any = None, signature: bytes = b"signed") -> str:
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode()
        for part in (
            {"alg": "ES256"} if header is None else header,
            {"sub": "ada"} if claims is None else claims,
        )
    ]
    return ".".join(b64(part) for part in [*parts, signature])


def claims(**changes: Any) -> dict[str, Any]:
    all_of_them = {"aud": "shop", "exp": NOW + 300, "iat": NOW - 5, "sub": "ada", **changes}
    return {name: value for name, value in all_of_them.items() if value is not ...}


def judge(subject: bool = True, **changes: Any) -> None:
    tokens.check_claims(claims(**changes), audience="shop", now=NOW, leeway=LEEWAY, subject=subject)


def why(judged: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(TokenRefused) as refused:
        judged(*arguments, **named)
    return str(refused.value)


NOT_ONE = "it is not a signed JWT"
NOT_JSON = "its header or its claims are not a JSON object"
ALGORITHM = "its algorithm is not accepted"
EXTENSION = "it requires an extension that is not supported"
KEY_ID = "its key id cannot be read"


THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_a_token_is_bound_to_the_key_with_its_thumbprint_or_to_none() -> None:
    assert tokens.key_thumbprint_of(claims(cnf={"jkt": THUMBPRINT})) == THUMBPRINT
    assert tokens.key_thumbprint_of(claims(CNF={"jkt": "x"})) is None


def test_a_member_of_a_binding_that_is_not_known_is_ignored() -> None:
    bound = {"jkt": THUMBPRINT, "kc-jkt-type": "DPoP"}
    assert tokens.key_thumbprint_of(claims(cnf=bound)) == THUMBPRINT


@pytest.mark.parametrize(
    "bound",
    [None, {}, [], "x", {"jkt": "x"}, {"jkt": THUMBPRINT + "A"}, {"jkt": THUMBPRINT[:-1] + "="}]
    + [{"jkt": None}, {"kid": "k1"}, {"kc-jkt-type": "DPoP"}, [THUMBPRINT]]
    + [{"jkt": THUMBPRINT, other: {}} for other in ("jwk", "jwe", "kid", "jku")],
    ids=repr,
)
def test_a_token_that_is_bound_in_another_way_is_refused(bound: Any) -> None:
    assert why(tokens.key_thumbprint_of, claims(cnf=bound)) == "it is bound in a way that is not supported"


@pytest.mark.parametrize("more", [{}, {"jkt": THUMBPRINT}])
def test_a_token_that_is_bound_to_a_certificate_is_refused_by_name(more: dict[str, str]) -> None:
    refused = why(tokens.key_thumbprint_of, claims(cnf={"x5t#S256": THUMBPRINT, **more}))
    assert refused == "it is bound to a client certificate, and TLS does not end here"


def test_a_refusal_has_its_reason_and_what_was_seen_and_its_text_has_neither() -> None:
    with pytest.raises(TokenRefused) as refused:
        judge(aud=["bank"])
    found = refused.value
    assert (found.reason, found.seen, found.expected) == (Reason.AUDIENCE, ["bank"], ["shop"])
    assert "bank" not in str(found) and str(found) == Reason.AUDIENCE.text
    again = found.again()
    assert (again.reason, again.seen, again.expected) == (found.reason, found.seen, found.expected)
    other = TokenRefused("there is no bearer token in it", seen=1)
    assert (other.reason, str(other), str(other.again()), other.again().seen) == (
        None,
        str(other),
        str(other),
        1,
    )


def _key(bound: Any) -> tuple[Any, ...]:
    return tokens.key_thumbprint_of, {"cnf": bound}


@pytest.mark.parametrize(
    ("judged", "reason", "seen", "expected"),
    [
        ((parse, "x" * 8193), Reason.TOO_LONG, 8193, 8192),
        ((parse, "a.b"), Reason.NOT_A_JWT, "2 parts", "3 parts"),
        ((parse, token(header=[])), Reason.NOT_JSON, "list", "object"),
        ((parse, token(claims=b'{"a": NaN}')), Reason.NOT_JSON, "NaN", None),
        ((parse, token(header={"alg": "none"})), Reason.ALGORITHM, "none", None),
        ((parse, token(header={"alg": "ES256", "kid": 7})), Reason.KEY_ID, 7, None),
        ((tokens.issuer_of, Parsed({}, {"iss": 7}, b"", b"")), Reason.NO_ISSUER, 7, None),
        ((tokens.check_type, Parsed({"typ": "x"}, {}, b"", b""), {"b", "a"}), Reason.TYPE, "x", ["a", "b"]),
        ((tokens.check_type, Parsed({}, {}, b"", b""), {"a"}), Reason.TYPE, "", ["a"]),
        ((tokens.audiences_of, {"aud": [7]}), Reason.AUDIENCE_UNREADABLE, [7], None),
        ((tokens.check_audience, {"aud": ["c", "b"]}, {"d", "a"}), Reason.AUDIENCE, ["b", "c"], ["a", "d"]),
        ((tokens.check_subject, {"sub": 7}), Reason.SUBJECT, 7, None),
        ((tokens.check_subject, {"sub": "a\n"}), Reason.SUBJECT_CHARACTERS, "a\n", None),
        (_key({"x5t#S256": "x", "jkt": "y"}), Reason.CERTIFICATE, ["jkt", "x5t#S256"], ["jkt"]),
        (_key({"kid": "k"}), Reason.BINDING, {"kid": "k"}, ["jkt"]),
        (_key({"jkt": "x"}), Reason.BINDING, "x", "a SHA-256 thumbprint"),
        ((tokens.timestamp, {"exp": "7"}, "exp", Reason.EXPIRY), Reason.EXPIRY, "7", "Unix seconds"),
        ((tokens.scopes_of, {"scope": 7}), Reason.SCOPE, 7, None),
        ((tokens.roles_of, {"r": 7}, "r"), Reason.ROLES, 7, "r"),
        ((tokens.roles_of, {"r": [7]}, "r.*"), Reason.ROLES, [7], "r.*"),
    ],
)
def test_the_log_is_told_what_was_seen_and_expected(
    judged: tuple[Any, ...], reason: Reason, seen: Any, expected: Any
) -> None:
    function, *arguments = judged
    with pytest.raises(TokenRefused) as refused:
        function(*arguments)
    found = refused.value
    assert (found.reason, found.seen, found.expected) == (reason, seen, expected)


@pytest.mark.parametrize(
    ("changes", "seen", "expected"),
    [
        ({"exp": NOW - 60}, NOW - 60, "after 1800000000"),
        ({"iat": NOW + 60}, NOW + 60, "up to 1800000000"),
        ({"nbf": NOW + 60}, NOW + 60, "up to 1800000000"),
    ],
)
def test_the_log_is_told_the_times(changes: dict[str, Any], seen: float, expected: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        judge(**changes)
    assert (refused.value.seen, refused.value.expected) == (seen, expected)


def test_each_reason_has_a_code_of_its_own_and_a_text_for_an_error_description() -> None:
    assert len({one.code for one in Reason}) == len({one.text for one in Reason}) == len(Reason)
    for one in Reason:
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", one.code), one
        # RFC 6750 section 3: printable ASCII without quotes and backslashes.
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{10,100}", one.text), one


@pytest.mark.parametrize(
    ("text", "opaque"),
    [
        ("a1b2c3", True),
        ("ory_at_x.y", True),
        ("a.b.c", True),
        ("a.b.c.d.e", True),
        ("", True),
        (token(), False),
        (token(header={}), False),
        (token(claims=b"\xff"), False),
        (token(header=b'{"alg":"ES256","alg":"none"}'), False),
        (token(header=b"[]"), True),
        (token(header=b"{"), True),
    ],
)
def test_a_token_is_opaque_unless_it_begins_with_the_header_of_a_jwt(text: str, opaque: bool) -> None:
    assert tokens.is_opaque(text) is opaque


def test_a_token_is_parsed_into_its_parts() -> None:
    text = token({"alg": "RS256", "kid": "k1"}, {"iss": "https://i", "name": "é"}, b"\xff\xfe\x00\x01")
    parsed = parse(text)
    assert parsed.header == {"alg": "RS256", "kid": "k1"}
    assert parsed.claims == {"iss": "https://i", "name": "é"}
    assert parsed.signature == b"\xff\xfe\x00\x01"
    assert parsed.signed == text.rpartition(".")[0].encode()
    assert (parsed.algorithm, parsed.key_id) == ("RS256", "k1")
    assert parse(token()).key_id is None


@given(st.binary(min_size=1, max_size=40))
def test_any_signature_is_decoded_unchanged(signature: bytes) -> None:
    assert parse(token(signature=signature)).signature == signature


def test_no_last_letter_of_a_part_counts_as_padding() -> None:
    for last in range(0, 256, 4):
        assert parse(token(signature=bytes([last, last, last]))).signature[2] == last
    assert token(signature=b"\0\0\x17").endswith("AAAX")
    assert parse(token(signature=b"\0\0\x17"))


GOOD = token()
HEAD, BODY, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NOT_ONE),
        (f"{HEAD}.{BODY}", NOT_ONE),
        (f"{GOOD}.x", NOT_ONE),
        (f"{HEAD}.{BODY}.", NOT_ONE),
        (f"{HEAD}=.{BODY}.{SIGNATURE}", NOT_ONE),
        (f"{HEAD}.{BODY}.{SIGNATURE}\n", NOT_ONE),
        (f"{HEAD}.{BODY}.{SIGNATURE}é", NOT_ONE),
        (f"{HEAD}.{BODY}.+/aa", NOT_ONE),
        (f"{HEAD}.{BODY}.a", NOT_ONE),
        (f"{HEAD}.{BODY}.AB", NOT_ONE),
        (token(header=b"{"), NOT_JSON),
        (token(claims=b"\xff{}"), NOT_JSON),
        (token(claims=b"[" * 5000), NOT_JSON),
        (token(claims=b'{"exp": ' + b"9" * 5000 + b"}"), NOT_JSON),
        (token(header=[]), NOT_JSON),
        (token(claims="text"), NOT_JSON),
        (token(claims=b'{"a": 1, "a": 1}'), "it has a member twice"),
        (token(claims=b'{"a": {"b": 1, "b": 2}}'), "it has a member twice"),
        (token(claims=b'{"exp": NaN}'), NOT_JSON),
        (token(claims=b'{"exp": -Infinity}'), NOT_JSON),
        (token(header={}), ALGORITHM),
        (token(header={"alg": ["ES256"]}), ALGORITHM),
        (token(header={"alg": "none"}), ALGORITHM),
        (token(header={"alg": "HS256"}), ALGORITHM),
        (token(header={"alg": "ES256", "crit": []}), EXTENSION),
        (token(header={"alg": "ES256", "b64": True}), EXTENSION),
        (token(header={"alg": "ES256", "kid": 1}), KEY_ID),
        (token(header={"alg": "ES256", "kid": ""}), KEY_ID),
        (token(header={"alg": "ES256", "kid": "k" * 257}), KEY_ID),
    ],
)
def test_each_malformed_token_is_refused_with_its_reason(text: str, reason: str) -> None:
    assert why(parse, text) == reason


def test_a_key_id_of_256_characters_or_none_is_accepted() -> None:
    assert parse(token(header={"alg": "ES256", "kid": "k" * 256})).key_id == "k" * 256
    assert parse(token(header={"alg": "ES256", "kid": None})).key_id is None


def test_a_token_of_exactly_eight_kilobytes_is_parsed_and_a_longer_one_is_not() -> None:
    # A body with a length for which both the longest token and the next one are valid base64.
    body = next(body for body in (b64(b'{"a":"%s"}' % (b"x" * n)) for n in range(4)) if len(body) % 4 == 0)
    longest = f"{HEAD}.{body}.".ljust(MAX_TOKEN, "A")
    assert parse(longest)
    assert why(parse, longest + "A") == "it is longer than 8 KB"


def test_a_caller_may_allow_longer_tokens() -> None:
    longer = f"{HEAD}.{b64(json.dumps({'a': 'x' * MAX_TOKEN}).encode())}.AAAA"
    assert why(parse, longer) == "it is longer than 8 KB"
    assert parse(longer, most=len(longer)).claims["a"] == "x" * MAX_TOKEN
    assert why(parse, longer, most=10 * 1024) == "it is longer than 10 KB"
    assert why(parse, longer, most=len(longer) - 1) != "it is longer than 8 KB"


def test_every_asymmetric_algorithm_is_accepted_and_no_other() -> None:
    for name in tokens.ASYMMETRIC:
        assert parse(token(header={"alg": name})).algorithm == name
    assert not {"none", "HS256", "HS384", "HS512"} & tokens.ASYMMETRIC


def parsed(header: dict[str, Any], said: dict[str, Any]) -> Parsed:
    return Parsed(header, said, b"", b"")


def test_the_issuer_must_be_a_text_that_is_not_empty() -> None:
    assert tokens.issuer_of(parsed({}, {"iss": "https://i"})) == "https://i"
    for said in ({}, {"iss": ""}, {"iss": None}, {"iss": ["https://i"]}):
        assert why(tokens.issuer_of, parsed({}, said)) == "it names no issuer"


def test_one_kind_of_token_is_not_accepted_as_another() -> None:
    kinds = {
        "at+jwt": tokens.ACCESS_TOKEN_TYPES,
        "application/AT+JWT": tokens.ACCESS_TOKEN_TYPES,
        "JWT": tokens.ID_TOKEN_TYPES,
        "logout+jwt": tokens.LOGOUT_TOKEN_TYPES,
    }
    for typ, types in kinds.items():
        tokens.check_type(parsed({"typ": typ}, {}), types)
    tokens.check_type(parsed({}, {}), tokens.ID_TOKEN_TYPES)
    for header in ({}, {"typ": "JWT"}, {"typ": "logout+jwt"}, {"typ": ["at+jwt"]}, {"typ": None}):
        refused = why(tokens.check_type, parsed(header, {}), tokens.ACCESS_TOKEN_TYPES)
        assert refused == "it is another kind of token"
    assert "at+jwt" not in tokens.ID_TOKEN_TYPES | tokens.LOGOUT_TOKEN_TYPES


@pytest.mark.parametrize("said", [..., None, "", [], ["shop", 1], ["shop", ""], {"shop": True}, 7])
def test_an_audience_that_cannot_be_read_is_refused(said: Any) -> None:
    assert why(judge, aud=said) == "its audience cannot be read"


def test_the_audience_must_be_or_contain_the_expected_one() -> None:
    judge(aud="shop")
    judge(aud=["bank", "shop"])
    for said in ("bank", "shopping", ["bank"]):
        assert why(judge, aud=said) == "it is for another audience"
    several = {"shop", "api://shop"}
    tokens.check_claims(claims(), audience=several, now=NOW, leeway=LEEWAY)
    tokens.check_claims(claims(aud=["bank", "api://shop"]), audience=several, now=NOW, leeway=LEEWAY)
    refused = why(tokens.check_claims, claims(aud="api"), audience=several, now=NOW, leeway=LEEWAY)
    assert refused == "it is for another audience"


def test_the_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    judge(exp=NOW - LEEWAY + 0.5, iat=NOW + LEEWAY, nbf=NOW + LEEWAY)
    assert why(judge, exp=NOW - LEEWAY) == "it has expired"
    assert why(judge, iat=NOW + LEEWAY + 0.5) == "it was issued in the future"
    assert why(judge, nbf=NOW + LEEWAY + 0.5) == "it is not valid yet"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("said", [None, "1800000300", True, 0, -1, 1e11, float("inf"), float("nan"), [1]])
def test_a_time_must_be_a_number_in_a_plausible_range(name: str, said: Any) -> None:
    assert why(judge, **{name: said}) == f"its {name} is missing or not a valid time"


def test_exp_and_iat_are_required_and_nbf_is_optional() -> None:
    judge()
    assert why(judge, exp=...) == "its exp is missing or not a valid time"
    assert why(judge, iat=...) == "its iat is missing or not a valid time"
    assert tokens.expiry_of({"exp": 1}) == 1.0
    assert tokens.expiry_of({"exp": 0.5}) == 0.5
    assert tokens.expiry_of({"exp": 99_999_999_999}) == 99_999_999_999.0
    assert isinstance(tokens.expiry_of({"exp": 7}), float)


def test_a_subject_has_at_most_255_printable_characters() -> None:
    judge(sub="a" * 255)
    for said in ("auth0|a b", " ada", "f:1:Ünal", "аda", "李四", "é" * 255, "a%b"):
        judge(sub=said)
    for said in (..., None, "", "  ", 7, "a" * 256, ["ada"]):
        assert why(judge, sub=said) == "it names no subject"
    for said in ("ada\r\nX: y", "a\x7f", "a\x00", "a\x85", "\u202eada", "a\u2028b", "\ud83d", "a\u200b"):
        assert why(judge, sub=said) == "its subject contains characters that are not allowed"


def test_an_optional_subject_is_still_checked_when_it_is_present() -> None:
    judge(subject=False, sub=...)
    judge(subject=False)
    assert why(judge, subject=False, sub="") == "it names no subject"


def test_by_default_a_subject_is_required() -> None:
    reason = why(tokens.check_claims, claims(sub=...), audience="shop", now=NOW, leeway=LEEWAY)
    assert reason == "it names no subject"


def test_scopes_are_one_text_separated_by_spaces() -> None:
    assert tokens.scopes_of({"scope": "read  write read"}) == {"read", "write"}
    assert tokens.scopes_of({}) == tokens.scopes_of({"scope": ""}) == frozenset()
    for said in (["read"], None, 1):
        assert why(tokens.scopes_of, {"scope": said}) == "its scope cannot be read"


def test_scopes_may_be_in_several_claims_and_in_lists_where_that_is_allowed() -> None:
    said = {"scope": "read", "scp": ["write", "a:b"], "realm": {"scope": "deep"}}
    assert tokens.scopes_of(said, ("scope", "scp", "missing"), lists=True) == {"read", "write", "a:b"}
    assert tokens.scopes_of(said, ("realm.scope",)) == {"deep"}
    assert tokens.scopes_of(said, ("missing", "scope")) == {"read"}
    assert why(tokens.scopes_of, said, ("scope", "scp")) == "its scope cannot be read"
    for wrong in (["read write"], [""], ["a", 1], [["a"]], {"read": True}, None, True):
        assert why(tokens.scopes_of, {"scp": wrong}, ("scp",), lists=True) == "its scope cannot be read"
    assert tokens.scopes_of({"scp": []}, ("scp",), lists=True) == frozenset()


def test_a_page_sees_only_claims_about_the_person() -> None:
    protocol = "iss aud exp iat nbf jti nonce at_hash c_hash azp acr amr auth_time sid scope typ events cnf"
    protocol += " active token_type"
    said = dict.fromkeys(protocol.split(), 1)
    assert tokens.person_claims({**said, "sub": "ada", "name": "Ada"}) == {"sub": "ada", "name": "Ada"}


def test_half_a_surrogate_pair_in_a_name_becomes_a_replacement_character() -> None:
    cut = {"name": "Ada \ud83d", "of": [{"\ude00x": "é\ude00"}, "😀", 1, None], "n\ud83d": 1}
    shown = {"name": "Ada \ufffd", "of": [{"\ufffdx": "é\ufffd"}, "😀", 1, None], "n\ufffd": 1}
    assert tokens.person_claims(cut) == shown
    json.dumps(tokens.person_claims(cut), ensure_ascii=False).encode()


def test_roles_are_found_by_a_path_or_by_a_name_with_dots() -> None:
    said = {
        "realm": {"roles": ["a", "b"]},
        "roles": "c d c",
        "https://i/roles": ["e"],
        "a.b": ["f"],
        "a": {"b": ["g"]},
    }
    assert tokens.roles_of(said, "realm.roles") == {"a", "b"}
    assert tokens.roles_of(said, "roles") == {"c", "d"}
    assert tokens.roles_of(said, "https://i/roles") == {"e"}
    assert tokens.roles_of(said, "a.b") == {"f"}
    for path in ("missing", "realm.missing", "roles.deep", "realm.roles.deep"):
        assert tokens.roles_of(said, path) == frozenset()
    assert tokens.roles_of({"roles": []}, "roles") == frozenset()
    for wrong in ({"a": 1}, ["a", 1], 7, True):
        assert why(tokens.roles_of, {"roles": wrong}, "roles") == "its roles cannot be read"


def test_roles_of_several_paths_are_taken_together() -> None:
    said = {
        "realm_access": {"roles": ["a"]},
        "resource_access": {"desk.api": {"roles": ["b"]}, "x": {"roles": ["c"]}},
    }
    paths = ("realm_access.roles", "resource_access.{client}.roles")
    assert tokens.roles_of(said, paths, clients=["desk.api"]) == {"a", "b"}
    assert tokens.roles_of(said, paths, clients=["desk.api", "x", "y"]) == {"a", "b", "c"}
    assert tokens.roles_of(said, paths) == {"a"}
    assert tokens.roles_of(said, ()) == frozenset()
    assert (
        tokens.roles_of({"resource_access": {"{client}": {"roles": ["z"]}}}, paths, clients=["x"])
        == frozenset()
    )


def test_a_claim_is_found_by_its_name_or_by_a_path() -> None:
    said = {"a": {"b": 1, "desk": 2, "": 3}, "c.d": 4, "a.b": None}
    assert tokens.claim_at(said, "a.b") == 1
    assert tokens.claim_at(said, "c.d") == 4
    assert tokens.claim_at(said, "a.{client}", "desk") == 2
    assert tokens.claim_at(said, "a.{client}") == 3
    assert tokens.claim_at(said, "c.d.e") is tokens.claim_at(said, "x") is None


def test_the_names_of_an_object_are_roles_where_the_path_ends_with_a_star() -> None:
    said = {
        "urn:zitadel:roles": {"admin": {"1": "org"}, "staff": True, "gone": {}, "no": False, "none": None}
    }
    assert tokens.roles_of(said, "urn:zitadel:roles.*") == {"admin", "staff"}
    assert tokens.roles_of({"a": {"b": {"c": [1]}}}, "a.b.*") == {"c"}
    assert tokens.roles_of(said, "missing.*") == frozenset()
    for wrong in ({"admin": "yes"}, {"admin": 1}, ["admin"], "admin"):
        assert why(tokens.roles_of, {"r": wrong}, "r.*") == "its roles cannot be read"
    assert why(tokens.roles_of, said, "urn:zitadel:roles") == "its roles cannot be read"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"auth_time": NOW}, NOW),
        ({"auth_time": int(NOW)}, NOW),
        ({}, None),
        ({"AUTH_TIME": NOW}, None),
        ({"auth_time": "yesterday"}, None),
        ({"auth_time": True}, None),
        ({"auth_time": -1}, None),
    ],
)
def test_the_time_of_an_authentication_that_cannot_be_read_is_unknown(
    given: dict[str, Any], read: float | None
) -> None:
    assert tokens.auth_time_of(given) == read


@pytest.mark.parametrize(
    ("acr", "read"),
    [("2", "2"), ("a" * 255, "a" * 255), ("a" * 256, None), ("", None), (2, None), (None, None)],
)
def test_the_class_of_an_authentication_is_a_short_text(acr: object, read: str | None) -> None:
    assert tokens.acr_of({"acr": acr}) == read
    assert tokens.acr_of({"ACR": acr}) is None


@pytest.mark.parametrize(
    ("claims", "paths", "left_out"),
    [
        ({"_claim_names": {"groups": "src1"}}, ["groups"], ("groups",)),
        ({"_claim_names": {"groups": "src1"}}, ["groups.name", "roles"], ("groups",)),
        ({"_claim_names": {"groups": "src1", "roles": "src1"}}, ["roles", "groups"], ("groups", "roles")),
        ({"_claim_names": {"groups": "src1"}, "groups": []}, ["groups"], ()),
        ({"_claim_names": {"other": "src1"}}, ["groups"], ()),
        ({"_claim_names": ["groups"]}, ["groups"], ()),
        ({"_claim_names": None}, ["groups"], ()),
        ({"_CLAIM_NAMES": {"groups": "src1"}}, ["groups"], ()),
        ({"hasgroups": True}, ["groups"], ("groups",)),
        ({"hasgroups": "true"}, ["groups"], ("groups",)),
        ({"hasgroups": True}, ["roles"], ()),
        ({"hasgroups": "TRUE"}, ["groups"], ()),
        ({"hasgroups": False}, ["groups"], ()),
        ({"HASGROUPS": True}, ["groups"], ()),
        ({}, ["groups", "roles"], ()),
    ],
)
def test_the_claims_with_roles_that_a_provider_left_out_are_named(
    claims: dict[str, Any], paths: list[str], left_out: tuple[str, ...]
) -> None:
    assert tokens.left_out_of(claims, paths) == left_out
