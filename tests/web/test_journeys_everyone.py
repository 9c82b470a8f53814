"""The page for everyone: no known accessibility barrier in any of its states, wide and narrow, light and dark; by
keyboard, with a screen reader, and with reduced motion; and no layout shifts."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.conftest import ROOT
from tests.shop.system import Shop

from .conftest import PATIENCE, Person
from .lab import NO_WORKER

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = (ROOT / "web/client/node_modules/axe-core/axe.min.js").read_text()
RUN = """
async (within) => {
  const { violations } = await axe.run(within, { runOnly: [
    'wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
    `${id}: ${target.join(' ')}: ${failureSummary.split('\\n').slice(1, 3).join(' ')}`));
}
"""
WIDE, NARROW, NARROWEST = (1280, 900), (390, 844), (320, 640)
LOOKS: tuple[tuple[Literal["light", "dark"], tuple[int, int]], ...] = (
    ("light", WIDE),
    ("dark", NARROW),
    ("light", NARROWEST),
    ("dark", WIDE),
)
TOAST = """
async ([text, tone]) => {
  const { toast } = await import('/assets/toast.js');
  toast(text, { tone, link: { href: '/orders', text: 'See order' } });
}
"""
PLACE = """
() => {
  const { activeElement: at } = document;
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  const { top, bottom } = at.getBoundingClientRect();
  return { what: at.outerHTML.slice(0, 80), inside: bottom > 0 && top < innerHeight,
    outline: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 };
}
"""
# Layout shifts that no key or click caused, including the buffered ones; with `window.since`, only those after it.
SHIFTS = """
new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      if (!entry.hadRecentInput && entry.startTime > (window.since ?? 0)) sum += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => resolve(sum), 300);
})
"""


async def barriers(page: Page, within: str = "html") -> list[str]:
    """What axe finds in each theme and width of the page, and whether anything is cut off at the side."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found: list[str] = []
    await page.emulate_media(reduced_motion="reduce")
    for scheme, (width, height) in LOOKS:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": height})
        # Colours in a transition match neither theme.
        await page.evaluate("new Promise((done) => setTimeout(done, 50))")
        found += [f"{scheme} {width}: {one}" for one in await page.evaluate(RUN, within)]
        if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{scheme} {width}: wider than the viewport")
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    return found


async def test_a_visitor_meets_no_barrier(person: Person) -> None:
    page, found = person.page, {}
    for path, ready in (
        ("/", "stock"),
        ("/products/mug-01", "delivery"),
        ("/basket", "person"),
        ("/orders", "sign-in-card"),
    ):
        await person.open(path)
        where = page.get_by_test_id("sign-in" if ready == "person" else ready).first
        await where.wait_for()
        found[path] = await barriers(page)
    assert found == {what: [] for what in found}


async def test_a_person_with_orders_of_every_kind_meets_no_barrier(person: Person) -> None:
    page, world, found = person.page, person.shop.world, {}
    await person.sign_in("bruno")
    await person.put_in_basket("pen-01")
    await expect(page.get_by_test_id("in-basket")).to_have_text("1 in basket")
    found["the products with one in the basket"] = await barriers(page)
    for tone in ("plain", "good", "bad"):
        await page.evaluate(TOAST, [tone.title(), tone])
    await page.get_by_test_id("toast").nth(2).wait_for()
    await page.get_by_test_id("toast").first.hover()
    found["messages"] = await barriers(page, ".toasts")
    refused = await person.place_order()
    await person.row(refused.id, status="COMPENSATED")
    world.faults("payments", hold="before", match="POST /charges$")
    await page.locator('#nav a[href="/"]').click()
    await person.put_in_basket("mug-01")
    running = await person.place_order()
    await person.row(running.id, step="charge")
    found["orders, one refused and one under way"] = await barriers(page)
    await page.get_by_test_id("bell").click()
    await page.get_by_test_id("notification").first.wait_for()
    # Nothing that is half covered by them has to be clicked.
    found["the notifications"] = await barriers(page, "#bell")
    await page.keyboard.press("Escape")
    await page.locator('#nav a[href="/"]').click()
    await person.put_in_basket("lamp-01")
    await page.locator('#nav a[href="/basket"]').click()
    await page.get_by_test_id("place-order").wait_for()
    found["the basket beside a running order"] = await barriers(page)
    await person.open(f"/orders/{running.id}")
    await page.get_by_test_id("payment").wait_for()
    found["an order under way"] = await barriers(page)
    world.calm("payments")
    await person.open(f"/orders/{refused.id}")
    await page.get_by_test_id("payment").wait_for()
    found["an order taken back"] = await barriers(page)
    assert found == {what: [] for what in found}


