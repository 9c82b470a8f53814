"""The React adapter in a real browser with the real shop: the component follows click, answer and stream."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.conftest import ROOT

from .conftest import PATIENCE, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENT = ROOT / "web/client"


def bundle(out: Path) -> str:
    """The example as a bundler builds it for a page."""
    command = [CLIENT / "node_modules/.bin/esbuild", ROOT / "tests/web/example.jsx", f"--outfile={out}"]
    command += ["--bundle", "--format=esm", "--jsx=automatic", "--log-level=error"]
    command += ["--define:process.env.NODE_ENV='production'".replace("'", '"')]
    command += [f"--alias:bff-client={CLIENT}/index.js", f"--alias:bff-client/react={CLIENT}/react.js"]
    command += [f"--alias:bff-client/rum={CLIENT}/rum.js"]
    subprocess.run(command, check=True, env=os.environ | {"NODE_PATH": str(CLIENT / "node_modules")})
    return out.read_text()


async def start(page: Page, script: str, owner: str) -> None:
    code = script.replace("export {", "window.example = {").replace("start\n}", "start: start\n}")
    # Loaded from the page's site, because the gateway's policy allows no inline script.
    await page.route("**/example.js", lambda route: route.fulfill(body=code, content_type="text/javascript"))
    await page.add_script_tag(type="module", url="/example.js")
    await page.wait_for_function("window.example")
    await page.evaluate(
        "owner => { document.body.replaceChildren(); window.client = example.start(document.body, owner); }",
        owner,
    )


async def test_a_screen_in_react_shows_the_order_at_once_and_then_its_real_state(
    person: Person, tmp_path: Path
) -> None:
    script = bundle(tmp_path / "example.js")
    await person.sign_in("ada")
    page = person.page
    # This gateway takes no reports.
    await page.route("**/bff/browser", lambda route: route.fulfill(status=204))
    await page.goto(f"{person.shop.url}/assets/tsconfig.json")
    await start(page, script, "ada")
    await expect(page.locator("section")).to_have_attribute("data-connection", "live")
    left = page.locator("output")
    await expect(left).not_to_have_text("unknown")
    before = int(await left.inner_text())
    known = await page.locator("li").count()
    await page.evaluate("document.querySelector('button').click()")
    # In the next frame, before any answer.
    assert await page.evaluate("document.querySelectorAll('li').length") == known + 1
    assert int(await left.inner_text()) == before - 1
    row = page.locator("li").last
    async with page.expect_request("**/bff/browser") as reported:
        await expect(row).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)
    # Each commit that the screen told of was painted.
    (report,) = json.loads((await reported.value).post_data or "")["mutations"]
    assert report["outcome"] == "confirmed"
    phases = report["phases"]
    assert 0 < phases["optimistic"] <= phases["answer"] <= phases["final"] <= report["age"]
    assert await row.get_attribute("data-pending") is None
    assert int(await left.inner_text()) == before - 1

    # A local change of the screen lies over it, and an event of the stream in between does not remove it.
    await row.dispatch_event("click")
    await expect(row).to_have_attribute("data-leaving", "true")
    again = await page.locator("li").count()
    await page.evaluate("document.querySelector('button').click()")
    await expect(page.locator("li")).to_have_count(again + 1)
    await expect(page.locator("li").last).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)
    await page.evaluate("window.archived()")
    await expect(page.locator("li[data-leaving]")).to_have_count(0)

    # The newest operation, and a value that a component was suspended for.
    newest = page.locator("p[data-state]")
    await expect(newest).to_have_attribute("data-state", "settled")
    await expect(newest).to_have_attribute("data-pending", "false")
    await expect(page.locator("b")).to_have_text(re.compile(r"^\d+$"))

    # No answer comes: the operation is unknown and tried again, until the person dismisses it.
    rows = await page.locator("li").count()
    await page.route("**/api/orders", lambda route: route.abort())
    await page.evaluate("document.querySelector('button').click()")
    await expect(newest).to_have_attribute("data-state", "unknown")
    await expect(newest).to_have_attribute("data-pending", "true")
    await expect(page.locator("li")).to_have_count(rows + 1)
    await page.evaluate("document.querySelectorAll('p button')[1].click()")
    await expect(newest).to_have_attribute("data-pending", "false")
    await expect(page.locator("li")).to_have_count(rows)

    # The network is back after a while, and `retry` does not wait for the next attempt.
    await page.evaluate("document.querySelector('button').click()")
    await expect(newest).to_have_attribute("data-state", "unknown")
    await page.unroute("**/api/orders")
    await page.evaluate("document.querySelectorAll('p button')[0].click()")
    await expect(newest).to_have_attribute("data-state", "settled", timeout=PATIENCE)
    await expect(page.locator("li").last).to_have_attribute("data-status", "COMPLETED", timeout=PATIENCE)

    renders = await page.evaluate("window.renders")
    await page.evaluate("client.setValues([])")
    assert await page.evaluate("window.renders") == renders, "no change, no rendering"
