"""The demo as `make demo` starts it, in a real browser: each scene of the panel does what its card says, the bell
counts, and two tabs of one person show the same."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.conftest import ROOT
from tests.shop.test_demo import free_offset
from tests.upstreams.world import eventually

from .conftest import PATIENCE, WATCH, Person
from .test_journeys_everyone import barriers
from .test_journeys_german import ENGLISH

# The browser runs on the session's loop, so its tests do too.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Demo:
    """A running `make demo`."""

    url: str

    def _send(self, method: str, path: str) -> Any:
        headers = {"x-bff": "1"}
        answer = httpx.request(method, f"{self.url}{path}", headers=headers, trust_env=False, timeout=60)
        return answer.raise_for_status().json()

    def state(self) -> Any:
        return self._send("GET", "/demo/state")

    def put_right(self) -> None:
        self._send("DELETE", "/demo/scenes")
        eventually(lambda: all(service["up"] for service in self.state()["services"]))
        eventually(lambda: httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200)


@pytest.fixture(scope="module")
def running_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home, offset = tmp_path_factory.mktemp("demo"), free_offset()
    env = {**os.environ, "DEMO_HOME": str(home / "home"), "DEMO_OFFSET": str(offset)}
    env |= {"BFF_LIMITS__LOGIN": "1000/minute"}
    env.pop("REDIS_URL", None)
    url = f"http://localhost:{offset + 8000}"
    with (home / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "web.shop.demo"],
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ready() -> bool:
        if process.poll() is not None:
            raise AssertionError("the demo ended instead: " + (home / "demo.log").read_text())
        try:
            return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(ready, 60)
        yield Demo(url)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture
def demo(running_demo: Demo) -> Iterator[Demo]:
    yield running_demo
    running_demo.put_right()


class Visitor(Person):
    """A person at the demo, with the panel open."""

    def at(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    async def open_panel(self) -> None:
        await self.at("open-panel").wait_for()
        if await self.at("panel").count() == 0:
            await self.at("open-panel").click()
        await self.at("scene-slow-payments").wait_for()

    async def press(self, scene: str) -> None:
        await self.at(f"scene-{scene}").click()
        await expect(self.at(f"scene-{scene}")).to_have_attribute("aria-pressed", "true")

    async def order(self, sku: str) -> None:
        """Put it in the basket and order it; the page then shows the orders, the new one on top."""
        await self.page.locator('#nav a[href="/"]').click()
        await self.put_in_basket(sku)
        await self.place_order()

    def first(self, part: str = "") -> Locator:
        return self.at("order-row").first.locator(part) if part else self.at("order-row").first

    async def unread(self) -> int:
        asked = (
            "fetch('/api/screens/notifications').then((answer) => answer.json()).then((told) => told.unread)"
        )
        return int(await self.page.evaluate(asked))


@asynccontextmanager
async def visiting(browser: Browser, demo: Demo, name: str, locale: str = "en-US") -> AsyncIterator[Visitor]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, locale=locale)
    context.set_default_timeout(PATIENCE)
    await context.add_init_script(WATCH)
    world: Any = demo  # a Person needs only the address of a shop
    one = Visitor(world, context, await context.new_page())
    await one.sign_in(name)
    await one.open_panel()
    yield one
    assert one.errors == []
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def ada(browser: Browser, demo: Demo) -> AsyncIterator[Visitor]:
    async with visiting(browser, demo, "ada") as one:
        yield one


async def test_slow_payments_delay_an_order_and_no_screen(ada: Visitor) -> None:
    await ada.press("slow-payments")
    await ada.order("mug-01")
    await expect(ada.first()).to_have_attribute("data-step", "charge")
    await ada.first("h2 a").click()
    payment = ada.at("payment").get_by_test_id("missing")
    await expect(payment).to_have_attribute("data-reason", "timeout", timeout=PATIENCE)
    share = ada.page.locator('[data-test="share"][data-outcome="timeout"]').first
    await expect(share).to_contain_text("Payments")
    await expect(ada.at("order")).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)


@pytest.mark.slow
async def test_failing_payments_show_attempts_and_the_breaker_opens(ada: Visitor, demo: Demo) -> None:
    await ada.press("failing-payments")
    await ada.order("mug-01")
    again = ada.first('[data-test="trying"]')
    await expect(again).to_contain_text(re.compile(r"Charge: attempt \d+, next try in \d+ s"))
    await expect(again).to_contain_text("Payments did not answer")
    await ada.first("h2 a").click()
    lamp = ada.page.locator('[data-test="breaker"][data-service="payments"]')
    for _ in range(12):
        if await lamp.get_attribute("data-state") == "open":
            break
        await ada.page.reload()
        await ada.open_panel()
        await ada.at("payment").wait_for()
        await expect(lamp).to_be_visible()
    await expect(lamp).to_have_attribute("data-state", "open")
    await ada.at("scene-failing-payments").click()
    await expect(ada.at("order")).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)
    await expect(ada.at("attempts").first).to_contain_text("payments did not answer before")


async def test_refused_payments_undo_the_order(ada: Visitor) -> None:
    await ada.press("declined-payments")
    await ada.order("pen-01")
    await expect(ada.first()).to_have_attribute("data-status", "COMPENSATED", timeout=PATIENCE)
    await expect(ada.first('[data-test="verdict"]')).to_contain_text("Choose another card")


@pytest.mark.slow
async def test_a_failing_refund_counts_its_attempts_needs_attention_and_finishes_when_put_right(
    ada: Visitor,
) -> None:
    await ada.press("failing-refunds")
    await cancelled_at_shipping(ada)
    again = ada.first('[data-test="trying"]')
    await expect(again).to_contain_text(
        re.compile(r"Refund: attempt \d, next try in \d+ s"), timeout=PATIENCE
    )
    assert int(await again.get_attribute("data-attempt") or 9) < 5
    await expect(again).to_contain_text("Refund: attempt 5, next try in", timeout=PATIENCE)
    await expect(ada.first()).to_have_attribute("data-status", "NEEDS_ATTENTION", timeout=PATIENCE)
    verdict = ada.first('[data-test="verdict"]')
    await expect(verdict).to_contain_text("Our team looks into it")
    await expect(verdict).not_to_contain_text("#")
    await expect(ada.at("owner").first).to_contain_text("Payments (#payments), Orders (#orders)")
    await ada.at("scene-failing-refunds").click()
    await expect(ada.first()).to_have_attribute("data-status", "COMPENSATED", timeout=PATIENCE)
    await ada.first("h2 a").click()
    await expect(ada.at("payment")).to_contain_text("Refunded")
    attempts = ada.page.locator('.timeline [data-step="refund"] [data-test="attempts"]').first
    await expect(attempts).to_contain_text("payments did not answer before")


@pytest.mark.slow
async def test_an_operator_ends_a_refund_that_cannot_be_made(ada: Visitor) -> None:
    await ada.press("failing-refunds")
    await cancelled_at_shipping(ada)
    await expect(ada.first()).to_have_attribute("data-status", "NEEDS_ATTENTION", timeout=PATIENCE)
    stuck = ada.at("stuck").first
    attempt = int(await ada.first('[data-test="trying"]').get_attribute("data-attempt") or 0)
    await stuck.get_by_test_id("retry").click()
    await expect(ada.first('[data-test="trying"]')).not_to_have_attribute(
        "data-attempt", str(attempt), timeout=PATIENCE
    )
    await stuck.get_by_test_id("give-up").click()
    await expect(ada.first('[data-test="verdict"]')).to_contain_text(
        "our team does it by hand", timeout=PATIENCE
    )
    await expect(ada.at("stuck")).to_have_count(0)


async def cancelled_at_shipping(visitor: Visitor) -> None:
    await visitor.order("pen-01")
    await expect(visitor.first()).to_have_attribute("data-step", "ship", timeout=PATIENCE)
    await visitor.first("h2 a").click()
    await visitor.at("cancel").click()
    await visitor.page.locator('#nav a[href="/orders"]').click()


async def test_without_stock_an_order_is_refused_with_nothing_to_undo(ada: Visitor) -> None:
    await ada.press("no-stock")
    await ada.order("pen-01")
    await expect(ada.first()).to_have_attribute("data-status", "REJECTED", timeout=PATIENCE)
    await expect(ada.first('[data-test="verdict"]')).to_contain_text("sold out before")


async def test_a_slow_catalog_is_a_problem_in_time_and_then_at_once(ada: Visitor) -> None:
    await ada.press("slow-catalog")
    await ada.open("/products/plant-01")
    problem = ada.at("problem")
    await expect(problem).to_contain_text("customer service")
    await expect(problem).not_to_contain_text("atalog")
    # Developers have the team and the channel, in the drawer that stayed open.
    owner = ada.page.locator('[data-test="owner"][data-service="catalog"]').first
    await expect(owner).to_contain_text("Catalog")
    await expect(owner).to_contain_text("#catalog")
    for _ in range(12):
        if await problem.get_attribute("data-code") == "circuit-open":
            break
        await ada.page.reload()
        await problem.wait_for()
    await expect(problem).to_have_attribute("data-code", "circuit-open")


async def test_orders_killed_during_a_charge_restarts_and_charges_once(ada: Visitor) -> None:
    await ada.press("kill-orders-mid-charge")
    await expect(ada.at("scene-note").filter(has_text="Place an order now")).to_be_visible()
    await ada.order("mug-01")
    note = ada.at("scene-note").filter(has_text="One order, one charge")
    await expect(note).to_be_visible(timeout=PATIENCE)
    await expect(ada.first()).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)
    await expect(ada.at("scene-kill-orders-mid-charge")).to_have_attribute("aria-pressed", "false")


@pytest.mark.slow
async def test_no_session_or_order_is_lost_while_redis_is_stopped_for_ten_seconds(ada: Visitor) -> None:
    await ada.put_in_basket("mug-01")
    await ada.press("stop-redis")
    await expect(ada.at("scene-note").filter(has_text="Stopped for another")).to_be_visible()
    await ada.press_order()
    await expect(ada.first()).to_have_attribute("data-mood", "unknown", timeout=PATIENCE)
    await ada.page.locator('#nav a[href="/"]').click()
    await expect(ada.at("product").first).to_be_visible()
    await expect(ada.at("person")).to_have_text("Ada Lovelace")
    await ada.page.locator('#nav a[href="/orders"]').click()
    await expect(ada.first()).to_have_attribute("data-status", "COMPLETED", timeout=60_000)
    await ada.live()


async def test_two_tabs_of_one_person_show_the_same_order_and_bell(ada: Visitor) -> None:
    other = await ada.context.new_page()
    tab = Visitor(ada.shop, ada.context, other)
    await tab.open("/orders")
    await tab.live()
    before = await ada.unread()  # the gateway's count, because the badge may not be drawn yet
    await ada.order("notebook-01")
    for one in (ada, tab):
        await expect(one.first()).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)
    told = [await steps(one.page) for one in (ada, tab)]
    assert told[0] == told[1] == ["reserve", "charge", "ship"]
    for one in (ada, tab):
        await expect(one.at("unread")).to_have_text(str(before + 1))
    await tab.at("bell").click()
    await tab.at("read-all").click()
    for one in (ada, tab):
        await expect(one.at("unread")).to_be_hidden()
    assert tab.errors == []


async def steps(page: Page) -> list[str]:
    """The steps in which the page showed the newest order while it ran."""
    seen = await page.evaluate("window.seen")
    newest = seen[-1]["order"]
    return [one["step"] for one in seen if one["status"] == "RUNNING" and one["order"] == newest]


@pytest.mark.parametrize(
    ("name", "sku", "kind"),
    [("grace", "lamp-01", "order-completed"), ("bruno", "teapot-01", "order-compensated")],
)
async def test_the_bell_counts_a_new_notification_and_its_list_works_with_the_keyboard(
    browser: Browser, demo: Demo, name: str, sku: str, kind: str
) -> None:
    async with visiting(browser, demo, name) as one:
        await expect(one.at("bell")).to_have_attribute("aria-label", "Notifications, none unread")
        await one.order(sku)
        await expect(one.at("unread")).to_have_text("1", timeout=PATIENCE)
        await one.at("bell").focus()
        await one.page.keyboard.press("Enter")
        newest = one.at("notification").first
        await expect(newest).to_be_visible()
        await expect(newest).to_have_attribute("data-kind", kind)
        await expect(newest).to_have_attribute("data-read", "false")
        await one.page.keyboard.press("Tab")
        assert await one.page.evaluate("document.activeElement.dataset.test") == "read-all"
        await one.page.keyboard.press("Enter")
        await expect(one.at("unread")).to_be_hidden()
        await expect(newest).to_have_attribute("data-read", "true")
        await one.page.keyboard.press("Escape")
        await expect(one.page.locator("#notifications")).to_be_hidden()
        assert await one.page.evaluate("document.activeElement.dataset.test") == "bell"
        await one.page.reload()
        await one.live()
        await expect(one.at("bell")).to_have_attribute("aria-label", "Notifications, none unread")


async def test_the_panel_repairs_everything_and_shows_the_stream(ada: Visitor, demo: Demo) -> None:
    for scene in ("no-stock", "slow-payments", "stop-redis"):
        await ada.press(scene)
    await ada.at("reset").click()
    for scene in ("no-stock", "slow-payments", "stop-redis"):
        await expect(ada.at(f"scene-{scene}")).to_have_attribute("aria-pressed", "false")
    assert not any(scene["active"] for scene in demo.state()["scenes"].values())
    await ada.live()
    await expect(ada.at("stream-state")).to_have_text("live")
    await expect(ada.at("stream-heard")).to_contain_text("s ago")
    await ada.page.set_viewport_size({"width": 360, "height": 740})
    assert await ada.page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
async def test_the_panel_meets_no_barrier_in_either_language(
    browser: Browser, demo: Demo, locale: str
) -> None:
    async with visiting(browser, demo, "grace", locale) as one:
        await one.at("services").locator("summary").click()
        await one.at("service").first.wait_for()
        found = {"panel": await barriers(one.page)}
        await one.at("tab-tour").click()
        found["tour"] = await barriers(one.page)
        for scene in ("slow-part", "declined-card", "killed-orders", "stopped-redis"):
            await one.at(f"tour-{scene}").click()
            await one.at("underneath").wait_for()
            found[scene] = await barriers(one.page, "#drawer")
            if locale != "en-GB":
                found[scene] += await one.page.evaluate(ENGLISH)
            await one.at("tour-all").click()
        await one.at("tab-panel").click()
        if locale != "en-GB":
            found["panel"] += await one.page.evaluate(ENGLISH)
        assert found == {what: [] for what in found}


async def test_a_page_of_another_site_cannot_use_a_switch(demo: Demo) -> None:
    async with httpx.AsyncClient(base_url=demo.url, trust_env=False) as stranger:
        asked = [("POST", "scenes/no-stock"), ("DELETE", "scenes/no-stock"), ("DELETE", "scenes")]
        asked += [("POST", "kill/orders"), ("POST", "faults/payments"), ("POST", "orders/x/give-up")]
        answers = await asyncio.gather(*(stranger.request(how, f"/demo/{path}") for how, path in asked))
        assert {answer.status_code for answer in answers} == {403}
        known = await stranger.post("/demo/scenes/nothing", headers={"x-bff": "1"})
        assert known.status_code == 404


async def test_the_drawer_is_offered_at_first_sight_and_stands_beside_the_page(
    browser: Browser, demo: Demo
) -> None:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    await page.goto(demo.url)
    for offered in ("open-panel", "open-tour"):
        await expect(page.get_by_test_id(offered)).to_be_in_viewport()
    assert await page.locator("#drawer").is_hidden()
    await page.get_by_test_id("open-panel").click()
    drawer = await box(page.locator("#drawer"))
    assert (drawer["y"], drawer["height"], drawer["x"] + drawer["width"]) == (0, 900, 1280)
    shop = await box(page.locator(".page"))
    assert shop["x"] + shop["width"] <= drawer["x"], "it covers nothing"
    assert await page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert await page.evaluate("document.activeElement.dataset.test") == "tab-panel"
    await page.keyboard.press("Escape")
    await expect(page.locator("#drawer")).to_be_hidden()
    assert await page.evaluate("document.activeElement.dataset.test") == "open-panel"
    await context.close()


async def test_the_drawer_is_short_on_a_phone_and_the_page_can_be_read_to_its_end(ada: Visitor) -> None:
    await ada.page.set_viewport_size({"width": 390, "height": 844})
    await ada.page.reload()
    await ada.at("scene-slow-payments").wait_for()
    drawer = await box(ada.page.locator("#drawer"))
    assert drawer["height"] <= 844 / 2 and drawer["y"] + drawer["height"] == 844
    # Without scrolling a person sees one whole scene, its button below its text, and that there are more beside it.
    scenes = [await box(one) for one in await ada.page.locator(".scene").all()]
    assert scenes[0]["y"] + scenes[0]["height"] <= 844
    assert scenes[0]["y"] == scenes[1]["y"] and scenes[1]["x"] < 390
    await ada.page.evaluate("scrollTo({ top: document.body.scrollHeight, behavior: 'instant' })")
    assert (await box(ada.page.locator(".foot-line")))["y"] < drawer["y"]


async def test_a_scenes_button_is_under_its_text_and_no_label_of_a_service_meets_its_pid(
    browser: Browser, demo: Demo
) -> None:
    for locale in ("en-GB", "de-DE"):
        async with visiting(browser, demo, "ada", locale) as one:
            await one.at("services").locator("summary").click()
            for width in (1280, 1000, 390, 320):
                await one.page.set_viewport_size({"width": width, "height": 900})
                for scene in await one.page.locator(".scene").all():
                    text, button = await box(scene.locator("p").first), await box(scene.locator("button"))
                    assert text["y"] + text["height"] <= button["y"]
                for service in await one.at("service").all():
                    name, pid = await box(service.locator("strong")), await box(service.locator(".pid"))
                    apart = name["x"] + name["width"] + 4 <= pid["x"]
                    assert apart or name["y"] + name["height"] <= pid["y"], (
                        await service.inner_text(),
                        width,
                    )


async def test_the_bar_of_an_answer_from_the_cache_is_not_red_and_that_of_a_failure_is(ada: Visitor) -> None:
    await ada.open("/products/plant-01")
    await ada.at("delivery").wait_for()
    await ada.page.reload()
    hit = ada.page.locator('[data-test="share"][data-outcome="hit"]').first
    await hit.wait_for()
    colours = {name: await ada.page.evaluate(COLOUR, name) for name in ("good", "bad")}
    assert await hit.locator("i").evaluate("bar => getComputedStyle(bar).backgroundColor") == colours["good"]
    await ada.press("slow-inventory")
    await ada.page.reload()
    slow = ada.page.locator('[data-test="share"][data-outcome="timeout"]').first
    await slow.wait_for()
    assert await slow.locator("i").evaluate("bar => getComputedStyle(bar).backgroundColor") == colours["bad"]


# A colour of tokens.css as the browser computes it.
COLOUR = """
(name) => {
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.color = `var(--${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
"""


async def test_the_script_of_the_drawer_is_fetched_with_the_demo_and_is_small(ada: Visitor) -> None:
    sizes = await ada.page.evaluate(
        """() => performance.getEntriesByType('resource')
          .filter(({ name }) => new URL(name).pathname.startsWith('/assets/panel/') && name.endsWith('.js'))
          .map(({ encodedBodySize }) => encodedBodySize)"""
    )
    assert len(sizes) > 4 and sum(sizes) <= 20_000


async def box(element: Locator) -> Any:
    found = await element.bounding_box()
    assert found is not None
    return found
