"""What a sign-in asks of the provider, and the page it ends with: values that are made for one sign-in, parameters that
no setting changes, and nothing that another site could learn."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bff.edge.access.session import COOKIE

from .gateway import World, running
from .oidc_provider import CLIENT, SECRET, OidcProvider
from .served import served
from .test_signin import House, house_at


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with house_at(redis_url) as house:
        yield house


async def asked(world: World) -> dict[str, list[str]]:
    """The parameters with which a sign-in sends the browser to the provider."""
    answer = await world.client.get("/bff/login")
    assert answer.status_code == 303
    return parse_qs(urlsplit(answer.headers["location"]).query)


async def test_settings_cannot_change_what_protects_the_code(redis_url: str) -> None:
    provider = OidcProvider("")
    wished = {
        "response_type": "token",
        "grant_type": "password",
        "redirect_uri": "https://evil.test/callback",
        "client_id": "another",
        "scope": "everything",
        "state": "fixed",
        "nonce": "fixed",
        "code_challenge": "fixed",
        "code_challenge_method": "plain",
        "prompt": "consent",
    }
    async with served(provider.app) as issuer:
        provider.issuer = issuer
        oidc: dict[str, Any] = {"issuer": issuer, "client_id": CLIENT, "client_secret": SECRET}
        async with running(redis_url, oidc=oidc | {"authorize": wished}) as world:
            query = await asked(world)
            assert {name: query[name] for name in ("response_type", "client_id", "redirect_uri")} == {
                "response_type": ["code"],
                "client_id": [CLIENT],
                "redirect_uri": [f"{world.url}/bff/callback"],
            }
            assert query["code_challenge_method"] == ["S256"] and query["prompt"] == ["consent"]
            assert query["scope"] != ["everything"]
            for name in ("state", "nonce", "code_challenge"):
                assert query[name] != ["fixed"] and len(query[name]) == 1


async def test_every_sign_in_has_values_of_its_own_that_nobody_can_guess(redis_url: str) -> None:
    provider = OidcProvider("")
    async with served(provider.app) as issuer:
        provider.issuer = issuer
        oidc: dict[str, Any] = {"issuer": issuer, "client_id": CLIENT, "client_secret": SECRET}
        async with running(redis_url, oidc=oidc, limits={"login": "1000/minute"}) as world:
            flows = [await asked(world) for _ in range(20)]
    for name in ("state", "nonce", "code_challenge"):
        values = [query[name][0] for query in flows]
        assert len(set(values)) == len(flows), name
        # 43 characters of base64url hold 256 bits.
        assert all(re.search(r"[A-Za-z0-9_-]{43}$", value) for value in values), name
        shared = [letters[0] for letters in zip(*values, strict=True) if len(set(letters)) == 1]
        # The state has one dot, at a fixed place.
        assert shared in ([], ["."]), f"no other character of {name} is the same in every sign-in"


async def test_every_session_has_a_cookie_of_its_own_with_256_random_bits(house: House) -> None:
    values = []
    for _ in range(10):
        browser = house.browser()
        await browser.sign_in()
        values.append(browser.jar[COOKIE])
    assert len(set(values)) == len(values)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in values)
    assert all(len(set(letters)) > 1 for letters in zip(*values, strict=True))


async def test_the_page_after_a_sign_in_loads_nothing_and_sends_no_referrer(house: House) -> None:
    landed = await house.browser().sign_in("/bff/login?return=/orders")
    assert landed.headers["referrer-policy"] == "no-referrer"
    policy = dict(one.strip().split(" ", 1) for one in landed.headers["content-security-policy"].split(";"))
    assert policy == dict.fromkeys(("default-src", "frame-ancestors", "base-uri", "form-action"), "'none'")
    assert not re.search(r"<(script|img|link|iframe|style|object|form)\b|\bsrc=", landed.text)
    assert set(re.findall(r'(?:href="|url=)([^"]*)"', landed.text)) == {"/orders"}
