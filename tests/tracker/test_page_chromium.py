"""The tracker's page in a real Chromium: it lists, edits, attaches and saves; and what is left when one side leaves in
the middle of a file."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from ..waiting import GUARD, until
from .conftest import chromium, new_context, signed_in
from .world import World, world

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = 24_000_000
MIDDLE = 4_000_000
BLOCK = hashlib.sha256(b"tracker").digest() * 2_048


def content(size: int = SIZE) -> bytes:
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def permits(tracker: World) -> int:
    """Of the service of attachments, in use."""
    assert tracker.gateway is not None and tracker.gateway.runtime is not None
    client = tracker.gateway.runtime.calls.pipeline.clients["files"]
    return client.permits.bulkhead.used + sum(backend.pending for backend in client.backends)


async def nothing_is_held(tracker: World, before: int) -> None:
    """No permit, and no more tasks than before."""
    await until(lambda: permits(tracker) == 0, "a permit is not given back")
    await until(lambda: len(asyncio.all_tasks()) <= before, "a task is left")


async def choose(page: Page, ticket: str) -> None:
    await page.locator(f'[data-ticket="{ticket}"]').click()
    await page.locator("#ticket").wait_for()


async def attach(page: Page, file: Path) -> None:
    await page.get_by_label("File").set_input_files(file)
    await page.get_by_role("button", name="Attach").click()


async def test_a_person_lists_edits_attaches_and_saves(
    tracker: World, context: BrowserContext, tmp_path: Path
) -> None:
    page = await signed_in(context, tracker)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    first = await page.locator("[data-ticket]").count()
    await page.get_by_role("button", name="More").click()
    await expect(page.locator("[data-ticket]")).to_have_count(2 * first)
    await choose(page, "1")
    await page.get_by_label("Title").fill("It <b>sings</b>")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Saved").wait_for()
    assert (await tracker.get("/api/tickets/1")).json()["ticket"]["title"] == "It <b>sings</b>"

    # One pixel, which the page shows; its name has whatever a name can have.
    picture = tmp_path / "a ünd #%?.png"
    picture.write_bytes(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
            "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
        )
    )
    await attach(page, picture)
    await page.get_by_text("Attached").wait_for()
    shown = page.get_by_role("img")
    await expect(shown).to_have_js_property("naturalWidth", 1)
    async with page.expect_download() as saving:
        await page.get_by_role("link", name=picture.name).click()
    saved = await saving.value
    # Chromium replaces what a file system may not take.
    assert saved.suggested_filename == picture.name.replace("?", "_")
    assert Path(await saved.path()).read_bytes() == picture.read_bytes()
    async with page.expect_download() as saving:
        await page.get_by_role("link", name="As a file").click()
    assert (await saving.value).suggested_filename == "tickets.csv"
    assert errors == []


async def test_a_browser_that_leaves_in_mid_upload_leaves_nothing_at_the_service_and_in_the_gateway(
    tracker: World, tmp_path: Path
) -> None:
    async with chromium() as browser:
        page = await signed_in(await new_context(browser), tracker)
        await choose(page, "1")
        file = tmp_path / "large.bin"
        file.write_bytes(content())
        before = len(asyncio.all_tasks())
        tracker.relay.hold_up = MIDDLE
        await attach(page, file)
        await asyncio.wait_for(tracker.relay.held.wait(), GUARD)
        assert permits(tracker) > 0 and tracker.files.incoming() != []
        # Its process ends, so its connections are closed. A page that is closed may still send for a moment.
        await browser.close()
        tracker.relay.release()
        await until(lambda: tracker.files.incoming() == [], "the service keeps half a file")
        assert tracker.files.whole("1") == []
        await nothing_is_held(tracker, before)
    # The gateway is as before.
    again = await tracker.call("PUT", "/api/tickets/1/files/large.bin", content=b"x")
    assert again.status_code == 201


async def test_while_the_service_reads_nothing_a_browser_that_left_is_given_up_in_bounded_time(
    redis_url: str, context: BrowserContext, tmp_path: Path
) -> None:
    # Behind bytes that nobody reads the end of a connection cannot be seen, so the time of a piece is the bound.
    async with world(redis_url, tmp_path, http={"forward": {"idle": 0.5}}) as tracker:
        page = await signed_in(context, tracker)
        await choose(page, "1")
        file = tmp_path / "large.bin"
        file.write_bytes(content())
        before = len(asyncio.all_tasks())
        tracker.relay.hold_up = MIDDLE
        await attach(page, file)
        await asyncio.wait_for(tracker.relay.held.wait(), GUARD)
        await page.close()
        await nothing_is_held(tracker, before)
        assert tracker.relay.held.is_set(), "the service still reads nothing"
        tracker.relay.release()
        await until(lambda: tracker.files.incoming() == [], "the service keeps half a file")
        assert tracker.files.whole("1") == []


async def test_a_service_that_dies_in_mid_upload_is_a_failure_that_the_person_reads(
    tracker: World, context: BrowserContext, tmp_path: Path
) -> None:
    page = await signed_in(context, tracker)
    await choose(page, "1")
    file = tmp_path / "large.bin"
    file.write_bytes(content())
    before = len(asyncio.all_tasks())
    tracker.relay.hold_up = MIDDLE
    await attach(page, file)
    await asyncio.wait_for(tracker.relay.held.wait(), GUARD)
    await asyncio.to_thread(tracker.files.kill)
    tracker.relay.release()
    await page.get_by_text("That failed").wait_for()
    await nothing_is_held(tracker, before)
    await asyncio.to_thread(tracker.files.start)
    assert (await tracker.get("/api/tickets/1/files")).json() == []


async def test_a_service_that_dies_in_mid_download_is_a_failed_download_and_never_a_short_file(
    tracker: World, context: BrowserContext
) -> None:
    await tracker.call("PUT", "/api/tickets/1/files/large.bin", content=content())
    page = await signed_in(context, tracker)
    await choose(page, "1")
    before = len(asyncio.all_tasks())
    tracker.relay.hold_down = MIDDLE
    async with page.expect_download() as saving:
        await page.get_by_role("link", name="large.bin").click()
    await asyncio.wait_for(tracker.relay.held.wait(), GUARD)
    await asyncio.to_thread(tracker.files.kill)
    tracker.relay.release()
    assert await (await saving.value).failure() is not None
    await nothing_is_held(tracker, before)


FETCH = """
async ({ path, first }) => {
  const headers = first ? { Range: `bytes=${first}-` } : {};
  const answer = await fetch(path, { headers });
  const found = { status: answer.status, size: 0, failed: false };
  const reader = answer.body.getReader();
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      found.size += value.length;
    }
  } catch (error) {
    found.failed = true;
  }
  return found;
}
"""


async def test_a_script_that_reads_half_a_file_gets_an_error_and_resumes_by_range(
    tracker: World, context: BrowserContext
) -> None:
    body = content()
    await tracker.call("PUT", "/api/tickets/1/files/large.bin", content=body)
    page = await signed_in(context, tracker)
    tracker.relay.hold_down = MIDDLE
    ask = {"path": "/api/tickets/1/files/large.bin", "first": 0}
    reading = asyncio.create_task(page.evaluate(FETCH, ask))
    await asyncio.wait_for(tracker.relay.held.wait(), GUARD)
    await asyncio.to_thread(tracker.files.kill)
    tracker.relay.release()
    half = await reading
    assert half["status"] == 200 and half["failed"] and half["size"] < SIZE
    await asyncio.to_thread(tracker.files.start)
    rest = await page.evaluate(FETCH, ask | {"first": half["size"]})
    assert (rest["status"], rest["failed"], half["size"] + rest["size"]) == (206, False, SIZE)


async def test_a_browser_that_leaves_in_mid_download_ends_the_exchange_at_the_service(
    tracker: World, context: BrowserContext
) -> None:
    await tracker.call("PUT", "/api/tickets/1/files/large.bin", content=content())
    page = await signed_in(context, tracker)
    before = len(asyncio.all_tasks())
    tracker.relay.hold_down = MIDDLE
    ask = {"path": "/api/tickets/1/files/large.bin", "first": 0}
    reading = asyncio.create_task(page.evaluate(FETCH, ask))
    await asyncio.wait_for(tracker.relay.held.wait(), GUARD)
    assert permits(tracker) > 0
    await page.close()
    await asyncio.wait([reading])
    reading.exception()
    await until(lambda: permits(tracker) == 0, "the gateway still reads from the service")
    passed = tracker.relay.down
    tracker.relay.release()
    await nothing_is_held(tracker, before)
    assert tracker.relay.down < SIZE and tracker.relay.down - passed < MIDDLE