@pytest.mark.slow
async def test_errors_and_warnings_are_no_barrier(person: Person) -> None:
    page, found = person.page, {}
    await person.context.add_init_script(NO_WORKER)
    await person.sign_in("grace")
    person.shop.world.kill("inventory")
    try:
        await person.open("/")
        await page.get_by_test_id("missing").wait_for()
        found["a part is missing"] = await barriers(page)
    finally:
        person.shop.world.start("inventory")
    await person.open("/basket")
    await person.live()
    await page.context.set_offline(True)
    await expect(page.get_by_test_id("freshness")).to_be_visible()
    await page.locator('#nav a[href="/orders"]').click()
    await page.locator("main").get_by_test_id("problem").wait_for()
    found["offline"] = await barriers(page)
    await page.context.set_offline(False)
    await expect(page.locator("main").get_by_test_id("problem")).to_have_count(0, timeout=PATIENCE)
    await page.clock.install()
    await person.open("/orders")
    await page.get_by_test_id("person").wait_for()
    await page.clock.fast_forward("07:59:20")
    await expect(page.get_by_test_id("expiry")).to_be_visible()
    found["the sign-in ends soon"] = await barriers(page)
    assert found == {what: [] for what in found}


async def test_the_keyboard_focus_is_always_visible(person: Person) -> None:
    await person.sign_in("ada")
    page, unseen, met = person.page, [], 0
    for scheme, _ in LOOKS[:2]:
        await page.emulate_media(color_scheme=scheme)
        await page.evaluate("document.activeElement.blur()")
        for _ in range(10):
            await page.keyboard.press("Tab")
            await page.evaluate("new Promise((done) => setTimeout(done, 100))")
            one: dict[str, Any] = await page.evaluate(PLACE)
            met += 1
            if not (one["outline"] and one["inside"]):
                unseen.append(one)
    assert (unseen, met) == ([], 20)


async def test_each_step_of_an_order_is_announced_to_screen_readers_once(person: Person) -> None:
    await person.sign_in("ada")
    await person.page.evaluate(
        """() => {
          window.said = [];
          const region = document.getElementById('announce');
          new MutationObserver(() => window.said.push(region.textContent)).observe(region,
            { childList: true, characterData: true, subtree: true });
        }"""
    )
    await person.put_in_basket("mug-01")
    await person.order_step_by_step()
    assert await person.page.get_attribute("#announce", "aria-live") == "polite"
    # What is shown is announced a moment later.
    await person.page.wait_for_function("window.said.at(-1) === 'Order: On its way'")
    said = await person.page.evaluate("window.said")
    assert said[-3:] == ["Order: Charging your card", "Order: Booking the parcel", "Order: On its way"]
    assert len(said) == len(set(said))


async def test_nothing_moves_with_reduced_motion(person: Person) -> None:
    await person.page.emulate_media(reduced_motion="reduce")
    await person.sign_in("ada")
    person.shop.world.faults("payments", hold="before", match="POST /charges$")
    await person.put_in_basket("mug-01")
    placed = await person.place_order()
    await person.row(placed.id, step="charge")
    moving = """() => document.getAnimations().filter(({ playState, effect }) =>
      playState === 'running' && effect.getComputedTiming().endTime > 50).length"""
    assert await person.page.evaluate(moving) == 0
    await person.page.emulate_media(reduced_motion="no-preference")
    assert await person.page.evaluate(moving) > 0, "the order's line moves without that preference"
    person.shop.world.calm("payments")


async def late(route: Route) -> None:
    await asyncio.sleep(1)
    await route.continue_()


async def test_the_layout_does_not_shift_while_a_page_loads_and_an_order_runs(
    shop: Shop, browser: Browser
) -> None:
    jumped: dict[str, float] = {}
    for width, height in (WIDE, NARROW):
        context = await browser.new_context(viewport={"width": width, "height": height})
        person = Person(shop, context, await context.new_page())
        await person.open("/")
        await person.page.get_by_test_id("stock").first.wait_for()
        jumped[f"shop {width}"] = await person.page.evaluate(SHIFTS)
        await person.sign_in_at_the_page("ada")
        await person.put_in_basket("mug-01")
        placed = await person.place_order()
        await person.row_of(placed.id).wait_for()
        # What a click changes is no shift, also where the machine needs more than the half second that counts for it.
        await person.page.evaluate("window.since = performance.now()")
        await person.row(placed.id, status="COMPLETED")
        jumped[f"order under way {width}"] = await person.page.evaluate(SHIFTS)
        for slow in (False, True):
            if slow:
                # The steps of the order come by the stream at once, its other parts a second later.
                await person.page.route("**/api/**", late)
            await person.open(f"/orders/{placed.id}")
            await person.page.get_by_test_id("payment").wait_for()
            await asyncio.sleep(0.3)
            jumped[f"order {width}, {slow=}"] = await person.page.evaluate(SHIFTS)
        await person.page.unroute_all(behavior="wait")
        await context.close()
    # The threshold that web.dev calls good.
    assert {what: by for what, by in jumped.items() if by > 0.1} == {}
