"""Stored cross-site scripting by attachments, in a real Chromium: whatever somebody uploads, and whatever headers their
service sends with it, no script of it runs. The same files do run where they are served without the gateway."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, expect

from ..wire.scripted import upstream
from ..wire.upstream import http
from .attacks import Victim, address_of, html, script, uploads
from .conftest import signed_in
from .world import World, world

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILES = "/api/tickets/1/files"


async def stored(tracker: World) -> list[str]:
    """Upload everything; the addresses here of what the service took."""
    taken = []
    for name, (media, body) in uploads().items():
        headers = {"content-type": media} if media else {}
        path = f"{FILES}/{address_of(name)}"
        put = await tracker.call("PUT", path, headers=headers, content=body)
        if put.status_code == 201:
            taken.append(path)
        else:
            # A name that is none.
            assert put.status_code == 404, f"{name}: {put.text}"
    assert len(taken) >= len(uploads()) - 2
    return [*taken, "/api/tickets/1/newest-file"]


async def test_no_upload_runs_a_script_when_it_is_opened_from_a_link(
    tracker: World, context: BrowserContext
) -> None:
    paths = await stored(tracker)
    victim = Victim(context, await signed_in(context, tracker))
    await victim.visit([f"{tracker.site}{path}" for path in paths])
    await victim.settle()
    assert (victim.ran, victim.dialogs, await victim.stored()) == (set(), [], [])


async def test_no_upload_runs_a_script_when_a_page_of_this_site_refers_to_it(
    tracker: World, context: BrowserContext
) -> None:
    paths = await stored(tracker)
    victim = Victim(context, await signed_in(context, tracker))
    await victim.embed(paths)
    await victim.settle()
    assert (victim.ran, victim.dialogs, await victim.stored()) == (set(), [], [])
    workers = "navigator.serviceWorker.getRegistrations().then((all) => all.length)"
    assert await victim.page.evaluate(workers) == 0


async def test_the_list_of_attachments_shows_names_as_text(tracker: World, context: BrowserContext) -> None:
    await stored(tracker)
    page = await signed_in(context, tracker)
    victim = Victim(context, page)
    await page.locator('[data-ticket="1"]').click()
    await page.get_by_text("<img src=x onerror=top.ran=1>").wait_for()
    await victim.settle()
    assert await page.evaluate("window.ran ?? null") is None
    assert (victim.ran, await victim.stored()) == (set(), [])


async def test_the_same_files_do_run_where_they_are_served_without_the_gateway(
    tracker: World, context: BrowserContext
) -> None:
    paths = await stored(tracker)
    victim = Victim(context, await signed_in(context, tracker))
    without = f"http://127.0.0.1:{tracker.files.port}/v1"
    await victim.visit([f"{without}{path.removeprefix('/api')}" for path in paths[:-1]])
    await victim.settle()
    assert {
        "page.html",
        "by-name.html",
        "report.pdf",
        "page.xhtml",
        "drawing.svg",
        "upper.html",
    } <= victim.ran
    assert {"name", "text.xml"} <= victim.ran


HTML = "content-type: text/html\r\n"
HEADERS = {
    "no-type": "",
    "empty-type": "content-type:\r\n",
    "two-types": "content-type: text/html\r\ncontent-type: image/png\r\n",
    "two-types-back": "content-type: image/png\r\ncontent-type: text/html\r\n",
    "shown": f'{HTML}content-disposition: inline; filename="x.html"\r\n',
    "shown-upper": f"{HTML}Content-Disposition: INLINE\r\n",
    "two-dispositions": f"{HTML}content-disposition: attachment\r\ncontent-disposition: inline\r\n",
    "list-of-dispositions": f"{HTML}content-disposition: inline, attachment\r\n",
    "quoted-disposition": f'{HTML}content-disposition: "attachment"\r\n',
    "prefix-of-a-word": f"{HTML}content-disposition: attachmentx\r\n",
    "empty-disposition": f"{HTML}content-disposition: ;attachment\r\n",
    "name-of-two-lines": f'{HTML}content-disposition: attachment; filename="x\\r\\ncontent-type: text/html"\r\n',
    "own-policy": f"{HTML}content-security-policy: sandbox allow-scripts allow-same-origin; script-src *\r\n",
    "own-policy-for-reports": f"{HTML}content-security-policy-report-only: default-src *\r\n",
    "guessing-allowed": "content-type: text/plain\r\nx-content-type-options: \r\n",
    "a-cookie": f"{HTML}set-cookie: ran=cookie; Path=/\r\n",
    "a-scope": "content-type: text/javascript\r\nservice-worker-allowed: /\r\n",
    "refresh": f"{HTML}refresh: 0;url=javascript:{script('refresh')}\r\n",
    "a-link": f"{HTML}link: <code.css>; rel=stylesheet, <javascript:{script('link')}>; rel=next\r\n",
    "ranges": f"{HTML}accept-ranges: bytes\r\ncontent-range: bytes 0-9/10\r\n",
    "source-map": "content-type: text/javascript\r\nsourcemap: javascript:alert(1)\r\n",
    "allowed-everywhere": f"{HTML}access-control-allow-origin: *\r\ncross-origin-resource-policy: cross-origin\r\n",
}
REDIRECTS = (
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "https://evil.test/",
    "//evil.test",
)


async def test_no_header_of_a_service_makes_its_answer_run(
    redis_url: str, tmp_path: Path, context: BrowserContext
) -> None:
    async with (
        upstream() as service,
        world(redis_url, tmp_path, files_port=service.port) as tracker,
    ):
        at = "/v1/tickets/1/files/"
        for name, headers in HEADERS.items():
            body = script(name) if "javascript\r\n" in headers else html(name)
            service.answers[at + name] = http(200, body.encode(), headers)
        packed = gzip.compress(html("packed").encode())
        service.answers[f"{at}packed"] = http(200, packed, f"{HTML}content-encoding: gzip\r\n")
        for status in (400, 403, 404, 409, 410, 416, 422, 451):
            service.answers[f"{at}status-{status}"] = http(status, html(f"status-{status}").encode(), HTML)
        for number, location in enumerate(REDIRECTS):
            head = f"{HTML}location: {location}\r\n"
            for status in (201, 301, 302, 303, 307, 308):
                name = f"to-{number}-{status}"
                service.answers[at + name] = http(status, html(name).encode(), head)
        names = [path.removeprefix(at) for path in service.answers if path.startswith(at)]
        victim = Victim(context, await signed_in(context, tracker))
        answers = [await tracker.get(f"{FILES}/{name}") for name in names]
        await victim.visit([f"{tracker.site}{FILES}/{name}" for name in names])
        await victim.embed([f"{FILES}/{name}" for name in names])
        await victim.settle()
        assert (victim.ran, victim.dialogs, await victim.stored()) == (set(), [], [])
        for name, answer in zip(names, answers, strict=True):
            policy = answer.headers["content-security-policy"]
            assert "allow-scripts" not in policy and "location" not in answer.headers, name
            assert answer.headers.get("x-content-type-options") == "nosniff", name


@pytest.mark.parametrize("media", ["image/png", "image/gif", "image/webp", "image/jpeg"])
async def test_a_picture_is_still_shown(tracker: World, context: BrowserContext, media: str) -> None:
    page = await signed_in(context, tracker)
    # Made by the browser itself, in the type that is asked for where it can.
    picture = await page.evaluate(
        """async (type) => {
          const canvas = Object.assign(document.createElement('canvas'), { width: 3, height: 2 });
          canvas.getContext('2d').fillRect(0, 0, 3, 2);
          const made = await new Promise((resolve) => canvas.toBlob(resolve, type));
          return Array.from(new Uint8Array(await made.arrayBuffer()));
        }""",
        media,
    )
    put = {"content-type": media}
    assert (await tracker.call("PUT", f"{FILES}/a", headers=put, content=bytes(picture))).is_success
    await page.locator('[data-ticket="1"]').click()
    await expect(page.get_by_role("img")).to_have_js_property("naturalWidth", 3)
    # Opened by itself it is shown, not saved.
    await page.goto(f"{tracker.site}{FILES}/a")
    assert await page.locator("img").count() == 1
