"""The guided tour of the demo, scene by scene, in a real browser against what `make demo` starts: a person follows the
steps, and what happened underneath is shown beside them."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Locator, expect

from .conftest import PATIENCE
from .test_journeys_panel import Demo, Visitor, ada, demo, running_demo, visiting

__all__ = ["ada", "demo", "running_demo"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


async def begin(visitor: Visitor, scene: str) -> None:
    await visitor.at("tab-tour").click()
    await visitor.at(f"tour-{scene}").click()
    await expect(visitor.at("tour-scene")).to_have_attribute("data-scene", scene)


def step(visitor: Visitor, name: str) -> Locator:
    return visitor.page.locator(f'[data-test="tour-step"][data-step="{name}"]')


async def is_now(visitor: Visitor, name: str) -> None:
    await expect(step(visitor, name)).to_have_attribute("data-state", "now", timeout=PATIENCE)


async def is_done(visitor: Visitor, name: str) -> None:
    await expect(step(visitor, name)).to_have_attribute("data-state", "done", timeout=PATIENCE)


async def do(visitor: Visitor, name: str) -> None:
    await is_now(visitor, name)
    await visitor.at("tour-act").click()
    await is_done(visitor, name)


async def learned(visitor: Visitor, scene: str) -> None:
    await expect(visitor.at("learned")).to_be_visible(timeout=PATIENCE)
    await visitor.at("tour-all").click()
    await expect(visitor.at(f"tour-{scene}")).to_contain_text("Seen.")


async def statuses(visitor: Visitor) -> list[str]:
    """The order's events as the scene shows them, oldest first."""
    shown = [await one.inner_text() for one in await visitor.at("event").all()]
    return [re.sub(r"^\w+ (.*?) version .*", r"\1", text, flags=re.DOTALL) for text in reversed(shown)]


async def test_the_scene_of_a_slow_part_shows_its_timeout_and_the_breaker(ada: Visitor) -> None:
    await begin(ada, "slow-part")
    await do(ada, "break")
    await do(ada, "look")
    await expect(ada.at("missing")).to_contain_text("Live stock cannot be shown right now.")
    await expect(ada.at("product")).to_have_count(8)
    trace = ada.at("trace").filter(has_text="GET /api/screens/products").last
    await expect(trace).to_contain_text(re.compile(r"trace [0-9a-f]{16}"))
    await expect(trace.locator('[data-outcome="timeout"]')).to_contain_text("Inventory.levels")
    timed_out = ada.at("policy").filter(has_text=re.compile(r"Inventory\.levels: timeout after \d+ ms"))
    await expect(timed_out.first).to_be_visible()
    await do(ada, "open")
    await expect(ada.at("policy").filter(has_text="Breaker of inventory: opened")).to_be_visible()
    await do(ada, "repair")
    await expect(ada.at("policy").filter(has_text="Breaker of inventory: closed again")).to_be_visible()
    await expect(ada.at("missing")).to_have_count(0, timeout=PATIENCE)
    await learned(ada, "slow-part")


async def test_the_scene_of_a_declined_card_ends_with_another_card(ada: Visitor) -> None:
    await begin(ada, "declined-card")
    await do(ada, "break")
    await do(ada, "basket")
    await is_now(ada, "order")
    await ada.at("place-order").click()
    await is_done(ada, "undone")
    assert await statuses(ada) == [
        "RUNNING · reserve",
        "RUNNING · charge",
        "COMPENSATING · release · card-declined",
        "COMPENSATED · release · card-declined",
    ]
    await expect(ada.at("trace").filter(has_text="POST /api/orders").first).to_contain_text("Ordering.place")
    await do(ada, "repair")
    await ada.at("other-card").first.click()
    await expect(ada.at("card-second")).to_be_checked()
    await ada.at("place-order").click()
    await is_done(ada, "again")
    await learned(ada, "declined-card")


async def test_the_scene_of_a_killed_service_ends_with_one_charge(ada: Visitor) -> None:
    await begin(ada, "killed-orders")
    await do(ada, "break")
    await do(ada, "basket")
    await is_now(ada, "order")
    await ada.at("place-order").click()
    await is_done(ada, "back")
    await is_done(ada, "done")
    await expect(ada.at("tour-note")).to_contain_text("One order, one charge.", timeout=PATIENCE)
    assert (await statuses(ada))[-1] == "COMPLETED · ship"
    await learned(ada, "killed-orders")


async def test_the_scene_of_a_stopped_redis_loses_nothing(ada: Visitor) -> None:
    await begin(ada, "stopped-redis")
    await do(ada, "basket")
    await is_now(ada, "break")
    await ada.at("tour-act").click()
    await is_now(ada, "order")
    await ada.at("place-order").click()
    await is_done(ada, "order")
    await expect(ada.at("person")).to_have_text("Ada Lovelace")
    await is_done(ada, "back")
    await is_done(ada, "done")
    await expect(ada.first()).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)
    await learned(ada, "stopped-redis")


async def test_the_tour_goes_on_after_a_sign_in_and_puts_right_what_it_leaves(
    browser: Browser, demo: Demo
) -> None:
    async with visiting(browser, demo, "grace") as one:
        await one.sign_out()
        await one.at("tab-tour").click()
        await one.at("tour-declined-card").click()
        await one.at("tour-scene").get_by_role("link", name="Sign in").click()
        await one.page.locator('button[value="grace"]').click()
        await one.live()
        await do(one, "break")
        assert demo.state()["scenes"]["declined-payments"]["active"]
        await one.page.reload()
        await is_now(one, "basket")
        async with one.page.expect_response("**/demo/scenes/declined-payments"):
            await one.at("tour-all").click()
        assert not demo.state()["scenes"]["declined-payments"]["active"]
