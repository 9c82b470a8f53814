"""The guard takes every request through the same steps: authenticate, authorize, CSRF check, rate limit."""

from __future__ import annotations

from typing import Any

import pytest

from bff import Principal, Problem
from bff.edge.access.authorization import Requirements
from bff.edge.endpoints.guard import Access, Guard
from bff.edge.state import state_of

SITE = "https://shop.test"


def person(**more: Any) -> Principal:
    return Principal("https://issuer.test", "ada", "token", 2e9, **more)


class Recorder:
    """Records what the guard does, in order."""

    def __init__(self, who: Principal | None) -> None:
        self.steps: list[str] = []
        self._who = who
        made: Any = Guard
        self.guard: Guard = made(self._authenticate, self, SITE)

    async def _authenticate(self, scope: Any, *, optional: bool = False) -> Principal | None:
        self.steps.append("authenticate" + (", or nobody" if optional else ""))
        return self._who

    def caller(self, scope: Any, principal: Principal | None) -> str:
        return principal.subject if principal else "nobody"

    async def spend(self, route: str, limit: Any, who: str, *, times: int, cost: int) -> dict[str, str]:
        self.steps.append(f"spend {cost} of {limit} × {times} on {route} for {who}")
        return {"ratelimit": "x"}


def asks(method: str = "GET", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": "/x", "headers": pairs}


async def test_the_steps_run_in_order() -> None:
    recorder, scope = Recorder(person()), asks()
    access = Access("/x", limit="5/minute", times=3)
    who = await recorder.guard.admit_authenticated(scope, access)
    assert await recorder.guard.spend(scope, who, access, cost=2) == {"ratelimit": "x"}
    assert recorder.steps == ["authenticate", "spend 2 of 5/minute × 3 on /x for ada"]
    assert state_of(scope).route == "/x"


@pytest.mark.parametrize(
    ("who", "access", "scope", "status"),
    [
        (None, Access("/x"), asks(), 401),
        (person(), Access("/x", Requirements(frozenset({"shop"}))), asks(), 403),
        (person(session="s"), Access("/x"), asks("POST"), 403),
        (person(session="s"), Access("/x"), asks("POST", x_bff="1", origin="https://evil.test"), 403),
        (person(session="s"), Access("/x", same_origin=True), asks(sec_fetch_site="cross-site"), 403),
        (None, Access("/x", own_page=True), asks("POST"), 401),
    ],
    ids=[
        "no credentials",
        "no scope",
        "no X-BFF header",
        "another site's write",
        "another site's read",
        "nobody at a private route",
    ],
)
async def test_a_refused_request_spends_no_limit(
    who: Principal | None, access: Access, scope: dict[str, Any], status: int
) -> None:
    recorder = Recorder(who)
    with pytest.raises(Problem) as refused:
        await recorder.guard.admit_authenticated(scope, access)
    assert refused.value.status == status
    assert recorder.steps == ["authenticate"]


async def test_a_public_route_serves_callers_without_credentials_and_an_anonymous_one_ignores_them() -> None:
    for who in (None, person()):
        recorder = Recorder(who)
        assert await recorder.guard.admit(asks(), Access("/x", public=True)) is who
        assert recorder.steps == ["authenticate, or nobody"]
    recorder = Recorder(person())
    assert await recorder.guard.admit(asks(), Access("/x", public=True, anonymous=True)) is None
    assert recorder.steps == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"x_bff": "1"}, None), ({}, 403), ({"x_bff": "1", "sec_fetch_site": "cross-site"}, 403)],
)
async def test_a_write_without_credentials_may_have_to_come_from_the_sites_own_page(
    headers: dict[str, str], status: int | None
) -> None:
    access = Access("/x", public=True, own_page=True)
    recorder, scope = Recorder(None), asks("POST", **headers)
    if status is None:
        assert await recorder.guard.admit(scope, access) is None
        return
    with pytest.raises(Problem) as refused:
        await recorder.guard.admit(scope, access)
    assert refused.value.status == status
    # A bearer token is nothing that another site's page could send.
    assert await Recorder(person()).guard.admit(asks("POST"), access) is not None


async def test_an_anonymous_route_is_limited_by_address() -> None:
    recorder, scope = Recorder(person()), asks()
    access = Access("/bff/login", anonymous=True, limit="5/minute")
    assert await recorder.guard.admit_limited(scope, access) == (None, {"ratelimit": "x"})
    assert state_of(scope).route == "/bff/login"
    assert recorder.steps == ["spend 1 of 5/minute × 1 on /bff/login for nobody"]


async def test_the_401_names_the_sign_in_below_the_sites_prefix() -> None:
    guard: Any = Guard
    below = guard(Recorder(None)._authenticate, None, f"{SITE}/desk")
    with pytest.raises(Problem) as refused:
        await below.admit(asks(), Access("/x"))
    assert "Sign in at /desk/bff/login," in refused.value.detail
