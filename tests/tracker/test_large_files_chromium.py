"""Files of 200 MB between a real Chromium and the tracker's service, through `bff serve`: uploads as they are and as a
form, downloads, ranges and slow readers, in bounded memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext

from ..waiting import until
from .conftest import signed_in
from .world import World, world

SIZE = 200_000_000
MORE = 30_000_000
"""Bytes that the gateway's process may take more."""
# Its length is no power of two, so that a piece at a wrong place differs.
BLOCK = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(251))

# Reads a file and compares each byte with what belongs there. `stop` leaves after so many bytes; a slow reader rests
# between its pieces until it has read `slow` bytes.
READ = """
async ({ path, first, stop, slow, block, etag }) => {
  const known = Uint8Array.from(atob(block), (one) => one.charCodeAt(0));
  const leaving = new AbortController();
  const headers = first ? { Range: `bytes=${first}-`, 'If-Range': etag } : {};
  const answer = await fetch(path, { headers, signal: leaving.signal });
  const found = { status: answer.status, etag: answer.headers.get('etag'), size: 0, wrong: 0 };
  const reader = answer.body.getReader();
  while (true) {
    const { done, value } = await reader.read();
    if (done) return found;
    let at = (first + found.size) % known.length;
    for (const byte of value) {
      if (byte !== known[at]) found.wrong += 1;
      at = at + 1 === known.length ? 0 : at + 1;
    }
    found.size += value.length;
    if (stop && found.size >= stop) {
      leaving.abort();
      return found;
    }
    if (found.size < slow) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
"""

SEND_AS_FORM = """
async (path) => {
  const form = new FormData();
  form.append('file', document.querySelector('[type=file]').files[0], 'form.bin');
  const headers = { 'X-BFF': '1', 'Idempotency-Key': crypto.randomUUID() };
  return (await fetch(path, { method: 'POST', headers, body: form })).status;
}
"""


def resident(tracker: World) -> int:
    assert tracker.program is not None
    pages = Path(f"/proc/{tracker.program.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


@asynccontextmanager
async def bounded_memory(tracker: World, what: str) -> AsyncIterator[None]:
    """The gateway's process takes at most `MORE` bytes more while inside."""
    before = most = resident(tracker)

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, resident(tracker))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    print(f"\n{what}: {(most - before) / 1e6:.1f} MB more than the {before / 1e6:.0f} MB before")
    assert most - before <= MORE


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="session")
async def test_200_mb_pass_in_both_directions_in_hardly_any_memory(
    redis_url: str, tmp_path: Path, context: BrowserContext
) -> None:
    file = tmp_path / "large.bin"
    with file.open("wb") as out:
        for _ in range(SIZE // len(BLOCK)):
            out.write(BLOCK)
        out.write(BLOCK[: SIZE % len(BLOCK)])
    async with world(redis_url, tmp_path, as_process=True) as tracker:
        # What the first exchange of each kind loads is not counted.
        for name in ("small", "smaller"):
            assert (await tracker.call("PUT", f"/api/tickets/1/files/{name}", content=b"x")).is_success
            assert (await tracker.get(f"/api/tickets/1/files/{name}")).content == b"x"
        page = await signed_in(context, tracker)
        await page.locator('[data-ticket="1"]').click()
        await page.locator("#ticket").wait_for()
        async with bounded_memory(tracker, "upload"):
            await page.get_by_label("File").set_input_files(file)
            await page.get_by_role("button", name="Attach").click()
            await page.get_by_text("Attached").wait_for()
        stored = tracker.files.folder / "1" / "large.bin"
        assert _digest(stored) == _digest(file)

        async with bounded_memory(tracker, "upload as a form"):
            assert await page.evaluate(SEND_AS_FORM, "/api/tickets/1/files") == 201
        assert _digest(tracker.files.folder / "1" / "form.bin") == _digest(file)

        async with bounded_memory(tracker, "download"):
            async with page.expect_download() as saving:
                await page.get_by_role("link", name="large.bin").click()
            saved = await saving.value
            assert await saved.failure() is None
            assert _digest(Path(await saved.path())) == _digest(file)

        ask: dict[str, Any] = {
            "path": "/api/tickets/1/files/large.bin",
            "first": 0,
            "stop": 0,
            "slow": 0,
            "block": base64.b64encode(BLOCK).decode(),
            "etag": "",
        }
        async with bounded_memory(tracker, "slow reader"):
            slow = await page.evaluate(READ, ask | {"slow": 3_000_000})
            assert (slow["status"], slow["size"], slow["wrong"]) == (200, SIZE, 0)

        async with bounded_memory(tracker, "cut and resumed"):
            cut = await page.evaluate(READ, ask | {"stop": 60_000_000})
            assert cut["size"] < SIZE and cut["wrong"] == 0
            rest = await page.evaluate(READ, ask | {"first": cut["size"], "etag": cut["etag"]})
            assert (rest["status"], cut["size"] + rest["size"], rest["wrong"]) == (206, SIZE, 0)
            other = await page.evaluate(READ, ask | {"first": cut["size"], "etag": '"other"', "stop": 1_000})
            assert other["status"] == 200, "another file than the one that was begun"
        await until(lambda: tracker.files.incoming() == [])


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
