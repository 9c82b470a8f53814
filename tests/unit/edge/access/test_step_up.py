"""Step-up: what a sign-in lacks, the challenge, and how routes declare what they need."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bff import DeclarationError, Gateway, Principal, Router
from bff.edge.access.authorization import Requirements
from bff.edge.access.step_up import LEEWAY, Missing, challenge, missing
from bff.edge.settings import Settings

NOW = 1_800_000_000.0


def who(at: float | None, acr: str | None = None) -> Principal:
    return Principal("https://issuer.test", "ada", "t", NOW + 60, authenticated_at=at, acr=acr)


@pytest.mark.parametrize(
    ("at", "acr", "fresh", "needed", "lacks"),
    [
        (NOW, None, None, (), None),
        (None, None, None, (), None),
        (NOW - 60 - LEEWAY, None, 60.0, (), None),
        (NOW - 61 - LEEWAY, None, 60.0, (), Missing(60, ())),
        (None, "gold", 60.0, (), Missing(60, ())),
        (NOW, "gold", None, ("gold", "silver"), None),
        (NOW, "silver", None, ("gold", "silver"), None),
        (NOW, "Gold", None, ("gold",), Missing(None, ("gold",))),
        (NOW, None, None, ("gold",), Missing(None, ("gold",))),
        (NOW, None, 60.0, ("gold",), Missing(60, ("gold",))),
        (NOW - 100, "gold", 60.0, ("gold",), Missing(60, ("gold",))),
    ],
)
def test_a_sign_in_lacks_what_is_too_old_too_weak_or_not_known(
    at: float | None, acr: str | None, fresh: float | None, needed: tuple[str, ...], lacks: Missing | None
) -> None:
    assert missing(who(at, acr), Requirements(fresh=fresh, acr=needed), NOW) == lacks


def test_the_challenge_is_that_of_rfc_9470_and_names_the_sign_in_for_browsers_alone() -> None:
    problem = challenge(Missing(300, ("urn:a", "b")), "/desk/bff/login")
    assert problem.status == 401
    assert problem.headers["www-authenticate"].endswith(', max_age="300", acr_values="urn:a b"')
    assert problem.extra == {
        "max_age": 300,
        "acr_values": ["urn:a", "b"],
        "login": "/desk/bff/login?max_age=300&acr_values=urn%3Aa%20b",
    }
    assert "login" not in challenge(Missing(300, ()), None).extra


@pytest.mark.parametrize(
    "options",
    [{"fresh": fresh} for fresh in (0, -1, 0.5, True, "300", math.nan, -math.inf, 10**9)]
    + [{"acr": acr} for acr in ("gold", ("a b",), ("",), (1,), ('a"b',), ("é",))],
    ids=str,
)
def test_what_no_sign_in_can_have_is_refused_when_it_is_declared(options: Any) -> None:
    with pytest.raises(DeclarationError, match=r"fresh|acr"):
        Router(**options)
    with pytest.raises(DeclarationError, match=r"fresh|acr"):
        Gateway("x", **options)


def test_a_public_route_cannot_need_a_recent_sign_in() -> None:
    gateway = Gateway("x", fresh=60, acr=("gold",))
    with pytest.raises(DeclarationError, match="public"):
        gateway.view("/a", public=True, fresh=60)(_view)
    with pytest.raises(DeclarationError, match="public"):
        gateway.view("/a", public=True, acr=("gold",))(_view)
    gateway.view("/b", public=True)(_view)
    assert not gateway.all_routes[0].requirements


async def _view() -> str:
    return ""


def test_a_route_takes_what_it_does_not_declare_from_its_router_and_gateway() -> None:
    gateway, router = Gateway("x", fresh=600, acr=("gold",)), Router("/r", fresh=60)
    router.view("/a")(_view)
    router.view("/b", fresh=math.inf, acr=())(_view)
    gateway.view("/c", acr=("silver",))(_view)
    gateway.include(router)
    found = {route.path: route.requirements for route in gateway.all_routes}
    assert found["/r/a"] == Requirements(fresh=60.0, acr=("gold",))
    assert found["/r/b"] == Requirements() and not found["/r/b"]
    assert found["/c"] == Requirements(fresh=600.0, acr=("silver",))
    assert gateway.requirements == Requirements(fresh=600.0, acr=("gold",))
    assert str(found["/r/a"]) == "a sign-in of the last 60 seconds and a sign-in of the class gold"


@pytest.mark.parametrize("name", ["oidc", "Staff", "staff-a", "1", "a" * 33, "stäff"])
def test_a_provider_whose_name_fits_no_address_is_refused(name: str) -> None:
    oidc = {"issuer": "https://id.test", "client_id": "c", "client_secret": "s"}
    with pytest.raises(ValueError, match="cannot name a provider"):
        Settings.model_validate({"providers": {name: oidc}})
    assert set(Settings.model_validate({"oidc": oidc, "providers": {"staff": oidc}}).sign_ins) == {
        "",
        "staff",
    }
