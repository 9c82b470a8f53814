"""The challenge for a more recent or stronger sign-in, to the letter (RFC 9470 section 3)."""

from __future__ import annotations

import pytest

from bff.edge.access.step_up import Missing, challenge

BASE = (
    'Bearer error="insufficient_user_authentication", '
    'error_description="A more recent or stronger authentication is required"'
)


@pytest.mark.parametrize(
    ("missing", "detail", "parameters"),
    [
        (Missing(300, ()), "This needs a sign-in of the last 300 seconds.", ', max_age="300"'),
        (Missing(None, ("gold",)), "This needs a sign-in of the class gold.", ', acr_values="gold"'),
        (
            Missing(60, ("a", "b")),
            "This needs a sign-in of the last 60 seconds and a sign-in of the class a or b.",
            ', max_age="60", acr_values="a b"',
        ),
    ],
)
def test_the_challenge_says_what_is_needed_to_people_and_to_programs(
    missing: Missing, detail: str, parameters: str
) -> None:
    problem = challenge(missing, None)
    assert (problem.status, problem.code, problem.detail) == (401, "step-up-required", detail)
    assert problem.headers["www-authenticate"] == BASE + parameters


def test_a_browser_is_told_where_to_sign_in_again() -> None:
    problem = challenge(Missing(60, ()), "/bff/login")
    assert problem.detail == (
        "This needs a sign-in of the last 60 seconds. Sign in again at /bff/login?max_age=60"
    )
