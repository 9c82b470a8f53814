"""The page in German: chosen by the browser's languages or by the switch, complete, without a barrier at any width."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.shop.system import Shop

from .conftest import PATIENCE, WATCH, Person
from .test_journeys_everyone import barriers

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The English texts that are on the page: each text and name that a person reads or hears, compared with texts.en.js.
ENGLISH = """
async () => {
  const load = async (tag) => Promise.all(
    ['/assets', '/assets/panel'].map(async (folder) => (await import(`${folder}/texts.${tag}.js`))[tag]));
  const [en, de] = await Promise.all(['en', 'de'].map(load));
  const flat = (value) => typeof value === 'string' ? [value] : Object.values(value).flatMap(flat);
  const german = new Set(flat(de));
  const patterns = flat(en)
    .filter((text) => !german.has(text) && /[a-z]{3}/i.test(text.replace(/\\{\\w+\\}/g, '')))
    .map((text) => new RegExp(`^${text.replace(/[.*+?^$()|[\\]\\\\]/g, '\\\\$&').replace(/\\{\\w+\\}/g, '.+')}$`));
  const said = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  // Notifications are texts of a service, which are shown as they come.
  while (walker.nextNode())
    if (!walker.currentNode.parentElement.closest('[data-test="notification"]'))
      said.push(walker.currentNode.data.trim());
  for (const element of document.querySelectorAll('[aria-label], [title]'))
    said.push(element.getAttribute('aria-label') ?? '', element.getAttribute('title') ?? '');
  return [...new Set(said.filter((text) => patterns.some((pattern) => pattern.test(text))))];
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def german(shop: Shop, browser: Browser) -> AsyncIterator[Person]:
    context = await browser.new_context(locale="de-DE", viewport={"width": 1280, "height": 900})
    await context.add_init_script(WATCH)
    one = Person(shop, context, await context.new_page())
    yield one
    assert one.errors == []
    await context.close()


async def check(page: Page, found: dict[str, list[str]], what: str) -> None:
    found[what] = [*await barriers(page), *await page.evaluate(ENGLISH)]


async def test_a_german_visitor_reads_german_and_meets_no_barrier(german: Person) -> None:
    page = german.page
    found: dict[str, list[str]] = {}
    for path, ready in (
        ("/", "stock"),
        ("/products/mug-01", "delivery"),
        ("/basket", "sign-in"),
        ("/orders", "sign-in-card"),
        ("/orders/none", "sign-in-card"),
    ):
        await german.open(path)
        await page.get_by_test_id(ready).first.wait_for()
        assert await page.evaluate("document.documentElement.lang") == "de"
        await check(page, found, path)
    assert found == {what: [] for what in found}


async def test_a_german_person_orders_in_german_and_meets_no_barrier(german: Person) -> None:
    page, world = german.page, german.shop.world
    found: dict[str, list[str]] = {}
    await german.sign_in_at_the_page("bruno")
    await german.put_in_basket("pen-01")
    await expect(page.get_by_test_id("in-basket")).to_have_text("1 im Warenkorb")
    await check(page, found, "the products with one in the basket")
    await page.locator('#nav a[href="/basket"]').click()
    await expect(page.get_by_test_id("total")).to_have_text("40,90\xa0€")
    await check(page, found, "the basket")
    refused = await german.place_order()
    await german.row(refused.id, status="COMPENSATED")
    await expect(german.row_of(refused.id).locator(".chip")).to_have_text("Zahlung abgelehnt")
    world.faults("payments", hold="before", match="POST /charges$")
    await page.locator('#nav a[href="/"]').click()
    await german.put_in_basket("mug-01")
    running = await german.place_order()
    await german.row(running.id, step="charge")
    await expect(german.row_of(running.id).locator(".chip")).to_have_text("Karte wird belastet")
    await check(page, found, "orders, one refused and one under way")
    await german.row_of(running.id).locator("h2 a").click()
    await page.get_by_test_id("payment").wait_for()
    await check(page, found, "an order under way")
    world.calm("payments")
    # Bruno's card is declined.
    await expect(page.get_by_test_id("order")).to_have_attribute(
        "data-status", "COMPENSATED", timeout=PATIENCE
    )
    await expect(page.get_by_test_id("verdict")).to_contain_text("Ihre Karte wurde abgelehnt.")
    await expect(page.locator(".track .stop-name")).to_have_text(["Wieder im Lager", "Abgelehnt", "Versand"])
    await check(page, found, "an order taken back")
    await page.get_by_test_id("bell").click()
    await page.get_by_test_id("notification").first.wait_for()
    await check(page, found, "the notifications")
    assert found == {what: [] for what in found}


async def test_the_switch_changes_the_language_at_once_and_for_the_next_visit(person: Person) -> None:
    page = person.page
    await person.open("/")
    await page.get_by_test_id("stock").first.wait_for()
    await expect(page.locator("main h1")).to_have_text("Good things, and where they are right now.")
    switch = page.get_by_test_id("language-de")
    await switch.click()
    await expect(page.locator("main h1")).to_have_text("Gute Dinge, und wo sie gerade sind.")
    assert await page.evaluate("[document.documentElement.lang, document.activeElement.lang]") == ["de", "de"]
    await expect(switch).to_have_attribute("aria-pressed", "true")
    await person.open("/basket")
    await expect(page.locator("main h1")).to_have_text("Warenkorb")
    assert await page.title() == "Warenkorb · Waypost"
    await page.get_by_test_id("language-en").click()
    await expect(page.locator("main h1")).to_have_text("Basket")
