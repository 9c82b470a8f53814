"""A person's own sessions: listed, and ended one by one or all at once, over real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from bff import Gateway, Principal
from bff.edge.access.session import COOKIE
from bff.edge.access.session_record import SessionKey

from .signing_in import Place, signing_in
from .test_signin import Browser, problem_of

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = "Mozilla/5.0 (Linux; Android 10) AppleWebKit/537.36 (KHTML) Chrome/140 Mobile Safari/537.36 EdgA/140"


def declare() -> Gateway:
    gateway = Gateway("sessions")

    @gateway.view("/api/me")
    async def me(who: Principal) -> str:
        return who.subject

    return gateway


@pytest.fixture
async def place(redis_url: str) -> AsyncIterator[Place]:
    async with signing_in(redis_url, declare(), {"": {}}) as place:
        yield place


async def signed_in(place: Place, agent: str = FIREFOX) -> Browser:
    browser = place.browser()
    callback = await browser.begin()
    assert (await browser.ask("GET", callback, headers={"user-agent": agent})).status_code == 200
    return browser


async def end(browser: Browser, path: str = "", **headers: str) -> int:
    url = f"{browser.site}/bff/sessions{path}"
    return (await browser.ask("DELETE", url, headers={"x-bff": "1"} | headers)).status_code


async def test_a_person_sees_where_they_are_signed_in(place: Place) -> None:
    began = time.time()
    here, there = await signed_in(place), await signed_in(place, EDGE)
    place.providers[""].subject = "grace"
    await signed_in(place, "curl/8")
    answer = await here.get("/bff/sessions")
    assert answer.headers["cache-control"] == "no-store"
    found = {one["browser"]: one for one in answer.json()["sessions"]}
    assert set(found) == {"Firefox on Windows", "Edge on Android"}
    assert [one["current"] for one in found.values()].count(True) == 1
    assert found["Firefox on Windows"]["current"]
    for one in found.values():
        assert began - 5 < one["began"] <= time.time() + 5 and one["used"] >= one["began"] - 1
    everything = answer.text
    for browser in (here, there):
        key = SessionKey.read(browser.jar[COOKIE])
        assert key is not None and key.value not in everything and key.id not in everything


async def test_one_session_is_ended_and_its_stream_with_it(place: Place) -> None:
    here, there = await signed_in(place), await signed_in(place, EDGE)
    other = next(one for one in (await here.get("/bff/sessions")).json()["sessions"] if not one["current"])
    cookie = {"cookie": f"{COOKIE}={there.jar[COOKIE]}"}
    async with place.client.stream("GET", f"{place.site}/bff/live", headers=cookie) as stream:
        lines = stream.aiter_lines()
        async with asyncio.timeout(30):
            await anext(lines)
            assert await end(here, f"/{other['id']}") == 204
            left = "".join([line async for line in lines])
    assert '"reason":"logout"' in left.replace(" ", "")
    problem_of(await there.get("/api/me"), 401, "unauthenticated")
    assert (await here.get("/api/me")).status_code == 200
    assert await end(here, f"/{other['id']}") == 404


async def test_a_person_who_ends_their_own_session_is_signed_out(place: Place) -> None:
    here = await signed_in(place)
    (own,) = (await here.get("/bff/sessions")).json()["sessions"]
    assert own["current"] and await end(here, f"/{own['id']}") == 204
    assert COOKIE not in here.jar


async def test_signing_out_everywhere_ends_every_session_of_the_person_and_no_other(place: Place) -> None:
    mine = [await signed_in(place) for _ in range(4)]
    place.providers[""].subject = "grace"
    hers = await signed_in(place)
    assert await end(mine[0]) == 204
    assert COOKIE not in mine[0].jar
    for browser in mine[1:]:
        problem_of(await browser.get("/api/me"), 401, "unauthenticated")
    assert (await hers.get("/api/me")).status_code == 200
    assert len((await hers.get("/bff/sessions")).json()["sessions"]) == 1


async def test_nobody_ends_a_session_of_another_person_or_from_another_site(place: Place) -> None:
    here = await signed_in(place)
    (own,) = (await here.get("/bff/sessions")).json()["sessions"]
    place.providers[""].subject = "grace"
    hers = await signed_in(place)
    assert await end(hers, f"/{own['id']}") == 404
    assert await end(hers, "/" + "0" * 32) == 404
    assert await end(here, "", **{"x-bff": "0"}) == 403
    assert await end(here, "", **{"sec-fetch-site": "cross-site"}) == 403
    assert await end(here, "", origin="https://evil.test") == 403
    assert await end(place.browser()) == 401
    read = await here.ask("GET", f"{place.site}/bff/sessions", headers={"sec-fetch-site": "cross-site"})
    assert read.status_code == 403
    assert (await here.get("/api/me")).status_code == 200


async def test_no_cookie_of_a_session_is_in_its_listing_or_in_the_log(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    here = await signed_in(place)
    listed = json.dumps((await here.get("/bff/sessions")).json())
    assert here.jar[COOKIE] not in listed + caplog.text
