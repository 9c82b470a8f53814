"""Scopes and roles: who is authorized, what the 403 says, and declarations that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from bff import DeclarationError, Gateway, Principal, Problem
from bff.edge.access.authorization import NO_REQUIREMENTS, Requirements, authorize
from bff.edge.describe.openapi import document
from bff.policies.tokens import TokenRefused, roles_of
from tests.declarations import route_of


class Done(BaseModel):
    done: bool


def who(scopes: str = "", roles: str = "") -> Principal:
    return Principal("i", "ada", "t", 0, frozenset(scopes.split()), roles=frozenset(roles.split()))


@pytest.mark.parametrize(
    ("requirements", "scopes", "roles"),
    [
        (NO_REQUIREMENTS, "", ""),
        (Requirements(frozenset({"a"})), "a b", ""),
        (Requirements(frozenset({"a", "b"})), "b a", ""),
        (Requirements(roles=frozenset({"x", "y"})), "", "y z"),
        (Requirements(frozenset({"a"}), frozenset({"x"})), "a", "x"),
    ],
)
def test_a_principal_with_all_scopes_and_one_of_the_roles_is_authorized(
    requirements: Requirements, scopes: str, roles: str
) -> None:
    authorize(who(scopes, roles), requirements)


@pytest.mark.parametrize(
    ("requirements", "scopes", "roles"),
    [
        (Requirements(frozenset({"a"})), "", "a"),
        (Requirements(frozenset({"a", "b"})), "a", ""),
        (Requirements(frozenset({"a"})), "A aa", ""),
        (Requirements(roles=frozenset({"x"})), "x", ""),
        (Requirements(frozenset({"a"}), frozenset({"x"})), "a", "y"),
        (Requirements(frozenset({"a"}), frozenset({"x"})), "b", "x"),
    ],
)
def test_a_principal_that_lacks_one_gets_403_that_names_it(
    requirements: Requirements, scopes: str, roles: str
) -> None:
    with pytest.raises(Problem) as caught:
        authorize(who(scopes, roles), requirements)
    assert (caught.value.status, caught.value.code) == (403, "forbidden")
    assert str(requirements) in caught.value.detail
    lacking = requirements.scopes - set(scopes.split())
    challenge = caught.value.headers.get("www-authenticate", "")
    assert bool(lacking) == challenge.startswith('Bearer error="insufficient_scope", scope="')


def test_a_route_without_requirements_has_the_gateways() -> None:
    gateway = Gateway("g", scopes=("shop",), roles=("staff",))

    @gateway.view("/plain")
    async def plain() -> Done:
        return Done(done=True)

    @gateway.view("/own", scopes=("audit", "shop"), roles=())
    async def own() -> Done:
        return Done(done=True)

    @gateway.view("/anyone", scopes=(), roles=())
    async def anyone() -> Done:
        return Done(done=True)

    @gateway.view("/public", public=True)
    async def public() -> Done:
        return Done(done=True)

    @gateway.command("/do", scopes=("write",))
    async def do() -> Done:
        return Done(done=True)

    assert (
        route_of(gateway, "/plain").requirements
        == gateway.requirements
        == Requirements(frozenset({"shop"}), frozenset({"staff"}))
    )
    assert route_of(gateway, "/own").requirements == Requirements(frozenset({"audit", "shop"}))
    assert (
        route_of(gateway, "/anyone").requirements
        == route_of(gateway, "/public").requirements
        == NO_REQUIREMENTS
    )
    assert route_of(gateway, "/do", "POST").requirements == Requirements(
        frozenset({"write"}), frozenset({"staff"})
    )

    paths = document(gateway, "1")["paths"]

    def shown(path: str, method: str = "get") -> tuple[Any, Any, bool]:
        operation = paths[path][method]
        return operation.get("security"), operation.get("x-roles"), "403" in operation["responses"]

    def by(*scopes: str) -> list[dict[str, list[str]]]:
        return [{"bearer": list(scopes)}, {"session": list(scopes)}]

    assert shown("/plain") == (by("shop"), ["staff"], True)
    assert shown("/own") == (by("audit", "shop"), None, True)
    assert shown("/anyone") == (by(), None, True), "a service may say 403"
    assert shown("/public") == ([], None, False)
    assert shown("/do", "post") == (by("write"), ["staff"], True)
    for path in ("/bff/live", "/bff/live/snapshot", "/bff/sagas/{type}/{id}"):
        assert shown(path) == (by("shop"), ["staff"], True)


@pytest.mark.parametrize(
    "declaration",
    [
        {"scopes": "shop"},
        {"scopes": ("two words",)},
        {"scopes": ("",)},
        {"roles": ('quo"te',)},
        {"scopes": (7,)},
        {"scopes": ("shop",), "public": True},
    ],
    ids=str,
)
def test_an_impossible_declaration_is_refused_by_name(declaration: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="view /x"):
        Gateway("g").view("/x", **declaration)(_x)


async def _x() -> Done:
    return Done(done=True)


def test_roles_are_found_where_the_settings_say() -> None:
    claims = {
        "roles": ["a", "b"],
        "realm_access": {"roles": ["c"]},
        "https://shop.test/roles": ["d"],
        "groups": "e f",
    }
    assert roles_of(claims, "roles") == {"a", "b"}
    assert roles_of(claims, "realm_access.roles") == {"c"}
    assert roles_of(claims, "https://shop.test/roles") == {"d"}
    assert roles_of(claims, "groups") == {"e", "f"}
    assert roles_of(claims, "nowhere.to.be") == roles_of(claims, "roles.a") == frozenset()
    for bad in ({"roles": {"a": True}}, {"roles": ["a", 1]}, {"roles": 7}):
        with pytest.raises(TokenRefused):
            roles_of(bad, "roles")
