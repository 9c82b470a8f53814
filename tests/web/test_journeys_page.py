"""How the page is drawn, as a person meets it: focus and clicks survive every event, what a view follows ends with it,
nothing is blank while the gateway is asked, and each message is announced once."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Literal

import pytest
from playwright.async_api import Browser, Locator, Request, Route, expect

from tests.shop.system import Shop

from .conftest import PATIENCE, Person
from .test_journeys_everyone import NARROW, TOAST, WIDE

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
    await page.evaluate(TOAST, ["Your order is on its way.", "good"])
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


# What is visible just below the header: its text, where the messages begin and where they end.
BELOW = """
() => {
  const { bottom } = document.querySelector('.head').getBoundingClientRect();
  const element = document.elementsFromPoint(innerWidth / 2, bottom + 4).find((one) => one.closest('main'));
  const { top } = element.getBoundingClientRect();
  return { bottom, what: element.outerHTML.slice(0, 200), offset: Math.round(top - bottom) };
}
"""


async def test_a_message_covers_nothing_at_the_top_of_the_page_and_in_its_middle(person: Person) -> None:
    page = person.page
    for width, height in (WIDE, NARROW):
        await page.set_viewport_size({"width": width, "height": height})
        for scrolled in (0, 300):
            await person.open("/")
            await page.get_by_test_id("stock").first.wait_for()
            await page.evaluate("by => scrollTo({ top: by, behavior: 'instant' })", scrolled)
            before = await page.evaluate(BELOW)
            await page.evaluate(TOAST, ["Your order is on its way.", "good"])
            await expect(page.get_by_test_id("toast")).to_be_visible()
            after = await page.evaluate(BELOW)
            assert after["bottom"] > before["bottom"] + 30, "the message has room of its own"
            assert (after["what"], after["offset"]) == (before["what"], before["offset"])


async def test_no_message_repeats_what_is_on_the_screen_or_another_message(person: Person) -> None:
    page, toast = person.page, person.page.get_by_test_id("toast")
    await person.sign_in("bruno")
    await person.put_in_basket("pen-01")
    await expect(page.get_by_test_id("in-basket")).to_have_text("1 in basket")
    await expect(toast).to_have_count(0)
    # The list shows the order, and so does its own page: both ends are announced, and are no message.
    await page.evaluate(HEAR)
    placed = await person.place_order()
    await person.row(placed.id, status="COMPENSATED")
    await page.wait_for_function("window.told.alert.some((text) => text.includes('card was declined'))")
    await expect(toast).to_have_count(0)
    person.shop.world.faults("payments", hold="before", match="POST /charges$")
    for path, messages in ((None, 0), ("/", 1)):
        await page.locator('#nav a[href="/"]').click()
        await person.put_in_basket("pen-01")
        again = await person.place_order()
        await person.row(again.id, step="charge")
        if path:
            await page.locator(f'#nav a[href="{path}"]').click()
        else:
            await person.row_of(again.id).locator("h2 a").click()
            await page.get_by_test_id("payment").wait_for()
        person.shop.world.calm("payments")
        await page.wait_for_function(
            """async (id) => {
              const { client } = await import('/assets/live.js');
              return client.saga(id).get()?.status === 'COMPENSATED';
            }""",
            arg=again.id,
        )
        await expect(toast).to_have_count(messages)
        person.shop.world.faults("payments", hold="before", match="POST /charges$")
    person.shop.world.calm("payments")
    await page.evaluate(TOAST, ["Once", "bad"])
    await page.evaluate(TOAST, ["Once", "bad"])
    await expect(toast.filter(has_text="Once")).to_have_count(1)


async def test_products_that_load_are_visible_blocks_in_both_themes(person: Person) -> None:
    page, asked, answered = person.page, asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await answered.wait()
        await route.continue_()

    await page.route("**/api/screens/products*/**", hold)
    await page.route("**/api/screens/products", hold)
    for path, blocks in (("/", 24), ("/products/mug-01", 4)):
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await person.open(path)
            await asked.wait()
            asked.clear()
            await page.locator("main .skeleton").first.wait_for()
            contrasts = await page.evaluate(CONTRASTS)
            assert len(contrasts) == blocks
            assert all(contrast >= 1.15 for contrast in contrasts), (path, scheme, contrasts)
    answered.set()
    await page.get_by_test_id("delivery").wait_for()


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# The contrast of each block with the page behind it, as WCAG counts it; a transparent one has none.
CONTRASTS = """
() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const luminance = (colour, under) => {
    canvas.fillStyle = under;
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = getComputedStyle(document.body).backgroundColor;
  const page = luminance(ground, ground);
  return [...document.querySelectorAll('main .skeleton')].map((block) => {
    const { width, height } = block.getBoundingClientRect();
    if (width * height < 100) return 0;
    const seen = luminance(getComputedStyle(block).backgroundColor, ground);
    return (Math.max(seen, page) + 0.05) / (Math.min(seen, page) + 0.05);
  });
}
"""


async def test_progress_is_not_red_and_trouble_is(person: Person) -> None:
    order = await order_at_charge(person)
    page = person.page
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    for what in (
        ".chip",
        '.track [data-state="now"] .stop',
        '.track [data-state="done"] .stop',
        "#nav .count",
    ):
        assert not await is_red(page.locator(what).first), what
    person.shop.world.calm("payments")
    person.shop.world.calm("shipping")
    await expect(order).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)
    for what in (".chip", '.track [data-state="done"] .stop', ".timeline li:first-child"):
        assert not await is_red(page.locator(what).first), what
    person.shop.world.faults("payments", refuse=True)
    await page.locator('#nav a[href="/"]').click()
    await person.put_in_basket("mug-01")
    placed = await person.place_order()
    await person.row(placed.id, status="COMPENSATED")
    for what in (".chip", '.track [data-state="failed"] .stop'):
        assert await is_red(person.row_of(placed.id).locator(what)), what


async def is_red(element: Locator) -> bool:
    """Whether a colour of the element is red: text, background, border or the dot before it."""
    return bool(
        await element.evaluate(
            """(element) => {
              const { color, backgroundColor, borderTopColor } = getComputedStyle(element);
              const dot = getComputedStyle(element, '::before').backgroundColor;
              return [color, backgroundColor, borderTopColor, dot].some((value) => {
                const [r, g, b, a = 1] = value.match(/[\\d.]+/g).map(Number);
                return a > 0 && r > 150 && r > 1.6 * g && r > 1.6 * b;
              });
            }"""
        )
    )


async def test_the_order_page_has_no_hole_at_1280(person: Person) -> None:
    await person.sign_in("ada")
    await person.put_in_basket("mug-01")
    placed = await person.place_order()
    await person.row(placed.id, status="COMPLETED")
    await person.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await person.open(f"/orders/{placed.id}")
    await person.page.get_by_test_id("payment").wait_for()
    boxes = await person.page.locator(".order-grid > *").evaluate_all(
        "cards => cards.map((card) => { const { left, top, bottom } = card.getBoundingClientRect();"
        " return [left, top, bottom].map(Math.round); })"
    )
    columns: dict[int, list[tuple[int, int]]] = {}
    for left, top, bottom in boxes:
        columns.setdefault(left, []).append((top, bottom))
    assert len(columns) == 2
    ends = [max(bottom for _, bottom in cards) for cards in columns.values()]
    assert abs(ends[0] - ends[1]) <= 1, "no column ends before the other"
    for cards in columns.values():
        gaps = [below[0] - above[1] for above, below in pairwise(sorted(cards))]
        assert all(gap <= 24 for gap in gaps), gaps


async def test_at_200_percent_zoom_nothing_is_cut_off_and_the_content_has_the_window(person: Person) -> None:
    await person.sign_in("ada")
    page = person.page
    await person.put_in_basket("mug-01")
    placed = await person.place_order()
    await person.row(placed.id, status="COMPLETED")
    await page.locator('#nav a[href="/"]').click()
    await person.put_in_basket("mug-01")
    # A window of 1280 by 900 at 200 % has so many pixels of CSS.
    await page.set_viewport_size({"width": 640, "height": 450})
    for path, ready in (
        ("/", "stock"),
        ("/products/mug-01", "delivery"),
        ("/basket", "place-order"),
        ("/orders", "order-row"),
        (f"/orders/{placed.id}", "payment"),
    ):
        await person.open(path)
        await page.get_by_test_id(ready).first.wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 640, path
        await page.evaluate("scrollTo({ top: 200, behavior: 'instant' })")
        covered = await page.evaluate("document.querySelector('.top').getBoundingClientRect().bottom")
        assert covered <= 0, f"{path}: the header scrolls with the page"


async def test_the_shops_own_script_is_at_most_60_kb(person: Person) -> None:
    """As it is sent: compressed. Without what only the demo's drawer needs, which is fetched where there is a demo."""
    await person.sign_in("ada")
    await person.page.get_by_test_id("stock").first.wait_for()
    sizes: dict[str, int] = await person.page.evaluate(
        """() => Object.fromEntries(performance.getEntriesByType('resource')
          .filter(({ name }) => new URL(name).pathname.startsWith('/assets/') && name.endsWith('.js'))
          .map(({ name, encodedBodySize }) => [new URL(name).pathname, encodedBodySize]))"""
    )
    assert len(sizes) > 30 and all(sizes.values())
    assert not any("texts.de" in name or "/panel/" in name for name in sizes), "only what this visit needs"
    assert sum(sizes.values()) <= 60_000, sizes
