"""Routes that need a recent or a strong sign-in (RFC 9470), for browsers and for bearer tokens, over real sockets."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bff import Gateway, Principal, Router, Upstream
from tests.unit.edge.access.issuing import ec_key, jwk, sign

from .signing_in import Place, signing_in
from .test_signin import Browser, problem_of
from .upstream import http, raw_server

KEY = ec_key()


class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    """The service of the forward."""


def declare() -> Gateway:
    gateway = Gateway("strict")
    vault = Router("/api/vault", fresh=300)
    done: list[str] = []

    @gateway.view("/api/me")
    async def me(who: Principal) -> str:
        return who.subject

    @vault.view("/balance")
    async def balance(who: Principal) -> str:
        return who.subject

    @vault.view("/help", fresh=math.inf)
    async def help_page() -> str:
        return "help"

    @vault.command("/pay", acr=("gold", "silver"))
    async def pay(who: Principal) -> int:
        done.append(who.subject)
        return len(done)

    vault.forward("/files/{name}", Shelf(), "/v1/{name}", methods=("GET", "PUT"))
    gateway.include(vault)
    return gateway


@pytest.fixture
async def place(redis_url: str) -> AsyncIterator[Place]:
    async def answer(path: str, head: bytes, writer: Any) -> None:
        writer.write(http(200, json.dumps({"keys": [jwk(KEY, "k1")]}).encode()))

    async with raw_server(answer) as keys:
        issuer = {
            "issuer": "https://issuer.test",
            "audience": "shop",
            "jwks_uri": f"http://127.0.0.1:{keys.port}/keys",
        }
        shelf = {"shelf": {"url": f"http://127.0.0.1:{keys.port}"}}
        async with signing_in(redis_url, declare(), {"": {}}, issuers=[issuer], upstreams=shelf) as place:
            yield place


def authenticated(place: Place, *, ago: float, acr: str | None = None) -> None:
    """From now on the provider says that a person proved who they are this long ago, in this way."""
    facts = {"auth_time": int(time.time() - ago), "acr": acr}
    place.providers[""].authenticated = {name: one for name, one in facts.items() if one is not None}


def challenged(answer: httpx.Response) -> dict[str, Any]:
    problem_of(answer, 401, "step-up-required")
    assert answer.headers["cache-control"] == "no-store"
    header = answer.headers["www-authenticate"]
    assert header.startswith('Bearer error="insufficient_user_authentication", error_description="')
    found: dict[str, Any] = answer.json() | {"header": dict(re.findall(r'(\w+)="([^"]*)"', header))}
    return found


async def pay(browser: Browser, key: str = "k") -> httpx.Response:
    headers = {"x-bff": "1", "idempotency-key": f'"{key}"'}
    return await browser.ask("POST", f"{browser.site}/api/vault/pay", headers=headers)


async def test_a_browser_with_an_old_sign_in_is_sent_to_sign_in_again_and_then_served(place: Place) -> None:
    browser = place.browser()
    authenticated(place, ago=1000)
    await browser.sign_in()
    assert (await browser.get("/api/me")).status_code == 200
    assert (await browser.get("/api/vault/help")).status_code == 200
    problem = challenged(await browser.get("/api/vault/balance"))
    assert problem["header"]["max_age"] == "300" and problem["login"] == "/bff/login?max_age=300"
    assert problem["max_age"] == 300 and "acr_values" not in problem

    to_provider = await browser.get(problem["login"] + "&return=/vault")
    query = parse_qs(urlsplit(to_provider.headers["location"]).query)
    assert query["max_age"] == ["300"]
    authenticated(place, ago=2)
    assert "url=/vault" in (await browser.sign_in(problem["login"] + "&return=/vault")).text
    assert (await browser.get("/api/vault/balance")).json() == "ada"


async def test_a_provider_that_asks_nobody_signs_nobody_in_and_causes_no_loop(place: Place) -> None:
    browser = place.browser()
    authenticated(place, ago=1000, acr="bronze")
    await browser.sign_in()
    login = challenged(await pay(browser))["login"]
    assert login == "/bff/login?max_age=300&acr_values=gold%20silver"
    assert "new proof" in problem_of(await browser.sign_in(login), 400, "sign-in-failed")
    authenticated(place, ago=1, acr="bronze")
    assert "stronger" in problem_of(await browser.sign_in(login), 400, "sign-in-failed")
    assert (await browser.get("/api/me")).status_code == 200, "the session goes on"


async def test_a_command_that_was_challenged_was_not_carried_out_and_can_be_taken_up(place: Place) -> None:
    browser = place.browser()
    authenticated(place, ago=1, acr="bronze")
    await browser.sign_in()
    login = challenged(await pay(browser, "one"))["login"]
    authenticated(place, ago=1, acr="silver")
    await browser.sign_in(login)
    first = await pay(browser, "one")
    assert (first.status_code, first.json()) == (200, 1) and "idempotency-replayed" not in first.headers
    assert (await pay(browser, "one")).headers["idempotency-replayed"] == "true"


async def test_a_forward_needs_it_for_every_method(place: Place) -> None:
    browser = place.browser()
    authenticated(place, ago=1000)
    await browser.sign_in()
    url = f"{place.site}/api/vault/files/a"
    for method in ("GET", "PUT"):
        login = challenged(await browser.ask(method, url, headers={"x-bff": "1"}))["login"]
    authenticated(place, ago=1)
    await browser.sign_in(login)
    for method in ("GET", "PUT"):
        assert (await browser.ask(method, url, headers={"x-bff": "1"})).status_code == 200


async def test_the_stream_and_its_snapshot_need_what_the_gateway_declares(redis_url: str) -> None:
    async with signing_in(redis_url, Gateway("strict", fresh=300), {"": {}}) as place:
        browser = place.browser()
        authenticated(place, ago=1000)
        await browser.sign_in()
        challenged(await browser.get("/bff/live"))
        login = challenged(await browser.get("/bff/live/snapshot"))["login"]
        authenticated(place, ago=1)
        await browser.sign_in(login)
        assert (await browser.get("/bff/live/snapshot")).status_code == 200


async def test_a_sign_in_of_which_nothing_is_known_is_neither_recent_nor_strong(place: Place) -> None:
    browser = place.browser()
    await browser.sign_in()
    challenged(await browser.get("/api/vault/balance"))
    challenged(await pay(browser))


async def test_a_person_at_a_browser_gets_a_page_that_leads_to_the_sign_in(place: Place) -> None:
    browser = place.browser()
    authenticated(place, ago=1000)
    await browser.sign_in()
    headers = {"sec-fetch-mode": "navigate", "accept": "text/html"}
    page = await browser.ask("GET", f"{place.site}/api/vault/balance?x=1", headers=headers)
    assert page.status_code == 401 and "Please sign in again" in page.text
    assert 'href="/bff/login?max_age=300&amp;return=/api/vault/balance%3Fx%3D1"' in page.text


@pytest.mark.parametrize(
    ("facts", "balance", "paid"),
    [
        ({"auth_time": -10, "acr": "gold"}, 200, 200),
        ({"auth_time": -10, "acr": "bronze"}, 200, 401),
        ({"auth_time": -10}, 200, 401),
        ({"auth_time": -1000, "acr": "gold"}, 401, 401),
        ({"acr": "gold"}, 401, 401),
        ({"acr": ["gold"], "auth_time": "-10"}, 401, 401),
        ({}, 401, 401),
    ],
    ids=str,
)
async def test_bearer_tokens_count_by_their_own_claims(
    place: Place, facts: dict[str, Any], balance: int, paid: int
) -> None:
    now = int(time.time())
    claims = {"iss": "https://issuer.test", "aud": "shop", "sub": "api", "iat": now, "exp": now + 60} | facts
    if isinstance(facts.get("auth_time"), int):
        claims["auth_time"] = now + facts["auth_time"]
    headers = {"authorization": f"Bearer {sign(KEY, claims)}", "idempotency-key": f'"{facts}"'}
    seen = await place.client.get(f"{place.site}/api/vault/balance", headers=headers)
    done = await place.client.post(f"{place.site}/api/vault/pay", headers=headers)
    assert (seen.status_code, done.status_code) == (balance, paid)
    for answer in (seen, done):
        if answer.status_code == 401:
            assert "login" not in challenged(answer), "the client signs in elsewhere"


async def test_the_description_names_what_a_route_needs(place: Place) -> None:
    paths = (await place.client.get(f"{place.site}/openapi.json")).json()["paths"]
    assert paths["/api/vault/balance"]["get"]["x-fresh"] == 300
    assert paths["/api/vault/pay"]["post"]["x-acr"] == ["gold", "silver"]
    assert "x-fresh" not in paths["/api/vault/help"]["get"]
    asked = {one["name"] for one in paths["/bff/login"]["get"]["parameters"]}
    assert asked == {"return", "max_age", "acr_values", "prompt", "login_hint"}


@pytest.mark.parametrize(
    "query",
    [
        "max_age=-1",
        "max_age=1.5",
        "max_age=",
        "max_age=9999999",
        "max_age=1&max_age=2",
        "prompt=none",
        "prompt=login%20consent",
        "acr_values=",
        "acr_values=a%0ab",
        "acr_values=" + "a" * 300,
        "login_hint=" + "a" * 256,
        "login_hint=%00",
    ],
)
async def test_a_sign_in_with_parameters_that_cannot_be_read_is_refused(place: Place, query: str) -> None:
    problem_of(await place.browser().get(f"/bff/login?{query}"), 400, "invalid-request")


async def test_parameters_of_a_sign_in_reach_the_provider(place: Place) -> None:
    answer = await place.browser().get("/bff/login?prompt=login&login_hint=ada%40shop.test&acr_values=a%20b")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (query["prompt"], query["login_hint"], query["acr_values"]) == (
        ["login"],
        ["ada@shop.test"],
        ["a b"],
    )
