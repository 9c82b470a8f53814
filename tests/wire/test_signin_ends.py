"""Sign-ins and sign-outs with an attacker or a second party: a stolen cookie, a hostile provider, a script in the page,
a second tab, the next person at the same browser. Over real sockets."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from starlette.responses import HTMLResponse, JSONResponse

from bff.edge.access.session import COOKIE
from bff.edge.access.session_record import SessionKey
from bff.live.control import CONTROL
from bff.stores.keys import redis_key
from bff.stores.redis.client import RedisClient

from ..conftest import Valkey
from ..waiting import until
from .oidc_provider import SECRET, readable
from .test_signin import Browser, House, house_at, problem_of


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with house_at(redis_url) as house:
        yield house


def session(browser: Browser) -> str:
    key = SessionKey.read(browser.jar[COOKIE])
    assert key is not None
    return key.id


# ---- the answer to a sign-in


async def test_a_stolen_login_cookie_and_callback_do_not_work_a_second_time(house: House) -> None:
    browser, thief = house.browser(), house.browser()
    callback = await browser.begin()
    thief.jar, thief.rules = dict(browser.jar), dict(browser.rules)
    # The thief also has a code of another sign-in, which the provider would accept.
    other = await thief.client.get((await house.browser().get("/bff/login")).headers["location"])
    query = parse_qs(urlsplit(str(other.headers["location"])).query)
    assert (await browser.ask("GET", callback, cross_site=True)).status_code == 200
    left = len(house.provider.codes)
    with_code = callback.replace(parse_qs(urlsplit(callback).query)["code"][0], query["code"][0])
    for address in (callback, with_code):
        answer = await thief.ask("GET", address)
        assert "already over" in problem_of(answer, 400, "sign-in-failed")
    assert len(house.provider.codes) == left, "the provider received no code"


async def test_of_many_callbacks_of_one_sign_in_at_once_one_succeeds(house: House) -> None:
    browser = house.browser()
    callback = await browser.begin()
    cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in browser.jar.items())}
    answers = await asyncio.gather(*(browser.client.get(callback, headers=cookie) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7


async def test_a_sign_in_can_be_retried_after_the_provider_was_away(house: House) -> None:
    browser = house.browser()
    callback = await browser.begin("/bff/login?return=/orders")
    house.provider.token_status = 503
    for _ in range(2):
        problem_of(await browser.ask("GET", callback, cross_site=True), 503, "unavailable")
    house.provider.token_status = 200
    assert "url=/orders" in (await browser.ask("GET", callback, cross_site=True)).text
    assert (await browser.get("/bff/user")).status_code == 200


async def test_a_sign_in_can_be_retried_after_redis_was_away(own_valkey: Valkey) -> None:
    async with house_at(own_valkey.url) as house:
        browser = house.browser()
        callback = await browser.begin()
        own_valkey.stop()
        answer = await browser.ask("GET", callback, cross_site=True)
        problem_of(answer, 503, "unavailable")
        assert "set-cookie" not in answer.headers and house.provider.codes, "the code was not spent"
        own_valkey.start()

        async def works() -> bool:
            return (await browser.ask("GET", callback, cross_site=True)).status_code == 200

        await until(works)
        assert (await browser.get("/bff/user")).status_code == 200


# ---- the answers of a provider


@pytest.mark.parametrize(
    ("answer", "status", "logged"),
    [
        (lambda form: JSONResponse({"error": "invalid_client"}, 401), 502, "401 invalid_client"),
        (lambda form: JSONResponse({"error": "unauthorized_client"}, 400), 502, "400 unauthorized_client"),
        (
            lambda form: JSONResponse(
                {
                    "error": "invalid_client",
                    "error_description": "AADSTS7000215: wrong secret\u202e\x1b[2J\nx",
                },
                401,
            ),
            502,
            "AADSTS7000215: wrong secret",
        ),
        (
            lambda form: JSONResponse(
                {
                    "error": "invalid_grant",
                    "error_description": f"{form['code']} {form['code_verifier']} {SECRET}",
                },
                400,
            ),
            400,
            "[withheld] [withheld] [withheld]",
        ),
        (lambda form: HTMLResponse("<h1>Bad Gateway</h1>", 502), 503, "502 (text/html)"),
        (lambda form: HTMLResponse("<h1>Welcome</h1>", 200), 503, "200 (text/html)"),
        (lambda form: JSONResponse({"error": "server_error"}, 500), 503, "500 (server_error)"),
        (lambda form: JSONResponse({"access_token": "a", "token_type": "DPoP"}), 502, "no bearer token"),
        (lambda form: JSONResponse({"access_token": "a", "token_type": "Bearer"}), 502, "no ID token"),
    ],
)
async def test_a_failed_exchange_is_logged_with_its_reason_and_without_secrets(
    house: House, caplog: pytest.LogCaptureFixture, answer: Any, status: int, logged: str
) -> None:
    caplog.set_level(logging.INFO, "bff.session")
    seen: dict[str, str] = {}

    def spoilt(form: dict[str, str]) -> Any:
        seen.update(form)
        return answer(form)

    house.provider.token_answer = spoilt
    got = await house.browser().sign_in()
    assert got.status_code == status
    lines = [one.getMessage() for one in caplog.records if one.name == "bff.session"]
    assert any(logged in line for line in lines), lines
    everything = "".join(lines) + got.text
    assert all(secret not in everything for secret in (seen["code"], seen["code_verifier"], SECRET))
    assert "".join(lines).isprintable(), "one line, and no control characters"


async def test_a_refresh_whose_answer_is_for_another_person_ends_the_session(house: House) -> None:
    house.provider.life = 1
    browser = house.browser()
    await browser.sign_in()
    house.provider.refreshed = {"id_token": house.provider.id_token(sub="mallory", nonce="x")}
    end = time.monotonic() + 20
    while (answer := await browser.get("/token")).json() is not None and time.monotonic() < end:
        await asyncio.sleep(0.05)
    assert answer.json() is None, "nobody is served with another person's token"
    assert len(house.ended) == 1


async def test_a_refresh_with_an_id_token_of_the_same_person_keeps_the_session(house: House) -> None:
    house.provider.life = 1
    browser = house.browser()
    await browser.sign_in()
    for id_token in (house.provider.id_token(), "not.a.token", "e.n.c.r.d"):
        house.provider.refreshed, redeemed = {"id_token": id_token}, len(house.provider.redeemed)
        end = time.monotonic() + 20
        while len(house.provider.redeemed) == redeemed and time.monotonic() < end:
            await browser.get("/token")
            await asyncio.sleep(0.05)
        assert (await browser.get("/token")).json() is not None


# ---- sessions that a sign-in replaces


async def test_a_new_sign_in_ends_the_old_session_whose_strict_cookie_is_not_sent(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    old = session(browser)
    await browser.sign_in()
    assert house.ended == [old] and session(browser) != old


async def test_of_two_tabs_that_sign_in_at_once_the_last_session_stays(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    began = session(browser)
    tabs = [await browser.begin(f"/bff/login?return=/{number}") for number in range(3)]
    sessions = []
    for callback in tabs:
        assert (await browser.ask("GET", callback, cross_site=True)).status_code == 200
        sessions.append(session(browser))
    assert sorted(house.ended) == sorted([began, *sessions[:2]])
    assert set(browser.jar) == {COOKIE}
    assert (await browser.get("/bff/user")).status_code == 200


async def test_a_failed_sign_in_ends_no_session(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    house.provider.bend = lambda claims: claims | {"nonce": "another"}
    problem_of(await browser.sign_in(), 502, "sign-in-failed")
    assert house.ended == []
    assert (await browser.get("/bff/user")).status_code == 200


# ---- signing out


async def test_after_a_logout_the_page_receives_an_address_of_this_site_and_no_token(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    out = await browser.post("/bff/logout")
    assert out.headers["clear-site-data"] == '"cache"'
    redirect = out.json()["redirect"]
    assert redirect.startswith("/bff/logout?to=") and "eyJ" not in out.text + json.dumps(dict(out.headers))
    # A script that follows it could read the target, a page of another site must not use it, and a HEAD request must
    # not use it up.
    for headers in (
        {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "sec-fetch-site": "same-origin"},
        {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe", "sec-fetch-site": "same-origin"},
        {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "cross-site"},
        {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "same-site"},
    ):
        problem_of(await browser.ask("GET", house.site + redirect, headers=headers), 403, "csrf")
    problem = await browser.ask("HEAD", house.site + redirect)
    assert problem.status_code == 405 and "location" not in problem.headers
    own = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "same-origin"}
    left = await browser.ask("GET", house.site + redirect, headers=own)
    assert left.status_code == 303 and left.headers["cache-control"] == "no-store"
    query = parse_qs(urlsplit(left.headers["location"]).query)
    assert readable(query["id_token_hint"][0])["sub"] == "ada"
    again = await browser.ask("GET", house.site + redirect, headers=own)
    assert (again.status_code, again.headers["location"]) == (303, "/")


@pytest.mark.parametrize("to", ["", "?to=", "?to=x", "?to=" + "a" * 43, "?to=//evil.test", "?other=1"])
async def test_an_invalid_address_after_a_logout_leads_to_the_start_page(house: House, to: str) -> None:
    answer = await house.browser().get(f"/bff/logout{to}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_a_logout_with_a_made_up_cookie_writes_nothing(house: House, redis_url: str) -> None:
    browser = house.browser()
    async with RedisClient(redis_url, timeout=10) as link, RedisClient(redis_url, timeout=10) as watching:
        pubsub = watching.dedicated(timeout=5).pubsub()
        await pubsub.subscribe(CONTROL)
        await pubsub.get_message(timeout=5)
        for _ in range(10):
            browser.jar, browser.rules = {COOKIE: SessionKey.new().value}, {COOKIE: ""}
            answer = await browser.post("/bff/logout")
            assert answer.json() == {"redirect": "/"} and not browser.jar, (
                "the cookie without a session is removed"
            )
        written = [key for key in await link.call("KEYS", "*") if b":rate:" not in key]
        assert written == [], "except for the limit of the address"
        assert house.ended == []
        await link.call("PUBLISH", CONTROL, "last")
        message = await pubsub.get_message(timeout=5)
        assert message is not None and message["data"] == b"last"
        await pubsub.aclose()


async def test_a_logout_while_redis_is_away_is_503_and_says_that_the_session_goes_on(
    own_valkey: Valkey,
) -> None:
    async with house_at(own_valkey.url) as house:
        browser = house.browser()
        await browser.sign_in()
        own_valkey.stop()
        assert "still signed in" in problem_of(await browser.post("/bff/logout"), 503, "unavailable")
        assert COOKIE in browser.jar and house.ended == []
        url, token = f"{house.site}/bff/backchannel-logout", house.provider.logout_token()
        answer = await browser.client.post(url, data={"logout_token": token})
        problem_of(answer, 503, "unavailable")
        assert answer.headers["retry-after"]


# ---- the provider's own logout


@pytest.mark.parametrize("years", [1, 50])
async def test_a_logout_token_that_expires_in_years_is_accepted_for_minutes_only(
    house: House, redis_url: str, years: int
) -> None:
    now = int(time.time())
    browser = house.browser()
    await browser.sign_in()

    async def tell(token: str) -> int:
        url = f"{house.site}/bff/backchannel-logout"
        return (await browser.client.post(url, data={"logout_token": token})).status_code

    ends = now + years * 365 * 86_400
    assert await tell(house.provider.logout_token(iat=now - 700, exp=ends)) == 400
    assert (await browser.get("/bff/user")).status_code == 200
    token = house.provider.logout_token(iat=now - 500, exp=ends)
    assert await tell(token) == 200
    assert await tell(token) == 400, "each counts once"
    async with RedisClient(redis_url, timeout=10) as link:
        (key,) = await link.call("KEYS", redis_key("logout:*", "seen"))
        # As long as the token would be accepted: 600 s and the leeway from its issue.
        assert 90_000 <= await link.call("PTTL", key) <= 120_000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/" + "a" * 1023, 303),
        ("/" + "a" * 1024, 400),
        ("/" + "é" * 511, 303),
        ("/" + "é" * 512, 400),
        ("/" + "🛒" * 255, 303),
        ("/" + "🛒" * 256, 400),
        ("/" + '"' * 1023, 303),
        ("/" + '"' * 200, 303),
    ],
    ids=lambda given: f"{given[:3]} {len(given)}" if isinstance(given, str) else str(given),
)
async def test_a_return_path_is_remembered_or_refused_at_once(house: House, path: str, status: int) -> None:
    browser = house.browser()
    await browser.sign_in()
    address = f"/bff/login?{urlencode({'return': path})}"
    answer = await browser.get(address)
    assert answer.status_code == status
    for line in answer.headers.get_list("set-cookie"):
        # RFC 6265 section 6.1: the sizes that browsers store at least; most store no more.
        assert len(line.partition(";")[0]) <= 4096
    if status == 303:
        tabs = [await browser.begin(address) for _ in range(4)]
        for callback in tabs:
            landed = await browser.ask("GET", callback, cross_site=True)
            assert html.escape(path) in landed.text
            assert all(len(one.partition(";")[0]) <= 4096 for one in landed.headers.get_list("set-cookie"))
