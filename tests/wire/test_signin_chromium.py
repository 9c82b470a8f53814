"""The sign-in in a real Chromium, with a provider on another site: the browser applies its real cookie rules."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import BrowserContext, async_playwright

from bff.edge.access.session import COOKIE

from ..programs import program
from ..waiting import GUARD
from .test_signin import House, house_at


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    # localhost and 127.0.0.1 are two sites; two ports of one host would be one site.
    async with house_at(redis_url, host="localhost") as house:
        yield house


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        context = await browser.new_context()
        context.set_default_timeout(GUARD * 1000)
        yield context
        await browser.close()


async def test_after_a_cross_site_sign_in_the_next_page_has_the_strict_cookie(
    house: House, context: BrowserContext
) -> None:
    page = await context.new_page()
    seen: list[tuple[str, bool]] = []

    async def note(request: object) -> None:
        headers = await request.all_headers()  # type: ignore[attr-defined]
        seen.append((request.url, COOKIE + "=" in headers.get("cookie", "")))  # type: ignore[attr-defined]

    page.on("request", note)
    # Only a navigation from a page of the other site counts as cross-site; an address that is typed in does not.
    house.provider.asks = True
    await page.goto(f"{house.site}/bff/login?return=/token%3Fmark%3D1")
    await page.get_by_text("Sign in as Ada").click()
    await page.wait_for_url(f"{house.site}/token?mark=1")
    assert '"token":"access-0"' in await page.inner_text("body")
    assert any(url.startswith(house.provider.issuer) for url, _ in seen), (
        "the navigation went through the other site"
    )
    assert not any(had for url, had in seen if "/bff/callback" in url)

    cookies = {cookie["name"]: cookie for cookie in await context.cookies(house.site)}
    assert set(cookies) == {COOKIE}, "the cookie of the flow is removed"
    kept = cookies[COOKIE]
    assert kept["httpOnly"] and kept["secure"] and kept["sameSite"] == "Strict" and kept["path"] == "/"
    assert await page.evaluate("document.cookie") == ""

    user = await page.evaluate("fetch('/bff/user').then(answer => answer.json())")
    assert user["sub"] == "ada"
    out = "fetch('/bff/logout', {method: 'POST', headers: %s}).then(answer => answer.status)"
    assert await page.evaluate(out % "{}") == 403
    assert await page.evaluate(out % "{'X-BFF': '1'}") == 200
    assert await page.evaluate("fetch('/bff/user').then(answer => answer.status)") == 401


async def test_a_page_of_another_site_can_neither_sign_out_nor_read_the_user(
    house: House, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(f"{house.site}/bff/login?return=/token")
    await page.wait_for_url(f"{house.site}/token")
    evil = await context.new_page()
    await evil.goto(f"{house.provider.issuer}/keys")
    for attack in (
        f"fetch('{house.site}/bff/user', {{credentials: 'include'}}).then(a => a.text(), () => 'refused')",
        f"fetch('{house.site}/bff/logout', {{method: 'POST', credentials: 'include', "
        "headers: {'X-BFF': '1'}}).then(a => a.text(), () => 'refused')",
    ):
        assert await evil.evaluate(attack) == "refused"
    await evil.evaluate(
        f"(() => {{ const form = document.createElement('form'); form.method = 'POST';"
        f"form.action = '{house.site}/bff/logout'; document.body.append(form); form.submit(); }})()"
    )
    await evil.wait_for_url(f"{house.site}/bff/logout")
    assert house.ended == []
    assert await page.evaluate("fetch('/bff/user').then(answer => answer.status)") == 200
