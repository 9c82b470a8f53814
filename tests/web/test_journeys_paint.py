"""From the click to the paint, in a real browser with the real system: one order is one trace, and what the page
reports is what the browser itself measured."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from playwright.async_api import Request

from tests.waiting import GUARD
from tests.wire.served import served

from .conftest import Person, Placed
from .lab import until

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


class Spans:
    """A collector: the spans of each trace, with their service as the attribute `service`."""

    def __init__(self) -> None:
        self.traces: dict[str, list[Any]] = {}
        self.services: dict[bytes, str] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if dict(scope["headers"]).get(b"content-encoding") == b"gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            (service,) = (one for one in resource.resource.attributes if one.key == "service.name")
            for inner in resource.scope_spans:
                for span in inner.spans:
                    self.traces.setdefault(span.trace_id.hex(), []).append(span)
                    self.services[span.span_id] = service.value.string_value
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def of(self, trace: str) -> dict[str, Any]:
        """The spans of a trace by their names."""
        return {span.name: span for span in self.traces.get(trace, ())}


@pytest_asyncio.fixture(loop_scope="session")
async def spans(person: Person) -> AsyncIterator[Spans]:
    """The shop's gateway with a collector, asking its page for everything."""
    shop, collector = person.shop, Spans()
    async with served(collector) as otlp:
        shop.extra = {"BFF_TELEMETRY__OTLP": otlp, "BFF_TELEMETRY__BROWSER": "1"}
        shop.kill_gateway()
        await asyncio.to_thread(shop.start_gateway)
        yield collector
        shop.extra = {}
        shop.kill_gateway()
        await asyncio.to_thread(shop.start_gateway)


async def metrics(person: Person) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=GUARD) as client:
        return (await client.get(f"http://127.0.0.1:{person.shop.admin_port}/metrics")).text


def observed(page: str, sample: str) -> float:
    """The value of this sample, given with its labels."""
    return next((float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(sample)), 0)


async def test_an_order_is_one_trace_from_the_click_to_the_paint(person: Person, spans: Spans) -> None:
    reports: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/bff/browser"):
            assert request.method == "POST" and request.headers["x-bff"] == "1"
            reports.append(json.loads(request.post_data or ""))

    page = person.page
    page.on("request", note)
    await person.context.add_init_script(WATCH)
    await person.sign_in("ada")
    await page.evaluate(FOLLOW)
    placed: list[Placed] = []
    for _ in range(ORDERS):
        await page.locator('a[href="/"]').first.click()
        await person.put_in_basket("mug-01")
        placed.append(await person.place_order())
        await person.row(placed[-1].id, status="COMPLETED")
    traces = {one.key: one.key.replace("-", "") for one in placed}

    async def painted() -> bool:
        return all("paint final" in spans.of(trace) for trace in traces.values())

    await until(painted, True)
    for one in placed:
        trace = traces[one.key]
        found = spans.of(trace)
        click, command = found[f"click {ROUTE}"], found[f"POST {ROUTE}"]
        # One tree: every span has a parent in it, and the click is the root.
        ids = {span.span_id for span in spans.traces[trace]}
        assert [span.name for span in spans.traces[trace] if span.parent_span_id not in ids] == [click.name]
        assert command.parent_span_id == click.span_id
        assert spans.services[command.span_id] == "shop"
        assert spans.services[click.span_id] == "shop-browser"
        paints = [found[f"paint {phase}"] for phase in ("optimistic", "answer", "final")]
        assert {span.parent_span_id for span in paints} == {click.span_id}
        ends = [span.end_time_unix_nano for span in paints]
        assert ends == sorted(ends) and click.end_time_unix_nano == ends[-1]
        # Services pass the trace on, so each event of the order came to the browser with it.
        events = [event for event in await page.evaluate("events") if event["id"] == one.id]
        assert events[-1]["status"] == "COMPLETED"
        assert {event["traceparent"].split("-")[1] for event in events} == {trace}

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
