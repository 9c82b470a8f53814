"""Many tabs of one person: one stream, and nothing lost when its holder, network, gateway or machine goes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.programs import parents_of_processes, program

from .conftest import ARGS
from .lab import BARE, TABS, Lab, live, order, saw_it_whole, state, status, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_twenty_tabs_share_one_stream_and_closing_any_of_them_costs_the_others_nothing(
    lab: Lab, browser: Browser
) -> None:
    async with lab.visit(browser) as context:
        tabs = [await lab.tab(context) for _ in range(TABS)]
        for tab in tabs:
            await live(tab)
        await lab.one_stream()
        placed = await order(lab)
        await until(lambda: status(tabs[-1], placed), "RUNNING")
        for tab in tabs[:15]:
            await tab.close()
        for tab in tabs[15:]:
            await saw_it_whole(tab, placed)
            assert await tab.evaluate("states") == ["connecting", "live"]
        late = await lab.tab(context)
        await until(lambda: status(late, placed), "COMPLETED")
        await lab.one_stream()
    await until(lambda: asyncio.to_thread(lab.streams), 0)


@pytest.mark.parametrize(
    ("crash", "timed"),
    [
        pytest.param(False, False, id="closed"),
        pytest.param(False, True, id="closed, alone", marks=[pytest.mark.slow, pytest.mark.alone]),
        pytest.param(True, True, id="crashed, alone", marks=[pytest.mark.slow, pytest.mark.alone]),
    ],
)
async def test_without_a_shared_worker_the_tab_that_holds_the_stream_goes_and_the_others_go_on_within_a_second(
    lab: Lab, browser: Browser, crash: bool, timed: bool
) -> None:
    async with lab.visit(browser) as context:
        tabs = []
        for _ in range(5):
            tabs.append(await lab.tab(context, "lock"))
            await live(tabs[-1])
        await lab.one_stream()
        placed = await order(lab)
        for tab in tabs:
            await until(lambda tab=tab: status(tab, placed), "RUNNING")
        holder, *others = tabs
        gone = asyncio.get_running_loop().time()
        if crash:
            session = await context.new_cdp_session(holder)
            await asyncio.wait([asyncio.ensure_future(session.send("Page.crash"))], timeout=0.2)
        else:
            await holder.close()
        second = await order(lab)
        # Which of the others has it now only the gateway knows: one stream again, and it hears of both orders.
        for tab in others:
            await until(lambda tab=tab: status(tab, second), "RUNNING")
        took = asyncio.get_running_loop().time() - gone
        for tab in others:
            await saw_it_whole(tab, placed)
            await saw_it_whole(tab, second)
        await lab.one_stream()
    # Measured 0.1 to 0.3 s; where other programs run, too, nobody can say how long it takes.
    assert took <= 1.0 or not timed


async def test_the_network_is_cut_and_comes_back(lab: Lab, browser: Browser) -> None:
    async with lab.visit(browser) as context:
        tabs = [await lab.tab(context) for _ in range(2)]
        for tab in tabs:
            await live(tab)
        placed = await order(lab)
        lab.wire.cut()
        for tab in tabs:
            await until(lambda tab=tab: state(tab), "stale")
        unseen = await order(lab)
        await asyncio.to_thread(lab.shop.world.ended, unseen)
        lab.wire.restore()
        for tab in tabs:
            await live(tab)
            await saw_it_whole(tab, placed, 9)
            await saw_it_whole(tab, unseen)
            assert await tab.evaluate("states") == ["connecting", "live", "stale", "live"]


async def test_the_browser_says_it_is_offline_and_every_tab_says_so(lab: Lab, browser: Browser) -> None:
    async with lab.visit(browser) as context:
        tabs = [await lab.tab(context) for _ in range(2)]
        for tab in tabs:
            await live(tab)
        await context.set_offline(True)
        lab.wire.cut()
        for tab in tabs:
            await until(lambda tab=tab: state(tab), "offline")
        lab.wire.restore()
        await context.set_offline(False)
        for tab in tabs:
            await live(tab)


@pytest.mark.slow
async def test_the_gateway_is_killed_and_started_again(lab: Lab, browser: Browser) -> None:
    async with lab.visit(browser) as context:
        tabs = [await lab.tab(context) for _ in range(2)]
        for tab in tabs:
            await live(tab)
        placed = await order(lab)
        await asyncio.to_thread(lab.kill)
        for tab in tabs:
            await until(lambda tab=tab: state(tab), "stale")
        await asyncio.to_thread(lab.start)
        for tab in tabs:
            await live(tab)
            await saw_it_whole(tab, placed, 9)
        await lab.one_stream()


def family(mark: str) -> list[int]:
    """The process started with this mark among its arguments, and all that come from it."""
    found: list[int] = []
    parents = parents_of_processes()
    for pid in parents:
        with contextlib.suppress(OSError):  # it has just ended
            if mark in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    for one in found:
        found.extend(pid for pid, parent in parents.items() if parent == one and pid not in found)
    return found


@pytest.mark.slow
async def test_the_machine_sleeps_and_wakes_with_a_connection_that_only_looks_alive(lab: Lab) -> None:
    mark = f"--lab={uuid.uuid4()}"
    async with async_playwright() as playwright:
        own = await playwright.chromium.launch(executable_path=program("chromium"), args=[*ARGS, mark])
        async with lab.visit(own) as context:
            tabs = [await lab.tab(context) for _ in range(2)]
            for tab in tabs:
                await live(tab)
            asleep = await asyncio.to_thread(family, mark)
            assert len(asleep) >= 3
            for pid in asleep:
                os.kill(pid, signal.SIGSTOP)
            # What was connected never speaks again, and nobody is told.
            lab.wire.mode = "silent"
            placed = await order(lab)
            await asyncio.to_thread(lab.shop.world.ended, placed)
            await asyncio.sleep(1.5)
            lab.wire.restore()
            for pid in asleep:
                os.kill(pid, signal.SIGCONT)
            for tab in tabs:
                await until(lambda tab=tab: status(tab, placed), "COMPLETED")
                await live(tab)
        await own.close()


async def test_signed_out_in_one_tab_is_signed_out_in_all_and_signing_in_again_is_noticed(
    lab: Lab, browser: Browser
) -> None:
    context = await browser.new_context()
    one, other = await context.new_page(), await context.new_page()
    home = lab.shop.url
    await sign_in(one, home, "grace")
    await other.goto(f"{home}/orders")
    for page in (one, other):
        await page.locator('[data-test="connection"][data-state="live"]').wait_for(state="attached")
    # Signing out ends elsewhere; the other tab may know before that page has come.
    async with one.expect_navigation():
        await one.get_by_test_id("sign-out").click()
    await other.get_by_test_id("sign-in-card").wait_for()
    await sign_in(one, home, "ada")
    await other.get_by_test_id("person").filter(has_text="Ada").wait_for()
    await other.locator('[data-test="connection"][data-state="live"]').wait_for(state="attached")
    await context.close()


async def sign_in(page: Page, home: str, name: str) -> None:
    await page.goto(home)
    await page.get_by_test_id("sign-in").first.click()
    await page.locator(f'button[value="{name}"]').click()
    await page.get_by_test_id("person").wait_for()


@pytest.mark.slow  # a browser without windows keeps no page
async def test_a_page_from_the_back_forward_cache_catches_up(lab: Lab) -> None:
    async with async_playwright() as playwright:
        own = await playwright.chromium.launch(
            executable_path=program("whole-chromium"),
            args=ARGS,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        for share in ("worker", "lock"):
            async with lab.visit(own) as context:
                tab = await lab.tab(context, share)
                await live(tab)
                await tab.evaluate(
                    "addEventListener('pageshow', ({ persisted }) => { window.persisted = persisted })"
                )
                await tab.goto(f"{lab.url}/docs")
                await until(lambda: asyncio.to_thread(lab.streams), 0)
                placed = await order(lab)
                await asyncio.to_thread(lab.shop.world.ended, placed)
                await tab.evaluate("history.back()")
                await tab.wait_for_url(f"{lab.url}{BARE}", wait_until="commit")
                assert await tab.evaluate("window.persisted"), "the client keeps no page out of the cache"
                await until(lambda tab=tab, placed=placed: status(tab, placed), "COMPLETED")
                await live(tab)
                await lab.one_stream()
        await own.close()
