"""The running tracker, one Chromium for all tests, and a person who is signed in at the tracker's page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from ..programs import program
from ..waiting import GUARD
from .world import World, world


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser process of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def new_context(browser: Browser) -> BrowserContext:
    """What one person has of a browser, with the patience of the tests."""
    context = await browser.new_context(accept_downloads=True)
    context.set_default_timeout(GUARD * 1000)
    return context


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def tracker(redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """The gateway in this process, with its services."""
    async with world(redis_url, tmp_path) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Nothing of it is shared with the contexts of other tests: neither cookies and storage nor caches and workers."""
    context = await new_context(browser)
    yield context
    await context.close()


async def signed_in(context: BrowserContext, world: World) -> Page:
    """A page of the tracker whose person is ada, with the list of tickets."""
    page = await context.new_page()
    await page.goto(f"{world.site}/bff/login?return=/")
    await page.wait_for_url(f"{world.site}/")
    await page.locator("[data-ticket]").first.wait_for()
    return page
