"""What a browser cached of one person's screens is not shown to the next person: in a real Chromium, with its own HTTP
cache.

`private, no-cache` alone lets a script read it: fetch with `force-cache` does not revalidate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import BrowserContext, Page

from .test_signin_chromium import context as context
from .test_stream_tokens import Bench, bench


@pytest.fixture
async def here(redis_url: str) -> AsyncIterator[Bench]:
    async with bench(redis_url) as here:
        yield here


async def sign_in(here: Bench, page: Page, who: str) -> None:
    here.provider.subject = who
    await page.goto(f"{here.site}/bff/login?return=/page")
    await page.wait_for_url(f"{here.site}/page")


async def mine(page: Page, cache: str) -> str:
    """What a script of the page gets, or the status."""
    found: str = await page.evaluate(
        "cache => fetch('/api/mine', {cache, mode: 'same-origin'})"
        ".then(a => a.ok ? a.json() : String(a.status), () => 'nothing')",
        cache,
    )
    return found


async def log_out(here: Bench, page: Page) -> None:
    out = "fetch('/bff/logout', {method: 'POST', headers: {'X-BFF': '1'}}).then(a => a.json())"
    assert (await page.evaluate(out))["redirect"].startswith("/bff/logout?to=")


async def test_after_a_logout_nothing_of_the_last_person_is_left(
    here: Bench, context: BrowserContext
) -> None:
    page = await context.new_page()
    await sign_in(here, page, "ada")
    assert await mine(page, "default") == "ada"
    assert await mine(page, "only-if-cached") == "ada", "it is cached while she is signed in"
    await log_out(here, page)
    assert await mine(page, "only-if-cached") == "nothing"
    assert await mine(page, "force-cache") == "401"
    await sign_in(here, page, "grace")
    assert await mine(page, "force-cache") == "grace"


async def test_a_sign_in_after_another_persons_session_expired_shows_nothing_of_that_person(
    here: Bench, context: BrowserContext
) -> None:
    page = await context.new_page()
    await sign_in(here, page, "ada")
    assert await mine(page, "default") == "ada"
    async with httpx.AsyncClient(timeout=60) as client:
        told = {"logout_token": here.provider.logout_token()}
        assert (await client.post(f"{here.site}/bff/backchannel-logout", data=told)).status_code == 200
    await sign_in(here, page, "grace")
    assert await mine(page, "only-if-cached") == "nothing"
    assert await mine(page, "force-cache") == "grace"


async def test_a_session_that_replaces_another_by_cookie_alone_shows_nothing_of_the_other(
    here: Bench, context: BrowserContext
) -> None:
    page = await context.new_page()
    await sign_in(here, page, "ada")
    assert await mine(page, "default") == "ada"
    kept = [one for one in await context.cookies(here.site) if one["name"] == "__Host-bff"]
    other = await context.browser.new_context()  # type: ignore[union-attr]
    elsewhere = await other.new_page()
    await sign_in(here, elsewhere, "grace")
    (new,) = [one for one in await other.cookies(here.site) if one["name"] == "__Host-bff"]
    await context.clear_cookies()
    await context.add_cookies([{**kept[0], "value": new["value"]}])  # type: ignore[list-item, misc]
    assert await mine(page, "force-cache") == "grace", "Vary separates the two sessions"
