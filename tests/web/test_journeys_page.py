"""How the page is drawn, as a person meets it: focus and clicks survive every event, what a view follows ends with it,
nothing is blank while the gateway is asked, and each message is announced once."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, Locator, Request, Route, expect

from tests.shop.system import Shop

from .conftest import PATIENCE, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Counts the subscriptions at the client that are open, from now on.
COUNT = """
async () => {
  const { client } = await import('/assets/live.js');
  window.subscriptions = 0;
  const counted = (subscribe) => (...args) => {
    const end = subscribe(...args);
    window.subscriptions += 1;
    return () => {
      window.subscriptions -= end.ended ? 0 : 1;
      end.ended = true;
      end();
    };
  };
  const { value, saga } = client;
  const readable = (one) => ({ ...one, subscribe: counted(one.subscribe) });
  client.subscribe = counted(client.subscribe);
  client.connection.subscribe = counted(client.connection.subscribe);
  client.value = (name) => readable(value(name));
  client.saga = (id) => readable(saga(id));
}
"""
LEAVE = "history.pushState(null, '', '/nothing'); dispatchEvent(new PopStateEvent('popstate'))"
# Records what the live regions say, and every alert that is added anywhere else.
HEAR = """
() => {
  window.told = { announce: [], alert: [], elsewhere: [] };
  for (const id of ['announce', 'alert']) {
    const region = document.getElementById(id);
    new MutationObserver(() => window.told[id].push(region.textContent)).observe(region,
      { childList: true, characterData: true, subtree: true });
  }
  new MutationObserver((records) => {
    for (const { addedNodes } of records)
      for (const node of addedNodes)
        if (node instanceof Element && !node.closest('#alert, #announce'))
          for (const one of [node, ...node.querySelectorAll('*')])
            if (one.matches('[role="alert"], [aria-live]')) window.told.elsewhere.push(one.textContent);
  }).observe(document.body, { childList: true, subtree: true });
}
"""


async def order_at_charge(person: Person) -> Locator:
    """The page of an order that is held at Charge, and will be held at Ship."""
    world = person.shop.world
    await person.sign_in("ada")
    world.faults("payments", hold="before", match="POST /charges$")
    world.faults("shipping", hold="before", match="POST /shipments$")
    await person.put_in_basket("mug-01")
    placed = await person.place_order()
    await person.row(placed.id, step="charge")
    await person.row_of(placed.id).locator("h2 a").click()
    await person.page.get_by_test_id("payment").wait_for()
    return person.page.get_by_test_id("order")


async def test_the_focus_stays_on_cancel_while_the_order_goes_on(person: Person) -> None:
    order = await order_at_charge(person)
    cancel = person.page.get_by_test_id("cancel")
    await cancel.focus()
    await person.page.evaluate("window.cancel = document.activeElement")
    person.shop.world.calm("payments")
    await expect(order).to_have_attribute("data-step", "ship", timeout=PATIENCE)
    assert await person.page.evaluate("document.activeElement === window.cancel && window.cancel.isConnected")
    async with person.page.expect_request("**/cancel"):
        await person.page.keyboard.press("Enter")


async def test_a_click_counts_when_an_event_comes_between_press_and_release(person: Person) -> None:
    order = await order_at_charge(person)
    box = await person.page.get_by_test_id("cancel").bounding_box()
    assert box is not None
    mouse = person.page.mouse
    await mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await mouse.down()
    person.shop.world.calm("payments")
    await expect(order).to_have_attribute("data-step", "ship", timeout=PATIENCE)
    async with person.page.expect_request("**/cancel"):
        await mouse.up()


async def test_what_a_view_subscribes_to_ends_with_it(person: Person) -> None:
    await person.sign_in("ada")
    await person.put_in_basket("lamp-01")
    placed = await person.place_order()
    await person.row(placed.id, status="COMPLETED")
    page = person.page
    await page.evaluate(LEAVE)
    await page.evaluate(COUNT)
    opened: dict[str, list[int]] = {}
    for _ in range(2):
        for path, ready in (
            ("/", '[data-test="stock"]'),
            ("/products/mug-01", '[data-test="delivery"]'),
            ("/basket", "h1"),
            ("/orders", '[data-test="order-row"]'),
            (f"/orders/{placed.id}", '[data-test="payment"]'),
        ):
            await page.evaluate(LEAVE.replace("/nothing", path))
            await page.locator(f"main {ready}").first.wait_for()
            opened.setdefault(path, []).append(await page.evaluate("window.subscriptions"))
            await page.evaluate(LEAVE)
            assert await page.evaluate("window.subscriptions") == 0, path
    assert all(first == again for first, again in opened.values())
    assert opened["/"][0] > opened["/orders"][0] > 0


async def test_leaving_a_view_cancels_its_request(person: Person) -> None:
    page = person.page
    held, failed = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        held.set()
        await failed.wait()
        await route.abort()

    def note(request: Request) -> None:
        if request.url.endswith("/products/mug-01"):
            failed.set()

    page.on("requestfailed", note)
    await page.route("**/api/screens/products/mug-01", hold)
    await person.open("/")
    await page.locator('h2 a[href="/products/mug-01"]').click()
    await held.wait()
    await page.locator('#nav a[href="/basket"]').click()
    await asyncio.wait_for(failed.wait(), PATIENCE / 1000)
    await expect(page.locator("main h1")).to_have_text("Basket")


async def test_no_view_is_blank_while_the_gateway_is_asked_who_is_here(person: Person) -> None:
    await person.sign_in("grace")
    await person.put_in_basket("mug-01")
    page = person.page
    asked, answered = asyncio.Event(), asyncio.Event()

    async def delay(route: Route) -> None:
        asked.set()
        await answered.wait()
        await route.continue_()

    await page.route("**/bff/user*", delay)
    for path, shown in (("/orders", "h1"), ("/orders/some-order", ".skeleton"), ("/basket", ".summary")):
        asked.clear()
        answered.clear()
        await person.open(path)
        await asked.wait()
        await expect(page.locator(f"main {shown}").first).to_be_visible()
        await expect(page.locator("#nav a")).to_have_count(3)
        await expect(page.get_by_test_id("sign-in-card")).to_have_count(0)
        await expect(page.get_by_test_id("sign-in")).to_have_count(0)
        answered.set()
        await expect(page.get_by_test_id("person")).to_contain_text("Grace")
    await expect(page.get_by_test_id("place-order")).to_be_enabled()


async def test_a_refusal_is_announced_once_and_not_again_by_later_events(person: Person) -> None:
    page = person.page
    await person.sign_in("ada")
    await person.put_in_basket("pen-01")
    await page.evaluate(
        """() => {
          const items = JSON.parse(localStorage.getItem('waypost:basket'));
          localStorage.setItem('waypost:basket', JSON.stringify(items.map((item) => ({ ...item, price_cents: 100 }))));
        }"""
    )
    await person.open("/basket")
    await page.get_by_test_id("place-order").wait_for()
    await page.evaluate(HEAR)
    await page.get_by_test_id("place-order").click()
    await page.get_by_test_id("refusal").wait_for()
    await page.locator('#nav a[href="/"]').click()
    await person.put_in_basket("mug-01")
    placed = await person.place_order()
    await person.row(placed.id, status="COMPLETED")
    await expect(page.get_by_test_id("refusal")).to_be_visible()
    told: dict[str, list[str]] = await page.evaluate("window.told")
    refused = [text for text in told["alert"] if "was not placed" in text]
    assert (len(refused), len(told["alert"]), told["elsewhere"]) == (1, 1, [])
    assert not any("was not placed" in text for text in told["announce"])
    assert len(told["announce"]) == len(set(told["announce"]))


async def test_a_message_stays_while_the_pointer_or_the_focus_is_on_it(person: Person) -> None:
    page = person.page
    await page.clock.install()
    await person.open("/")
    await page.get_by_test_id("stock").first.wait_for()
    toast = page.get_by_test_id("toast")
    await person.put_in_basket("mug-01")
    await toast.hover()
    await page.clock.run_for(30_000)
    await expect(toast).to_be_visible()
    await toast.locator("a").focus()
    await page.mouse.move(10, 10)
    await page.clock.run_for(30_000)
    await expect(toast).to_be_visible()
    await page.evaluate("document.activeElement.blur()")
    await page.clock.run_for(6_000)
    await expect(toast).to_have_count(0)


async def test_typed_text_stays_while_the_stock_of_the_product_changes(person: Person) -> None:
    await person.sign_in("grace")
    await person.open("/products/plant-01")
    page = person.page
    await page.get_by_test_id("delivery").wait_for()
    await person.live()
    badge = page.get_by_test_id("stock").first
    before = int(await badge.get_attribute("data-available") or 0)
    quantity = page.get_by_test_id("quantity")
    await quantity.press("End")
    await quantity.press("2")
    person.shop.world.order_id("ada", [("plant-01", 1)])
    await expect(badge).to_have_attribute("data-available", str(before - 1), timeout=PATIENCE)
    assert await quantity.input_value() == "12"
    assert await page.evaluate("document.activeElement.id") == "quantity"


async def test_a_mistake_in_one_view_leaves_the_rest_of_the_page_usable(shop: Shop, browser: Browser) -> None:
    context = await browser.new_context()
    person = Person(shop, context, await context.new_page())
    page = person.page
    await page.route("**/api/screens/products", lambda route: route.fulfill(json={"products": 7}))
    await person.open("/")
    await expect(page.get_by_test_id("mistake")).to_contain_text("This page has a mistake")
    assert person.errors != [], "the mistake is reported"
    await page.locator('#nav a[href="/basket"]').click()
    await expect(page.locator("main h1")).to_have_text("Basket")
    await context.close()
