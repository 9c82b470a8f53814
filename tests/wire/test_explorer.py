"""The explorer and the live console in a real Chromium: they work under their own policy, send what a write needs, and
no request goes to another host."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, Request, async_playwright, expect
from starlette.applications import Starlette
from starlette.routing import Mount

from bff import Gateway
from bff.cli.dev.project import for_development
from bff.edge.describe import explorer
from bff.edge.settings import Settings

from ..programs import program
from ..waiting import GUARD
from .gateway import nowhere, running, token

PAGES = ("/docs/explorer", "/docs/explorer/live")
ON = {"explorer": True}


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(GUARD * 1000)
        yield page
        await browser.close()


def below_a_prefix(gateway: Gateway) -> Starlette:
    return Starlette(routes=[Mount("/shop", gateway)])


def watched(page: Page) -> tuple[list[Request], list[str]]:
    """Every request of the page, and everything that the browser reports: a broken policy, an error of a script."""
    requests: list[Request] = []
    errors: list[str] = []
    page.on("request", lambda one: requests.append(one))
    page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return requests, errors


async def test_a_command_is_tried_in_the_explorer_without_a_foreign_request(
    redis_url: str, page: Page
) -> None:
    async with running(redis_url, docs=ON, mount=below_a_prefix, prefix="/shop") as world:
        requests, errors = watched(page)
        await page.goto(f"{world.url}/docs/explorer")
        await page.locator("#explorer .opblock").first.wait_for()
        await page.locator("button.authorize").first.click()
        await page.locator(".auth-container input").first.fill(token())
        await page.locator(".auth-btn-wrapper .authorize").first.click()
        await page.locator(".btn-done").first.click()
        operation = page.locator(".opblock-post", has_text="/api/jobs")
        await operation.locator(".opblock-summary").click()
        await operation.get_by_role("button", name="Try it out").click()
        await operation.locator("textarea").fill('{"lines": []}')
        await operation.get_by_role("button", name="Execute").click()
        await expect(
            operation.locator(".live-responses-table .response .response-col_status").first
        ).to_contain_text("202")
        [sent] = [one for one in requests if one.method == "POST"]
        headers = await sent.all_headers()
        assert sent.url == f"{world.url}/api/jobs?dry=false"
        assert headers["x-bff"] == "1" and len(headers["idempotency-key"]) == 32
        origin = world.url.removesuffix("/shop")
        foreign = [one.url for one in requests if not one.url.startswith((origin + "/", "data:"))]
        assert foreign == [] and len(requests) > 5
        assert errors == []


async def test_the_live_console_shows_events_and_a_refusal(redis_url: str, page: Page) -> None:
    async with running(redis_url, docs=ON) as world:
        requests, errors = watched(page)
        await page.goto(f"{world.url}/docs/explorer/live")
        await expect(page.locator("#messages code", has_text="saga.job")).to_have_count(1)
        await page.get_by_role("button", name="Open").click()
        await expect(page.locator("#state")).to_have_text("refused: 401")
        assert errors == [one for one in errors if "401" in one]
        errors.clear()
        await page.locator("[name=token]").fill(token())
        await page.get_by_role("button", name="Open").click()
        await expect(page.locator("#events [data-event=snapshot]")).to_have_count(1)
        await expect(page.locator("#state")).to_have_text("open")
        await page.get_by_role("button", name="Close").click()
        await expect(page.locator("#state")).to_have_text("closed")
        assert errors == []
        assert [one.url for one in requests if not one.url.startswith(world.url + "/")] == []


async def test_the_policy_holds_below_the_explorer_alone_and_allows_neither_eval_nor_other_hosts() -> None:
    async with running(nowhere(), docs=ON) as world:
        for file in explorer.files("wire"):
            answer = await world.client.get(file.path)
            assert (answer.status_code, answer.headers["content-type"]) == (200, file.media_type)
            policy = answer.headers["content-security-policy"]
            assert "connect-src 'self'" in policy and "script-src 'self'" in policy
            assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        for path in ("/docs", "/docs/problems", "/openapi.json"):
            assert "script-src" not in (await world.client.get(path)).headers["content-security-policy"]
        assert 'href="docs/explorer"' in (await world.client.get("/docs")).text


async def test_without_the_setting_nothing_of_it_is_served() -> None:
    async with running(nowhere()) as world:
        for file in explorer.files("wire"):
            assert (await world.client.get(file.path)).status_code == 404
        assert "explorer" not in (await world.client.get("/docs")).text
        assert "explorer" not in json.dumps((await world.client.get("/openapi.json")).json()["paths"])


def test_bff_dev_switches_it_on_unless_it_is_set() -> None:
    assert for_development(Settings()).docs.explorer
    assert not for_development(Settings.model_validate({"docs": {"explorer": False}})).docs.explorer
    assert not Settings().docs.explorer
