"""From the click to the paint, in a real browser with the real system: one order is one trace, and what the page
reports is what the browser itself measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Request

from tests.otlp import Collector, Seen
from tests.shop.system import Shop
from tests.waiting import GUARD
from tests.wire.served import served

from .conftest import PACE_MS, Person, Placed
from .conftest import WATCH as SEEN

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUTE = "/api/orders"
ORDERS = 3
GRAIN = 8.0
"""Milliseconds to which Event Timing rounds a duration."""

# What the browser itself says about each event, when a person pressed the button that orders, and how long frames are.
WATCH = """
window.timed = [];
window.pressed = [];
window.frames = [];
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) window.timed.push({ startTime, duration });
}).observe({ type: 'event', buffered: true, durationThreshold: 16 });
addEventListener('click', ({ target, timeStamp }) => {
  if (target.closest('[data-test="place-order"]')) window.pressed.push(timeStamp);
}, true);
const count = (at) => { window.frames.push(at); requestAnimationFrame(count); };
requestAnimationFrame(count);
"""
FOLLOW = """
() => new Promise((resolve) => {
  window.events = [];
  const stream = new EventSource('/bff/live');
  stream.addEventListener('saga', ({ data }) => window.events.push(JSON.parse(data)));
  stream.addEventListener('snapshot', resolve);
})
"""


@pytest_asyncio.fixture(loop_scope="session")
async def measured(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Person, Collector]]:
    """A person at a shop that sends its spans to a collector, and whose gateway asks its page for everything."""
    collector = Collector()
    async with served(collector) as otlp:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp)
        shop = Shop(tmp_path, STEP_PAUSE_MS=PACE_MS)
        shop.extra = {"BFF_TELEMETRY__OTLP": otlp, "BFF_TELEMETRY__BROWSER": "1"}
        await asyncio.to_thread(shop.__enter__)
        try:
            context = await browser.new_context(viewport={"width": 1280, "height": 900})
            for script in (SEEN, WATCH):
                await context.add_init_script(script)
            person = Person(shop, context, await context.new_page())
            yield person, collector
            assert person.errors == []
            await context.close()
        finally:
            await asyncio.to_thread(shop.__exit__)


def is_whole(trace: list[Seen]) -> bool:
    """Whether the trace has its last paint, and each span its parent."""
    ids = {span.id for span in trace}
    return "paint final" in {span.name for span in trace} and all(span.parent in ids | {""} for span in trace)


async def metrics(person: Person) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=GUARD) as client:
        return (await client.get(f"http://127.0.0.1:{person.shop.admin_port}/metrics")).text


def observed(page: str, sample: str) -> float:
    """The value of this sample, given with its labels."""
    return next((float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(sample)), 0)


async def test_an_order_is_one_trace_from_the_click_to_the_paint(
    measured: tuple[Person, Collector],
) -> None:
    person, collector = measured
    page = person.page
    reports: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/bff/browser"):
            assert request.method == "POST" and request.headers["x-bff"] == "1"
            reports.append(json.loads(request.post_data or ""))

    page.on("request", note)
    await person.sign_in("ada")
    await page.evaluate(FOLLOW)
    placed: list[Placed] = []
    for _ in range(ORDERS):
        await page.locator('a[href="/"]').first.click()
        await person.put_in_basket("mug-01")
        placed.append(await person.place_order())
        await person.row(placed[-1].id, status="COMPLETED")

    traces = {one.key: one.key.replace("-", "") for one in placed}
    await collector.until(lambda _: all(is_whole(collector.of(trace)) for trace in traces.values()))
    events = await page.evaluate("events")
    for one in placed:
        trace = collector.of(traces[one.key])
        found = {span.name: span for span in trace}
        click, command = found[f"click {ROUTE}"], found[f"POST {ROUTE}"]
        assert [span.name for span in trace if not span.parent] == [click.name], "the click is the root"
        assert (command.parent, command.service, click.service) == (click.id, "shop", "shop-browser")
        paints = [found[f"paint {phase}"] for phase in ("optimistic", "answer", "final")]
        assert {span.parent for span in paints} == {click.id}
        ends = [span.ended for span in paints]
        assert ends == sorted(ends) and click.ended == ends[-1]
        # Services pass the trace on, so each event of the order came to the browser with it.
        of_order = [event for event in events if event["id"] == one.id]
        assert of_order[-1]["status"] == "COMPLETED"
        assert {event["traceparent"].split("-")[1] for event in of_order} == {traces[one.key]}

    reported = {one["id"]: one for report in reports for one in report["mutations"]}
    timed, pressed, frames = await page.evaluate("[timed, pressed, frames]")
    rows = {one["order"]: float(str(one["at"])) for one in await person.seen() if one["mood"] == "sending"}
    for one, at in zip(placed, pressed, strict=True):
        report = reported[one.key]
        assert (report["path"], report["outcome"]) == (ROUTE, "confirmed")
        painted_at = at + report["phases"]["optimistic"]
        assert rows[one.key] <= painted_at, "the row was in the document before it counted as painted"
        # The browser has no entry of an event that was painted in less than 16 ms.
        own = max((entry["duration"] for entry in timed if abs(entry["startTime"] - at) < 1), default=16)
        assert abs(painted_at - (at + own)) <= frame_at(frames, at + own) + GRAIN, (report, own)

    page_of_metrics = await metrics(person)
    for phase in ("optimistic", "answer", "final"):
        labels = f'{{bff_phase="{phase}",http_route="{ROUTE}"}}'
        assert observed(page_of_metrics, f"bff_browser_duration_seconds_count{labels}") == ORDERS
    screens = [screen["path"] for report in reports for screen in report["screens"]]
    assert "/api/screens/products" in screens
    assert 'http_route="/api/screens/products"' in page_of_metrics
    assert 'bff_result="invalid"' not in page_of_metrics


def frame_at(frames: list[float], at: float) -> float:
    """Milliseconds of the longest frame around this moment: 16.7, and more on a busy machine."""
    return max(
        [
            1000 / 60,
            *(after - before for before, after in pairwise(frames) if before - 50 <= at <= after + 50),
        ]
    )


async def test_a_shop_whose_gateway_does_not_ask_reports_nothing(person: Person) -> None:
    asked: list[str] = []
    traced: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/bff/browser"):
            asked.append(request.url)
        if "traceparent" in request.headers:
            traced.append(request.url)

    person.page.on("request", note)
    await person.sign_in("ada")
    await person.put_in_basket("mug-01")
    placed = await person.place_order()
    await person.row(placed.id, status="COMPLETED")
    await person.page.goto("about:blank")
    assert (asked, traced) == ([], [])
