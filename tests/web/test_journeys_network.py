"""What a person sees while the network comes and goes, and with several orders under way at once."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from .conftest import PATIENCE, Person
from .lab import NO_WORKER

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_order_placed_offline_waits_visibly_and_is_sent_once_when_the_network_is_back(
    person: Person,
) -> None:
    await person.context.add_init_script(NO_WORKER)
    await person.sign_in("grace")
    page, banner = person.page, person.page.get_by_test_id("freshness")
    await person.put_in_basket("mug-01")
    await expect(banner).to_be_hidden()
    before = person.shop.world.stock("mug-01")
    await page.context.set_offline(True)
    await expect(banner).to_contain_text("You are offline. What you see is from")
    await person.press_order()
    row = page.get_by_test_id("order-row").first
    await expect(row).to_have_attribute("data-mood", "unknown")
    await expect(banner).to_contain_text("1 order waits here and will be sent once")
    await page.context.set_offline(False)
    await expect(row).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)
    await expect(banner).to_be_hidden()
    assert person.shop.world.stock("mug-01") == before - 1


async def test_several_orders_at_once_have_a_row_each(person: Person) -> None:
    await person.sign_in("grace")
    person.shop.world.faults("payments", hold="before", match="POST /charges$")
    placed = []
    for sku in ("mug-01", "pen-01", "notebook-01"):
        await person.put_in_basket(sku)
        placed.append(await person.place_order())
        await person.page.locator('#nav a[href="/"]').click()
    await expect(person.page.get_by_test_id("under-way")).to_have_attribute("data-count", "3")
    await person.page.locator('#nav a[href="/orders"]').click()
    for order in placed:
        await person.row(order.id, step="charge")
    rows = person.page.get_by_test_id("order-row")
    newest = [await rows.nth(at).get_attribute("data-order") for at in range(3)]
    assert newest == [order.id for order in reversed(placed)]
    person.shop.world.calm("payments")
    for order in placed:
        await person.row(order.id, status="COMPLETED")
    await expect(person.page.get_by_test_id("under-way")).to_be_hidden()
