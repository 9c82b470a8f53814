"""The guard lets requests in by one order, whatever the endpoint: who asks, may they, from which page, how often."""

from __future__ import annotations

from typing import Any

import pytest

from bff import Principal, Problem
from bff.edge.access.authorization import Requirements
from bff.edge.endpoints.guard import Access, Guard, Limited
from bff.edge.state import state_of

SITE = "https://shop.test"


def person(**more: Any) -> Principal:
    return Principal("https://issuer.test", "ada", "token", 2e9, **more)


class World:
    """Notes what the guard does, in its order."""

    def __init__(self, who: Principal | None) -> None:
        self.did: list[str] = []
        self._who = who
        made: Any = Guard
        self.guard: Guard = made(self._authenticate, self, SITE)

    async def _authenticate(self, scope: Any, *, optional: bool = False) -> Principal | None:
        self.did.append("authenticate" + (", or nobody" if optional else ""))
        return self._who

    def caller(self, scope: Any, principal: Principal | None) -> str:
        return principal.subject if principal else "nobody"

    async def spend(self, route: str, limit: Any, who: str, *, times: int, cost: int) -> dict[str, str]:
        self.did.append(f"spend {cost} of {limit} × {times} on {route} for {who}")
        return {"ratelimit": "x"}


def asks(method: str = "GET", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": "/x", "headers": pairs}


async def test_a_request_goes_through_every_step_in_their_order() -> None:
    world, scope = World(person()), asks()
    access = Access("/x", limit="5/minute", times=3)
    who = await world.guard.admit_somebody(scope, access)
    assert await world.guard.spend(scope, who, access, cost=2) == {"ratelimit": "x"}
    assert world.did == ["authenticate", "spend 2 of 5/minute × 3 on /x for ada"]
    assert state_of(scope).route == "/x"


@pytest.mark.parametrize(
    ("who", "access", "scope", "status"),
    [
        (None, Access("/x"), asks(), 401),
        (person(), Access("/x", Requirements(frozenset({"shop"}))), asks(), 403),
        (person(session="s"), Access("/x"), asks("POST"), 403),
        (person(session="s"), Access("/x"), asks("POST", x_bff="1", origin="https://evil.test"), 403),
        (person(session="s"), Access("/x", own_site=True), asks(sec_fetch_site="cross-site"), 403),
    ],
    ids=["nobody", "no scope", "no header of ours", "another site", "another site's read"],
)
async def test_who_is_refused_has_spent_nothing(
    who: Principal | None, access: Access, scope: dict[str, Any], status: int
) -> None:
    world = World(who)
    with pytest.raises(Problem) as refused:
        await world.guard.admit_somebody(scope, access)
    assert refused.value.status == status
    assert world.did == ["authenticate"]


async def test_what_is_public_takes_nobody_and_what_is_the_same_for_all_asks_nobody() -> None:
    for who in (None, person()):
        world = World(who)
        assert await world.guard.admit(asks(), Access("/x", public=True)) is who
        assert world.did == ["authenticate, or nobody"]
    world = World(person())
    assert await world.guard.admit(asks(), Access("/x", public=True, anonymous=True)) is None
    assert world.did == []


async def test_an_application_without_principals_is_limited_by_address() -> None:
    world = World(person())
    called: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(state_of(scope).route or "")

    made: Any = Limited
    await made(world.guard, "/bff/login", app, "5/minute")(asks(), None, None)
    assert called == ["/bff/login"]
    assert world.did == ["spend 1 of 5/minute × 1 on /bff/login for nobody"]
