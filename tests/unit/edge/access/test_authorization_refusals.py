"""What a person without a right is told, and what a declaration that makes no sense is told."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from bff import DeclarationError, Principal, Problem
from bff.edge.access.authorization import NO_REQUIREMENTS, Requirements, authorize, check_step_up


def needs(scopes: str = "", roles: str = "") -> Requirements:
    return Requirements(frozenset(scopes.split()), frozenset(roles.split()))


@pytest.mark.parametrize(
    ("required", "text"),
    [
        (needs(), ""),
        (needs("a"), "the scope a"),
        (needs("b a"), "the scopes a, b"),
        (needs(roles="x"), "the role x"),
        (needs(roles="y x"), "the role x or y"),
        (needs("a", "x"), "the scope a and the role x"),
        (needs("b a", "y x"), "the scopes a, b and the role x or y"),
        (Requirements(fresh=300.0), "a sign-in of the last 300 seconds"),
        (Requirements(acr=("gold", "silver")), "a sign-in of the class gold or silver"),
    ],
)
def test_requirements_are_told_in_words_and_in_their_order(required: Requirements, text: str) -> None:
    assert str(required) == text
    assert bool(required) is bool(text)


@pytest.mark.parametrize(
    ("required", "challenge"),
    [
        (needs("b a"), 'Bearer error="insufficient_scope", scope="a b"'),
        (needs("a", "x"), 'Bearer error="insufficient_scope", scope="a"'),
        (needs(roles="x"), None),
    ],
)
def test_the_403_names_what_is_missing_and_challenges_for_scopes_only(
    required: Requirements, challenge: str | None
) -> None:
    with pytest.raises(Problem) as caught:
        authorize(Principal("i", "ada", "t", 0), required)
    problem = caught.value
    assert (problem.status, problem.code) == (403, "forbidden")
    assert problem.detail == f"This needs {required}, which your sign-in or token does not have."
    assert problem.headers.get("www-authenticate") == challenge


def test_a_403_for_a_role_says_which_claims_the_provider_left_out() -> None:
    ada = Principal("i", "ada", "t", 0, left_out=("groups", "roles"))
    with pytest.raises(Problem) as caught:
        authorize(ada, needs(roles="x"))
    assert caught.value.detail == (
        "This needs the role x, which your sign-in or token does not have. Your identity provider left groups and "
        "roles out of the token, because it has too many values, so no role of it counts."
    )
    with pytest.raises(Problem) as caught:
        authorize(ada, needs("a"))
    assert caught.value.detail == "This needs the scope a, which your sign-in or token does not have."


def test_what_a_route_declares_replaces_each_kind_by_itself() -> None:
    outer = needs("a", "x")
    assert outer.override(None, None, False, "view /x") == outer
    assert outer.override(("b",), None, False, "view /x") == needs("b", "x")
    assert outer.override(None, ("y",), False, "view /x") == needs("a", "y")
    assert outer.override((), (), False, "view /x") == NO_REQUIREMENTS
    assert outer.override(None, None, True, "view /x") == NO_REQUIREMENTS
    assert outer.override((), (), True, "view /x") == NO_REQUIREMENTS


@pytest.mark.parametrize(
    ("scopes", "roles", "public", "said"),
    [
        ("shop", None, False, "view /x: scopes is a tuple of strings, as in scopes=('shop',)"),
        (None, "staff", False, "view /x: roles is a tuple of strings, as in roles=('staff',)"),
        ((7,), None, False, "view /x: scopes is a tuple of strings, as in scopes=('(7,)',)"),
        (("a b",), None, False, "view /x: 'a b' in scopes holds characters that no scope has"),
        (None, ("",), False, "view /x: '' in roles holds characters that no scope has"),
        (("a",), None, True, "view /x: a public route cannot require the scope a"),
        (None, ("x",), True, "view /x: a public route cannot require the role x"),
        (("a",), ("x",), True, "view /x: a public route cannot require the scope a and the role x"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_named(scopes: Any, roles: Any, public: bool, said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        NO_REQUIREMENTS.override(scopes, roles, public, "view /x")
    assert str(caught.value) == said


@pytest.mark.parametrize("letter", ["!", "~", "#", "[", "]", "z", "X", ":", "/"])
def test_every_character_that_a_scope_may_have_is_accepted(letter: str) -> None:
    assert NO_REQUIREMENTS.override((letter,), None, False, "view /x").scopes == {letter}


@pytest.mark.parametrize("letter", [" ", '"', "\\", "\x7f", "\x1f", "é", "\t"])
def test_every_character_that_no_scope_has_is_refused(letter: str) -> None:
    with pytest.raises(DeclarationError):
        NO_REQUIREMENTS.override((letter,), None, False, "view /x")


@pytest.mark.parametrize("fresh", [1, 1.0, 30 * 86_400, inf])
def test_a_sign_in_may_have_to_be_from_the_last_second_to_the_last_month(fresh: float) -> None:
    check_step_up(fresh, ("mfa",), False, "the route")


@pytest.mark.parametrize("fresh", [0.999, 0, -1, 30 * 86_400 + 1, True, "300", nan])
def test_a_sign_in_of_another_age_stops_the_start_and_names_the_route(fresh: object) -> None:
    with pytest.raises(DeclarationError) as caught:
        check_step_up(fresh, None, False, "the route")
    assert str(caught.value) == (
        f"the route: fresh is seconds from 1 to 2592000, or math.inf for none; this is {fresh!r}"
    )


def test_classes_of_a_sign_in_that_cannot_be_read_are_named_with_the_route() -> None:
    with pytest.raises(
        DeclarationError, match=r"^the route: acr is a tuple of strings, as in acr=\('mfa',\)$"
    ):
        check_step_up(None, "mfa", False, "the route")
