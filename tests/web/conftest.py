"""A real Chromium with the whole shop. The steps of orders are slowed down so that a person could see each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from tests.programs import program
from tests.shop.system import Shop, running
from tests.waiting import GUARD

from .lab import Lab, Wire

PACE_MS = "120"
PATIENCE = GUARD * 1000
"""Milliseconds that a test waits for something that must come."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def paced_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with running(tmp_path_factory.mktemp("paced"), STEP_PAUSE_MS=PACE_MS) as shop:
        yield shop


@pytest.fixture
def shop(paced_shop: Shop) -> Iterator[Shop]:
    yield paced_shop
    paced_shop.world.calm()
    if paced_shop.gateway is None or paced_shop.gateway.process.poll() is not None:
        paced_shop.start_gateway()


@pytest.fixture(scope="module")
def lab_gateway(paced_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(paced_shop, tmp_path_factory.mktemp("lab"), Wire(0))
    lab.start()
    yield lab
    lab.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def lab(lab_gateway: Lab) -> AsyncIterator[Lab]:
    lab_gateway.wire = Wire(lab_gateway.port)
    await lab_gateway.wire.start()
    yield lab_gateway
    await lab_gateway.wire.close()


ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all journeys; each person has a separate context."""
    async with async_playwright() as playwright:
        # The page marks the elements for tests with `data-test`.
        playwright.selectors.set_test_id_attribute("data-test")
        chromium = await playwright.chromium.launch(executable_path=program("chromium"), args=ARGS)
        yield chromium
        await chromium.close()


# Records when the person clicked, and every state in which an order's row is painted.
WATCH = """
window.seen = [];
window.clicked = null;
addEventListener('click', () => { window.clicked = performance.now(); }, true);
const look = () => {
  for (const row of document.querySelectorAll('[data-test="order-row"], [data-test="order"]')) {
    const state = [row.dataset.order, row.dataset.status, row.dataset.step, row.dataset.mood].join(' ');
    if (row.dataset.last === state) continue;
    row.dataset.last = state;
    window.seen.push({ order: row.dataset.order, status: row.dataset.status, step: row.dataset.step,
      mood: row.dataset.mood, at: performance.now(), after: window.clicked && performance.now() - window.clicked });
  }
};
new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
"""


class Placed(NamedTuple):
    """An order by its id, and by the key under which it was placed: its row has this name until the answer comes."""

    id: str
    key: str


class Person:
    """A person at the page."""

    def __init__(self, shop: Shop, context: BrowserContext, page: Page) -> None:
        self.shop = shop
        self.context = context
        self.page = page
        # Playwright's own default is half a minute, which a busy machine may need.
        context.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def open(self, path: str = "/") -> None:
        await self.page.goto(f"{self.shop.url}{path}")

    async def sign_in(self, name: str) -> None:
        """By the address to which the page's button leads: the page is loaded once, after the sign-in."""
        await self.open("/bff/login?return=/")
        await self._choose(name)

    async def sign_in_at_the_page(self, name: str) -> None:
        """As a visitor does: with the button of the page that they look at."""
        await self.open("/")
        await self.page.get_by_test_id("sign-in").first.click()
        await self._choose(name)

    async def _choose(self, name: str) -> None:
        await self.page.locator(f'button[value="{name}"]').click()
        await self.page.wait_for_url(f"{self.shop.url}/**")
        await self.live()

    async def sign_out(self) -> None:
        """Through the provider and back; navigating elsewhere meanwhile would interrupt it."""
        async with self.page.expect_navigation():
            await self.page.get_by_test_id("sign-out").click()
        await self.page.get_by_test_id("sign-in").first.wait_for()

    async def live(self) -> None:
        await self.page.locator('[data-test="connection"][data-state="live"]').wait_for(state="attached")

    async def put_in_basket(self, sku: str) -> None:
        await self.page.locator(f'[data-test="add-to-basket"][data-sku="{sku}"]').first.click()

    async def press_order(self) -> None:
        """Go to the basket and order what is in it."""
        await self.page.locator('a[href="/basket"]').first.click()
        await self.page.get_by_test_id("place-order").click()

    async def place_order(self) -> Placed:
        async with self.page.expect_response(f"{self.shop.url}/api/orders") as answered:
            await self.press_order()
        answer = await answered.value
        return Placed(
            (await answer.json())["saga"]["id"], answer.request.headers["idempotency-key"].strip('"')
        )

    async def stock(self, sku: str) -> str:
        return await self.page.locator(f'[data-test="stock"][data-sku="{sku}"]').first.inner_text()

    def row_of(self, order: str) -> Locator:
        return self.page.locator(f'[data-test="order-row"][data-order="{order}"]')

    async def row(self, order: str, **marks: str) -> None:
        """Wait until this order's row has these attributes: `status="COMPLETED"`, for example."""
        for name, value in marks.items():
            await expect(self.row_of(order)).to_have_attribute(f"data-{name}", value, timeout=PATIENCE)

    async def order_step_by_step(self) -> Placed:
        """Order what is in the basket. Each service takes its part in the order only when the page shows the step
        before it, so that every step is painted on a busy machine as well."""
        world, steps = self.shop.world, {"reserve": "inventory", "charge": "payments", "ship": "shipping"}
        for service, path in (
            ("inventory", "reservations"),
            ("payments", "charges"),
            ("shipping", "shipments"),
        ):
            world.faults(service, hold="before", match=f"POST /{path}$")
        placed = await self.place_order()
        for step, service in steps.items():
            await self.row(placed.id, step=step)
            await asyncio.to_thread(world.wait_held, service)
            world.calm(service)
        await self.row(placed.id, status="COMPLETED")
        return placed

    async def seen(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = await self.page.evaluate("window.seen")
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def person(shop: Shop, browser: Browser) -> AsyncIterator[Person]:
    browser_context = await browser.new_context(viewport={"width": 1280, "height": 900})
    await browser_context.add_init_script(WATCH)
    one = Person(shop, browser_context, await browser_context.new_page())
    yield one
    assert one.errors == []
    await browser_context.close()
