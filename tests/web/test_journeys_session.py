"""The end of a sign-in: the page warns in time, offers to stay signed in, and follows the gateway's times."""

from __future__ import annotations

import time

import pytest
from playwright.async_api import Browser, expect

from tests.shop.system import Shop, running
from tests.waiting import GUARD

from .conftest import PACE_MS, WATCH, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The gateway's setting: eight hours from sign-in to the end.
NEARLY = "07:59:20"


async def nearly_over(person: Person, name: str, path: str) -> None:
    """Signed in, with less than a minute left by the page's clock."""
    await person.sign_in(name)
    await person.page.clock.install()
    await person.open(path)
    await person.page.get_by_test_id("person").wait_for()
    await expect(person.page.get_by_test_id("expiry")).to_be_hidden()
    await person.page.clock.fast_forward(NEARLY)


async def test_the_page_warns_before_the_sign_in_ends_and_one_click_extends_it(person: Person) -> None:
    await nearly_over(person, "ada", "/basket")
    banner = person.page.get_by_test_id("expiry")
    await expect(banner).to_contain_text("Your sign-in ends soon.")
    await expect(banner).to_contain_text("seconds left")
    await banner.get_by_test_id("stay").click()
    await person.page.locator('button[value="ada"]').click()
    await person.page.wait_for_url(f"{person.shop.url}/basket")
    await person.live()
    await expect(banner).to_be_hidden()


async def test_the_warning_disappears_when_another_tab_has_signed_in_again(person: Person) -> None:
    await nearly_over(person, "grace", "/orders")
    banner = person.page.get_by_test_id("expiry")
    await expect(banner).to_be_visible()
    # The gateway reports eight hours more, as after a sign-in elsewhere.
    await person.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(banner).to_be_hidden()
    await person.live()


@pytest.mark.slow
async def test_when_a_sign_in_ends_the_stream_ends_and_the_persons_data_is_removed(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lifetime = 60
    folder = tmp_path_factory.mktemp("short")
    with running(folder, STEP_PAUSE_MS=PACE_MS) as shop:
        await _outlive(browser, shop, lifetime)


async def _outlive(browser: Browser, shop: Shop, lifetime: int) -> None:
    shop.kill_gateway()
    shop.extra["BFF_SESSION__LIFETIME"] = str(lifetime)
    shop.start_gateway()
    context = await browser.new_context()
    await context.add_init_script(WATCH)
    person = Person(shop, context, await context.new_page())
    # The session begins somewhere between these two moments.
    before = time.monotonic()
    await person.sign_in("ada")
    signed_in = time.monotonic()
    await person.page.locator('#nav a[href="/orders"]').click()
    await expect(person.page.get_by_test_id("expiry")).to_contain_text("seconds left")
    await expect(person.page.get_by_test_id("sign-in-card")).to_be_visible(timeout=90_000)
    ended = time.monotonic()
    assert ended - before >= lifetime - 5
    assert ended - signed_in <= lifetime + GUARD
    await expect(person.page.get_by_test_id("toast")).to_contain_text("You have been signed out.")
    await expect(person.page.get_by_test_id("expiry")).to_be_hidden()
    assert await person.page.get_by_test_id("order-row").count() == 0
    await context.close()
    assert person.errors == []
