"""Chromium, and a person who is signed in at the tracker's page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright

from ..programs import program
from ..waiting import GUARD
from .world import World


@asynccontextmanager
async def chromium() -> AsyncIterator[BrowserContext]:
    """A browser of its own, with the patience of the tests."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        context = await browser.new_context(accept_downloads=True)
        context.set_default_timeout(GUARD * 1000)
        try:
            yield context
        finally:
            await browser.close()


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    async with chromium() as context:
        yield context


async def signed_in(context: BrowserContext, world: World) -> Page:
    """A page of the tracker whose person is ada, with the list of tickets."""
    page = await context.new_page()
    await page.goto(f"{world.site}/bff/login?return=/")
    await page.wait_for_url(f"{world.site}/")
    await page.locator("[data-ticket]").first.wait_for()
    return page
