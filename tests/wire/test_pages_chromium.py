"""Pages for people in a real Chromium, with a provider and a mail on another site: what a person sees, and how many
requests the gateway gets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright
from pydantic import BaseModel

from bff import Gateway
from bff.edge.settings import Settings

from ..programs import program
from ..waiting import GUARD
from .gateway import serving
from .oidc_provider import CLIENT, SECRET, OidcProvider


class Thing(BaseModel):
    name: str


@dataclass
class House:
    site: str
    provider: OidcProvider


def _socket(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind((host, 0))
    return sock


@asynccontextmanager
async def house_at(redis_url: str) -> AsyncIterator[House]:
    """The gateway at localhost and the provider at 127.0.0.1, which are different sites."""
    ours, theirs = _socket("127.0.0.1"), _socket("127.0.0.1")
    site = f"http://localhost:{ours.getsockname()[1]}"
    provider = OidcProvider(f"{site}/bff/callback")
    provider.issuer = f"http://127.0.0.1:{theirs.getsockname()[1]}"
    provider.asks = True
    gateway = Gateway("people")

    @gateway.view("/orders")
    async def orders() -> Thing:
        return Thing(name="all my orders")

    oidc = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET}
    settings = {"redis": {"url": redis_url}, "public_url": site, "oidc": oidc, "admission": {"lag": 5}}
    await gateway.start(Settings.model_validate(settings))
    async with serving(gateway, ours), serving(provider.app, theirs):
        yield House(site, provider)


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with house_at(redis_url) as house:
        yield house


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        context = await browser.new_context()
        context.set_default_timeout(GUARD * 1000)
        yield context
        await browser.close()


async def come_from_a_mail(page: Page, house: House, path: str) -> list[str]:
    """Follow a link on another site's page; returns the headers of each request for the path."""
    came: list[str] = []

    async def note(request: object) -> None:
        if request.url == f"{house.site}{path}":  # type: ignore[attr-defined]
            headers = await request.all_headers()  # type: ignore[attr-defined]
            came.append(headers.get("sec-fetch-site", ""))

    page.on("request", note)
    await page.goto(f"{house.provider.issuer}/keys")
    await page.evaluate(
        "(to) => { const link = document.createElement('a'); link.href = to; link.textContent = 'Your order';"
        "document.body.append(link); }",
        f"{house.site}{path}",
    )
    await page.get_by_text("Your order").click()
    return came


async def test_an_anonymous_person_signs_in_from_the_page_and_returns_to_it(
    house: House, context: BrowserContext
) -> None:
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    answer = await page.goto(f"{house.site}/orders?a=%3Cb%3E")
    assert answer is not None and answer.status == 401
    await page.get_by_role("heading", name="Please sign in").wait_for()
    # The style was applied, because the policy has its hash.
    assert await page.evaluate("getComputedStyle(document.body).display") == "grid"
    assert [one for one in said if "Content Security Policy" in one or "Content-Security-Policy" in one] == []
    await page.get_by_role("link", name="Sign in").click()
    await page.get_by_text("Sign in as Ada").click()
    await page.wait_for_url(f"{house.site}/orders?a=%3Cb%3E")
    await page.get_by_text("all my orders").wait_for()


async def test_a_link_in_a_mail_opens_the_page_for_a_signed_in_person_and_else_asks_to_sign_in_once(
    house: House, context: BrowserContext
) -> None:
    page = await context.new_page()
    came = await come_from_a_mail(page, house, "/orders")
    await page.get_by_role("heading", name="Please sign in").wait_for()
    assert came == ["cross-site", "same-origin"]

    await page.get_by_role("link", name="Sign in").click()
    await page.get_by_text("Sign in as Ada").click()
    await page.get_by_text("all my orders").wait_for()

    other = await context.new_page()
    came = await come_from_a_mail(other, house, "/orders")
    await other.get_by_text("all my orders").wait_for()
    assert came == ["cross-site", "same-origin"]


async def test_a_cancelled_sign_in_is_a_page_with_a_way_to_sign_in(
    house: House, context: BrowserContext
) -> None:
    attack = "<img src=x onerror=alert(1)>"
    house.provider.answers = lambda query: {
        **{name: value for name, value in query.items() if name != "code"},
        "error": "access_denied",
        "error_description": attack,
    }
    page = await context.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await page.goto(f"{house.site}/bff/login?return=/orders")
    await page.get_by_text("Sign in as Ada").click()
    await page.get_by_role("heading", name="The sign-in was cancelled").wait_for()
    assert attack not in await page.content() and dialogs == []
    house.provider.answers = lambda query: query
    await page.get_by_role("link", name="Sign in").click()
    await page.get_by_text("Sign in as Ada").click()
    await page.get_by_text("all my orders").wait_for()
