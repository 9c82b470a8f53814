"""The page's renderer and schedule, in a real browser without the shop: each case of render.cases.js is a test."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Route

from tests.conftest import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="session")

SITE = "http://render.test"
SCRIPT = ROOT / "tests/web/render.cases.js"
# One case is written for two browsers: with `moveBefore`, and without it.
ATOMIC = "the focus, the selection and typed text survive a new order"
CASES = [
    *re.findall(r"^test\('(.+?)',", SCRIPT.read_text(), re.MULTILINE),
    ATOMIC,
    f"{ATOMIC} without moveBefore",
]


async def serve(route: Route) -> None:
    """The site: an empty document, the cases, and the page's files."""
    path = route.request.url.removeprefix(SITE)
    if path == "/":
        await route.fulfill(body="<!doctype html><title>Cases</title>", content_type="text/html")
    else:
        file = SCRIPT if path == "/cases.js" else ROOT / "web/shop" / path.removeprefix("/")
        await route.fulfill(body=file.read_text(), content_type="text/javascript")


@pytest.mark.parametrize("case", CASES)
async def test_the_renderer(browser: Browser, case: str) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.route(f"{SITE}/**", serve)
    await page.goto(SITE)
    await page.evaluate("name => import('/cases.js').then(({ run }) => run(name))", case)
    await context.close()


async def test_every_case_is_found() -> None:
    assert len(CASES) == len(set(CASES)) == SCRIPT.read_text().count("test(") + 1
