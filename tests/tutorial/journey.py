"""What the tutorial tells a person to do on the page, in a real Chromium: `python journey.py FOLDER [SITE]`.
Screenshots are written into the folder."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.async_api import ConsoleMessage, async_playwright, expect

from tests.programs import program
from tests.waiting import GUARD


async def journey(folder: Path, site: str) -> None:
    expect.set_options(timeout=GUARD * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        context = await browser.new_context()
        context.set_default_timeout(GUARD * 1000)
        page = await context.new_page()
        problems: list[str] = []

        def note(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                problems.append(message.text)

        page.on("console", note)
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(site)
        await expect(page.locator("li").first).to_be_visible()
        await expect(page.get_by_role("button", name="Close").first).to_be_disabled()
        await page.get_by_role("link", name="Sign in").click()
        await page.get_by_role("button", name=re.compile("Ada Admin")).click()
        await page.wait_for_url(f"{site}/")
        await expect(page.locator("#person")).to_contain_text("Ada Admin")
        await expect(page.locator("#connection")).to_have_text("(live)")
        number = page.locator("#open")
        await expect(number).to_have_text(re.compile(r"^\d+$"))
        before = int(await number.inner_text())
        other = await context.new_page()
        await other.goto(site)
        await expect(other.locator("#open")).to_have_text(str(before))
        await page.screenshot(path=folder / "signed-in.png")

        # The shared worker holds one stream for both windows.
        workers = [one for one in await _targets(context, page) if one == "shared_worker"]
        assert workers, "the shared worker did not start"

        rows = await page.locator("li").count()
        await page.get_by_role("button", name="Close").first.click()
        await expect(number).to_have_text(str(before - 1))
        await expect(page.locator("#message")).to_have_text("Closed.")
        await expect(page.locator("li")).to_have_count(rows - 1)
        await expect(other.locator("#open")).to_have_text(str(before - 1))
        await expect(other.locator("li")).to_have_count(rows - 1)

        await asyncio.to_thread(_open_ticket)
        await expect(number).to_have_text(str(before))
        await expect(page.locator("li")).to_have_count(rows)
        await page.get_by_role("button", name="Show").last.click()
        await expect(page.locator("#ticket")).to_contain_text("Customer: Kim, gold plan")
        await page.screenshot(path=folder / "shown.png")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("link", name="Sign in")).to_be_visible()
        await browser.close()
    assert problems == [], problems


async def _targets(context: object, page: object) -> list[str]:
    """The kinds of everything that Chromium runs (Chrome DevTools Protocol, Target.getTargets)."""
    session = await context.new_cdp_session(page)  # type: ignore[attr-defined]
    found = await session.send("Target.getTargets", {"filter": [{}]})
    return [one["type"] for one in found["targetInfos"]]


def _open_ticket() -> None:
    with urlopen(Request("http://localhost:9001/tickets?subject=It+rattles", method="POST")) as answer:
        assert answer.status == 201


if __name__ == "__main__":
    asyncio.run(journey(Path(sys.argv[1]), *(sys.argv[2:] or ["http://localhost:8000"])))
